"""Entries for other partitions. They lie in the outbox of their own until they have been appended
to the other's stream.

At least once: a crash in between appends again, and every receiver is idempotent (a job id that
exists, a leg that is closed).
"""

from __future__ import annotations

import asyncio

from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.store import Partition, Store

log = get_logger("hotmesh.engine")

BATCH_MAX = 200
IDLE_MS, FAILURE_PAUSE_MS = 20, 500


class Outbox:
    """Forwards what partitions of an app have for each other.

    Any number of engines may do it: the order does not matter.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                moved = sum([await self._forward(p) for p in self._store.keys.partitions])
            except HotMeshError as exc:
                log.warning("outbox.failed", error=str(exc))
                moved = 0
                await asyncio.sleep(FAILURE_PAUSE_MS / 1000)
            if not moved:
                await asyncio.sleep(IDLE_MS / 1000)

    async def _forward(self, partition: Partition) -> int:
        transport = self._store.transport
        rows = await transport.execute("XRANGE", partition.outbox, "-", "+", "COUNT", BATCH_MAX)
        if not rows:
            return 0
        appends = []
        for _, fields in rows:
            facts = {fields[i]: fields[i + 1] for i in range(0, len(fields), 2)}
            there = self._store.keys.partitions[int(facts[b"to"])]
            extra = ("d", facts[b"d"]) if b"d" in facts else ()
            appends.append(("XADD", there.engine, "*", "p", facts[b"p"], *extra))
        for reply in await transport.execute_many(appends):
            if isinstance(reply, HotMeshError):
                raise reply
        await transport.execute("XDEL", partition.outbox, *[r[0] for r in rows])
        return len(rows)
