"""What a worker knows of a workflow: its function or class, its handlers, its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal

from msgspec import Struct

from hotmesh.durable.errors import RegistrationError
from hotmesh.durable.options import RetryPolicy
from hotmesh.durable.payloads import Signature

MARK = "__hotmesh_workflow__"
RUN_MARK = "__hotmesh_run__"
HANDLER_MARK = "__hotmesh_handler__"

RESERVED = "__"


class WorkflowOptions(Struct, frozen=True, kw_only=True):
    """What `@workflow.defn(...)` says.

    Attributes:
        name: What clients start it by; the function's or class's name by default.
        task_queue: The queue that a start without one takes.
        retry: A failed run is followed by another, with the same arguments.
        suspend_on: Exceptions of the main function that fail only the turn: the run stays open
            and goes on when the code is mended.
        strict_tasks: An exception that no task of the workflow looked at fails the run.
        on_nondeterminism: Whether a history that does not fit the code suspends the run or fails
            it.
        strict_args: A replay compares the arguments of steps too.
        versioning: `auto`, or `pinned` to workers of the build that began the run.
    """

    name: str | None = None
    task_queue: str | None = None
    retry: RetryPolicy | None = None
    suspend_on: tuple[type[BaseException], ...] = ()
    strict_tasks: bool = False
    on_nondeterminism: Literal["suspend", "fail"] = "suspend"
    strict_args: bool = False
    versioning: Literal["auto", "pinned"] = "auto"


class HandlerOptions(Struct, frozen=True, kw_only=True):
    """What `@workflow.signal(...)`, `query` and `update` say.

    Attributes:
        name: What senders call it by; "" takes everything that has no handler of its own.
        unfinished: `warn` says so when the run ends before it, `abandon` does not.
        on_error: `fail` the run, or `log` it.
    """

    kind: Literal["signal", "query", "update"]
    name: str
    unfinished: Literal["warn", "abandon"] = "warn"
    on_error: Literal["fail", "log"] = "fail"


class HandlerDef:
    """A handler of signals, queries or updates."""

    __slots__ = ("fn", "is_async", "options", "signature", "validator")

    def __init__(self, fn: Callable[..., Any], options: HandlerOptions, *, method: bool) -> None:
        self.fn, self.options = fn, options
        self.signature = Signature(fn, f"{options.kind} {options.name!r}", method=method)
        self.is_async = inspect.iscoroutinefunction(fn)
        self.validator: Callable[..., Any] | None = getattr(fn, "__hotmesh_validator__", None)
        if options.kind == "query" and self.is_async:
            raise RegistrationError(
                f"query {options.name!r} is async; a query answers at once: write a plain function"
            )


class WorkflowDef:
    """A workflow.

    Attributes:
        name: What clients start it by.
        main: The function, or the method of the class that is marked with `@workflow.run`.
        kind: The class, or None for a function.
    """

    __slots__ = ("handlers", "kind", "main", "name", "options", "signature")

    def __init__(self, target: Any) -> None:
        self.options: WorkflowOptions = getattr(target, MARK, None) or WorkflowOptions()
        self.kind: type | None = target if inspect.isclass(target) else None
        self.name = name_of(target)
        if self.name.startswith(RESERVED):
            raise RegistrationError(f"names that begin with {RESERVED!r} are ours: {self.name!r}")
        self.main = _main_of(target) if self.kind else target
        if not inspect.iscoroutinefunction(self.main):
            raise RegistrationError(
                f"workflow {self.name!r} is no async function; write 'async def'"
            )
        _check_parameters(self.main, self.name)
        self.signature = Signature(
            self.main, f"workflow {self.name!r}", method=self.kind is not None
        )
        self.handlers = _handlers_of(self.kind) if self.kind else {}


def name_of(target: Any) -> str:
    """What a workflow (a function, a class, or its name) is called."""
    if isinstance(target, str):
        return target
    options: WorkflowOptions | None = getattr(target, MARK, None)
    name = (options.name if options else None) or getattr(target, "__name__", None)
    if not isinstance(name, str):
        raise RegistrationError(
            f"{target!r:.80} is no workflow; give an async function, a class with @workflow.run, "
            "or a name"
        )
    return name


def registry_of(targets: Sequence[Any]) -> dict[str, WorkflowDef]:
    """Definitions by name.

    Raises:
        RegistrationError: One is no workflow, or two have one name.
    """
    found: dict[str, WorkflowDef] = {}
    for target in targets:
        definition = target if isinstance(target, WorkflowDef) else WorkflowDef(target)
        if definition.name in found:
            raise RegistrationError(
                f"two workflows have the name {definition.name!r}; give one another: "
                "@workflow.defn(name=...)"
            )
        found[definition.name] = definition
    return found


def _main_of(kind: type) -> Callable[..., Any]:
    marked = [m for m in vars(kind).values() if getattr(m, RUN_MARK, False)]
    if not marked:  # inherited
        marked = [m for _, m in inspect.getmembers(kind) if getattr(m, RUN_MARK, False)]
    if len(marked) != 1:
        raise RegistrationError(
            f"class {kind.__qualname__} has {len(marked)} methods marked with @workflow.run; mark "
            "exactly one"
        )
    main: Callable[..., Any] = marked[0]
    return main


def _check_parameters(main: Callable[..., Any], name: str) -> None:
    for parameter in inspect.signature(main).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY):
            raise RegistrationError(
                f"workflow {name!r} takes keyword arguments ({parameter.name}); arguments travel "
                "by position: use positional parameters, or one dataclass"
            )


def _handlers_of(kind: type) -> dict[tuple[str, str], HandlerDef]:
    found: dict[tuple[str, str], HandlerDef] = {}
    for _, member in inspect.getmembers(kind):
        options: HandlerOptions | None = getattr(member, HANDLER_MARK, None)
        if options is None:
            continue
        key = (options.kind, options.name)
        if key in found:
            raise RegistrationError(
                f"class {kind.__qualname__} has two {options.kind} handlers {options.name!r}"
            )
        found[key] = HandlerDef(member, options, method=True)
    return found
