"""One subscription at work: a component over the consumer-group runtime.

Each entry becomes a task: decode, middleware, handler. Handled entries are acknowledged many at a
time; failed ones are let go of, to come again by a timer or to lie in the dead letters.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from msgspec import Struct

from hotmesh.connect import Connection
from hotmesh.errors import HotMeshError, PayloadInvalid, Reject
from hotmesh.log import get_logger
from hotmesh.messages import Again, RetryRule, decode_again
from hotmesh.router import Delivery as Held
from hotmesh.router import Key, RouterSettings, next_delay_ms, parse_fields
from hotmesh.router import Router as Loop
from hotmesh.routing.delivery import Delivery
from hotmesh.routing.keys import Lane
from hotmesh.routing.pace import Pace
from hotmesh.routing.settle import Acknowledger, Receipt, Settler
from hotmesh.routing.source import Decode, Source
from hotmesh.store import Store, leases
from hotmesh.streams.wire import Entry
from hotmesh.telemetry.metrics import Metrics
from hotmesh.telemetry.topics import is_traced, processing

log = get_logger("hotmesh.routing")

THREADS_MAX = 32
SUSPECT_COUNT = 3
"""Deliveries from which on an entry is handled alone."""

ERROR_TEXT_MAX = 500
FLUSH_S = 5.0
"""How long the last acknowledgements may take when the server is away at the end."""

Call = Callable[[Any, Delivery], Any]
Next = Callable[[], Awaitable[Any]]
Middleware = Callable[[Delivery, Next], Awaitable[Any]]
Watch = Callable[[Delivery, BaseException | None], None]
"""Told of each attempt's end; of a failed one once its retry or dead letter is written."""


class Plan(Struct, frozen=True, kw_only=True):
    """How a subscription handles its entries.

    Attributes:
        name: Of the handler, for logs.
        call: The handler.
        is_async: False: it runs in a thread.
        decode: Entry → value.
        middleware: From the outermost to the innermost.
        retry: Which failures are tried again; the first rule that names the code applies.
        dead_letter: False: what failed for good is logged and forgotten.
        timeout_ms: Of one attempt; 0 for none.
        rate: At most so many attempts in so much time, in this process; "" for no bound.
        grace_ms: How long handlers may run on when the router stops.
        start: Where a new group begins: an entry id, `0` or `$`.
    """

    name: str
    call: Call
    is_async: bool
    decode: Decode
    middleware: tuple[Middleware, ...] = ()
    retry: tuple[RetryRule, ...] = ()
    dead_letter: bool = True
    timeout_ms: int = 0
    rate: str = ""
    grace_ms: int = 30_000
    start: str = "0"


class TimedOut(HotMeshError):
    """A handler took longer than its subscription's `timeout`."""

    code = 504


class Consumer:
    """Runs one handler until drained."""

    def __init__(
        self,
        connection: Connection,
        store: Store,
        source: Source,
        group: str,
        plan: Plan,
        settings: RouterSettings,
        metrics: Metrics,
        watch: Watch | None = None,
    ) -> None:
        self.name, self.topic, self.plan = f"router:{source.name}", source.name, plan
        self._store, self._group, self._metrics = store, group, metrics
        self._watch = watch
        self._lanes = {lane.stream: lane for lane in source.lanes}
        self._lanes |= {lane.again: lane for lane in source.lanes}
        self.loop = Loop(
            self.name,
            connection,
            store,
            [lane.stream for lane in source.lanes],
            group,
            self,
            settings,
            side_streams=[lane.again for lane in source.lanes],
            start=plan.start,
            parse=parse_fields,
        )
        self._acks = Acknowledger(store, self.loop, self._lanes)
        self._settler = Settler(store, self.loop, self._lanes)
        self._pace = Pace(plan.rate) if plan.rate else None
        # The loop may hold more for a moment (it claims while it reads); no more than this run.
        self._slots = asyncio.Semaphore(settings.capacity)
        self._suspect = asyncio.Lock()
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._group_of_tasks: asyncio.TaskGroup | None = None
        threads = min(settings.capacity, THREADS_MAX)
        self._executor = None if plan.is_async else ThreadPoolExecutor(threads, self.name)
        self._call = self._built(plan)
        self._attributes = {"topic": source.name}

    def _built(self, plan: Plan) -> Call:
        """The handler with all that goes around it, put together once."""
        call = plan.call if plan.is_async else self._in_thread
        for around in reversed(plan.middleware):
            call = _around(around, call)
        return _limited(call, plan.timeout_ms) if plan.timeout_ms else call

    # -- component

    def drain(self) -> None:
        """Stop reading; what runs gets the grace to end. Idempotent."""
        self.loop.drain()

    async def run(self, started: asyncio.Event) -> None:
        """Until drained, and every handler has ended or its entry was handed back."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._group_of_tasks = tasks
                side = [
                    tasks.create_task(self._acks.run(), name=f"{self.name}.acknowledge"),
                    tasks.create_task(self._settler.fire_timers(), name=f"{self.name}.timers"),
                ]
                await self.loop.run(started)
                for task in side:
                    task.cancel()
            await self._retire()
        finally:
            if self._executor is not None:
                self._executor.shutdown(wait=False, cancel_futures=True)

    async def _retire(self) -> None:
        try:
            await self.loop.retire()
        except HotMeshError as exc:  # others forget a consumer that holds nothing
            log.warning("consumer.not_retired", topic=self.topic, error=str(exc))

    # -- the loop's handler

    async def handle(self, batch: list[Held]) -> None:
        """Start a task per entry."""
        assert self._group_of_tasks is not None
        if suspects := [held for held in batch if held.count >= SUSPECT_COUNT]:
            await self._recount({held.key: held.count - 1 for held in suspects})
        create, tasks, traced = self._group_of_tasks.create_task, self._tasks, is_traced()
        for held in batch:
            tasks[held.key] = create(self._one(held, traced))

    async def bury(self, held: Held, reason: str) -> None:
        """Entries that were handed out too often; and those whose body is gone."""
        if held.payload is None:
            log.warning("entry.trimmed", topic=self.topic, entry=held.id)
            self._acks.add(held.key)
            return
        lane = self._lanes[held.stream]
        again = None if held.stream == lane.stream else _again_of(held)
        if again is None:
            again = Again(held.stream, held.id.decode(), 1, tuple(held.fields))
        await self._give_up(held, again, reason)

    def lost(self, keys: set[Key]) -> None:
        """Cancel the handlers of entries that another consumer has by now."""
        for key in keys:
            if task := self._tasks.get(key):
                task.cancel()

    async def finish(self) -> None:
        """Wait for the handlers; after the grace cancel them and hand their entries back."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=self.plan.grace_ms / 1000)
        left = list(self._tasks.values())
        for task in left:
            task.cancel()
        if left:
            log.warning("handlers.cancelled", topic=self.topic, entries=len(left))
            await asyncio.wait(left)
        await self._acks.drained(FLUSH_S)
        if self.loop.held:
            try:
                await self.loop.release()
            except HotMeshError as exc:  # the lease hands them over
                log.warning("release.failed", topic=self.topic, error=str(exc))

    # -- one entry

    async def _one(self, held: Held, traced: bool) -> None:
        began = time.perf_counter()
        try:
            if held.count >= SUSPECT_COUNT:
                await self._alone(held, traced)
                return
            async with self._slots:
                await self._attempt(held, traced)
        except HotMeshError as exc:
            # It could not be let go of in all that time: the lease decides who tries again.
            log.error("settle.failed", topic=self.topic, entry=held.id, error=str(exc))
            self.loop.done([held.key])
        finally:
            self._tasks.pop(held.key, None)
            duration_s = time.perf_counter() - began
            self._metrics.process_duration.record(duration_s, self._attributes)

    async def _alone(self, held: Held, traced: bool) -> None:
        """An entry whose process died more than once: it may be what kills it. One such runs at a
        time, so that those that died with it are not taken for poison too; and only what is begun
        is counted.
        """
        async with self._suspect, self._slots:
            if held.key not in self.loop.held:
                return
            await self._recount({held.key: held.count})
            await self._attempt(held, traced)

    async def _recount(self, counts: dict[Key, int]) -> None:
        for (stream, id), count in counts.items():
            try:
                consumer = self.loop.consumer
                await leases.recount(self._store, stream, self._group, consumer, {id: count})
            except HotMeshError as exc:  # then it stays counted once too often
                log.warning("recount.failed", topic=self.topic, entry=id, error=str(exc))

    async def _attempt(self, held: Held, traced: bool) -> None:
        lane, again, fields = self._lanes[held.stream], None, held.fields
        id, attempt = held.id, 1
        if held.stream != lane.stream:
            again = _again_of(held)
            if again is None:
                self._unreadable(held)
                return
            fields, id, attempt = list(again.fields), again.id.encode(), again.attempt
        entry = Entry(id, fields)
        delivery = self._delivery(held, lane, entry, attempt)
        try:
            if self._pace is not None:
                await self._pace.turn()
            if traced:
                with processing(self.topic, self._group, delivery):
                    result = await self._call(self.plan.decode(entry, fields), delivery)
            else:
                result = await self._call(self.plan.decode(entry, fields), delivery)
        except (Exception, asyncio.CancelledError) as exc:  # user code: becomes a retry or a letter
            if isinstance(exc, asyncio.CancelledError) and _is_cancelled():
                raise  # by us; otherwise something that the handler awaited was
            again = again or Again(held.stream, held.id.decode(), 1, tuple(fields))
            await self._failed(held, again, exc)
            if self._watch is not None:
                self._watch(delivery, exc)
        else:
            if self._watch is not None:
                self._watch(delivery, None)
            self._acks.add(held.key, result if type(result) is Receipt else None)

    def _delivery(self, held: Held, lane: Lane, entry: Entry, attempt: int) -> Delivery:
        async def extend() -> bool:
            lost = await leases.extend(
                self._store, held.stream, self._group, self.loop.consumer, [held.id]
            )
            return not lost

        key = entry.key
        return Delivery(
            entry.id.decode(),
            self.topic,
            key.decode(errors="replace") if key is not None else None,
            entry.headers,
            attempt=attempt,
            deliveries=held.count,
            partition=lane.partition,
            extend=extend,
        )

    async def _in_thread(self, value: Any, delivery: Delivery) -> Any:
        loop = asyncio.get_running_loop()
        # As in `asyncio.to_thread`: what is logged and traced there belongs to this entry.
        run = contextvars.copy_context().run
        return await loop.run_in_executor(self._executor, run, self.plan.call, value, delivery)

    # -- failures

    async def _failed(self, held: Held, again: Again, exc: BaseException) -> None:
        text = f"{type(exc).__name__}: {exc}"[:ERROR_TEXT_MAX]
        log.warning(
            "handler.failed",
            topic=self.topic,
            handler=self.plan.name,
            entry=again.id,
            attempt=again.attempt,
            error=text,
            exc_info=None if isinstance(exc, HotMeshError) else exc,
        )
        delay_ms = None
        if not isinstance(exc, (Reject, PayloadInvalid)):
            rules = self.plan.retry
            delay_ms = next_delay_ms(rules, _code_of(exc), again.attempt - 1, random.random())
        if delay_ms is None:
            await self._give_up(held, again, text)
            return
        self._metrics.retried.add(1, self._attributes)
        later = msgspec.structs.replace(again, attempt=again.attempt + 1, error=text)
        await self._settler.later(held.key, later, delay_ms)
        self.loop.done([held.key])

    async def _give_up(self, held: Held, again: Again, reason: str) -> None:
        if not self.plan.dead_letter:
            log.error("entry.dropped", topic=self.topic, entry=again.id, reason=reason)
            self._acks.add(held.key)
            return
        # A second life counts its attempts anew.
        letter = msgspec.structs.replace(again, attempt=1, error=reason)
        deliveries = max(held.count, again.attempt)
        await self._settler.bury(held.key, letter, reason, deliveries)
        self._metrics.dead_lettered.add(1, {"stream": self.topic})
        log.warning("entry.dead_lettered", topic=self.topic, entry=again.id, reason=reason)
        self.loop.done([held.key])

    def _unreadable(self, held: Held) -> None:
        """Of a format of a newer release: left for who can read it. Nobody else writes there."""
        log.warning("entry.format_unknown", topic=self.topic, entry=held.id)
        self.loop.done([held.key])


def _again_of(held: Held) -> Again | None:
    """What a stream of attempts holds; None for what this release can't read."""
    for i in range(0, len(held.fields), 2):
        if held.fields[i] == b"p":
            try:
                return decode_again(held.fields[i + 1])
            except (msgspec.DecodeError, ValueError, RecursionError):
                return None
    return None


def _around(around: Middleware, inner: Call) -> Call:
    return lambda value, delivery: around(delivery, lambda: inner(value, delivery))


def _limited(call: Call, timeout_ms: int) -> Call:
    async def limited(value: Any, delivery: Delivery) -> Any:
        try:
            async with asyncio.timeout(timeout_ms / 1000) as limit:
                return await call(value, delivery)
        except TimeoutError as exc:
            if limit.expired():  # otherwise it is an error of the handler's own
                raise TimedOut(f"the handler took longer than {timeout_ms} ms") from exc
            raise

    return limited


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _code_of(exc: BaseException) -> int:
    code = getattr(exc, "code", None)
    return code if type(code) is int and 100 <= code <= 999 else 500
