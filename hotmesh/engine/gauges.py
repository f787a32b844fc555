"""What an engine reads of its app for whoever measures: streams, timers, dead letters, the server.

Nothing is read while nobody collects.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from hotmesh.connect import ReplyError
from hotmesh.errors import AppNotFound, HotMeshError
from hotmesh.log import get_logger
from hotmesh.store import Plans, Store
from hotmesh.store.fleet import StreamFacts, stream_facts, work_streams
from hotmesh.telemetry import gauges, metrics

log = get_logger("hotmesh.engine")

READ_S = 10.0
"""Between two readings: about as often as they are collected."""


class Gauges:
    """Reads until cancelled."""

    def __init__(self, store: Store, plans: Plans) -> None:
        self._store, self._plans = store, plans
        self._board = gauges.Board()

    async def run(self) -> None:
        """Read, and read again."""
        try:
            while True:
                if gauges.is_measured():
                    try:
                        await self.read()
                    except HotMeshError as exc:
                        self._board.close()  # what is old would look well
                        log.warning("gauges.failed", error=str(exc))
                await asyncio.sleep(READ_S * random.uniform(0.8, 1.2))
        finally:
            self._board.close()

    async def read(self) -> None:
        """Read once."""
        facts = await stream_facts(self._store, work_streams(self._store, await self._topics()))
        readings = _streams(self._store, facts)
        readings.update(await self._rest())
        self._board.readings = readings

    async def _topics(self) -> list[str]:
        """The worker topics of the active version."""
        try:
            program = await self._plans.active(refresh=True)
        except AppNotFound:
            return []
        activities = [a for g in program.plan.graphs.values() for a in g.activities.values()]
        named = {a.topic for a in activities if a.type == "worker" and isinstance(a.topic, str)}
        return sorted(t for t in named if t and "{" not in t)

    async def _rest(self) -> dict[str, dict[str, float]]:
        partitions = self._store.keys.partitions
        commands: list[tuple[Any, ...]] = [("INFO", "memory")]
        for partition in partitions:
            commands += [
                ("ZCARD", partition.timers),
                ("XLEN", partition.dead),
                ("ZRANGE", partition.timers, 0, 0, "WITHSCORES"),
            ]
        began = time.perf_counter()
        info, *replies = await self._store.transport.execute_many(commands)
        rtt_s = time.perf_counter() - began
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply
        now_ms = self._store.clock.now_ms()
        due = [float(first[1]) for first in replies[2::3] if first]
        late_s = max([0.0, *((now_ms - at) / 1000 for at in due)])
        return {
            metrics.TIMERS: {"": sum(replies[0::3])},
            metrics.DEAD: {"": sum(replies[1::3])},
            metrics.LATE: {"": late_s},
            metrics.RTT: {"": rtt_s},
            **_memory(info),
        }


def _streams(store: Store, facts: list[StreamFacts]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    names = {p.engine: "engine" for p in store.keys.partitions}
    names |= {p.outbox: "outbox" for p in store.keys.partitions}
    for fact in facts:
        name = names.get(fact.stream) or fact.stream.partition("}:s:")[2]
        for metric, value in (
            (metrics.DEPTH, fact.depth),
            (metrics.LAG, max(0, fact.lag)),
            (metrics.PENDING, fact.pending),
        ):
            series = found.setdefault(metric, {})
            series[name] = series.get(name, 0) + value
        oldest = found.setdefault(metrics.OLDEST, {})
        oldest[name] = max(oldest.get(name, 0.0), fact.oldest_ms / 1000)
    return found


def _memory(info: Any) -> dict[str, dict[str, float]]:
    """What INFO says of memory; nothing where it may not be asked."""
    if not isinstance(info, bytes):
        return {}
    facts = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
    used, limit = int(facts.get("used_memory", 0)), int(facts.get("maxmemory", 0))
    found: dict[str, dict[str, float]] = {metrics.MEMORY: {"": used}}
    if limit:
        found[metrics.MEMORY_RATIO] = {"": used / limit}
    return found
