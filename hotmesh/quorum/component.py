"""The quorum service: it watches the fleet, says what has changed, and keeps house.

It decides nothing that another one could decide otherwise, so it needs no leader: none, one or many
may run.
"""

from __future__ import annotations

import asyncio
import random

from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.quorum.duties import Duties
from hotmesh.quorum.roll import beats, judged
from hotmesh.quorum.watch import ALARMS, Seen, changes, look
from hotmesh.store import GROUP_WORKER, Plans, Store
from hotmesh.store.fleet import stream_facts

log = get_logger("hotmesh.quorum")

LOOK_S = 3.0
"""How often the fleet is looked at: as often as its members beat."""

DUTY_LOOKS = 5
"""Looks between two rounds of duties."""


_NOBODY = Seen(members={}, unserved={}, has_engine=True)
"""Before the first look. What is missing then is said."""


class Quorum:
    """Watches one app until drained. A component."""

    name = "quorum"

    def __init__(self, store: Store, plans: Plans) -> None:
        self._store, self._duties = store, Duties(store, plans)
        self._draining = asyncio.Event()
        self._seen: Seen | None = None
        self._topics: set[str] = set()

    def drain(self) -> None:
        """Stop watching. Idempotent."""
        self._draining.set()

    async def run(self, started: asyncio.Event) -> None:
        """Look, and look again, until drained."""
        started.set()
        looks = random.randrange(DUTY_LOOKS)  # several of them should not do the same at once
        while not self._draining.is_set():
            try:
                if looks % DUTY_LOOKS == 0 or self._seen is None:
                    self._topics = await self._duties.topics()
                await self.look()
                if looks % DUTY_LOOKS == 0:
                    await self.keep_house()
                looks += 1
            except HotMeshError as exc:
                log.warning("watch.failed", error=str(exc))
            try:
                pause_s = LOOK_S * random.uniform(0.8, 1.2)
                await asyncio.wait_for(self._draining.wait(), pause_s)
            except TimeoutError:
                pass

    async def look(self) -> None:
        """See how the fleet is, and say what has changed."""
        members = [judged(m, self._store.clock.now_ms()) for m in await beats(self._store)]
        topics = sorted(self._topics | {topic for m in members for topic in m.topics})
        depths = await self._depths(topics)
        seen = look(members, depths)
        for change in changes(self._seen or _NOBODY, seen):
            tell = log.warning if change.what in ALARMS else log.info
            tell(change.what, **change.facts)
        self._seen = seen

    async def keep_house(self) -> None:
        """One round of duties."""
        members = (self._seen or _NOBODY).members.values()
        known = self._topics | {topic for m in members for topic in m.topics}
        done = await self._duties.run(known)
        if done.members or done.consumers or done.entries:
            log.info(
                "house.kept",
                members_forgotten=done.members,
                consumers_retired=done.consumers,
                entries_dropped=done.entries,
            )

    async def _depths(self, topics: list[str]) -> dict[str, int]:
        partitions = self._store.keys.partitions
        streams = [(p.worker(topic), GROUP_WORKER) for topic in topics for p in partitions]
        facts = await stream_facts(self._store, streams)
        size = len(partitions)
        return {
            topic: sum(f.depth for f in facts[number * size : (number + 1) * size])
            for number, topic in enumerate(topics)
        }
