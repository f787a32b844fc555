"""Attempts at activities as they run in this worker: async functions as tasks, plain ones in
threads, watched by one timer.

An attempt ends once: with what its function gave, or because its time is over, whichever comes
first. What a function gives after that is dropped.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

from msgspec import Raw, Struct

from hotmesh.core.durable.records import Failure
from hotmesh.durable import payloads
from hotmesh.durable.activity import CURRENT, ActivityInfo, Attempt, signature_of
from hotmesh.durable.errors import CompleteLater
from hotmesh.durable.failures import failure_of, names_of
from hotmesh.durable.interceptors import Call, Chain
from hotmesh.durable.payloads import Signature
from hotmesh.log import get_logger
from hotmesh.messages import StreamMetadata
from hotmesh.run_messages import NIL, CallRules
from hotmesh.telemetry import spans

log = get_logger("hotmesh.durable")

WATCH_S = 0.02
"""How often running attempts are looked at: the precision of their time limits."""

FINISH_S = 10.0
"""How long scripts that are on their way may take at the end."""

BEAT_S_DEFAULT, BEAT_S_MAX = 30.0, 60.0

Key: TypeAlias = tuple[str, int, int]
"""Run id, step, attempt."""


async def finish_all(tasks: set[asyncio.Task[None]]) -> None:
    """Let short tasks end; those that hang are cancelled."""
    if tasks:
        _, left = await asyncio.wait(list(tasks), timeout=FINISH_S)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)


class Outcome(Struct, frozen=True):
    """What an attempt came to.

    Attributes:
        names: What a retry policy may call the exception.
        later: The answer comes by a client.
        given_up: Cancelled by this worker, which hands it back: there is no outcome.
    """

    data: Raw = NIL
    failure: Failure | None = None
    names: frozenset[str] = frozenset()
    later: bool = False
    given_up: bool = False


class Function:
    """A function that can be attempted."""

    __slots__ = ("fn", "is_async", "name", "signature")

    def __init__(
        self, fn: Callable[..., Any], name: str, signature: Signature | None = None
    ) -> None:
        self.fn, self.name = fn, name
        self.signature = signature or signature_of(fn)
        call = fn if inspect.isroutine(fn) else type(fn).__call__
        self.is_async = inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(call)


class Running:
    """One attempt.

    Attributes:
        limit_at, silence_s: When it is out of time, and how long it may be silent.
        beats: What it said last and has not been sent.
    """

    __slots__ = (
        "_beat_at",
        "attempt",
        "beats",
        "began",
        "done",
        "function",
        "future",
        "key",
        "limit_at",
        "on_done",
        "silence_s",
        "spoke_at",
        "traced",
    )

    def __init__(
        self,
        key: Key,
        function: Function,
        describe: Callable[[], ActivityInfo],
        rules: CallRules,
        on_done: Callable[[Running, Outcome], None],
        now: float,
    ) -> None:
        self.key, self.function, self.on_done = key, function, on_done
        self.attempt = Attempt(describe, self._beat)
        self.began = self.spoke_at = now
        self.limit_at = now + rules.start_to_close_ms / 1000 if rules.start_to_close_ms else 0.0
        self.silence_s = rules.heartbeat_ms / 1000
        self.beats: tuple[Any, ...] | None = None
        self.done = self.traced = False
        self.future: asyncio.Future[Any] | None = None
        self._beat_at = 0.0

    def _beat(self, details: tuple[Any, ...]) -> None:
        self.beats = details
        self.spoke_at = time.monotonic()

    def due_beats(self, now: float) -> tuple[Any, ...] | None:
        """Details that it is time to send."""
        pause = min(0.8 * self.silence_s or BEAT_S_DEFAULT, BEAT_S_MAX)
        if self.beats is None or now - self._beat_at < pause:
            return None
        self._beat_at = now
        beats, self.beats = self.beats, None
        return beats

    def cancel(self, reason: str) -> None:
        """Ask it to stop."""
        self.attempt.cancel(reason)
        if self.function.is_async and self.future is not None:
            self.future.cancel()


class Attempts:
    """The attempts of one worker.

    Args:
        threads: Of plain functions.
        on_beat: Sends heartbeats.
        interceptors: Around each attempt.
    """

    def __init__(
        self,
        threads: int,
        on_beat: Callable[[list[tuple[Running, tuple[Any, ...]]]], None],
        interceptors: Chain | None = None,
    ) -> None:
        self._interceptors = interceptors
        self._intercepts = interceptors is not None and "run_activity" in interceptors
        self.running: dict[Key, Running] = {}
        self.zombies = 0
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="hotmesh.activity")
        self._on_beat = on_beat
        self._timer: asyncio.TimerHandle | None = None

    def start(
        self,
        key: Key,
        function: Function,
        args: Raw | Sequence[Any],
        describe: Callable[[], ActivityInfo],
        rules: CallRules,
        on_done: Callable[[Running, Outcome], None],
        *,
        traced: bool = False,
    ) -> Running:
        """Begin an attempt; `on_done` is called once, from the event loop."""
        loop = asyncio.get_running_loop()
        running = Running(key, function, describe, rules, on_done, time.monotonic())
        running.traced = traced
        running.attempt.interceptors = self._interceptors
        self.running[key] = running
        if function.is_async or self._intercepts:
            task = loop.create_task(self._call(running, args), name=function.name)
            running.future = task
            task.add_done_callback(lambda t: self._ended(running, t))
        else:
            self._start_thread(loop, running, args)
        if self._timer is None:
            self._timer = loop.call_later(WATCH_S, self._watch)
        return running

    async def _call(self, running: Running, args: Raw | Sequence[Any]) -> Outcome:
        CURRENT.set(running.attempt)
        function = running.function
        values = function.signature.args(args) if isinstance(args, Raw) else args
        if not running.traced:
            return _given(function, await self._value(running, values))
        with spans.processing(_metadata(running.attempt.info)) as span:
            try:
                return _given(function, await self._value(running, values))
            except Exception as exc:
                if span is not None:
                    spans.failed(exc)
                raise

    def _value(self, running: Running, values: Sequence[Any]) -> Awaitable[Any]:
        fn = running.function.fn
        if not self._intercepts:
            made: Awaitable[Any] = fn(*values)
            return made

        async def last(call: Call) -> Any:
            if running.function.is_async:
                return await fn(*call.args)
            context = contextvars.copy_context()
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, context.run, fn, *call.args)

        assert self._interceptors is not None
        call = running.attempt.call(values)
        intercepted: Awaitable[Any] = self._interceptors("run_activity", call, last)
        return intercepted

    def _start_thread(
        self, loop: asyncio.AbstractEventLoop, running: Running, args: Raw | Sequence[Any]
    ) -> None:
        context = contextvars.copy_context()
        context.run(CURRENT.set, running.attempt)
        function = running.function

        def call() -> Outcome:
            values = function.signature.args(args) if isinstance(args, Raw) else args
            if not running.traced:
                return _given(function, function.fn(*values))
            with spans.processing(_metadata(running.attempt.info)):
                return _given(function, function.fn(*values))

        future = loop.run_in_executor(self._executor, context.run, call)
        running.future = future
        future.add_done_callback(lambda f: self._ended(running, f))

    def _ended(self, running: Running, future: asyncio.Future[Outcome]) -> None:
        if running.done:  # its time was over before; a thread gives its slot back only now
            self.zombies -= not running.function.is_async
            if not future.cancelled():
                future.exception()
            return
        reason = running.attempt.reason
        if future.cancelled():
            if reason in ("WORKER_SHUTDOWN", "GONE"):
                outcome = Outcome(given_up=True)
            else:
                outcome = Outcome(failure=Failure("cancelled", reason or "cancelled", code=410))
        elif (error := future.exception()) is None:
            outcome = future.result()
        elif isinstance(error, CompleteLater):
            outcome = Outcome(later=True)
        else:
            if not isinstance(error, Exception):
                log.error("activity.exited", activity=running.function.name, error=repr(error))
            outcome = Outcome(failure=failure_of(error), names=frozenset(names_of(error)))
            if getattr(error, "category", "") != "benign":
                log.warning(
                    "activity.failed",
                    activity=running.function.name,
                    job=running.attempt.info.workflow_id,
                    run=running.key[0],
                    attempt=running.key[2],
                    exc_info=error,
                )
        self._finish(running, outcome)

    def _finish(self, running: Running, outcome: Outcome) -> None:
        running.done = True
        self.running.pop(running.key, None)
        running.on_done(running, outcome)

    def _watch(self) -> None:
        self._timer = None
        now = time.monotonic()
        beats = []
        for running in list(self.running.values()):
            if running.limit_at and now >= running.limit_at:
                self._out_of_time(running, "START_TO_CLOSE", now - running.began)
            elif running.silence_s and now - running.spoke_at > running.silence_s:
                self._out_of_time(running, "HEARTBEAT", now - running.spoke_at)
            elif (due := running.due_beats(now)) is not None:
                beats.append((running, due))
        if beats:
            self._on_beat(beats)
        if self.running:
            self._timer = asyncio.get_running_loop().call_later(WATCH_S, self._watch)

    def _out_of_time(self, running: Running, kind: str, seconds: float) -> None:
        what = "said nothing" if kind == "HEARTBEAT" else "took longer than"
        message = f"activity {running.function.name!r} {what} {seconds:.3g} s ({kind})"
        failure = Failure("timeout", message, kind, 596)
        self.zombies += not running.function.is_async
        self._finish(running, Outcome(failure=failure, names=frozenset({"TimeoutFailure", kind})))
        running.cancel("TIMED_OUT")

    def close(self) -> None:
        """Let the threads go."""
        if self._timer is not None:
            self._timer.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)


def _metadata(info: ActivityInfo) -> StreamMetadata:
    return StreamMetadata(
        guid=info.idempotency_key,
        jid=info.workflow_id,
        aid=info.name,
        dad=f",{info.seq}",
        topic=info.name,
        version="",
        try_count=info.attempt - 1,
        trace=info.trace,
    )


def _given(function: Function, value: Any) -> Outcome:
    return Outcome(payloads.encode(value, f"the result of activity {function.name!r}"))
