"""Producers: many sends, few scripts, each entry once.

What is sent to one partition waits in line while a batch of it is under way; the line is the next
batch. So one send alone goes at once, and under load batches grow by themselves. A batch whose
reply was lost is sent again as it was: its producer's number tells the script what it has seen.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from hotmesh.connect import Arg
from hotmesh.errors import HotMeshError, Overloaded, ServerUnavailable
from hotmesh.ids import guid
from hotmesh.log import get_logger
from hotmesh.streams.store import StreamStore
from hotmesh.streams.topics import TopicSpec

log = get_logger("hotmesh.streams")

BATCH_MAX = 500
WAITING_MAX = 10_000
"""Entries that wait in one process: above it `send` waits, which slows whoever produces."""

RECEIPT_MS = 3_600_000
"""How long the server knows a producer that is silent: far longer than anything is tried again."""

TRIES_MAX = 12
FULL_WAIT_S = 30.0
PAUSE_S_MIN, PAUSE_S_MAX = 0.01, 1.0
APPENDED, FULL = 1, 5


class Sent(Struct, frozen=True):
    """Where an entry lies.

    Attributes:
        id: Its id in the stream; "" when a repeated sending found it there already.
    """

    topic: str
    partition: int
    id: str


class Waiting:
    """One entry in line."""

    __slots__ = ("done", "fields", "number", "replicas")

    def __init__(
        self, fields: Sequence[Arg], done: Callable[[Any], None] | None, replicas: int
    ) -> None:
        self.fields, self.done, self.replicas, self.number = fields, done, replicas, 0


class Line:
    """What one producer has for one partition of one topic."""

    def __init__(
        self, store: StreamStore, producer: str, topic: str, partition: int, spec: TopicSpec
    ) -> None:
        self.topic, self.partition, self.spec = topic, partition, spec
        self._store = store
        slot = store.space.slot(partition)
        self._keys = [slot.entries(topic), slot.receipt(f"{producer}/{topic}")]
        self._waiting: deque[Waiting] = deque()
        self._number = 0

    def put(self, waiting: Waiting) -> None:
        """Stand in line."""
        self._number += 1
        waiting.number = self._number
        self._waiting.append(waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    async def flush(self, on_room: Callable[[int], None]) -> None:
        """Send until the line is empty."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
            try:
                ids = await self._deliver(batch)
            except HotMeshError as exc:
                outcome: list[Any] = [exc] * len(batch)
            except asyncio.CancelledError:
                _tell(batch, [ServerUnavailable("the producer was closed")] * len(batch))
                raise
            else:
                outcome = [Sent(self.topic, self.partition, id.decode()) for id in ids]
            _tell(batch, outcome)
            on_room(len(batch))

    async def _deliver(self, batch: list[Waiting]) -> list[bytes]:
        loop = asyncio.get_running_loop()
        until, tries = loop.time() + FULL_WAIT_S, 0
        while True:
            try:
                verdict, *ids = await append(self._store, self._keys, self.spec, batch)
                if verdict == APPENDED:
                    return ids
                if self.spec.full == "reject" or loop.time() >= until:
                    raise Overloaded(
                        f"partition {self.partition} of topic {self.topic!r} holds "
                        f"{self.spec.length_max:,} entries that some group has not handled; see "
                        "hotmesh lag, add consumers, or raise maxlen"
                    )
                tries = min(tries, TRIES_MAX - 1)
            except ServerUnavailable as exc:
                if tries >= TRIES_MAX:
                    raise
                log.warning("send.retried", topic=self.topic, attempt=tries, error=str(exc))
            tries += 1
            pause_s = min(PAUSE_S_MIN * 2**tries, PAUSE_S_MAX)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))


async def append(
    store: StreamStore, keys: Sequence[str], spec: TopicSpec, batch: Sequence[Waiting]
) -> list[Any]:
    """One batch for one partition, in one script; what `produce.lua` answers."""
    arguments: list[Any] = [
        RECEIPT_MS,
        spec.length_max,
        "1" if spec.full == "trim" else "0",
        spec.retention_ms,
        store.clock.skew_ms,
    ]
    for waiting in batch:
        arguments += (waiting.number, len(waiting.fields), *waiting.fields)
    replicas = max(w.replicas for w in batch)
    if not replicas:
        reply: list[Any] = await store.run("produce", keys, *arguments)
        return reply
    return await _replicated(store, keys, arguments, replicas)


REPLICAS_WAIT_MS = 1_000


async def _replicated(
    store: StreamStore, keys: Sequence[str], arguments: list[Any], replicas: int
) -> list[Any]:
    """As `append`, and wait until so many replicas have it. Both go over one connection in one
    write: WAIT counts what its own connection wrote.
    """
    appended = asyncio.ensure_future(store.run("produce", keys, *arguments))
    await asyncio.sleep(0)
    counted = store.transport.send("WAIT", replicas, REPLICAS_WAIT_MS)
    reply: list[Any] = await appended
    if (count := await counted) < replicas:
        raise ServerUnavailable(
            f"{count} of {replicas} replicas have the entries after {REPLICAS_WAIT_MS} ms; they "
            "are on the primary and were not taken back"
        )
    return reply


class _Many:
    """What became of many entries."""

    def __init__(self, count: int) -> None:
        self.outcomes: list[Any] = [None] * count
        self.failure: Exception | None = None
        self.done = asyncio.Event()
        self._left = count

    def settle(self, index: int, outcome: Any) -> None:
        self.outcomes[index] = outcome
        if isinstance(outcome, Exception):
            self.failure = outcome
        self._left -= 1
        if not self._left:
            self.done.set()


class Producer:
    """Sends to any topic, for one process.

    Attributes:
        id: What the server knows it by.
    """

    def __init__(self, store: StreamStore, *, waiting_max: int = WAITING_MAX) -> None:
        self.id = guid()
        self._store, self._waiting_max = store, waiting_max
        self._lines: dict[tuple[str, int], Line] = {}
        self._flushing: dict[Line, asyncio.Task[None]] = {}
        self._turn: dict[str, int] = {}
        self._count = 0
        self._room: deque[asyncio.Future[None]] = deque()
        self._closed = False

    async def send(
        self, topic: str, spec: TopicSpec, partition: int, fields: Sequence[Arg], replicas: int = 0
    ) -> Sent:
        """Send one entry; returns when the server has it.

        A cancelled send may still be appended.

        Raises:
            Overloaded: The topic is full.
            ServerUnavailable: The server could not be reached for about ten seconds.
        """
        await self.room()
        future: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        self.put(topic, spec, partition, fields, _settler(future), replicas)
        return await future

    async def send_all(
        self, topic: str, spec: TopicSpec, entries: Sequence[tuple[int, Sequence[Arg]]]
    ) -> list[Sent]:
        """Send many, as (partition, fields), in order per partition; returns when the server has
        all of them. Raises as `send`: then any of them may be there.
        """
        many = _Many(len(entries))
        for index, (partition, fields) in enumerate(entries):
            if self._count >= self._waiting_max:
                await self.room()
            self.put(topic, spec, partition, fields, partial(many.settle, index), 0)
        if entries:
            await many.done.wait()
        if many.failure is not None:
            raise many.failure
        return many.outcomes

    async def room(self) -> None:
        """Wait until there is room in line."""
        while self._count >= self._waiting_max:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._room.append(turn)
            await turn

    def put(
        self,
        topic: str,
        spec: TopicSpec,
        partition: int,
        fields: Sequence[Arg],
        done: Callable[[Any], None] | None,
        replicas: int,
    ) -> None:
        """Put one entry in line; `done` gets a `Sent` or what went wrong."""
        if self._closed:
            raise ServerUnavailable("this producer is closed")
        line = self._lines.get((topic, partition))
        if line is None:
            line = Line(self._store, self.id, topic, partition, spec)
            self._lines[topic, partition] = line
        line.spec = spec
        line.put(Waiting(fields, done, replicas))
        self._count += 1
        if line not in self._flushing:
            self._flush(line)

    def next_partition(self, topic: str, partitions: int) -> int:
        """Where an entry without a key goes: in turn."""
        turn = self._turn.get(topic)
        if turn is None:
            turn = random.randrange(partitions)
        self._turn[topic] = (turn + 1) % partitions
        return turn

    async def flush(self) -> None:
        """Return when nothing is in line any more."""
        while self._flushing:
            await asyncio.wait(list(self._flushing.values()))

    async def close(self) -> None:
        """Send what is in line, and end. May be called twice."""
        self._closed = True
        await self.flush()

    def _flush(self, line: Line) -> None:
        # Owned: `close` awaits it. It starts at the end of this turn of the loop, so what is sent
        # in one turn is one batch.
        task = asyncio.get_running_loop().create_task(line.flush(self._freed), name="produce")
        self._flushing[line] = task
        task.add_done_callback(lambda _: self._flushed(line))

    def _flushed(self, line: Line) -> None:
        del self._flushing[line]
        if len(line):  # put there while the task ended
            self._flush(line)

    def _freed(self, count: int) -> None:
        self._count -= count
        free = self._waiting_max - self._count
        while self._room and free > 0:
            turn = self._room.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1


def _settler(future: asyncio.Future[Sent]) -> Callable[[Any], None]:
    def settle(outcome: Any) -> None:
        if future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    return settle


def _tell(batch: Sequence[Waiting], outcomes: Sequence[Any]) -> None:
    for waiting, outcome in zip(batch, outcomes, strict=True):
        if waiting.done is not None:
            waiting.done(outcome)
