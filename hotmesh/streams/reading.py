"""One agent in this process: its reader, and its parts in the partitions that are held here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hotmesh.router.loop import RouterSettings
from hotmesh.router.owned import OwnedRouter, RawEntry
from hotmesh.streams.part import AgentPart, Source

if TYPE_CHECKING:
    from hotmesh.streams.agent import Agent
    from hotmesh.streams.client import Client

CAPACITY = 2_000
"""Entries of one agent that are in this process: read, and not acknowledged yet."""

BATCH_MAX = 500


class Reading:
    """The handler of the agent's `OwnedRouter`."""

    def __init__(
        self, agent: Agent, client: Client, lease_ms: int, is_valid: Callable[[], bool]
    ) -> None:
        self.agent = agent
        self._parts: dict[str, tuple[AgentPart, Source]] = {}
        self._is_valid = is_valid
        settings = RouterSettings(
            capacity=CAPACITY,
            batch_max=BATCH_MAX,
            lease_ms=lease_ms,
            # A read that a frozen process left behind must end before its lease does.
            block_ms=max(50, min(2_000, lease_ms // 4)),
        )
        self.router = OwnedRouter(
            f"agent.{agent.name}", client.connection, client.store, agent.group, self, settings
        )

    async def begin(self, part: AgentPart) -> None:
        """Read what a part reads, the topics of its last step first."""
        for stream, source in reversed(part.sources.items()):
            self._parts[stream] = (part, source)
            await self.router.assign(stream)

    async def end(self, part: AgentPart) -> None:
        """Read it no more."""
        for stream in part.sources:
            await self.router.revoke(stream)
            self._parts.pop(stream, None)

    # -- OwnedHandler

    def arrived(self, stream: str, entries: Sequence[RawEntry]) -> None:
        """New entries."""
        part, source = self._parts[stream]
        part.arrived(source, entries)

    def inherited(self, stream: str, entries: Sequence[RawEntry]) -> None:
        """Entries of an owner before."""
        part, source = self._parts[stream]
        part.inherited(source, entries)

    def known(self, stream: str) -> set[bytes]:
        """What has arrived and is not acknowledged."""
        found = self._parts.get(stream)
        return found[1].known if found is not None else set()

    def free(self) -> int:
        """Room for more: none when the leases may be over."""
        if not self._is_valid():
            return 0
        return CAPACITY - sum(p.count for p in {part for part, _ in self._parts.values()})

    def is_wanted(self, stream: str) -> bool:
        """Whether a stream may be read: not while its partition waits for others. What others have
        moved here is read all the same: they wait for it.
        """
        part, source = self._parts[stream]
        return not part.run.crowded or source.is_internal
