"""The engine as a component: a router over the engine streams, the timers, and the outbox."""

from __future__ import annotations

import asyncio
import time

import msgspec

from hotmesh.connect import Connection
from hotmesh.engine import collector, cron
from hotmesh.engine.arrival import Arrival
from hotmesh.engine.gauges import Gauges
from hotmesh.engine.handle import Engine
from hotmesh.engine.outbox import Outbox
from hotmesh.engine.sweep import run_sweep
from hotmesh.engine.timers import Timers
from hotmesh.errors import AppNotFound, HotMeshError
from hotmesh.log import get_logger
from hotmesh.messages import ChildStart, decode_engine_entry, decode_signal, is_of_another_release
from hotmesh.router import Delivery, Key, Router, RouterSettings
from hotmesh.store import GROUP_ENGINE, Entry, Store, Verdict
from hotmesh.store.dead import bury_op
from hotmesh.telemetry.metrics import Metrics

log = get_logger("hotmesh.engine")


class EngineHandler:
    """Gives the router's batches to the engine."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics
        self.router: Router | None = None

    async def handle(self, batch: list[Delivery]) -> None:
        """Apply a batch; what could not be settled is read again, or left for the lease."""
        assert self.router is not None
        arrivals, by_key = [], {}
        for delivery in batch:
            try:
                event = decode_engine_entry(delivery.payload or b"")
                if delivery.extra is not None:
                    event = msgspec.structs.replace(event, signal=decode_signal(delivery.extra))
            except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as exc:
                await self._unreadable(delivery, str(exc))
                continue
            # A child's start is guarded by its id alone, which is free again once the record has
            # expired.
            consumer = self.router.consumer if isinstance(event, ChildStart) else ""
            arrivals.append(Arrival(delivery.stream, GROUP_ENGINE, delivery.id, event, consumer))
            by_key[delivery.key] = delivery
        began = time.perf_counter()
        try:
            settled = await self._engine.handle(arrivals)
        except HotMeshError:
            self.router.retry(by_key.values())
            raise
        self._metrics.transition_duration.record(time.perf_counter() - began)
        self._metrics.batch_size.record(len(arrivals))
        for key, reason in settled.failed.items():
            log.warning("entry.left", stream=key[0], entry=key[1], reason=reason)
        self.router.done(by_key)

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Into the dead letters. The job of an engine entry stays as it is: a person decides."""
        assert self.router is not None
        store = self._engine.store
        partition = next(p for p in store.keys.partitions if p.engine == delivery.stream)
        job = ""
        try:
            job = decode_engine_entry(delivery.payload or b"").jid
        except (msgspec.DecodeError, ValueError, RecursionError):
            pass  # an entry that can't be read names no job
        op = bury_op(
            3,
            delivery.payload or b"",
            reason=reason,
            stream=delivery.stream,
            job=job,
            deliveries=delivery.count,
            extra=delivery.extra,
        )
        entry = Entry(delivery.stream, GROUP_ENGINE, (delivery.id,))
        verdict = await store.answer(entry, self.router.consumer, [op], [partition.dead])
        if verdict is Verdict.APPLIED:
            self._metrics.dead_lettered.add(1, {"stream": "engine"})
        self.router.done([delivery.key])

    def lost(self, keys: set[Key]) -> None:
        """Nothing to cancel: a transition is decided and applied in one go, and the revision
        guards it.
        """

    async def finish(self) -> None:
        """Batches are handled before the next read, so none is left."""

    async def _unreadable(self, delivery: Delivery, reason: str) -> None:
        """Garbage goes to the dead letters at once; a format of a newer release is left for who
        can read it.
        """
        assert self.router is not None
        if is_of_another_release(delivery.payload, delivery.extra):
            log.warning("entry.format_unknown", entry=delivery.id, reason=reason)
            self.router.done([delivery.key])
            return
        try:
            await self.bury(delivery, f"undecodable: {reason}")
        except HotMeshError as exc:
            log.warning("entry.bury_failed", entry=delivery.id, error=str(exc))
            self.router.retry([delivery])


class EngineComponent:
    """Runs an engine until drained."""

    name = "engine"

    def __init__(
        self,
        connection: Connection,
        store: Store,
        engine: Engine,
        settings: RouterSettings,
        metrics: Metrics,
        *,
        versions_kept: int = 1,
    ) -> None:
        self._engine, self._store, self._kept = engine, store, versions_kept
        handler = EngineHandler(engine, metrics)
        streams = [p.engine for p in store.keys.partitions]
        self.router = Router("engine", connection, store, streams, GROUP_ENGINE, handler, settings)
        handler.router = self.router
        self._timers = Timers(connection, store, metrics)
        self._gauges = Gauges(store, engine.plans)
        self._outbox = Outbox(connection, store, engine.plans, settings)

    async def _arm(self) -> None:
        """Graphs that start by themselves: whoever activated their version may have died before
        it set their timers.
        """
        try:
            await cron.arm(self._engine, await self._engine.plans.active())
        except AppNotFound:
            pass  # nothing is active yet; activation arms
        except HotMeshError as exc:
            log.warning("cron.not_armed", error=str(exc))

    def drain(self) -> None:
        """Stop reading; idempotent."""
        self.router.drain()

    async def run(self, started: asyncio.Event) -> None:
        """Until drained and nothing is in hand."""
        await self._arm()
        async with asyncio.TaskGroup() as tasks:
            side = [
                tasks.create_task(self._timers.run(), name="engine.timers"),
                tasks.create_task(collector.run(self._store, self._kept), name="engine.collector"),
                tasks.create_task(run_sweep(self._store), name="engine.sweep"),
                tasks.create_task(self._gauges.run(), name="engine.gauges"),
            ]
            forwarding = asyncio.Event()
            tasks.create_task(self._outbox.run(forwarding), name="engine.outbox")
            await forwarding.wait()
            await self.router.run(started)
            self._outbox.drain()
            for task in side:
                task.cancel()
        await self.router.retire()
