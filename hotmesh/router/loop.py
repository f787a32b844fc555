"""The consumer-group runtime: read at most the free slots, hand the batch on, keep the leases,
claim what is abandoned.

    reader   blocking XREADGROUP on a connection of its own, ended by CLIENT UNBLOCK, never
    cancelled leases   extends what is held; an entry that was lost is reported, so that its
    handler can be cancelled sweeper  claims entries of dead processes at once where that can be
    known, of silent ones after the lease

The handler settles entries itself, in the script that holds their effects, and then calls `done`.
What it could not settle (the server went away) it gives back with `retry`, and the router reads it
again from its own pending list.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from hotmesh.connect import Connection, ReplyError, Transport
from hotmesh.errors import HotMeshError, ServerUnavailable
from hotmesh.log import get_logger
from hotmesh.messages import is_of_another_release
from hotmesh.router.delivery import Delivery, Key, Parse, parse
from hotmesh.router.lease import Extend, Sweep, by_stream
from hotmesh.router.member import consumer_name
from hotmesh.router.pace import Pace
from hotmesh.router.tally import Tally
from hotmesh.store import Store, leases
from hotmesh.telemetry.gauges import watch
from hotmesh.telemetry.metrics import instruments

log = get_logger("hotmesh.router")

BACKOFF_MS_MIN, BACKOFF_MS_MAX = 20, 5_000
SILENCE_S = 4.0
UNBLOCK_S = 2.0
"""How long a blocked read may take to end by CLIENT UNBLOCK before its connection is closed."""


class RouterSettings(Struct, frozen=True, kw_only=True):
    """Bounds of one router.

    Attributes:
        capacity: Entries held at once.
        batch_max: Entries handed on at once.
        lease_ms: How long a silent process keeps what it holds.
        block_ms: How long one read waits; only a bound, a new entry ends it at once.
        deliveries_max: After so many deliveries an entry goes to the dead letters.
    """

    capacity: int = 100
    batch_max: int = 200
    lease_ms: int = 30_000
    block_ms: int = 2_000
    deliveries_max: int = 10


class Handler(Protocol):
    """Who handles what a router reads."""

    async def handle(self, batch: list[Delivery]) -> None:
        """Take a batch. Returns when the router may read on; entries are settled then or later."""

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Put an entry that can't be handled into the dead letters, and settle it."""

    def lost(self, keys: set[Key]) -> None:
        """These entries are another's by now: cancel what runs for them."""

    async def finish(self) -> None:
        """Reading has ended: return when nothing runs any more. Leases are extended until then."""


class Router:
    """Reads streams of one group for one handler. A component: `run` until `drain`."""

    def __init__(
        self,
        name: str,
        connection: Connection,
        store: Store,
        streams: Sequence[str],
        group: str,
        handler: Handler,
        settings: RouterSettings,
        *,
        side_streams: Sequence[str] = (),
        start: str = "0",
        parse: Parse = parse,
    ) -> None:
        """Read `streams`, and `side_streams` that are nearly always empty: a read shares its
        COUNT out among the others only.

        `start` is where a group begins that is new; what has been lost begins anew from the first
        entry.
        """
        self.name, self.streams, self.group = name, [*streams, *side_streams], group
        self._shares, self._start, self._parse = len(streams), start, parse
        self.consumer = consumer_name()
        self.settings = settings
        self.held: set[Key] = set()
        self.ending = 0  # of those held, handled and about to be settled: they take no slot
        self.paused = False
        self.pace, self.tally = Pace(), Tally()
        self.ended = asyncio.Event()
        self.read_at = time.monotonic()  # of the last read that succeeded
        self._connection, self._store, self._handler = connection, store, handler
        self._draining = asyncio.Event()
        self._room = asyncio.Event()
        self._again: list[Delivery] = []  # could not be settled: to be handled again
        self._history = False  # look through our own pending list before reading new entries
        self._reader: Transport | None = None
        self._reads = 0  # counts blocking reads; odd while one is under way
        self._metrics, self._series = instruments(), {"router": name}
        watch(self)

    # -- for the handler

    def done(self, keys: Iterable[Key]) -> None:
        """These entries are settled, or left to the lease: their slots are free."""
        before = len(self.held)
        self.held.difference_update(keys)
        self.tally.settled += before - len(self.held)
        self._room.set()

    def retry(self, deliveries: Iterable[Delivery]) -> None:
        """These entries could not be settled (the server went away, or refuses writes): hand them
        on again, after a pause.

        They stay held, and are not read again: each reading would count as a delivery, and an
        outage alone would make poison of healthy entries.
        """
        again = [d for d in deliveries if d.key in self.held]
        self.tally.failed += len(again)
        self._again += again
        self._room.set()

    # -- component

    def drain(self) -> None:
        """Stop reading. Idempotent; before `run` it makes `run` return at once."""
        self._draining.set()
        self._room.set()
        self.pace.wake()

    @property
    def state(self) -> str:
        """`running`, `throttled`, `paused`, `draining` or `drained`."""
        if self.ended.is_set():
            return "drained"
        if self._draining.is_set():
            return "draining"
        if self.pace.ms < 0 or self.paused:
            return "paused"
        return "throttled" if self.pace.ms else "running"

    async def throttle(self, ms: int) -> None:
        """Change the pace; returns once no read under the old one is under way.

        What such a read still brings is handled: it was this consumer's when the server gave it.
        """
        if not self.pace.set(ms) or not ms:
            return
        read, until = self._reads, time.monotonic() + UNBLOCK_S
        while self._reads == read and read % 2 and time.monotonic() < until:
            assert self._reader is not None
            try:
                await self._connection.transport.unblock(self._reader)
            except HotMeshError:
                return  # the read fails as well, and the next one keeps the pace
            await asyncio.sleep(0.01)

    async def run(self, started: asyncio.Event) -> None:
        """Read until drained. What is held then is the handler's to finish or to hand back."""
        for stream in self.streams:
            await self._with_backoff(
                "create_group", leases.create_group, stream, self.group, self._start_of(stream)
            )
        # One that goes silent is dropped: keepalive can't see a path that was forgotten on the way.
        silence_s = self.settings.block_ms / 1000 + SILENCE_S
        await self._with_backoff("connect", self._connect, silence_s)
        if self._reader is None:
            return  # drained while the server was away
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read_all(started), name=f"{self.name}.read")
                side = [
                    tasks.create_task(Sweep(self._store, self).run(), name=f"{self.name}.sweep"),
                    tasks.create_task(Extend(self._store, self).run(), name=f"{self.name}.extend"),
                ]
                await self._draining.wait()
                await self._unblock(reading)
                await self._handler.finish()
                for task in side:
                    task.cancel()
        finally:
            await self._reader.close()
            self.ended.set()

    async def _connect(self, store: Store, silence_s: float) -> None:
        self._reader = await self._connection.reader(silence_s=silence_s)

    async def retire(self) -> None:
        """Forget this consumer, when it holds nothing any more."""
        for stream in self.streams:
            await leases.retire(self._store, stream, self.group, self.consumer)

    async def release(self) -> None:
        """Hand back what is still held, so that a sibling takes it at once."""
        for stream, ids in by_stream(self.held).items():
            idle_ms = self.settings.lease_ms
            await leases.release(self._store, stream, self.group, self.consumer, idle_ms, ids)
        self.held.clear()

    # -- reading

    async def _read_all(self, started: asyncio.Event) -> None:
        failures = 0
        started.set()
        while not self._draining.is_set():
            try:
                if self._again:
                    await self._sleep_or_drain(_pause_ms(failures))
                    await self._handle_again()
                elif self._history:
                    await self._look_back()
                elif self._room_left() <= 0 or self.paused:
                    await self._wait_for_room()
                elif self.pace.ms < 0:
                    await self.pace.sleep(None)
                elif delay_s := self.pace.wait_s():
                    await self.pace.sleep(delay_s)
                else:
                    await self._take(await self._read())
                if not self._again:
                    failures = 0
            except HotMeshError as exc:
                failures += 1
                await self._recover(exc, failures)

    async def _read(self) -> list[Delivery]:
        assert self._reader is not None
        count = max(1, min(self._room_left(), self.settings.batch_max) // self._shares)
        if self.pace.ms:
            count = 1
        command: list[Any] = ["XREADGROUP", "GROUP", self.group, self.consumer, "COUNT", count]
        command += ["BLOCK", self.settings.block_ms, "STREAMS", *self.streams]
        command += [">"] * len(self.streams)
        self._reads += 1
        try:
            reply = await self._reader.execute(*command)
        except ServerUnavailable:
            self._history = True  # a lost reply may have left entries in our pending list
            raise
        finally:
            self._reads += 1
        self.read_at = time.monotonic()
        deliveries = []
        for stream, entries in reply or ():
            deliveries += self._parse(stream.decode(), entries)
        return deliveries

    async def _look_back(self) -> None:
        """Find entries that were given to this consumer in a reply that never came."""
        for stream in self.streams:
            after = ""
            while True:
                held = set(self.held)  # what is settled meanwhile is not lost
                found, after = await leases.own_pending(
                    self._store, stream, self.group, self.consumer, after=after
                )
                lost = [
                    d
                    for d in self._parse(stream, found)
                    if d.key not in held and d.key not in self.held
                ]
                await self._take(lost)
                if not after:
                    break
        self._history = False

    async def _handle_again(self) -> None:
        again, self._again = self._again, []
        await self._hand_on([d for d in again if d.key in self.held])

    async def _take(self, batch: list[Delivery]) -> None:
        """Note what is held, bury what can't be handled, hand the rest on."""
        self.held.update(d.key for d in batch)
        self.tally.taken += len(batch)
        if self.pace.ms and batch:
            self.pace.took(len(batch))
        if batch:
            self._metrics.consumed.add(len(batch), self._series)
        live = []
        for delivery in batch:
            if delivery.payload is None:
                await self._bury(delivery, "the entry holds no payload")
            elif delivery.count > self.settings.deliveries_max and not is_of_another_release(
                delivery.payload, delivery.extra
            ):
                reason = f"delivered {delivery.count - 1} times and never settled"
                await self._bury(delivery, reason)
            else:
                live.append(delivery)
        await self._hand_on(live)

    async def _hand_on(self, live: list[Delivery]) -> None:
        if not live:
            return
        try:
            await self._handler.handle(live)
        except HotMeshError:
            self.retry(live)
            raise

    async def _bury(self, delivery: Delivery, reason: str) -> None:
        self.tally.buried += 1
        log.warning("entry.dead_lettered", stream=delivery.stream, entry=delivery.id, reason=reason)
        try:
            await self._handler.bury(delivery, reason)
        except HotMeshError as exc:
            log.warning("entry.bury_failed", stream=delivery.stream, error=str(exc))
            self.retry([delivery])

    async def _count(self, deliveries: list[Delivery]) -> None:
        for stream, ids in by_stream({d.key for d in deliveries}).items():
            counts = await leases.delivery_counts(
                self._store, stream, self.group, self.consumer, ids
            )
            for delivery in deliveries:
                if delivery.stream == stream:
                    delivery.count = counts.get(delivery.id, delivery.count)

    async def _wait_for_room(self) -> None:
        self._room.clear()
        if self.paused or self._room_left() <= 0:
            await self._room.wait()

    async def _recover(self, exc: HotMeshError, failures: int) -> None:
        """Wait after a failure, and repair what can be repaired."""
        self._metrics.read_failed.add(1, self._series)
        if isinstance(exc, ReplyError) and exc.kind in ("NOGROUP", "UNBLOCKED"):
            if exc.kind == "NOGROUP":
                log.error("group.lost", group=self.group, streams=self.streams, error=str(exc))
                for stream in self.streams:
                    await self._with_backoff(
                        "create_group", leases.create_group, stream, self.group
                    )
        else:
            log.warning("read.failed", router=self.name, error=str(exc), failures=failures)
        await self._sleep_or_drain(_pause_ms(failures))

    async def _unblock(self, reading: asyncio.Task[None]) -> None:
        """End the blocked read without cancelling it: a cancelled one may have been given
        entries that nobody sees.
        """
        assert self._reader is not None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + UNBLOCK_S
        while not reading.done():
            try:
                await self._connection.transport.unblock(self._reader)
            except HotMeshError:
                deadline = 0
            if loop.time() >= deadline:
                await self._reader.close()
            await asyncio.wait([reading], timeout=0.05)

    # -- leases, see lease.py

    @property
    def lease_ms(self) -> int:
        """How long a silent process keeps what it holds."""
        return self.settings.lease_ms

    def free(self) -> int:
        """How many entries may be claimed now."""
        if self._draining.is_set() or self.paused or self.pace.ms < 0:
            return 0
        room = max(0, min(self._room_left(), leases.CLAIM_MAX))
        if self.pace.ms:
            return min(room, 0 if self.pace.wait_s() else 1)
        return room

    async def take_claimed(self, stream: str, found: list[Any], owner: str) -> None:
        """Take what was claimed from a dead or silent owner."""
        deliveries = [d for d in self._parse(stream, found) if d.key not in self.held]
        await self._count(deliveries)
        self._metrics.claimed.add(len(deliveries), self._series)
        log.info("entries.claimed", stream=stream, entries=len(deliveries), owner=owner)
        self.tally.claimed += len(deliveries)
        await self._take(deliveries)

    def lose(self, stream: str, keys: set[Key]) -> None:
        """These entries are another's by now."""
        log.warning("lease.lost", stream=stream, entries=len(keys))
        self._handler.lost(keys)
        self.done(keys)

    def _room_left(self) -> int:
        return self.settings.capacity - len(self.held) + self.ending

    def _start_of(self, stream: str) -> str:
        return self._start if stream in self.streams[: self._shares] else "0"

    # -- waiting

    async def _with_backoff(self, what: str, call: Any, *arguments: Any) -> None:
        failures = 0
        while not self._draining.is_set():
            try:
                await call(self._store, *arguments)
                return
            except ServerUnavailable as exc:
                failures += 1
                log.warning(f"{what}.failed", router=self.name, error=str(exc), failures=failures)
                await self._sleep_or_drain(_pause_ms(failures))

    async def _sleep_or_drain(self, delay_ms: float) -> None:
        try:
            await asyncio.wait_for(self._draining.wait(), delay_ms / 1000)
        except TimeoutError:
            pass


def _pause_ms(failures: int) -> float:
    delay_ms: int = min(BACKOFF_MS_MIN * 2 ** min(failures, 10), BACKOFF_MS_MAX)
    return delay_ms * random.uniform(0.5, 1.0)
