"""Leases of one router: it extends those of what it holds, and claims what is abandoned: entries of
dead processes at once where that can be known, of silent ones after the lease.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any, Protocol

from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.router.delivery import Key
from hotmesh.router.member import is_dead
from hotmesh.store import Store, leases

log = get_logger("hotmesh.router")

FORGOTTEN_MS = 600_000
"""A consumer of another host that has not even asked for entries for so long is forgotten, if it
holds none.
"""

SWEEP_MS = 500
"""How often abandoned entries are looked for: a killed worker's move on after about this time."""


class Holder(Protocol):
    """The router that holds and claims."""

    name: str
    streams: list[str]
    group: str
    consumer: str
    held: set[Key]

    @property
    def lease_ms(self) -> int: ...

    def free(self) -> int:
        """How many entries it may take now."""

    async def take_claimed(self, stream: str, found: list[Any], owner: str) -> None:
        """Take what was claimed for it."""

    def lose(self, stream: str, keys: set[Key]) -> None:
        """These entries are another's by now."""


class Extend:
    """Renews the leases of what one router holds."""

    def __init__(self, store: Store, router: Holder) -> None:
        self._store, self._router = store, router

    async def run(self) -> None:
        """Three times per lease, until cancelled."""
        router = self._router
        while True:
            await asyncio.sleep(router.lease_ms / 3000)
            for stream, ids in by_stream(router.held).items():
                try:
                    lost = await leases.extend(
                        self._store, stream, router.group, router.consumer, ids
                    )
                except HotMeshError as exc:
                    log.warning("lease.extend_failed", stream=stream, error=str(exc))
                    continue
                if keys := {(stream, id) for id in lost} & router.held:
                    router.lose(stream, keys)


class Sweep:
    """Looks for abandoned entries, for one router."""

    def __init__(self, store: Store, router: Holder) -> None:
        self._store, self._router = store, router

    async def run(self) -> None:
        """Claim at boot, then again and again: the dead of this host by name, and what nobody
        has touched for a lease. Until cancelled.
        """
        while True:
            try:
                for stream in self._router.streams:
                    await self._claim_dead(stream)
                    await self._claim_idle(stream)
            except HotMeshError as exc:
                log.warning("sweep.failed", router=self._router.name, error=str(exc))
            await asyncio.sleep(SWEEP_MS / 1000 * random.uniform(0.7, 1.3))

    async def _claim_dead(self, stream: str) -> None:
        router = self._router
        for consumer in await leases.consumers(self._store, stream, router.group):
            if consumer.name == router.consumer:
                continue
            if not consumer.pending and consumer.idle_ms > FORGOTTEN_MS:
                await leases.retire(self._store, stream, router.group, consumer.name)
            if not is_dead(consumer.name):
                continue
            while free := router.free():
                found = await leases.claim_from(
                    self._store,
                    stream,
                    router.group,
                    router.consumer,
                    owner=consumer.name,
                    count=free,
                )
                if not found:
                    await leases.retire(self._store, stream, router.group, consumer.name)
                    break
                await router.take_claimed(stream, found, "dead")
                if not router.free():
                    return

    async def _claim_idle(self, stream: str) -> None:
        router = self._router
        if free := router.free():
            found = await leases.claim_idle(
                self._store,
                stream,
                router.group,
                router.consumer,
                idle_ms=router.lease_ms,
                count=free,
            )
            if found:
                await router.take_claimed(stream, found, "silent")


def by_stream(keys: Iterable[Key]) -> dict[str, list[bytes]]:
    """Entry ids of each stream."""
    found: dict[str, list[bytes]] = {}
    for stream, id in keys:
        found.setdefault(stream, []).append(id)
    return found
