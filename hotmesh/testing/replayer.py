"""Recorded histories against the code as it is now, without a server.

Replayer([order]).replay(history).check()
replay(histories, workflows=[order])              # all that production holds, before a deploy
Replayer([order]).replay(histories, hash_seeds=(0, 1, 2))  # in child processes
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from hotmesh.core.durable import records as r
from hotmesh.durable import guard
from hotmesh.durable.definition import registry_of
from hotmesh.durable.errors import UnknownWorkflowError
from hotmesh.durable.history import History
from hotmesh.durable.run import Run
from hotmesh.durable.task_failure import TurnFailed
from hotmesh.errors import HotMeshError, PayloadInvalid, SettingsInvalid

Given: TypeAlias = "History | str | bytes | Sequence[bytes]"
"""A history, its JSON, or its raw items."""

CHILD_S_MAX = 600


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one history.

    Attributes:
        turns: How many turns were replayed without a fault.
        error: Why the code does not fit, or "".
        kind: The class of the error, or "".
        hash_seed: The PYTHONHASHSEED of the child process; None for this one.
    """

    workflow_id: str
    run_id: str
    workflow: str
    turns: int = 0
    error: str = ""
    kind: str = ""
    hash_seed: int | None = None

    @property
    def ok(self) -> bool:
        """Whether the code fits."""
        return not self.error

    def check(self) -> Replayed:
        """Itself.

        Raises:
            ReplayFailed: The code does not fit the history.
        """
        if self.error:
            raise ReplayFailed([self])
        return self


class ReplayFailed(HotMeshError):
    """Code does not fit histories.

    Attributes:
        outcomes: Those that failed.
    """

    def __init__(self, outcomes: Sequence[Replayed]) -> None:
        self.outcomes = list(outcomes)
        super().__init__(
            "\n".join(
                f"workflow {o.workflow_id!r} ({o.workflow}): {o.kind}: {o.error}"
                + (f" [PYTHONHASHSEED={o.hash_seed}]" if o.hash_seed is not None else "")
                for o in self.outcomes
            )
        )


class Outcomes(list[Replayed]):
    """Of several histories."""

    @property
    def failures(self) -> list[Replayed]:
        """Those that don't fit."""
        return [outcome for outcome in self if not outcome.ok]

    def check(self) -> Outcomes:
        """Itself.

        Raises:
            ReplayFailed: The code does not fit some.
        """
        if self.failures:
            raise ReplayFailed(self.failures)
        return self


class Replayer:
    """Replays histories through workflows.

    Args:
        workflows: As a worker takes them.
        hooks: Functions that `workflow.hook` runs.

    Raises:
        RegistrationError: Something is no workflow.
    """

    def __init__(
        self, workflows: Sequence[Any], *, hooks: Sequence[Callable[..., Any]] = ()
    ) -> None:
        self._workflows, self._hooks = list(workflows), list(hooks)
        self._definitions = registry_of(workflows)
        self._functions = {f.__name__: f for f in (*workflows, *hooks) if hasattr(f, "__name__")}
        guard.install()

    def replay(
        self, histories: Given | Iterable[Given], *, hash_seeds: Sequence[int] = ()
    ) -> Outcomes:
        """Replay one history or many; the outcome of each.

        Args:
            hash_seeds: Replay in a child process for each of these seeds too. It imports the
                workflows by their names, so they must stand at the top of modules.

        Raises:
            PayloadInvalid, FormatUnknown: Something is no history.
            SettingsInvalid: A workflow can't be imported by a child process.
        """
        items = [read(given) for given in _several(histories)]
        outcomes = Outcomes(self._replayed(history) for history in items)
        for seed in hash_seeds:
            outcomes += self._in_child(items, seed)
        return outcomes

    def _replayed(self, history: History) -> Replayed:
        begin = history.records[0] if history.items else None
        if not isinstance(begin, r.Begin):
            raise PayloadInvalid("a history begins with the start of its run; this one does not")
        outcome = Replayed(
            workflow_id=history.workflow_id, run_id=begin.run_id, workflow=begin.workflow
        )
        definition = self._definitions.get(begin.workflow) or self._definitions.get("")
        if definition is None:
            unknown = UnknownWorkflowError(begin.workflow, sorted(self._definitions))
            return replace(outcome, error=str(unknown), kind="UnknownWorkflowError")
        run = Run(history.workflow_id, begin, definition)
        run.hook_functions = self._functions
        try:
            run.replay(history.records)
        except Exception as exc:  # noqa: BLE001 - user code; it is the outcome
            cause = exc.__cause__ if isinstance(exc, TurnFailed) and exc.__cause__ else exc
            kind = type(cause).__name__
            return replace(outcome, turns=run.turns - 1, error=str(cause) or kind, kind=kind)
        finally:
            run.tear_down()
        return replace(outcome, turns=run.turns)

    def _in_child(self, histories: list[History], seed: int) -> list[Replayed]:
        work = _Work(
            [_place(w) for w in self._workflows],
            [_place(h) for h in self._hooks],
            [_Raw(h.workflow_id, h.run_id, list(h.items)) for h in histories],
            [p for p in sys.path if p],
            seed,
        )
        done = subprocess.run(
            [sys.executable, "-m", "hotmesh.testing.replayer"],
            input=msgspec.msgpack.encode(work),
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            timeout=CHILD_S_MAX,
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[-2_000:]
            raise SettingsInvalid(f"the child process with PYTHONHASHSEED={seed} failed: {said}")
        return msgspec.msgpack.decode(done.stdout, type=list[Replayed])


def replay(
    histories: Given | Iterable[Given],
    *,
    workflows: Sequence[Any],
    hash_seeds: Sequence[int] = (),
) -> Outcomes:
    """Check that code fits histories.

    Raises:
        ReplayFailed: It does not; the message says which, where and why.
    """
    return Replayer(workflows).replay(histories, hash_seeds=hash_seeds).check()


def read(given: Given) -> History:
    """A history of what is at hand: one, its JSON, or its raw items.

    Raises:
        PayloadInvalid, FormatUnknown: It is none.
    """
    if isinstance(given, History):
        return given
    if isinstance(given, str | bytes):
        return History.from_json(given)
    items = list(given)
    try:
        begin = r.decode_item(items[0])
        run_id = begin.run_id if isinstance(begin, r.Begin) else ""
    except (msgspec.DecodeError, IndexError, TypeError) as exc:
        raise PayloadInvalid(f"these are not the items of a history: {exc}") from exc
    return History("replayed", run_id, items)


def _several(histories: Any) -> list[Given]:
    if isinstance(histories, History | str | bytes):
        return [histories]
    several = list(histories)
    if several and all(isinstance(item, bytes) and item[:1] in b"SCIT" for item in several):
        return [several]
    return several


class _Raw(msgspec.Struct):
    workflow_id: str
    run_id: str
    items: list[bytes]


class _Work(msgspec.Struct):
    workflows: list[tuple[str, str]]
    hooks: list[tuple[str, str]]
    histories: list[_Raw]
    path: list[str]
    seed: int


def _place(target: Any) -> tuple[str, str]:
    module, name = target.__module__, target.__qualname__
    if "<locals>" in name or module == "__main__":
        raise SettingsInvalid(
            f"{name!r} can't be imported by a child process; put it at the top of a module, or "
            "replay without hash_seeds="
        )
    return module, name


def _imported(place: tuple[str, str]) -> Any:
    value: Any = importlib.import_module(place[0])
    for part in place[1].split("."):
        value = getattr(value, part)
    return value


def _main() -> None:
    work = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=_Work)
    sys.path[:] = work.path
    replayer = Replayer(
        [_imported(place) for place in work.workflows],
        hooks=[_imported(place) for place in work.hooks],
    )
    histories = [History(h.workflow_id, h.run_id, h.items) for h in work.histories]
    outcomes = [replace(outcome, hash_seed=work.seed) for outcome in replayer.replay(histories)]
    sys.stdout.buffer.write(msgspec.msgpack.encode(outcomes))


if __name__ == "__main__":
    _main()
