"""What activities are made of, and what their code may call.

`@durable.activity` (or `@activity.defn`) gives back a function with the same signature: called by a
workflow it is a durable step, called by anybody else it is the plain function. A function without
the decorator can be an activity too.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import sys
import threading
import types
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from datetime import datetime
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from msgspec import Struct

from hotmesh.durable.errors import ApplicationError, CompleteLater, NotInActivityError
from hotmesh.durable.interceptors import Call, Chain
from hotmesh.durable.loop import DeterministicLoop
from hotmesh.durable.options import ActivityKeywords, ActivityOptions
from hotmesh.durable.payloads import Signature

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


class Activity(Generic[P, R]):
    """A function that workflows may call as a durable step.

    Attributes:
        fn: The function itself.
        name: What workers and histories call it.
        options: What holds when the call says nothing else.
    """

    def __init__(self, fn: Callable[P, Any], *, name: str, options: ActivityOptions) -> None:
        self.fn, self.name, self.options = fn, name, options
        self.signature = Signature(fn, f"activity {name!r}")
        functools.update_wrapper(self, fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        if _in_workflow():
            from hotmesh.durable.workflow.activities import schedule

            if kwargs:
                args = self._bound(args, kwargs)  # type: ignore[assignment]
            return cast("Awaitable[R]", schedule(self, args, None))
        return cast("Awaitable[R]", self.fn(*args, **kwargs))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        bound = inspect.signature(self.fn).bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.args

    def __repr__(self) -> str:
        return f"<activity {self.name}>"


class Makes(Protocol):
    """The decorator that `@activity(...)` gives."""

    @overload
    def __call__(self, fn: Callable[P, Awaitable[R]], /) -> Activity[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Activity[P, R]: ...


@overload
def defn(fn: Callable[P, Awaitable[R]], /) -> Activity[P, R]: ...
@overload
def defn(fn: Callable[P, R], /) -> Activity[P, R]: ...
@overload
def defn(**options: Unpack[ActivityKeywords]) -> Makes: ...
def defn(fn: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Make an activity of an async or a plain function (which runs in a thread).

    The options are those of `ActivityOptions`.
    """

    def make(function: Callable[..., Any]) -> Activity[..., Any]:
        return Activity(
            function, name=name or function.__name__, options=ActivityOptions(**options)
        )

    return make if fn is None else make(fn)


def activity_name(target: Any) -> str:
    """What an activity is called.

    Raises:
        TypeError: It is none.
    """
    if isinstance(target, str):
        return target
    if isinstance(target, Activity):
        return target.name
    bound = getattr(target, "__func__", None)
    if isinstance(bound, Activity):
        return bound.name
    name = getattr(target, "__name__", None)
    if not callable(target) or not isinstance(name, str):
        raise TypeError(f"{target!r:.80} is no activity; give a function or a name")
    return name


@functools.lru_cache(4096)
def _signature(fn: Any) -> Signature:
    return Signature(fn, f"{fn.__name__!r}")


def signature_of(target: Any) -> Signature:
    """How the values of a function travel."""
    if isinstance(target, Activity):
        return target.signature
    if inspect.isclass(target):
        from hotmesh.durable.definition import WorkflowDef

        return WorkflowDef(target).signature
    try:
        return _signature(target)
    except TypeError:  # not hashable
        return Signature(target, repr(target))


def _in_workflow() -> bool:
    running = asyncio._get_running_loop()
    return type(running) is DeterministicLoop


# -- inside an activity


class ActivityInfo(Struct, frozen=True, kw_only=True):
    """What an activity knows of itself.

    Attributes:
        idempotency_key: The same for all attempts: use it for what you do outside.
        attempt: From 1.
        heartbeat_details: What the attempt before said last.
        task_token: For `client.activity(token)`.
    """

    name: str
    workflow_id: str
    run_id: str
    workflow: str
    task_queue: str
    seq: int
    attempt: int
    idempotency_key: str
    heartbeat_details: tuple[Any, ...] = ()
    heartbeat_timeout_ms: int = 0
    deadline: datetime | None = None
    task_token: bytes = b""
    local: bool = False
    headers: dict[str, Any] = {}
    trace: str = ""


_MAKING = threading.Lock()


class Attempt:
    """One attempt as it runs: what the calls below act on."""

    def __init__(
        self, describe: Callable[[], ActivityInfo], beat: Callable[[tuple[Any, ...]], None]
    ) -> None:
        self.beat = beat
        self.reason = ""
        self._describe = describe
        self._info: ActivityInfo | None = None
        self.stopping = False
        self._cancelled: threading.Event | None = None
        self.interceptors: Chain | None = None

    @property
    def info(self) -> ActivityInfo:
        """What it knows of itself. Made when it is first asked for, as most never ask."""
        if self._info is None:
            self._info = self._describe()
        return self._info

    @property
    def cancelled(self) -> threading.Event:
        """Set when it should stop. Made when it is first asked for: most attempts never do."""
        if self._cancelled is None:
            with _MAKING:
                if self._cancelled is None:
                    self._cancelled = threading.Event()
                    if self.reason:
                        self._cancelled.set()
        return self._cancelled

    def call(self, args: Sequence[Any]) -> Call:
        """What interceptors get."""
        info_ = self.info
        return Call(
            name=info_.name,
            args=tuple(args),
            headers=dict(info_.headers),
            workflow_id=info_.workflow_id,
        )

    def cancel(self, reason: str) -> None:
        """Ask it to stop; the first reason counts."""
        if not self.reason:
            self.reason = reason
        if self._cancelled is not None:
            self._cancelled.set()


CURRENT: contextvars.ContextVar[Attempt] = contextvars.ContextVar("hotmesh_activity")


def _current(call: str) -> Attempt:
    attempt = CURRENT.get(None)
    if attempt is None:
        raise NotInActivityError(f"activity.{call}")
    return attempt


def in_activity() -> bool:
    """Whether the caller is the code of an activity."""
    return CURRENT.get(None) is not None


def info() -> ActivityInfo:
    """What the activity knows of itself."""
    attempt = _current("info")
    if attempt.interceptors is None or "activity_info" not in attempt.interceptors:
        return attempt.info
    call = attempt.call(())
    told: ActivityInfo = attempt.interceptors("activity_info", call, lambda _: attempt.info)
    return told


def heartbeat(*details: Any) -> None:
    """Say that the activity lives, and how far it is: the next attempt reads it.

    Never waits and never raises; sent at most as often as is useful.
    """
    attempt = _current("heartbeat")
    if attempt.interceptors is None or "heartbeat" not in attempt.interceptors:
        attempt.beat(details)
        return
    attempt.interceptors("heartbeat", attempt.call(details), lambda c: attempt.beat(c.args))


def is_cancelled() -> bool:
    """Whether the activity should stop; for plain functions, which can't be interrupted."""
    return bool(_current("is_cancelled").reason)


def wait_cancelled(timeout: float | None = None) -> bool:
    """Wait, in a thread, until the activity should stop; whether it should."""
    return _current("wait_cancelled").cancelled.wait(timeout)


def cancel_reason() -> str:
    """Why it should stop: REQUESTED, TIMED_OUT, GONE, WORKER_SHUTDOWN, PAUSED, or ""."""
    return _current("cancel_reason").reason


def shutting_down() -> bool:
    """Whether the worker stops; the activity has until its grace ends."""
    return _current("shutting_down").stopping


def complete_later() -> None:
    """The answer comes from elsewhere, by `client.activity(activity.info().task_token)`.

    Never returns. From now on the attempt holds no slot of its worker, and of its time limits only
    `schedule_to_close_timeout` counts.

    Raises:
        ApplicationError: In a local activity, which its worker must answer itself.
    """
    if _current("complete_later").info.local:
        raise ApplicationError(
            "a local activity can't be completed later; make it an activity", non_retryable=True
        )
    raise CompleteLater


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """With the ids of the attempt."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        attempt = CURRENT.get(None)
        if attempt is not None:
            info_ = attempt.info
            extra = dict(kwargs.get("extra") or {})
            extra |= {"job": info_.workflow_id, "run": info_.run_id, "activity": info_.name}
            kwargs["extra"] = extra | {"attempt": info_.attempt}
        return msg, kwargs


logger = _Logger(logging.getLogger("hotmesh.activity"), {})
"""A logger for activity code, with the attempt's ids."""


class _Module(types.ModuleType):
    def __call__(self, fn: Any = None, /, **options: Any) -> Any:
        return defn(**options) if fn is None else defn(fn)


sys.modules[__name__].__class__ = _Module
