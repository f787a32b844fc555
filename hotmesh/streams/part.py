"""One agent in one partition: its instances, who gets which event, and what failure means.

Events of one key go to one instance, in order. While an event that has failed waits for its next
attempt, later ones of its key wait behind it and all others go on. After the last attempt it goes
to the dead letters.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.router.retry import next_delay_ms
from hotmesh.streams.event import Event
from hotmesh.streams.instance import Instance
from hotmesh.streams.record import Undecodable
from hotmesh.streams.transaction import KeysElsewhere, Late, Transaction
from hotmesh.streams.wire import Entry

if TYPE_CHECKING:
    from hotmesh.streams.agent import Agent
    from hotmesh.streams.partition import Run
    from hotmesh.streams.topic import Topic

log = get_logger("hotmesh.streams")

CRASHES_MAX = 3
"""Times that a process may die while it handles an event, before the event is given up."""

START_S = 10.0
"""How long a partition waits for its bodies to ask for their first events."""

NEVER_AGAIN = (Undecodable, KeysElsewhere, Late)
"""Failures that another attempt can't mend."""


class Source:
    """A topic that this agent reads here.

    Attributes:
        then: What becomes of an event before an instance sees it; None: nothing.
    """

    def __init__(self, topic: Topic[Any], stream: str) -> None:
        self.topic, self.stream = topic, stream
        self.is_internal = "~" in topic.name
        self.then: Callable[[Event], bool] | None = None
        self.known: set[bytes] = set()


class AgentPart:
    """Made when a partition is taken."""

    def __init__(self, agent: Agent, run: Run, group: str, freed: Callable[[], None]) -> None:
        self.agent, self.run, self.group = agent, run, group
        self.sources: dict[str, Source] = {}
        self.added: list[Source] = []  # by group_by and through, until they are read
        self.instances = [Instance(self, i) for i in range(agent.concurrency)]
        self._freed = freed
        self._tasks: list[asyncio.Task[None]] = []
        self._turn = 0
        self._parked: dict[bytes | None, deque[Event]] = {}
        self._retries: set[asyncio.TimerHandle] = set()
        self._alone: deque[Event] = deque()
        self._alone_now: Event | None = None
        self._alone_for: Instance | None = None
        self._attempts: dict[bytes, int] = {}
        self._stopped = asyncio.Event()
        self.count = 0

    @property
    def busy(self) -> bool:
        """Whether anything waits here."""
        return self.count > 0

    # -- start and stop

    def add(self, topic: Topic[Any]) -> Source:
        """Read a topic here."""
        stream = self.run.slot.entries(topic.name)
        source = self.sources[stream] = Source(topic, stream)
        return source

    async def start(self, attempts: dict[bytes, int]) -> None:
        """Start the instances; returns when each has asked for its first event.

        Args:
            attempts: Failed so far, by entry, as the owner before has noted.
        """
        self._attempts = attempts
        loop = asyncio.get_running_loop()
        for instance in self.instances:
            name = f"{self.agent.name}.{self.run.number}.{instance.number}"
            # Owned: `stop` ends and awaits them.
            self._tasks.append(loop.create_task(instance.drive(), name=name))
        pulling = [loop.create_task(i.pulled.wait()) for i in self.instances]
        _, late = await asyncio.wait(pulling, timeout=START_S)
        for waiting in late:  # a body that does something else first: its events wait for it
            waiting.cancel()

    async def stop(self, grace_s: float) -> None:
        """Hand on no more events; wait for those in hand, at most so long."""
        for handle in self._retries:
            handle.cancel()
        self._stopped.set()
        for instance in self.instances:
            instance.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                log.warning("agent.handed_back", agent=self.agent.name, events=len(late))
                await asyncio.wait(late)
        for task in self._tasks:
            if not task.cancelled() and (exc := task.exception()) is not None:
                log.error("agent.crashed", agent=self.agent.name, error=repr(exc), exc_info=exc)

    async def stop_or_sleep(self, delay_s: float) -> None:
        """Sleep, or until the end comes."""
        try:
            await asyncio.wait_for(self._stopped.wait(), delay_s)
        except TimeoutError:
            pass

    # -- events in

    def arrived(self, source: Source, entries: Sequence[Any]) -> None:
        """New entries, in order."""
        for id, fields in entries:
            self._take(source, id, fields)

    def inherited(self, source: Source, entries: Sequence[Any]) -> None:
        """Entries that were in the hands of an owner before. If it is not known that it has let go
        of them, any of them may have killed it: they are handled one at a time, and counted before.
        """
        suspect = not self.run.held.is_clean
        for id, fields in entries:
            self._take(source, id, fields, suspect=suspect)

    def _take(self, source: Source, id: bytes, fields: Any, *, suspect: bool = False) -> None:
        self.count += 1
        source.known.add(id)
        topic, number = source.topic, self.run.number
        entry = Entry(id, fields)
        event = Event(entry, None, None, topic.name, number, source.stream)
        try:
            if entry.payload is not None:
                event.value = topic.codec.decode(entry.payload, entry.tag)
            elif entry.foreign is not None:
                event.value = topic.codec.convert(entry.foreign, what="an entry")
            else:
                log.error("entry.gone", topic=topic.name, partition=number, entry=id)
                self.done(event)
                return
            if entry.key is not None:
                event.key = topic.decode_key(entry.key)
        except HotMeshError as exc:
            self._bury(event, str(exc))
            return
        if self._attempts:
            event.attempt = self._attempts.get(self._name(event), 0)
        if suspect:
            self._suspect(event)
        elif source.then is None or source.then(event):
            self.dispatch(event)

    def dispatch(self, event: Event) -> None:
        """Give an event to the instance of its key."""
        key = event.entry.key
        if self._parked and key is not None and key in self._parked:
            self._parked[key].append(event)
            return
        instance = self._instance_of(key)
        instance.queue.append(event)
        instance.wake()

    def _instance_of(self, key: bytes | None) -> Instance:
        count = len(self.instances)
        if count == 1:
            return self.instances[0]
        if key is None:
            self._turn = (self._turn + 1) % count
            return self.instances[self._turn]
        # Another hash than the partition's: its keys have the same remainder there.
        return self.instances[(crc32(key) >> 8) % count]

    # -- alone: one event at a time, while all instances else wait

    def next_for(self, instance: Instance) -> Event | None:
        """The next event of an instance; None when it has to wait."""
        if self._alone_now is None:
            return instance.queue.popleft() if instance.queue else None
        if self._alone_for is not instance:
            return None
        self._alone_for = None
        return self._alone_now

    def _suspect(self, event: Event) -> None:
        self._alone.append(event)
        if len(self._alone) == 1 and self._alone_now is None:
            self._next_alone()

    def again(self, events: Sequence[Event]) -> None:
        """Handle events again, alone: another has changed what they had read."""
        self._alone.extend(events)
        if self._alone_now is None or self._alone_now in events:
            self._next_alone()

    def _next_alone(self) -> None:
        if not self._alone:
            self._alone_now = None
            for instance in self.instances:
                instance.wake()
            return
        event = self._alone_now = self._alone.popleft()
        event.alone = True
        crashes = event.attempt
        if crashes >= CRASHES_MAX + self.agent.retry.maximum_attempts:
            self._bury(event, f"its handling has ended {crashes} times without an end")
            return
        # Counted before it is handled: an event that kills its process is seen to be the one.
        self._count(event, event.attempt + 1)
        self.run.after(lambda: self._hand_alone(event))

    def _hand_alone(self, event: Event) -> None:
        source = self.sources.get(event.stream)
        if source is None or source.then is None or source.then(event):
            self._alone_for = self._instance_of(event.entry.key)
            self._alone_for.wake()

    # -- events out

    def handled(self, events: Sequence[Event]) -> None:
        """Their effects are in the next commit; acknowledge them with it."""
        for event in events:
            self.done(event)

    def done(self, event: Event) -> None:
        """Acknowledge an event with the next commit."""
        self.run.acknowledge(self, event.stream, event.entry.id)
        if self._attempts and self._name(event) in self._attempts:
            self._count(event, 0)
        if self._parked:
            self._release(event.entry.key)
        if event is self._alone_now:
            self._next_alone()

    def committed(self, stream: str, ids: Sequence[bytes]) -> None:
        """Entries are acknowledged: their places are free."""
        source = self.sources.get(stream)
        if source is not None:
            source.known.difference_update(ids)
        self.count -= len(ids)
        self._freed()

    def failed(self, events: Sequence[Event], exc: BaseException) -> None:
        """Their handling has failed: another attempt, or the dead letters."""
        if len(events) > 1 and not isinstance(exc, NEVER_AGAIN):
            for event in reversed(events):  # one of them is to blame: find out which
                event.alone = True
                self._instance_of(event.entry.key).queue.appendleft(event)
            return
        for event in events:
            attempt = max(0, event.attempt - 1) if event is self._alone_now else event.attempt
            delay_ms = None
            if not isinstance(exc, NEVER_AGAIN):
                code = getattr(exc, "code", 500)
                rules = (self.agent.retry.rule(),)
                delay_ms = next_delay_ms(
                    rules, code if isinstance(code, int) else 500, attempt, random.random()
                )
            if delay_ms is None:
                self.agent.answer_failure(self.run, event, exc)
                self._bury(event, f"{type(exc).__name__}: {exc}"[:1000])
            else:
                self._retry(event, attempt + 1, delay_ms)

    def _retry(self, event: Event, attempt: int, delay_ms: int) -> None:
        self._count(event, attempt)
        key = event.entry.key
        if key is not None and key not in self._parked:
            self._parked[key] = deque()
            self._park_queued(key)
        if event is self._alone_now:
            self._next_alone()

        def again() -> None:
            self._retries.discard(handle)
            instance = self._instance_of(key)
            instance.queue.appendleft(event)
            instance.wake()

        handle = asyncio.get_running_loop().call_later(delay_ms / 1000, again)
        self._retries.add(handle)

    def _park_queued(self, key: bytes) -> None:
        """Later events of the key that stand in a queue already."""
        queue = self._instance_of(key).queue
        behind = [e for e in queue if e.entry.key == key]
        if behind:
            self._parked[key].extend(behind)
            kept = [e for e in queue if e.entry.key != key]
            queue.clear()
            queue.extend(kept)

    def _release(self, key: bytes | None) -> None:
        parked = self._parked.pop(key, None)
        if parked:
            # In front of what has come meanwhile for other keys: they are older.
            instance = self._instance_of(key)
            instance.queue.extendleft(reversed(parked))
            instance.wake()

    def _bury(self, event: Event, reason: str) -> None:
        log.warning(
            "entry.dead_lettered", topic=event.topic, entry=event.entry.id, agent=self.agent.name,
            reason=reason,
        )  # fmt: skip
        self.run.bury(event, self.group, reason)
        self.done(event)

    def _count(self, event: Event, attempt: int) -> None:
        name = self._name(event)
        event.attempt = attempt
        if attempt:
            self._attempts[name] = attempt
        else:
            self._attempts.pop(name, None)
        self.run.note_attempts(self.group, name, attempt)

    def _name(self, event: Event) -> bytes:
        return event.topic.encode() + b"/" + event.entry.id

    # -- answers

    def answer_none(self, transaction: Transaction, events: Sequence[Event]) -> None:
        """Whoever asked and was not answered by a `yield` gets None."""
        for event in events:
            if event.entry.reply is not None:
                self.agent.answer(transaction, event, None)

    # -- events that go elsewhere

    def elsewhere(self, events: Sequence[Event], home: int) -> None:
        """What they change lies in another partition: they are handled there."""
        if len(events) > 1:
            for event in reversed(events):
                event.alone = True
                self._instance_of(event.entry.key).queue.appendleft(event)
            return
        for event in events:
            self.run.move(self.agent.routed.name, home, event, event.entry.key)
            self.done(event)

    def drop_beyond(self, specs: dict[str, Any]) -> None:
        """Topics with fewer partitions than this one's number are not read here."""
        for source in self.added:
            spec = specs[source.topic.name]
            if not source.is_internal and self.run.number >= spec.partitions:
                self.sources.pop(source.stream, None)
