"""What becomes of entries: acknowledged, to be tried again later, or dead.

Acknowledgements of one loop turn share a command. A retry and a dead letter are one script each,
with the acknowledgement, and only while this consumer still holds the entry. What waits for its
next attempt lies in a sorted set beside the stream; nobody holds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from msgspec import Struct

from hotmesh.errors import HotMeshError, ServerUnavailable
from hotmesh.log import get_logger
from hotmesh.messages import Again, encode_entry
from hotmesh.router import Key, Router
from hotmesh.routing.keys import Lane
from hotmesh.store import Entry, Store, Verdict, retrying
from hotmesh.store.dead import bury_op
from hotmesh.store.encode import text

log = get_logger("hotmesh.routing")

ACK_MAX = 500
"""Entries of one XACK: a script or another client should not wait long for it."""

ENDING_MAX = 5_000
"""Entries that are handled and not acknowledged yet, above which no more are read."""

PAUSE_S_MIN, PAUSE_S_MAX = 0.02, 2.0
LOOK_MS = 2_000
"""How often timers of siblings are looked at: who set one fires it, unless it has died."""

POP_MAX = 500


class Receipt(Struct, frozen=True):
    """What a handler gives back that left a receipt of its own: a key that may go once the entry
    is acknowledged.
    """

    key: str


class Acknowledger:
    """Settles what was handled, many at a time, for one router."""

    def __init__(self, store: Store, router: Router, lanes: Mapping[str, Lane]) -> None:
        self._store, self._router = store, router
        self._own = {lane.again for lane in lanes.values()}  # read by this group alone
        self._ended: list[tuple[Key, Receipt | None]] = []
        self._some, self._none = asyncio.Event(), asyncio.Event()
        self._none.set()

    def add(self, key: Key, receipt: Receipt | None = None) -> None:
        """This entry is handled."""
        self._ended.append((key, receipt))
        if self._router.ending < ENDING_MAX:
            self._router.ending += 1
        self._none.clear()
        self._some.set()

    async def run(self) -> None:
        """Acknowledge until cancelled. While the server is away, handled entries stay held, so
        that they are not handled again.
        """
        failures = 0
        while True:
            await self._some.wait()
            self._some.clear()
            ended, self._ended = self._ended, []
            try:
                await self._acknowledge(ended)
            except HotMeshError as exc:
                failures += 1
                log.warning("acknowledge.failed", entries=len(ended), error=str(exc))
                self._ended = ended + self._ended
                self._some.set()
                await asyncio.sleep(min(PAUSE_S_MIN * 2 ** min(failures, 10), PAUSE_S_MAX))
                continue
            failures = 0
            self._router.ending = min(len(self._ended), ENDING_MAX)
            self._router.done(key for key, _ in ended)
            if not self._ended:
                self._none.set()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until all that was handled is acknowledged; False when it was not, in time."""
        try:
            await asyncio.wait_for(self._none.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def _acknowledge(self, ended: Iterable[tuple[Key, Receipt | None]]) -> None:
        by_stream: dict[str, list[bytes]] = {}
        receipts = []
        for (stream, id), receipt in ended:
            by_stream.setdefault(stream, []).append(id)
            if receipt is not None:
                receipts.append(receipt.key)
        commands: list[tuple[str | bytes, ...]] = []
        for stream, ids in by_stream.items():
            for first in range(0, len(ids), ACK_MAX):
                some = ids[first : first + ACK_MAX]
                # Also of an entry that a sibling has claimed meanwhile: it was handled.
                commands.append(("XACK", stream, self._router.group, *some))
                if stream in self._own:
                    commands.append(("XDEL", stream, *some))
        # After the acknowledgements, in order: a receipt never goes before its entry does.
        commands += [("UNLINK", key) for key in receipts]
        for reply in await self._store.transport.execute_many(commands):
            if isinstance(reply, HotMeshError):
                raise reply


class Settler:
    """Lets go of entries that were not handled."""

    def __init__(self, store: Store, router: Router, lanes: Mapping[str, Lane]) -> None:
        self._store, self._router, self._lanes = store, router, lanes
        self.timer_set = asyncio.Event()

    async def later(self, key: Key, again: Again, delay_ms: int) -> Verdict:
        """Have an entry come again."""
        lane = self._lanes[key[0]]
        op = ["timer", 3, text(encode_entry(again)), delay_ms, self._store.keys.wake]
        verdict = await self._settle(key, op, lane.timers)
        self.timer_set.set()
        return verdict

    async def bury(self, key: Key, again: Again, reason: str, deliveries: int) -> Verdict:
        """Put an entry into the dead letters; a retry of it is another attempt."""
        lane = self._lanes[key[0]]
        op = bury_op(
            3,
            encode_entry(again),
            reason=reason,
            stream=lane.again,
            job="",
            deliveries=deliveries,
        )
        return await self._settle(key, op, lane.dead)

    async def _settle(self, key: Key, op: list[object], written: str) -> Verdict:
        stream, id = key
        entry = Entry(stream, self._router.group, (id,))
        keep = stream != self._lanes[stream].again
        consumer = self._router.consumer
        return await retrying(
            lambda: self._store.answer(entry, consumer, [op], [written], keep=keep), what="settle"
        )

    async def fire_timers(self) -> None:
        """Move due entries into the streams of attempts, until cancelled. Any process of the group
        may.
        """
        self._store.clock.skipped.append(self.timer_set.set)
        try:
            await self._fire_all()
        finally:
            self._store.clock.skipped.remove(self.timer_set.set)

    async def _fire_all(self) -> None:
        lanes = list({lane.timers: lane for lane in self._lanes.values()}.values())
        while True:
            self.timer_set.clear()
            wait_ms = LOOK_MS
            try:
                for lane in lanes:
                    wait_ms = min(wait_ms, await self._fire(lane))
            except (ServerUnavailable, HotMeshError) as exc:
                log.warning("timers.failed", error=str(exc))
            try:
                await asyncio.wait_for(self.timer_set.wait(), wait_ms / 1000)
            except TimeoutError:
                pass

    async def _fire(self, lane: Lane) -> int:
        while True:
            moved, next_ms = await self._store.pop(lane.timers, lane.again, POP_MAX)
            if moved < POP_MAX:
                return next_ms if next_ms >= 0 else LOOK_MS
