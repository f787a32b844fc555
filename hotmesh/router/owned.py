"""Streams that this process owns: the router's reader over a set that changes while it runs.

Whoever runs one holds a lease on each stream as a whole (`hotmesh.streams.lease`), so nobody else
reads it in this group, entries need no leases of their own, and their order is kept: what the owner
before left pending is taken over, oldest first, before anything new is read. Acknowledging is the
handler's, in the script that holds the entry's effects.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol

from hotmesh.connect import Connection
from hotmesh.errors import HotMeshError, ServerUnavailable
from hotmesh.log import get_logger
from hotmesh.router.loop import SILENCE_S, Router, RouterSettings
from hotmesh.store import Store, leases

log = get_logger("hotmesh.router")

CLAIM_PAGE = 500
SWEEP_S = 2.0
RawEntry = list[Any]
"""`[id, [field, value, …]]` as the server gives it; the fields are None of a deleted entry."""


class OwnedHandler(Protocol):
    """Who handles what is read. Everything here is synchronous: nothing waits between a read and
    the queues that it fills.
    """

    def arrived(self, stream: str, entries: Sequence[RawEntry]) -> None:
        """New entries, in order."""

    def inherited(self, stream: str, entries: Sequence[RawEntry]) -> None:
        """Entries that were given to an owner before, or to us in a reply that was lost."""

    def known(self, stream: str) -> set[bytes]:
        """The ids that have arrived and are not acknowledged yet."""

    def free(self) -> int:
        """How many more may arrive."""

    def is_wanted(self, stream: str) -> bool:
        """Whether a stream may be read now."""


class _Unused:
    """The handler of entries with leases of their own, which there are none of here."""

    async def handle(self, batch: Any) -> None:
        raise NotImplementedError

    async def bury(self, delivery: Any, reason: str) -> None:
        raise NotImplementedError

    def lost(self, keys: Any) -> None:
        raise NotImplementedError

    async def finish(self) -> None:
        """Nothing is held per entry."""


class OwnedRouter(Router):
    """Reads what is assigned to it, for one group. A component: `run` until `drain`."""

    def __init__(
        self,
        name: str,
        connection: Connection,
        store: Store,
        group: str,
        handler: OwnedHandler,
        settings: RouterSettings,
    ) -> None:
        super().__init__(name, connection, store, [], group, _Unused(), settings)
        self._owned_handler = handler
        self._joining: dict[str, asyncio.Future[None]] = {}
        self._reading = False
        self._reads = 0
        self._swept_at = 0.0

    # -- the set of streams

    async def assign(self, stream: str) -> None:
        """Read this stream too. Returns when what was pending there has been taken over.

        Raises:
            ServerUnavailable: The router was drained meanwhile.
        """
        if stream in self.streams:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._joining[stream] = done
        await self._interrupt()
        await done

    async def revoke(self, stream: str) -> None:
        """Read this stream no more. Returns when no read of it is under way."""
        waiting = self._joining.pop(stream, None)
        if waiting is not None and not waiting.done():
            waiting.cancel()
        if stream in self.streams:
            self.streams.remove(stream)
            reads = self._reads
            while self._reading and reads == self._reads:
                await self._interrupt()
                await asyncio.sleep(0.005)

    def freed(self) -> None:
        """Entries were acknowledged: there may be room to read."""
        self._room.set()

    async def _interrupt(self) -> None:
        """End a blocked read as if its time was up."""
        self._room.set()
        if self._reading and self._reader is not None:
            try:
                await self._connection.transport.unblock(self._reader)
            except HotMeshError as exc:
                log.debug("unblock.failed", router=self.name, error=str(exc))

    # -- component

    async def run(self, started: asyncio.Event) -> None:
        """Read until drained."""
        silence_s = self.settings.block_ms / 1000 + SILENCE_S
        self._reader = await self._connection.reader(silence_s=silence_s)
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read_all(started), name=f"{self.name}.read")
                await self._draining.wait()
                await self._unblock(reading)
        finally:
            await self._reader.close()
            for waiting in self._joining.values():
                if not waiting.done():
                    waiting.set_exception(ServerUnavailable("this process is stopping"))

    async def _read_all(self, started: asyncio.Event) -> None:
        failures = 0
        started.set()
        while not self._draining.is_set():
            try:
                if self._history:
                    await self._look_back()
                elif self._joining:
                    await self._join()
                elif self._sweep_is_due():
                    await self._sweep_owned()
                elif not self._wanted():
                    await self._wait()
                else:
                    await self._read_owned()
                failures = 0
            except HotMeshError as exc:
                failures += 1
                await self._recover(exc, failures)

    async def _wait(self) -> None:
        self._room.clear()
        if not self._joining and not self._wanted():
            await self._room.wait()

    def _wanted(self) -> list[str]:
        """The streams that may be read now."""
        if self.paused or self._owned_handler.free() <= 0:
            return []
        return [stream for stream in self.streams if self._owned_handler.is_wanted(stream)]

    async def _read_owned(self) -> None:
        assert self._reader is not None
        streams = self._wanted()
        free = min(self._owned_handler.free(), self.settings.batch_max)
        command: list[Any] = ["XREADGROUP", "GROUP", self.group, self.consumer]
        command += ["COUNT", max(1, free // len(streams)), "BLOCK", self.settings.block_ms]
        self._reading = True
        try:
            reply = await self._reader.execute(*command, "STREAMS", *streams, *[">"] * len(streams))
        except ServerUnavailable:
            self._history = True  # a lost reply may have left entries in our pending list
            raise
        finally:
            self._reading = False
            self._reads += 1
        for name, entries in reply or ():
            # What came of a stream that was revoked meanwhile stays pending, for its next owner.
            if (stream := name.decode()) in self.streams:
                self._owned_handler.arrived(stream, entries)

    async def _join(self) -> None:
        for stream in list(self._joining):
            await leases.create_group(self._store, stream, self.group)
            await self._take_over(stream)
            done = self._joining.pop(stream, None)
            if done is None:  # revoked meanwhile
                continue
            self.streams.append(stream)
            if not done.done():
                done.set_result(None)

    def _sweep_is_due(self) -> bool:
        return bool(self.streams) and time.monotonic() - self._swept_at > SWEEP_S

    async def _sweep_owned(self) -> None:
        """Entries that were given to another in the moment when the stream changed hands: a read
        that the owner before had sent just then.
        """
        self._swept_at = time.monotonic()
        for stream in list(self.streams):
            held = await self._store.transport.execute("XPENDING", stream, self.group)
            consumers = [name.decode() for name, _ in held[3] or ()]
            if any(name != self.consumer for name in consumers):
                log.warning("entries.stray", stream=stream, consumers=consumers)
                await self._take_over(stream)

    async def _look_back(self) -> None:
        """Find entries that were given to us in a reply that never came."""
        for stream in list(self.streams):
            await self._take_over(stream)
        self._history = False

    async def _take_over(self, stream: str) -> None:
        """Everything that is pending in the group is ours: the oldest first."""
        cursor = b"0-0"
        while True:
            command = ("XAUTOCLAIM", stream, self.group, self.consumer, 0, cursor)
            reply = await self._store.transport.execute(*command, "COUNT", CLAIM_PAGE)
            cursor = reply[0]
            known = self._owned_handler.known(stream)
            found = [e for e in reply[1] if e is not None and e[0] is not None]
            fresh = [e for e in found if e[0] not in known]
            if fresh and stream in (*self.streams, *self._joining):
                self._owned_handler.inherited(stream, fresh)
            if cursor == b"0-0":
                break
        for consumer in await leases.consumers(self._store, stream, self.group):
            if consumer.name != self.consumer:
                await leases.retire(self._store, stream, self.group, consumer.name)

    async def forget(self) -> None:
        """This consumer, where it holds nothing any more."""
        for stream in self.streams:
            await leases.retire(self._store, stream, self.group, self.consumer)
