"""Entries for other partitions and other apps: from the outbox of their own to the other's engine
stream.

They are read as any work is, through a consumer group, so one engine forwards an entry, and a
sibling does when that one dies. A crash in between appends again: every receiver is idempotent (a
job id that exists, a leg that is closed, a signal that was seen, an admission with its receipt).

An app with one partition has an outbox once it has to do with another app, so its engines look for
one now and then, and begin to read when there is one.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from msgspec import Raw

from hotmesh.connect import Connection, ReplyError
from hotmesh.core.state import encode_value
from hotmesh.errors import AppNotFound, HotMeshError
from hotmesh.log import get_logger
from hotmesh.messages import Reply, Visit, decode_engine_entry, encode_entry
from hotmesh.router import Delivery, Key, Router, RouterSettings
from hotmesh.store import GROUP_ENGINE, Entry, Keys, Plans, Store, partitions_of
from hotmesh.store.dead import bury_op

log = get_logger("hotmesh.engine")

LOOK_S = 5.0
"""How often an engine of an app with one partition looks whether a sibling has begun an outbox."""


class Outbox:
    """Forwards what partitions and apps have for each other."""

    def __init__(
        self, connection: Connection, store: Store, plans: Plans, settings: RouterSettings
    ) -> None:
        self._store, self._plans = store, plans
        self._draining = False
        self._wake = asyncio.Event()
        plans.on_abroad.append(self._wake.set)
        streams = [p.outbox for p in store.keys.partitions]
        self.router = Router("outbox", connection, store, streams, GROUP_ENGINE, self, settings)

    async def run(self, started: asyncio.Event) -> None:
        """Forward until drained; with one partition, from when there is something to forward."""
        if len(self._store.keys.partitions) > 1 or await self._exists():
            await self.router.run(started)
            return
        started.set()
        while not self._draining:
            if self._plans.is_abroad or await self._exists():
                await self.router.run(asyncio.Event())
                return
            try:
                await asyncio.wait_for(self._wake.wait(), LOOK_S)
            except TimeoutError:
                pass

    def drain(self) -> None:
        """Stop reading. Idempotent."""
        self._draining = True
        self._wake.set()
        self.router.drain()

    async def _exists(self) -> bool:
        try:
            stream = self._store.keys.partitions[0].outbox
            return bool(await self._store.transport.execute("EXISTS", stream))
        except HotMeshError as exc:
            log.warning("outbox.not_found_out", error=str(exc))
            return False

    async def handle(self, batch: list[Delivery]) -> None:
        """Append a batch to the streams that it is for, then settle it."""
        apps = {app: await self._app(app) for app in {d.app for d in batch if d.app}}
        commands: list[tuple[Any, ...]] = []
        for delivery in batch:
            try:
                stream, payload = self._address(delivery, apps)
            except (msgspec.DecodeError, ValueError, RecursionError) as exc:
                await self.bury(delivery, f"can't be forwarded: {exc}")
                continue
            extra = ("d", delivery.extra) if delivery.extra is not None else ()
            commands.append(("XADD", stream, "*", "p", payload, *extra))
        for reply in await self._store.transport.execute_many(commands):
            if isinstance(reply, HotMeshError):
                raise reply
        by_stream: dict[str, list[bytes]] = {}
        for delivery in batch:
            by_stream.setdefault(delivery.stream, []).append(delivery.id)
        for name, ids in by_stream.items():
            await self._store.acknowledge(Entry(name, GROUP_ENGINE, tuple(ids)))
        self.router.done(d.key for d in batch)

    def _address(self, delivery: Delivery, apps: dict[str, Keys | None]) -> tuple[str, bytes]:
        """The stream that an entry is for, and the entry.

        Raises:
            ValueError: It is for a partition that does not exist.
            DecodeError, RecursionError: What is for another app can't be read.
        """
        partitions, payload = self._store.keys.partitions, delivery.payload or b""
        if not delivery.app:
            if not 0 <= delivery.to < len(partitions):
                raise ValueError(f"there is no partition {delivery.to}")
            return partitions[delivery.to].engine, payload
        there, entry = apps[delivery.app], decode_engine_entry(payload)
        if there is not None:
            return there.of(entry.jid).engine, payload
        if not isinstance(entry, Visit) or entry.start.origin is None:
            raise ValueError(f"there is no app {delivery.app!r}")
        return self._refused(entry, AppNotFound(delivery.app))

    def _refused(self, visit: Visit, exc: HotMeshError) -> tuple[str, bytes]:
        """What the activity gets that asked for a job where nothing can run."""
        start = visit.start
        assert start.origin is not None
        data = Raw(encode_value({"message": str(exc), "code": exc.code}))
        where = (start.parent_jid, start.parent_aid, start.parent_dad, start.origin[1])
        refusal = Reply(*where, "error", exc.code, data, f"{start.jid}:refused", trace=start.trace)
        return self._store.keys.of(start.parent_jid).engine, encode_entry(refusal)

    async def _app(self, app_id: str) -> Keys | None:
        """The keys of another app; None for one in which nothing was ever active."""
        namespace, transport = self._store.keys.namespace, self._store.transport
        count = await partitions_of(transport, Keys(namespace, app_id).app, None)
        keys = Keys(namespace, app_id, count)
        active = await transport.execute("EXISTS", keys.partitions[0].version)
        if isinstance(active, ReplyError):
            raise active
        return keys if active else None

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
            extra=delivery.extra,
            to=f"@{delivery.app}" if delivery.app else str(delivery.to) if delivery.to >= 0 else "",
        )
        entry = Entry(delivery.stream, GROUP_ENGINE, (delivery.id,))
        await self._store.answer(entry, self.router.consumer, [op], [partition.dead])
        self.router.done([delivery.key])

    def lost(self, keys: set[Key]) -> None:
        """Nothing to cancel: a batch is forwarded in one go."""

    async def finish(self) -> None:
        """Batches are forwarded before the next read, so none is left."""
