"""Entries for other partitions: from the outbox of their own to the other's engine stream.

They are read as any work is, through a consumer group, so one engine forwards an entry, and a
sibling does when that one dies. A crash
in between appends again: every receiver is idempotent (a job id that exists, a leg that is closed,
    a signal that was seen).
"""

from __future__ import annotations

from typing import Any

from hotmesh.connect import Connection
from hotmesh.errors import HotMeshError
from hotmesh.router import Delivery, Key, Router, RouterSettings
from hotmesh.store import GROUP_ENGINE, Entry, Store
from hotmesh.store.dead import bury_op


class Outbox:
    """Forwards what partitions of an app have for each other."""

    def __init__(self, connection: Connection, store: Store, settings: RouterSettings) -> None:
        self._store = store
        streams = [p.outbox for p in store.keys.partitions]
        self.router = Router("outbox", connection, store, streams, GROUP_ENGINE, self, settings)

    async def handle(self, batch: list[Delivery]) -> None:
        """Append a batch to the streams that it is for, then settle it."""
        partitions = self._store.keys.partitions
        commands: list[tuple[Any, ...]] = []
        for delivery in batch:
            if not 0 <= delivery.to < len(partitions):
                await self.bury(delivery, f"there is no partition {delivery.to}")
                continue
            extra = ("d", delivery.extra) if delivery.extra is not None else ()
            stream = partitions[delivery.to].engine
            commands.append(("XADD", stream, "*", "p", delivery.payload, *extra))
        for reply in await self._store.transport.execute_many(commands):
            if isinstance(reply, HotMeshError):
                raise reply
        by_stream: dict[str, list[bytes]] = {}
        for delivery in batch:
            by_stream.setdefault(delivery.stream, []).append(delivery.id)
        for name, ids in by_stream.items():
            await self._store.acknowledge(Entry(name, GROUP_ENGINE, tuple(ids)))
        self.router.done(d.key for d in batch)

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Into the dead letters of the partition that it lies in."""
        partition = next(p for p in self._store.keys.partitions if p.outbox == delivery.stream)
        op = bury_op(
            3,
            delivery.payload or b"",
            reason=reason,
            stream=delivery.stream,
            job="",
            deliveries=delivery.count,
        )
        entry = Entry(delivery.stream, GROUP_ENGINE, (delivery.id,))
        await self._store.answer(entry, self.router.consumer, [op], [partition.dead])
        self.router.done([delivery.key])

    def lost(self, keys: set[Key]) -> None:
        """Nothing to cancel: a batch is forwarded in one go."""

    async def finish(self) -> None:
        """Batches are forwarded before the next read, so none is left."""
