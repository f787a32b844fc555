"""Activities, as workflow code calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar, cast, overload

from msgspec import Struct

from hotmesh.core.durable import records as r
from hotmesh.durable import payloads, run_asks
from hotmesh.durable.activity import Activity, activity_name, signature_of
from hotmesh.durable.interceptors import Call
from hotmesh.durable.options import ActivityOptions, Cancellation, RetryPolicy
from hotmesh.durable.run import Run
from hotmesh.durable.steps import Step
from hotmesh.durable.workflow.context import current
from hotmesh.durations import Duration, parse
from hotmesh.run_messages import CallRules

T = TypeVar("T")


LOCAL_CLOSE: Duration = "10s"


LOCAL_RETRY = RetryPolicy(maximum_attempts=5, initial_interval="100ms")


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
    if run_.interceptors is not None and "call_activity" in run_.interceptors:
        return _intercepted(run_, activity, args, options)
    return _scheduled(run_, activity, args, options, run_.begin.headers)


def _intercepted(
    run_: Run, activity: Any, args: Sequence[Any], options: ActivityOptions | None
) -> Step[Any]:
    assert run_.interceptors is not None
    given = (
        {}
        if options is None
        else {
            name: value
            for name in options.__struct_fields__
            if name != "headers" and (value := getattr(options, name)) is not None
        }
    )
    call = run_.call(activity_name(activity), args, options=given)
    if options is not None and options.headers:
        call.headers.update(options.headers)

    def last(call: Call) -> Step[Any]:
        chosen = ActivityOptions(**call.options)
        return _scheduled(run_, activity, call.args, chosen, encode_headers(call.headers))

    step: Step[Any] = run_.interceptors.steps("call_activity", call, last, run_.loop)
    return step


def _scheduled(
    run_: Run,
    activity: Any,
    args: Sequence[Any],
    options: ActivityOptions | None,
    of_run: dict[str, Any],
) -> Step[Any]:
    if isinstance(activity, Activity):
        own = activity.options
        chosen = own if options is None else options.over(own)
    else:
        chosen = options or ActivityOptions()
    name = activity_name(activity)
    prepared = _prepared(chosen)
    data = payloads.encode_args(args, f"activity {name!r}")
    queue = chosen.task_queue or run_.begin.queue
    headers = of_run | encode_headers(chosen.headers) if chosen.headers else of_run

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
    step = run_asks.activity(run_, act, name, decode, chosen.cancellation or "try_cancel")
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


def encode_headers(given: dict[str, Any]) -> dict[str, Any]:
    """Headers as they travel."""
    return {k: payloads.encode(v, f"header {k!r}") for k, v in given.items()}


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
        return cast(
            T, getattr(Proxies({activity_name(given): given}, options), activity_name(given))
        )
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


@overload
def once(fn: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> Step[T]: ...
@overload
def once(fn: Callable[..., T], *args: Any) -> Step[T]: ...
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
    if run_.interceptors is None or "call_local_activity" not in run_.interceptors:
        return _run_local(run_, fn, args, name, options, step_id, {})
    call = run_.call(name, args, options={"retry": options.retry, "step_id": step_id})
    call.options["start_to_close_timeout"] = options.start_to_close_timeout

    def last(call: Call) -> Step[Any]:
        chosen = dict(call.options)
        step_id = chosen.pop("step_id", "")
        headers = encode_headers(call.headers)
        return _run_local(run_, fn, call.args, name, ActivityOptions(**chosen), step_id, headers)

    step: Step[Any] = run_.interceptors.steps("call_local_activity", call, last, run_.loop)
    return step


def _run_local(
    run_: Run,
    fn: Any,
    args: tuple[Any, ...],
    name: str,
    options: ActivityOptions,
    step_id: str,
    headers: dict[str, Any],
) -> Step[Any]:
    data = payloads.encode_args(args, f"activity {name!r}")
    rules = options.rules()

    def act(seq: int) -> r.Act:
        return r.Act(seq, name, run_.begin.queue, data, rules, 0, 0, headers, step_id, True)

    return run_asks.run_local(run_, fn, args, act, name, signature_of(fn).value)
