"""One running body of an agent, in one partition: it pulls events and drives the user's function.

An event is handled when the body asks for the next one. What the body raises is the failure of the
event (or batch) that it had in hand; the body is then started again.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hotmesh.errors import SettingsInvalid
from hotmesh.log import get_logger
from hotmesh.streams.bridge import Workflows, workflows_of
from hotmesh.streams.event import Event
from hotmesh.streams.join import JoinedStream
from hotmesh.streams.scope import current
from hotmesh.streams.stream import Stream
from hotmesh.streams.table import NoEvent
from hotmesh.streams.transaction import Conflict, Elsewhere, Transaction
from hotmesh.telemetry.topics import TRACEPARENT, processing

if TYPE_CHECKING:
    from hotmesh.streams.part import AgentPart
    from hotmesh.streams.partition import Run

log = get_logger("hotmesh.streams")

PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 30.0
"""Between starts of a body that ends before it has handled anything."""


class Instance:
    """A `Scope`."""

    def __init__(self, part: AgentPart, number: int) -> None:
        self.part, self.number = part, number
        self.run: Run = part.run
        self.queue: deque[Event] = deque()
        self.events: list[Event] = []
        self.pulled = asyncio.Event()
        self.stopping = False
        self.ended = False
        self._transaction: Transaction | None = None
        self._answers = 0
        self._asked = 0
        self._span: AbstractContextManager[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._handled = 0
        self._pause_s = PAUSE_S_MIN

    # -- scope

    @property
    def has_event(self) -> bool:
        """Whether the body has pulled an event and not yet asked for the next."""
        return bool(self.events)

    def transaction(self) -> Transaction:
        """Of the event at hand."""
        found = self._transaction
        if found is None:
            if not self.events:
                raise NoEvent("there is no event at hand: the body has not pulled one yet")
            found = self._transaction = self.run.open()
        return found

    def workflows(self) -> Workflows:
        """Where workflows are started.

        Raises:
            SettingsInvalid: The app was not told.
        """
        given = self.part.agent.app.workflows
        if given is None:
            raise SettingsInvalid(
                f"app {self.part.agent.app.id!r} knows no workflows; set app.workflows = mesh"
            )
        return workflows_of(given)

    def once(self, name: str) -> str:
        """Names what the handling of the event at hand asks for, the same each time."""
        if not self.events:
            raise NoEvent("there is no event at hand for which a workflow could be asked")
        self._asked += 1
        return f"{self.part.group}/{self.events[0].origin}/{name}/{self._asked}"

    def at_ms(self, table: Any) -> int:
        """The time that a table's windows go by, of the first event at hand."""
        rule = table.relative_to
        if rule == "now":
            return self.run.now_ms()
        if not self.events:
            raise NoEvent("there is no event at hand whose time could count")
        if rule == "event":
            return self.events[0].entry.event_ms
        at = rule(self.events[0].value)
        return round((at.timestamp() if isinstance(at, datetime) else at) * 1000)

    # -- pulled by the stream

    async def pull(self) -> Event:
        """The next event; the one before has been handled.

        Raises:
            StopAsyncIteration: The partition is let go of.
        """
        if self.events:
            self.finish()
        event = await self._next(None)
        assert event is not None
        self.events = [event]
        if not event.entry.is_plain:
            self._open_span(event)
        return event

    async def pull_batch(self, count: int, within_s: float) -> list[Event]:
        """The next events, at most `count`, at most `within_s` after the first."""
        if self.events:
            self.finish()
        first = await self._next(None)
        assert first is not None
        batch = [first]
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while len(batch) < count and not first.alone:
            queue = self.queue
            while queue and len(batch) < count and not queue[0].alone:
                batch.append(queue.popleft())
            if len(batch) >= count or (queue and queue[0].alone):
                break
            left_s = until - loop.time()
            try:
                event = await self._next(left_s) if left_s > 0 else None
            except StopAsyncIteration:
                break
            if event is None:
                break
            if event.alone:
                self.queue.appendleft(event)
                break
            batch.append(event)
        self.events = batch
        return batch

    async def _next(self, within_s: float | None) -> Event | None:
        part = self.part
        while True:
            if self.stopping:
                raise StopAsyncIteration
            event = part.next_for(self)
            if event is not None:
                return event
            self._waiter = asyncio.get_running_loop().create_future()
            self.pulled.set()
            try:
                if within_s is None:
                    await self._waiter
                else:
                    await asyncio.wait_for(self._waiter, within_s)
            except TimeoutError:
                return None
            finally:
                self._waiter = None

    def wake(self) -> None:
        """There is something in the queue, or the end has come."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def stop(self) -> None:
        """End before the next event."""
        self.stopping = True
        self.wake()

    # -- the end of an event

    def finish(self) -> None:
        """The events in hand are handled: their effects become part of the next commit."""
        events, self.events = self.events, []
        transaction, self._transaction = self._transaction, None
        answers, self._answers = self._answers, 0
        self._asked = 0
        self._handled += 1
        if self._span is not None:
            self._close_span(None)
        if transaction is None:
            if any(e.entry.reply is not None for e in events[answers:]):
                transaction = self.run.open()
            else:
                self.part.handled(events)
                return
        try:
            self.part.answer_none(transaction, events[answers:])
            deltas = transaction.complete()
        except Conflict:
            self.part.again(events)
        except Elsewhere as exc:
            self.part.elsewhere(events, exc.home)
        except Exception as exc:  # noqa: BLE001 - a value that can't be stored is user code's fault
            self.part.failed(events, exc)
        else:
            self.run.take(transaction, deltas)
            self.part.handled(events)
        finally:
            self.run.close()

    def fail(self, exc: BaseException) -> None:
        """The body has raised: nothing of the events in hand takes effect."""
        events, self.events = self.events, []
        if self._transaction is not None:
            self._transaction = None
            self.run.close()
        self._answers = self._asked = 0
        if self._span is not None:
            self._close_span(exc)
        self.part.failed(events, exc)

    def abandon(self) -> None:
        """The partition goes: what is in hand is left to the next owner."""
        self.events = []
        if self._transaction is not None:
            self._transaction = None
            self.run.close()
        if self._span is not None:
            self._close_span(None)

    def _open_span(self, event: Event) -> None:
        """What the body opens and sends for this event hangs below the span that sent it."""
        if TRACEPARENT in event.headers:
            # Its protocol names attributes that are properties here.
            self._span = processing(event.topic, self.part.group, event)  # type: ignore[arg-type]
            self._span.__enter__()

    def _close_span(self, exc: BaseException | None) -> None:
        span, self._span = self._span, None
        assert span is not None
        try:
            span.__exit__(type(exc) if exc is not None else None, exc, None)
        except Exception as raised:
            if raised is not exc:
                raise

    # -- driving

    async def drive(self) -> None:
        """Run the body, again and again, until stopped."""
        current.set(self)
        try:
            while not self.stopping:
                self._handled = 0
                failure = await self._once()
                if failure is not None and self.part.agent.supervise == "stop":
                    log.error("agent.stopped", agent=self.part.agent.name, error=repr(failure))
                    await self._until_stopped()
                else:
                    await self._pause(failure)
        finally:
            self.abandon()
            self.ended = True
            self.pulled.set()

    async def _once(self) -> BaseException | None:
        agent = self.part.agent
        stream = Stream[Any](self) if agent.joined is None else JoinedStream(self, agent.joined)
        body = agent.function(stream)
        try:
            if inspect.isasyncgen(body):
                try:
                    async for value in body:
                        await self._yielded(value)
                finally:
                    await body.aclose()
            elif inspect.isawaitable(body):
                await body
            if self.events:
                self.finish()
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            log.warning("agent.failed", agent=agent.name, partition=self.run.number, exc_info=exc)
            self.fail(exc)
            return exc
        return None

    async def _yielded(self, value: Any) -> None:
        await self.part.agent.sink(self, value)
        if self._answers < len(self.events):
            event = self.events[self._answers]
            self._answers += 1
            if event.entry.reply is not None:
                self.part.agent.answer(self.transaction(), event, value)

    async def _pause(self, failure: BaseException | None) -> None:
        """A body that ends at once would spin."""
        if self.stopping:
            return
        self.pulled.set()
        if self._handled or (failure is not None and self.part.busy):
            self._pause_s = PAUSE_S_MIN
            await asyncio.sleep(0)
            return
        log.warning("agent.restarted", agent=self.part.agent.name, pause_s=self._pause_s)
        await self.part.stop_or_sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, PAUSE_S_MAX)

    async def _until_stopped(self) -> None:
        while not self.stopping:
            self._waiter = asyncio.get_running_loop().create_future()
            self.pulled.set()
            await self._waiter
