"""Who runs which partition of an app: a lease per partition, and nobody above the processes.

Every process signs on in one sorted set. From who is there follows how many partitions each may
have: whoever has more lets the last ones go, once it has finished what it holds there, and whoever
has fewer takes what is free. Partitions that stay are not touched, so the world never pauses. A
lease carries an epoch that grows with each owner, and every commit compares it: a process that was
frozen past its lease changes nothing any more.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Protocol

from hotmesh.connect import Connection
from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.router.member import consumer_name, is_dead
from hotmesh.streams.store import StreamStore

log = get_logger("hotmesh.streams")

LOOK_S = 0.5
"""How often leases are looked at: a killed process's partitions move on after about this time."""


class Held:
    """A partition that this process holds.

    Attributes:
        epoch: Of the lease.
        sent: The last number that its outbox has given out.
        is_clean: The owner before had let go of it, so nothing that it left pending has killed it.
    """

    def __init__(self, number: int, epoch: int, sent: int, is_clean: bool) -> None:
        self.number, self.epoch, self.sent, self.is_clean = number, epoch, sent, is_clean
        self.releasing = False
        self.started = asyncio.Event()  # or failed to start


class Partitions(Protocol):
    """Who runs what a process holds."""

    async def gained(self, held: Held) -> None:
        """Begin to run a partition."""

    async def let_go(self, held: Held) -> None:
        """Finish what is in hand, and stop running it."""

    async def lost(self, held: Held) -> None:
        """Stop at once: it is another's."""


class Ownership:
    """Takes, keeps and lets go of partitions. A component: `run` until `drain`."""

    def __init__(
        self,
        connection: Connection,
        store: StreamStore,
        app_id: str,
        runs: Partitions,
        *,
        count: int,
        lease_ms: int,
    ) -> None:
        self.name = "partitions"
        self.me = consumer_name()
        self.held: dict[int, Held] = {}
        self.count = count
        self._connection, self._store, self._runs = connection, store, runs
        self._app_id, self._lease_ms = app_id, lease_ms
        self._members, self._fleet = store.space.members(app_id), store.space.fleet(app_id)
        self._changed = asyncio.Event()
        self._draining = asyncio.Event()
        self._moves: set[asyncio.Task[None]] = set()
        self._renewed_at = 0.0

    def is_valid(self) -> bool:
        """Whether the leases are surely running: a process that was frozen asks this first."""
        age_s = asyncio.get_running_loop().time() - self._renewed_at
        return age_s < self._lease_ms / 1000

    def doubt(self, held: Held) -> None:
        """What runs a partition has found that it is another's, or can't go on."""
        if self.held.get(held.number) is held:
            self._begin(self._give_up(held))

    async def _give_up(self, held: Held) -> None:
        await held.started.wait()
        await self._runs.lost(held)
        if self.held.get(held.number) is held:
            del self.held[held.number]
        await disown(self._store, self._app_id, held.number, self.me, held.epoch, is_clean=False)

    def drain(self) -> None:
        """Let go of everything, then end."""
        self._draining.set()
        self._changed.set()

    async def run(self, started: asyncio.Event) -> None:
        """Until drained: then everything is let go of."""
        subscription = await self._connection.bus.subscribe(self._fleet, self._hint)
        try:
            await self._look()
            started.set()
            while not self._draining.is_set():
                self._changed.clear()
                try:
                    await asyncio.wait_for(self._changed.wait(), LOOK_S * random.uniform(0.8, 1.2))
                except TimeoutError:
                    pass
                if not self._draining.is_set():
                    await self._look()
            for held in list(self.held.values()):
                self._begin(self._release(held))
            await self._settle_moves()
        finally:
            for task in self._moves:
                task.cancel()
            await subscription.unsubscribe()
        try:
            await self._store.transport.execute("ZREM", self._members, self.me)
            await self._tell()
        except HotMeshError as exc:
            log.warning("member.sign_off_failed", error=str(exc))

    def _hint(self, channel: bytes, payload: bytes) -> None:
        if payload != self.me.encode():
            self._changed.set()

    async def _look(self) -> None:
        try:
            members = await self._sign_on()
            await self._renew()
            quota = quota_of(self.me, members, self.count)
            kept = [h for h in self.held.values() if not h.releasing]
            for held in sorted(kept, key=lambda h: h.number)[quota:]:
                held.releasing = True
                self._begin(self._release(held))
            if len(self.held) < quota:
                await self._take(quota - len(self.held))
        except HotMeshError as exc:
            log.warning("partitions.look_failed", error=str(exc))
            await self._expire()

    async def _sign_on(self) -> list[str]:
        """Say that we are there; who else is."""
        now_ms = self._store.clock.now_ms()
        replies = await self._store.transport.execute_many(
            [
                ("TIME",),
                ("ZSCORE", self._members, self.me),
                ("ZADD", self._members, now_ms, self.me),
                ("ZRANGE", self._members, 0, -1, "WITHSCORES"),
            ]
        )
        for reply in replies:
            if isinstance(reply, HotMeshError):
                raise reply
        now_ms = self._store.clock.read(replies[0])
        if replies[1] is None:
            await self._tell()
        alive: list[str] = []
        gone: list[str] = []
        rows = replies[3]
        for at in range(0, len(rows), 2):
            name, seen_ms = rows[at].decode(), float(rows[at + 1])
            silent = seen_ms < now_ms - self._lease_ms
            (gone if name != self.me and (silent or is_dead(name)) else alive).append(name)
        if gone:
            await self._store.transport.execute("ZREM", self._members, *gone)
        return alive

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        if self.held and loop.time() - self._renewed_at < self._lease_ms / 4000:
            return
        began = loop.time()
        for held in list(self.held.values()):
            verdict, *facts = await own(
                self._store, self._app_id, held.number, self.me, self._lease_ms
            )
            if not verdict or facts[0] != held.epoch:
                log.warning("partition.lost", partition=held.number, owner=facts[0])
                self.held.pop(held.number, None)
                await self._runs.lost(held)
        self._renewed_at = began

    async def _expire(self) -> None:
        """The server can't be reached: what may be another's by now is given up."""
        loop = asyncio.get_running_loop()
        if self.held and loop.time() - self._renewed_at > self._lease_ms / 1000:
            for held in list(self.held.values()):
                self.held.pop(held.number, None)
                await self._runs.lost(held)

    async def _take(self, wanted: int) -> None:
        numbers = [n for n in range(self.count) if n not in self.held]
        # From different ends: processes that start together do not all try the same one.
        random.shuffle(numbers)
        owners = await self._store.transport.execute_many(
            [("HGET", self._store.space.slot(n).owner(self._app_id), "o") for n in numbers]
        )
        for number, owner in zip(numbers, owners, strict=True):
            if wanted <= 0 or self._draining.is_set():
                return
            name = owner.decode() if isinstance(owner, bytes) else ""
            dead = name if name and is_dead(name) else ""
            verdict, *facts = await own(
                self._store, self._app_id, number, self.me, self._lease_ms, dead
            )
            if verdict:
                held = Held(number, facts[0], facts[1], facts[3] == b"1")
                self.held[number] = held
                wanted -= 1
                log.info("partition.taken", partition=number, epoch=held.epoch)
                self._begin(self._gain(held))

    async def _gain(self, held: Held) -> None:
        try:
            await self._runs.gained(held)
        except Exception as exc:
            log.error("partition.not_started", partition=held.number, exc_info=exc)
            await self._runs.lost(held)
            self.held.pop(held.number, None)
            await disown(
                self._store, self._app_id, held.number, self.me, held.epoch, is_clean=held.is_clean
            )
        finally:
            held.started.set()

    async def _release(self, held: Held) -> None:
        held.releasing = True
        await held.started.wait()
        await self._runs.let_go(held)
        try:
            await disown(self._store, self._app_id, held.number, self.me, held.epoch)
            self.held.pop(held.number, None)
            log.info("partition.released", partition=held.number, epoch=held.epoch)
            await self._tell()
        except HotMeshError as exc:  # the lease ends by itself
            self.held.pop(held.number, None)
            log.warning("partition.release_failed", partition=held.number, error=str(exc))

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work, name="partition.move")
        self._moves.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._moves.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("partition.move_failed", error=repr(exc), exc_info=exc)

    async def _settle_moves(self) -> None:
        """Wait for the moves, and keep the leases alive meanwhile."""
        while self._moves:
            await asyncio.wait(list(self._moves), timeout=self._lease_ms / 4000)
            try:
                await self._renew()
            except HotMeshError as exc:
                log.warning("partitions.look_failed", error=str(exc))

    async def _tell(self) -> None:
        await self._store.transport.execute("PUBLISH", self._fleet, self.me)


def quota_of(me: str, members: Sequence[str], count: int) -> int:
    """How many of `count` partitions a member may have: all have the same, or one more."""
    ranked = sorted({*members, me})
    each, more = divmod(count, len(ranked))
    return each + (ranked.index(me) < more)


async def own(
    store: StreamStore, app_id: str, number: int, me: str, lease_ms: int, dead: str = ""
) -> list[Any]:
    """Take a partition, or go on holding it; what `own.lua` answers."""
    key = store.space.slot(number).owner(app_id)
    reply: list[Any] = await store.run("own", [key], me, lease_ms, store.clock.skew_ms, dead)
    return reply


async def disown(
    store: StreamStore, app_id: str, number: int, me: str, epoch: int, *, is_clean: bool = True
) -> bool:
    """Let go of a partition; False when it is another's by now."""
    key = store.space.slot(number).owner(app_id)
    return bool(await store.run("disown", [key], me, epoch, int(is_clean)))
