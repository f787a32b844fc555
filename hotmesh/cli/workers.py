"""`-A MODULE:OBJ` → workers."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from hotmesh.cli.output import UsageError
from hotmesh.mesh import Worker
from hotmesh.streams.app import App

DEFAULT_NAME, APP_NAME = "workers", "app"


def load_workers(specs: Sequence[str], *, concurrency: int) -> list[Worker]:
    """The workers that some `MODULE:OBJ` name, modules of the working directory included.

    Args:
        specs: Each names a `Worker`, a list of them, or a dict of topic → function. A module alone
            means its `workers`.
        concurrency: Of functions in a dict.

    Raises:
        UsageError: There is no such thing, or it is none of these.
        SettingsInvalid: A function or a topic can't be used.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    workers: list[Worker] = []
    for spec in specs:
        workers += _workers_of(spec, concurrency)
    return workers


def load_apps(specs: Sequence[str]) -> list[App]:
    """The streams apps that all of some `MODULE:OBJ` name; none when they name workers.

    Raises:
        UsageError: There is no such thing, or some are apps and others are not.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found = [_object_of(spec) for spec in specs]
    apps = [one for one in found if isinstance(one, App)]
    if apps and len(apps) < len(found):
        raise UsageError("-A names apps or workers; run them as processes of their own")
    return apps


def _workers_of(spec: str, concurrency: int) -> Iterable[Worker]:
    found = _object_of(spec)
    if isinstance(found, Worker):
        return [found]
    if isinstance(found, Mapping) and all(isinstance(topic, str) for topic in found):
        return [Worker(topic, fn, concurrency=concurrency) for topic, fn in found.items()]
    if isinstance(found, (list, tuple)) and all(isinstance(w, Worker) for w in found):
        return found
    raise UsageError(
        f"{spec} is {type(found).__name__}; it must be a Worker, a list of Workers, or a dict of "
        "topic → function"
    )


def _object_of(spec: str) -> Any:
    module_name, colon, path = spec.partition(":")
    if not module_name or (colon and not path):
        raise UsageError(f"-A takes MODULE:OBJ, such as workers:workers, not {spec!r}")
    module = _import(module_name)
    if not path and isinstance(getattr(module, APP_NAME, None), App):
        path = APP_NAME
    return _attribute(module, path or DEFAULT_NAME, spec)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (name == exc.name or name.startswith(exc.name + ".")):
            raise UsageError(
                f"there is no module {name!r} in {Path.cwd()} or among what is installed"
            ) from exc
        raise UsageError(_failure(name, exc)) from exc
    except Exception as exc:  # user code: whatever it raises is said in one line
        raise UsageError(_failure(name, exc)) from exc


def _failure(name: str, exc: BaseException) -> str:
    last = traceback.extract_tb(exc.__traceback__)[-1]
    where = f"{last.filename}:{last.lineno}"
    if isinstance(exc, SyntaxError):
        where = f"{exc.filename}:{exc.lineno}"
    return f"module {name!r} can't be imported: {type(exc).__name__}: {exc} ({where})"


def _attribute(module: ModuleType, path: str, spec: str) -> Any:
    try:
        return attrgetter(path)(module)
    except AttributeError as exc:
        names = [n for n in vars(module) if not n.startswith("_")]
        near = get_close_matches(path, names, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"-A {spec}: module {module.__name__!r} has no {path!r}{hint}") from exc
