"""Now and then one engine of the fleet looks for plans that nothing needs any more."""

from __future__ import annotations

import asyncio
import random

from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.store import Store
from hotmesh.store.collect import collect

log = get_logger("hotmesh.engine")

EVERY_S = 300.0
"""How often the fleet looks: one engine at a time, and only if there are old versions at all."""


async def run(store: Store, kept: int) -> None:
    """Until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S * random.uniform(0.5, 1.5))
        try:
            # Held until it runs out: that is what keeps the others from looking again.
            mine = await store.transport.execute(
                "SET", store.keys.collecting, "1", "NX", "PX", int(EVERY_S * 1000)
            )
            if mine:
                await collect(store, kept=kept)
        except HotMeshError as exc:
            log.warning("plans.not_collected", error=str(exc))
