"""A worker's own streams: it says that it lives, and what a gone worker had is given to all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.router.member import is_dead
from hotmesh.store import Store
from hotmesh.store.runs import Runs

log = get_logger("hotmesh.durable")

SWEEP_S = 0.5
"""How often the others are looked at."""


class Keeper:
    """A component: lives until drained, and leaves nothing behind."""

    def __init__(self, store: Store, name: str, queues: Sequence[str], ttl_ms: int) -> None:
        self.name = "keeper"
        self._store, self._runs = store, Runs(store)
        self._keeper, self._queues, self._ttl_ms = name, list(queues), ttl_ms
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Leave. Idempotent."""
        self._draining.set()

    async def run(self, started: asyncio.Event) -> None:
        """Until drained: then everything that came for this worker goes to the others."""
        await self._live()
        for queue in self._queues:
            await self._runs.join(queue, self._keeper, self._store.clock.now_ms())
        started.set()
        loop = asyncio.get_running_loop()
        told = loop.time()
        while not self._draining.is_set():
            try:
                await asyncio.wait_for(self._draining.wait(), SWEEP_S * random.uniform(0.7, 1.3))
                break
            except TimeoutError:
                pass
            try:
                if loop.time() - told >= self._ttl_ms / 3000:
                    await self._live()
                    told = loop.time()
                await self._sweep()
            except HotMeshError as exc:
                log.warning("keeper.failed", error=str(exc))
        await self._leave()

    async def _live(self) -> None:
        await self._runs.live(self._store.keys.partitions, self._keeper, self._ttl_ms)

    async def _sweep(self) -> None:
        for partition in self._store.keys.partitions:
            for queue in self._queues:
                for other in await self._runs.keepers(partition, queue):
                    if other == self._keeper:
                        continue
                    moved = await self._runs.rehome(partition, queue, other, dead=is_dead(other))
                    if moved > 0:
                        log.info("keeper.rehomed", queue=queue, worker=other, entries=moved)
                    if moved == 0:
                        await self._runs.forget(partition, queue, other)

    async def _leave(self) -> None:
        try:
            for partition in self._store.keys.partitions:
                for queue in self._queues:
                    while await self._runs.rehome(partition, queue, self._keeper, dead=True) > 0:
                        pass
                    await self._runs.forget(partition, queue, self._keeper)
        except HotMeshError as exc:
            log.warning("keeper.failed", error=str(exc))
