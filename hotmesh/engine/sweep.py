"""Takes expired runs out of the indexes. Any number of engines may do it: what is gone is gone."""

from __future__ import annotations

import asyncio

from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.store import Store
from hotmesh.store.run_index import SWEEP_MAX, sweep

log = get_logger("hotmesh.engine")

PAUSE_MS_MIN, PAUSE_MS_MAX = 200, 5_000


async def run_sweep(store: Store) -> None:
    """Until cancelled; it sleeps until the next record expires, at most five seconds."""
    while True:
        try:
            pause_ms = await sweep_all(store)
        except HotMeshError as exc:
            log.warning("sweep.failed", error=str(exc))
            pause_ms = PAUSE_MS_MAX
        await asyncio.sleep(max(pause_ms, PAUSE_MS_MIN) / 1000)


async def sweep_all(store: Store) -> int:
    """Sweep every partition once; milliseconds until there is more to do."""
    pause_ms = PAUSE_MS_MAX
    for partition in store.keys.partitions:
        due, next_ms = await sweep(store, partition, store.clock.now_ms())
        if due == SWEEP_MAX:
            pause_ms = 0
        elif next_ms >= 0:
            pause_ms = min(pause_ms, next_ms)
    return pause_ms
