"""Housekeeping that needs no leader: every duty is a script that looks before it acts, so any
number of quorum services may do it at once, and one that is killed leaves nothing half done.

Members that are gone for long are forgotten, with their throttles; consumers that hold nothing and
have asked for nothing for long are removed from their groups; settled entries that a cut left in a
work stream are dropped.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from hotmesh.errors import FormatUnknown, VersionNotFound
from hotmesh.quorum.roll import judged, records
from hotmesh.quorum.throttle import scope
from hotmesh.router.lease import FORGOTTEN_MS
from hotmesh.router.member import is_dead
from hotmesh.store import Plans, Store, fleet, leases

FORGET_MS = 600_000
"""A member that nobody has heard of for so long is forgotten. Were it alive after all, its next
beat would bring it back.
"""

VERSIONS_MAX = 100
"""Versions whose topics are looked after, the last ones first."""


class Done(Struct, frozen=True, kw_only=True):
    """What one round of duties has changed."""

    members: int = 0
    consumers: int = 0
    entries: int = 0


class Duties:
    """The duties of one app."""

    def __init__(self, store: Store, plans: Plans) -> None:
        self._store, self._plans = store, plans
        self._topics: dict[str, tuple[str, ...]] = {}  # of each version

    async def run(self, topics: Collection[str]) -> Done:
        """One round.

        Args:
            topics: Worker topics whose streams exist or may exist.
        """
        members = await self._forget_members()
        consumers = entries = 0
        for stream, group in fleet.work_streams(self._store, sorted(topics)):
            consumers += await self._retire_consumers(stream, group)
            entries += await fleet.trim(self._store, stream, group)
        return Done(members=members, consumers=consumers, entries=entries)

    async def topics(self) -> set[str]:
        """The worker topics of the deployed versions, as far as this release reads them."""
        versions = (await self._plans.versions())[-VERSIONS_MAX:]
        for version in versions:
            if version not in self._topics:
                self._topics[version] = await self._topics_of(version)
        return {topic for version in versions for topic in self._topics[version]}

    async def _topics_of(self, version: str) -> tuple[str, ...]:
        try:
            plan = await self._plans.plan(version)
        except (FormatUnknown, VersionNotFound):
            return ()  # of a newer release, or dropped meanwhile
        activities = [a for graph in plan.graphs.values() for a in graph.activities.values()]
        return tuple({a.topic for a in activities if a.type == "worker" and a.topic})

    async def _forget_members(self) -> int:
        count = 0
        for profile, data in await records(self._store):
            now_ms = self._store.clock.now_ms()
            is_gone = judged(profile, now_ms).state == "dead"
            if is_gone or now_ms - profile.seen_ms > FORGET_MS:
                own = scope(None, profile.guid)
                count += await fleet.forget_member(self._store, profile.guid, data, own)
        return count

    async def _retire_consumers(self, stream: str, group: str) -> int:
        count = 0
        for consumer in await leases.consumers(self._store, stream, group):
            if consumer.pending:
                continue  # a router claims what it holds, and retires it then
            if consumer.idle_ms > FORGOTTEN_MS or is_dead(consumer.name):
                count += await leases.retire(self._store, stream, group, consumer.name)
        return count
