"""What the code of a workflow calls.

A workflow is an async function (or a class with one `@workflow.run` method) that takes up where it
was after any crash: what it awaits is recorded, and its code is run again from the record. Ordinary
asyncio works inside; what could differ between two runs of the same code (clocks, chance, I/O) goes
through this module or into an activity.

The module itself may be called: `@durable.workflow(name=...)` is `@workflow.defn(name=...)`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import types
import uuid as _uuid
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Literal, ParamSpec, TypeVar, cast, overload

from msgspec import Struct

from hotmesh.core.durable import records as r
from hotmesh.durable import payloads
from hotmesh.durable.activity import Activity, activity_name, signature_of
from hotmesh.durable.definition import (
    HANDLER_MARK,
    MARK,
    RUN_MARK,
    HandlerDef,
    HandlerOptions,
    WorkflowOptions,
    name_of,
)
from hotmesh.durable.errors import ApplicationError, ContinueAsNewError, NotInWorkflowError
from hotmesh.durable.loop import DeterministicLoop
from hotmesh.durable.options import (
    ActivityOptions,
    Cancellation,
    ClosePolicy,
    RetryPolicy,
    Reuse,
    workflow_rules,
)
from hotmesh.durable.run import Run, limits_reached
from hotmesh.durable.search import Search
from hotmesh.durable.steps import ChildHandle, Step
from hotmesh.durations import Duration, parse
from hotmesh.run_messages import NIL, CallRules

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

LOCAL_CLOSE: Duration = "10s"
LOCAL_RETRY = RetryPolicy(maximum_attempts=5, initial_interval="100ms")
DEPTH_MAX = 64


def current(call: str) -> Run:
    """The run whose code is running.

    Raises:
        NotInWorkflowError: None is.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise NotInWorkflowError(f"workflow.{call}") from None
    if not isinstance(loop, DeterministicLoop):
        raise NotInWorkflowError(f"workflow.{call}")
    return cast(Run, loop.host)


def in_workflow() -> bool:
    """Whether the caller is the code of a workflow."""
    try:
        return isinstance(asyncio.get_running_loop(), DeterministicLoop)
    except RuntimeError:
        return False


# -- definitions


@overload
def defn(target: F, /) -> F: ...
@overload
def defn(
    *,
    name: str | None = None,
    task_queue: str | None = None,
    retry: RetryPolicy | None = None,
    suspend_on: Sequence[type[BaseException]] = (),
    strict_tasks: bool = False,
    on_nondeterminism: Literal["suspend", "fail"] = "suspend",
    strict_args: bool = False,
    versioning: Literal["auto", "pinned"] = "auto",
) -> Callable[[F], F]: ...
def defn(target: Any = None, /, **options: Any) -> Any:
    """Mark a function or a class as a workflow, with options.

    A function needs no mark when it has none. The options are those of `WorkflowOptions`.
    """
    if "suspend_on" in options:
        options["suspend_on"] = tuple(options["suspend_on"])

    def mark(marked: F) -> F:
        setattr(marked, MARK, WorkflowOptions(**options))
        return marked

    return mark if target is None else mark(target)


def run(fn: F) -> F:
    """The method of a workflow class that is the workflow."""
    setattr(fn, RUN_MARK, True)
    return fn


PROGRAMMING_ERRORS = (TypeError, AttributeError, NameError, LookupError, AssertionError)
"""For `suspend_on`: mistakes of the code, which a new version may mend under running workflows."""


# -- activities


def execute_activity(
    activity: Any,
    *args: Any,
    task_queue: str | None = None,
    retry: RetryPolicy | None = None,
    start_to_close_timeout: Duration | None = None,
    schedule_to_close_timeout: Duration | None = None,
    schedule_to_start_timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    cancellation: Cancellation | None = None,
    step_id: str | None = None,
    summary: str | None = None,
    throw_on_error: bool | None = None,
    headers: dict[str, Any] | None = None,
) -> Step[Any]:
    """Run an activity: a function, what `@activity` made of one, or a name.

    It is asked for when this is called, and awaited when you like. The options are those of
    `ActivityOptions`; what is not given comes from the decorator.

    Raises:
        ActivityError: (when awaited) It failed for good.
    """
    options = ActivityOptions(
        task_queue=task_queue,
        retry=retry,
        start_to_close_timeout=start_to_close_timeout,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        heartbeat_timeout=heartbeat_timeout,
        cancellation=cancellation,
        step_id=step_id,
        summary=summary,
        throw_on_error=throw_on_error,
        headers=headers,
    )
    return schedule(activity, args, options)


def schedule(activity: Any, args: Sequence[Any], options: ActivityOptions | None) -> Step[Any]:
    """Ask for an activity with these options over its own."""
    run_ = current("execute_activity")
    if isinstance(activity, Activity):
        own = activity.options
        chosen = own if options is None else options.over(own)
    else:
        chosen = options or ActivityOptions()
    name = activity_name(activity)
    prepared = _prepared(chosen)
    data = payloads.encode_args(args, f"activity {name!r}")
    queue = chosen.task_queue or run_.begin.queue
    headers = _headers(chosen.headers, run_)

    def act(seq: int) -> r.Act:
        return r.Act(
            seq,
            name,
            queue,
            data,
            prepared.rules,
            prepared.to_start_ms,
            prepared.to_close_ms,
            headers,
            chosen.step_id or "",
            False,
            chosen.summary or "",
        )

    signature = None if isinstance(activity, str) else signature_of(activity)
    decode = signature.value if signature is not None else payloads.decode
    step = run_.activity(act, name, decode, chosen.cancellation or "try_cancel")
    if chosen.throw_on_error is False:
        step.throws = False
    return step


class _Prepared(Struct, frozen=True):
    rules: CallRules
    to_start_ms: int
    to_close_ms: int


_prepared_of: dict[int, tuple[ActivityOptions, _Prepared]] = {}
PREPARED_MAX = 4096


def _prepared(options: ActivityOptions) -> _Prepared:
    """Options as they travel; kept, because most steps share theirs."""
    found = _prepared_of.get(id(options))
    if found is not None and found[0] is options:
        return found[1]
    to_start, to_close = options.schedule_to_start_timeout, options.schedule_to_close_timeout
    made = _Prepared(
        options.rules(),
        parse(to_start) if to_start is not None else 0,
        parse(to_close) if to_close is not None else 0,
    )
    if len(_prepared_of) >= PREPARED_MAX:
        _prepared_of.clear()
    _prepared_of[id(options)] = (options, made)
    return made


def _headers(given: dict[str, Any] | None, run_: Run) -> dict[str, Any]:
    if not given:
        return run_.begin.headers
    return run_.begin.headers | {k: payloads.encode(v, f"header {k!r}") for k, v in given.items()}


class Proxies:
    """Activities as durable functions: attributes by name, or unpacked in order."""

    def __init__(self, functions: dict[str, Any], options: ActivityOptions) -> None:
        self._functions, self._options = functions, options

    def __getattr__(self, name: str) -> Callable[..., Step[Any]]:
        functions = self.__dict__["_functions"]
        if name not in functions:
            known = ", ".join(sorted(functions)) or "none"
            raise AttributeError(f"no activity {name!r} here; there is {known}")
        activity = functions[name]
        options = self._options

        def call(*args: Any) -> Step[Any]:
            return schedule(activity, args, options)

        call.__name__ = name
        return call

    def __iter__(self) -> Iterator[Callable[..., Step[Any]]]:
        return iter([getattr(self, name) for name in self._functions])


def proxy_activities(
    activities: T = None,  # type: ignore[assignment]
    *,
    task_queue: str | None = None,
    retry: RetryPolicy | None = None,
    start_to_close_timeout: Duration | None = None,
    schedule_to_close_timeout: Duration | None = None,
    schedule_to_start_timeout: Duration | None = None,
    heartbeat_timeout: Duration | None = None,
    cancellation: Cancellation | None = None,
    throw_on_error: bool | None = None,
) -> T:
    """Durable versions of activities, with common options.

    Args:
        activities: A module (all its public functions), a class or object (its methods), one
            function, or several in a sequence or a mapping.

    Returns:
        For a module, class, mapping or sequence: an object with the same names, whose functions are
        durable steps; a sequence may be unpacked. For one function: its durable version.
    """
    options = ActivityOptions(
        task_queue=task_queue,
        retry=retry,
        start_to_close_timeout=start_to_close_timeout,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        heartbeat_timeout=heartbeat_timeout,
        cancellation=cancellation,
        throw_on_error=throw_on_error,
    )
    given: Any = activities
    if isinstance(given, Activity) or inspect.isroutine(given):
        return cast(T, getattr(Proxies({given.__name__: given}, options), given.__name__))
    return cast(T, Proxies(_functions_of(given), options))


def _functions_of(given: Any) -> dict[str, Any]:
    if isinstance(given, dict):
        return dict(given)
    if isinstance(given, (list, tuple)):
        return {f if isinstance(f, str) else f.__name__: f for f in given}
    found = {}
    for name in dir(given):
        value = getattr(given, name, None)
        if not name.startswith("_") and (isinstance(value, Activity) or inspect.isroutine(value)):
            found[name] = value
    return found


def execute_local_activity(
    activity: Any,
    *args: Any,
    retry: RetryPolicy | None = None,
    start_to_close_timeout: Duration | None = None,
    step_id: str | None = None,
) -> Step[Any]:
    """Run an activity in the workflow's own worker, without a queue.

    Its result is written with what follows it: cheaper, and run again when the worker dies before
    that. For what takes milliseconds.
    """
    run_ = current("execute_local_activity")
    name = activity_name(activity)
    fn = activity.fn if isinstance(activity, Activity) else activity
    options = ActivityOptions(
        retry=retry or LOCAL_RETRY, start_to_close_timeout=start_to_close_timeout or LOCAL_CLOSE
    )
    return _local(run_, fn, args, name, options, step_id or "")


def once(fn: Callable[..., Any], *args: Any) -> Step[Any]:
    """Call a function once in the life of the run and keep what it gives, whatever that is.

    The function runs outside the workflow's loop and may do I/O. It is called again only when the
    worker dies before the result is written; an exception is kept too.
    """
    run_ = current("once")
    name = getattr(fn, "__qualname__", "once")
    options = ActivityOptions(
        retry=RetryPolicy(maximum_attempts=1), start_to_close_timeout=LOCAL_CLOSE
    )
    return _local(run_, fn, args, name, options, "")


def _local(
    run_: Run, fn: Any, args: tuple[Any, ...], name: str, options: ActivityOptions, step_id: str
) -> Step[Any]:
    data = payloads.encode_args(args, f"activity {name!r}")
    rules = options.rules()

    def act(seq: int) -> r.Act:
        return r.Act(seq, name, run_.begin.queue, data, rules, 0, 0, {}, step_id, True)

    return run_.run_local(fn, args, act, name, signature_of(fn).value)


# -- time, chance


async def sleep_for(duration: Duration) -> float:
    """Sleep, for milliseconds or for years; the seconds that it was.

    Args:
        duration: Seconds, a timedelta, or text such as `1 month`.
    """
    current("sleep_for")
    seconds = parse(duration) / 1000
    await asyncio.sleep(seconds)
    return seconds


async def sleep_until(when: datetime) -> float:
    """Sleep until a moment (aware); the seconds that it was, 0 when it is past."""
    return await sleep_for(max(timedelta(0), when - now()))


sleep = sleep_for


def now() -> datetime:
    """The time, aware, in UTC. It stands still while the code runs between two awaits."""
    return current("now").now


def time() -> float:
    """The same as seconds since the epoch."""
    return current("time").now_ms / 1000


class Drawn(float):
    """A number in [0, 1), with the methods of `random.Random` for whoever needs more."""

    __slots__ = ("_source",)

    def __new__(cls, source: Any) -> Drawn:
        self = super().__new__(cls, source.random())
        self._source = source
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def random() -> Drawn:
    """A number in [0, 1), the same in every replay of the run, another in every run.

    `workflow.random().randint(1, 6)`, `.choice(...)` and the rest of `random.Random` work too.
    """
    return Drawn(current("random").random)


def uuid4() -> _uuid.UUID:
    """A UUID, the same in every replay of the run, another in every run."""
    return _uuid.UUID(int=current("uuid4").ids.getrandbits(128), version=4)


# -- signals, hooks, conditions


async def wait_for_signal(*names: str, timeout: Duration | None = None) -> list[Any]:
    """Wait until every one of these signals has come: their payloads, in the order of the names.

    A signal is sent to the run (`handle.signal`), or by its name alone (`client.workflow.signal`,
    `workflow.signal`) to whoever waits for it. One that came before is taken at once; one sent by
    its name alone is kept for ten minutes.

    Raises:
        TimeoutError: They have not all come in time.
        SignalConflictError: Another run waits for one of the names already.
    """
    run_ = current("wait_for_signal")
    steps = [run_.wait_signal(_check_name(name)) for name in names]
    if timeout is None:
        return list(await asyncio.gather(*steps))
    async with asyncio.timeout(parse(timeout) / 1000):
        return list(await asyncio.gather(*steps))


async def condition(name: str, timeout: Duration | None = None) -> Any:
    """The payload of one signal; False when it did not come in time."""
    try:
        return (await wait_for_signal(name, timeout=timeout))[0]
    except TimeoutError:
        return False


def _check_name(name: str) -> str:
    if not isinstance(name, str) or not name or name.startswith("__"):
        raise ValueError(f"{name!r} can't be the name of a signal: a text that does not begin with __")
    return name


async def wait_condition(predicate: Callable[[], bool], timeout: Duration | None = None) -> None:
    """Wait until something is true of the run's own state.

    Args:
        predicate: Looked at whenever the code has come to rest. It must not await.

    Raises:
        TimeoutError: It did not become true in time.
    """
    run_ = current("wait_condition")
    run_.check("wait_condition")
    waiting = run_.loop.wait_condition(predicate)
    if timeout is None:
        await waiting
        return
    async with asyncio.timeout(parse(timeout) / 1000):
        await waiting


class SignalQueue:
    """Signals of one name, in the order in which they came."""

    def __init__(self, name: str) -> None:
        self.name = _check_name(name)

    async def get(self) -> Any:
        """The next one's payload."""
        return (await wait_for_signal(self.name))[0]

    def get_nowait(self) -> Any:
        """The next one's payload.

        Raises:
            asyncio.QueueEmpty: None has come.
        """
        box = current("signal_queue").mailbox.get(self.name)
        if not box:
            raise asyncio.QueueEmpty
        from hotmesh.durable.run import signal_value

        return signal_value(box.popleft().args)

    def qsize(self) -> int:
        """How many have come and were not taken."""
        return len(current("signal_queue").mailbox.get(self.name, ()))

    def empty(self) -> bool:
        """Whether none is there."""
        return self.qsize() == 0


def signal_queue(name: str) -> SignalQueue:
    """The signals of one name as a queue: buffered, ordered."""
    return SignalQueue(name)


@overload
def signal(target: F, /) -> F: ...
@overload
def signal(
    *,
    name: str | None = None,
    unfinished: Literal["warn", "abandon"] = "warn",
    on_error: Literal["fail", "log"] = "fail",
) -> Callable[[F], F]: ...
@overload
def signal(
    target: str, data: Any = None, /, *, workflow_id: str = "", run_id: str = ""
) -> Step[None]: ...
def signal(target: Any = None, *data: Any, workflow_id: str = "", run_id: str = "", **options: Any) -> Any:
    """Send a signal, or mark a method as the handler of one.

    `await workflow.signal("name", data)` wakes whoever waits for the name; with `workflow_id=` it
    goes to that run, and awaiting it raises `WorkflowNotFound` when there is none.
    `@workflow.signal` or `@workflow.signal(name=...)` marks a handler; name "" takes every signal
    that has no handler of its own.
    """
    if isinstance(target, str):
        return current("signal").signal_out(workflow_id, run_id, _check_name(target), data)
    return _handler("signal", target, options)


def query(target: Any = None, /, **options: Any) -> Any:
    """Mark a method (a plain function, which only reads) as a query handler."""
    return _handler("query", target, options)


def update(target: Any = None, /, **options: Any) -> Any:
    """Mark a method as an update handler: a request that is answered.

    `@handler.validator` on another method refuses updates before they are recorded.
    """
    return _handler("update", target, options)


def _handler(kind: Any, target: Any, options: dict[str, Any]) -> Any:
    name = options.pop("name", None)

    def mark(fn: Any) -> Any:
        chosen = fn.__name__ if name is None else name
        setattr(fn, HANDLER_MARK, HandlerOptions(kind=kind, name=chosen, **options))
        if kind == "update":

            def validator(check: Any) -> Any:
                fn.__hotmesh_validator__ = check
                return check

            fn.validator = validator
        return fn

    return mark if target is None else mark(target)


def set_signal_handler(name: str, fn: Callable[..., Any], **options: Any) -> None:
    """Handle signals of a name from now on; those that came before are given to it at once."""
    run_ = current("set_signal_handler")
    _set(run_, "signal", name, fn, options)
    for waiting in list(run_.mailbox) if name == "" else [name]:
        run_._drain(waiting)


def set_query_handler(name: str, fn: Callable[..., Any]) -> None:
    """Answer queries of a name from now on."""
    _set(current("set_query_handler"), "query", name, fn, {})


def set_update_handler(
    name: str, fn: Callable[..., Any], *, validator: Callable[..., Any] | None = None, **options: Any
) -> None:
    """Answer updates of a name from now on."""
    run_ = current("set_update_handler")
    _set(run_, "update", name, fn, options)
    run_.handlers[("update", name)].validator = validator


def _set(run_: Run, kind: Any, name: str, fn: Callable[..., Any], options: dict[str, Any]) -> None:
    run_.check(f"set_{kind}_handler")
    handler = HandlerDef(fn, HandlerOptions(kind=kind, name=name, **options), method=False)
    run_.handlers[(kind, name)] = handler


def all_handlers_finished() -> bool:
    """Whether no handler of a signal or update runs; for `wait_condition`."""
    return not any(not t.done() for t in current("all_handlers_finished").handling)


async def hook(fn: Any, *args: Any, workflow_id: str | None = None) -> None:
    """Run a function beside the main one, in this run or another.

    It shares the run's loop, handlers and fields, and is cancelled when the main function ends.

    Args:
        fn: An async function that the target's worker has registered (`hooks=` or `workflows=`),
            or its name.
        workflow_id: The run; this one by default.

    Raises:
        WorkflowNotFound: The run has ended.
    """
    run_ = current("hook")
    await run_.hook_out(workflow_id or run_.jid, name_of(fn), args)


async def all(*awaitables: Awaitable[Any]) -> list[Any]:
    """The results of several at once, in their order: `asyncio.gather` as a list."""
    current("all")
    return list(await asyncio.gather(*awaitables))


# -- children and other runs


def _child(
    workflow: Any,
    args: Sequence[Any],
    *,
    workflow_id: str | None,
    task_queue: str | None,
    policy: ClosePolicy,
    cancellation: str,
    reuse: Reuse,
    retry: RetryPolicy | None,
    run_timeout: Duration | None,
    execution_timeout: Duration | None,
    memo: dict[str, Any] | None,
    search_attributes: dict[str, Any] | None,
    step_id: str,
) -> tuple[Step[Any], ChildHandle[Any]]:
    run_ = current("execute_child")
    begin = run_.begin
    if begin.depth + 1 > DEPTH_MAX:
        raise ApplicationError(
            f"children are nested deeper than {DEPTH_MAX}; a workflow starts itself without end",
            non_retryable=True,
        )
    kind = name_of(workflow)
    options: WorkflowOptions | None = getattr(workflow, MARK, None)
    queue = task_queue or (options.task_queue if options else None) or begin.queue
    chosen = retry or (options.retry if options else None)
    data = payloads.encode_args(args, f"workflow {kind!r}")

    def make(seq: int) -> r.Child:
        jid = workflow_id or f"{begin.run_id}-{seq}"
        child = r.Begin(
            kind,
            data,
            queue,
            _uuid.UUID(int=run_.ids.getrandbits(128)).hex,
            run_.ids.getrandbits(63),
            parent=r.Parent(run_.jid, begin.run_id, seq, policy),
            root=begin.root or run_.jid,
            run_ms=parse(run_timeout) if run_timeout is not None else 0,
            execution_ms=parse(execution_timeout) if execution_timeout is not None else 0,
            keep_ms=begin.keep_ms,
            retry=workflow_rules(chosen),
            headers=begin.headers,
            memo=payloads.encode(memo, "the memo") if memo else NIL,
            attributes=payloads.encode(search_attributes, "search attributes")
            if search_attributes
            else NIL,
            trace=begin.trace,
            depth=begin.depth + 1,
        )
        return r.Child(seq, jid, kind, queue, r.encode_input(child), policy, reuse, step_id)

    decode = payloads.decode if isinstance(workflow, str) else signature_of(workflow).value
    return run_.child(make, decode, cancellation)


async def execute_child(
    workflow: Any,
    *positional: Any,
    args: Sequence[Any] | None = None,
    workflow_id: str | None = None,
    task_queue: str | None = None,
    parent_close_policy: ClosePolicy = "terminate",
    cancellation: Literal["abandon", "try_cancel", "wait_completed"] = "wait_completed",
    reuse: Reuse = "allow",
    retry: RetryPolicy | None = None,
    run_timeout: Duration | None = None,
    execution_timeout: Duration | None = None,
    memo: dict[str, Any] | None = None,
    search_attributes: dict[str, Any] | None = None,
    step_id: str = "",
) -> Any:
    """Run another workflow and wait for its result.

    Args:
        workflow: Its function, class or name.
        args: Its arguments; or give them by position.
        workflow_id: Drawn from this run's id by default.
        parent_close_policy: What becomes of it when this run ends first.

    Raises:
        ChildWorkflowError: It failed; the cause says why.
        WorkflowAlreadyStarted: Its id is taken.
    """
    _, ended = _child(
        workflow,
        positional if args is None else args,
        workflow_id=workflow_id,
        task_queue=task_queue,
        policy=parent_close_policy,
        cancellation=cancellation,
        reuse=reuse,
        retry=retry,
        run_timeout=run_timeout,
        execution_timeout=execution_timeout,
        memo=memo,
        search_attributes=search_attributes,
        step_id=step_id,
    )
    return await ended


async def start_child(
    workflow: Any,
    *positional: Any,
    args: Sequence[Any] | None = None,
    workflow_id: str | None = None,
    task_queue: str | None = None,
    parent_close_policy: ClosePolicy = "abandon",
    cancellation: Literal["abandon", "try_cancel", "wait_completed"] = "wait_completed",
    reuse: Reuse = "allow",
    retry: RetryPolicy | None = None,
    run_timeout: Duration | None = None,
    execution_timeout: Duration | None = None,
    memo: dict[str, Any] | None = None,
    search_attributes: dict[str, Any] | None = None,
    step_id: str = "",
) -> ChildHandle[Any]:
    """Start another workflow; once it runs, its handle, which may be awaited or left alone.

    Raises:
        WorkflowAlreadyStarted: Its id is taken.
    """
    began, ended = _child(
        workflow,
        positional if args is None else args,
        workflow_id=workflow_id,
        task_queue=task_queue,
        policy=parent_close_policy,
        cancellation=cancellation,
        reuse=reuse,
        retry=retry,
        run_timeout=run_timeout,
        execution_timeout=execution_timeout,
        memo=memo,
        search_attributes=search_attributes,
        step_id=step_id,
    )
    await began
    return ended


def interrupt(
    workflow_id: str, *, reason: str = "interrupted", throw: bool = True, run_id: str = ""
) -> Step[None]:
    """End another run at once, without a word of its code.

    Args:
        throw: Whether its result raises; without, it is None.

    Raises:
        WorkflowNotFound: (when awaited) It has ended, or never ran.
    """
    return current("interrupt").stop_out(workflow_id, run_id, "interrupted", reason, throw)


def cancel(workflow_id: str, *, reason: str = "", run_id: str = "") -> Step[None]:
    """Ask another run to cancel."""
    return current("cancel").stop_out(workflow_id, run_id, "cancel", reason, True)


def continue_as_new(
    *args: Any,
    workflow: Any = None,
    task_queue: str | None = None,
    run_timeout: Duration | None = None,
) -> Any:
    """End this run and go on as another, of the same id, with a history of its own.

    Signals that nobody has taken go along. Never returns.
    """
    run_ = current("continue_as_new")
    if run_.main is None or asyncio.current_task() is not run_.main:
        raise RuntimeError("continue_as_new can only be called by the main function of a workflow")
    options: dict[str, Any] = {"has_args": bool(args)}
    if workflow is not None:
        options["workflow"] = name_of(workflow)
    if task_queue is not None:
        options["task_queue"] = task_queue
    if run_timeout is not None:
        options["run_ms"] = parse(run_timeout)
    raise ContinueAsNewError(args, options)


def continue_as_new_suggested() -> bool:
    """Whether the history has grown so long that it is time to continue as new."""
    return limits_reached(current("continue_as_new_suggested"))


# -- what is kept of the run


def search() -> Search:
    """The run's fields: read and written by its code, and found by others."""
    return Search(current("search"))


def upsert_search_attributes(**attributes: Any) -> None:
    """Change what the run is found by (`client.workflow.list`); None removes."""
    current("upsert_search_attributes").change_attributes(attributes)


def upsert_memo(**memo: Any) -> None:
    """Change what is told of the run beside its result."""
    current("upsert_memo").change_memo(memo)


def emit(topic: str, data: Any = None) -> Step[None]:
    """Publish an event, once."""
    return current("emit").emit(topic, data)


def patched(change_id: str) -> bool:
    """Whether this run takes the new path of a change: True for runs that come here first with the
    new code, False for those that were past it.
    """
    return current("patched").patched(change_id, deprecated=False)


def deprecate_patch(change_id: str) -> None:
    """No run takes the old path of a change any more; the mark is tolerated in histories."""
    current("deprecate_patch").patched(change_id, deprecated=True)


class WorkflowInfo(Struct, frozen=True, kw_only=True):
    """What a run knows of itself.

    Attributes:
        history_length: Items of its history.
        attempt: Of the workflow's own retry policy, from 1.
        parent_id: The workflow that started it as a child, or "".
    """

    workflow_id: str
    run_id: str
    workflow: str
    task_queue: str
    namespace: str
    attempt: int
    started_at: datetime
    first_run_id: str
    previous_run_id: str
    parent_id: str
    parent_run_id: str
    root_id: str
    history_length: int
    trace: str
    headers: dict[str, Any]
    memo: dict[str, Any]
    search_attributes: dict[str, Any]
    build: str
    last_result: Any


def info() -> WorkflowInfo:
    """What the run knows of itself."""
    run_ = current("info")
    begin, parent = run_.begin, run_.begin.parent
    return WorkflowInfo(
        workflow_id=run_.jid,
        run_id=begin.run_id,
        workflow=begin.workflow,
        task_queue=begin.queue,
        namespace=run_.namespace,
        attempt=begin.attempt,
        started_at=datetime.fromtimestamp(begin.at_ms / 1000, now().tzinfo),
        first_run_id=begin.first_run_id or begin.run_id,
        previous_run_id=begin.previous_run_id,
        parent_id=parent.jid if parent else "",
        parent_run_id=parent.run_id if parent else "",
        root_id=begin.root or run_.jid,
        history_length=run_.known,
        trace=begin.trace,
        headers={k: payloads.decode(v) for k, v in begin.headers.items()},
        memo=dict(run_.memo),
        search_attributes=dict(run_.attributes),
        build=begin.build,
        last_result=payloads.decode(begin.last_result),
    )


get_context = info


def cancel_requested() -> bool:
    """Whether somebody asked the run to cancel."""
    return current("cancel_requested").cancel_requested


def is_replaying() -> bool:
    """Whether the code is fed from the record. What it does must not depend on it."""
    return current("is_replaying").replaying


def shield(awaitable: Awaitable[T]) -> asyncio.Future[T]:
    """`asyncio.shield`: cancelling who waits does not cancel what is awaited."""
    return asyncio.shield(awaitable)


class _Unsafe:
    """Ways around the guards."""

    def skip_guards(self) -> AbstractContextManager[None]:
        """Let the code do what is forbidden. What depends on it must not become a step."""
        from hotmesh.durable.guard import skip_guards

        return skip_guards()


unsafe = _Unsafe()


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """Says nothing while the code is fed from the record."""

    def isEnabledFor(self, level: int) -> bool:
        return (not in_workflow() or not current("logger").replaying) and super().isEnabledFor(level)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        if in_workflow():
            run_ = current("logger")
            extra = dict(kwargs.get("extra") or {})
            extra |= {"job": run_.jid, "run": run_.begin.run_id, "workflow": run_.begin.workflow}
            kwargs["extra"] = extra
        return msg, kwargs


logger = _Logger(logging.getLogger("hotmesh.workflow"), {})
"""A logger for workflow code: with the run's ids, and silent in replays."""


# -- lists in order of creation


async def wait(
    awaitables: Sequence[Any], *, timeout: float | None = None, return_when: str = asyncio.ALL_COMPLETED
) -> tuple[list[asyncio.Future[Any]], list[asyncio.Future[Any]]]:
    """`asyncio.wait` with lists in the given order: done, and pending."""
    futures = [asyncio.ensure_future(a) for a in awaitables]
    if not futures:
        return [], []
    done, _ = await asyncio.wait(futures, timeout=timeout, return_when=return_when)
    return [f for f in futures if f in done], [f for f in futures if f not in done]


class _Module(types.ModuleType):
    def __call__(self, target: Any = None, /, **options: Any) -> Any:
        return defn(**options) if target is None else defn(target)


sys.modules[__name__].__class__ = _Module
