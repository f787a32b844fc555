"""Due timers → the engine stream. Sleeps until the next one is due; told when an earlier one is
set.

Any number of engines may do this: a timer is moved by one script, once.
"""

from __future__ import annotations

import asyncio

from hotmesh.connect import Connection
from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.store import Partition, Store
from hotmesh.telemetry.metrics import Metrics

log = get_logger("hotmesh.engine")

SLEEP_MS_MAX = 5_000
"""A look at the clock even when nothing is due: the hint of an earlier timer may have been lost."""

POP_MAX = 500
FAILURE_PAUSE_MS = 500


class Timers:
    """Fires the timers of every partition of an app."""

    def __init__(self, connection: Connection, store: Store, metrics: Metrics) -> None:
        self._connection, self._store, self._metrics = connection, store, metrics
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; between two timers it costs nothing."""
        subscription = None
        self._store.clock.skipped.append(self._changed.set)
        try:
            while True:
                try:
                    if subscription is None:
                        subscription = await self._connection.bus.subscribe(
                            self._store.keys.wake, self._wake
                        )
                    self._changed.clear()
                    wait_ms = await self._fire()
                except HotMeshError as exc:
                    log.warning("timers.failed", error=str(exc))
                    wait_ms = FAILURE_PAUSE_MS
                try:
                    await asyncio.wait_for(self._changed.wait(), wait_ms / 1000)
                except TimeoutError:
                    pass
        finally:
            self._store.clock.skipped.remove(self._changed.set)
            if subscription is not None:
                await subscription.unsubscribe()

    def _wake(self, channel: bytes, payload: bytes) -> None:
        self._changed.set()

    async def _fire(self) -> int:
        """Fire what is due; milliseconds until there is more to do."""
        waits = [await self._fire_partition(p) for p in self._store.keys.partitions]
        return min([SLEEP_MS_MAX, *(w for w in waits if w >= 0)])

    async def _fire_partition(self, partition: Partition) -> int:
        while True:
            moved, next_ms = await self._store.pop_due(partition, POP_MAX)
            if moved:
                self._metrics.timers_fired.add(moved)
            if moved < POP_MAX:
                return next_ms
