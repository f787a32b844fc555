"""What lies on the server beside the jobs: streams as they are, timers, dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from hotmesh.connect import ReplyError
from hotmesh.store.jobs import Store
from hotmesh.store.keys import GROUP_ENGINE, GROUP_WORKER


class StreamFacts(Struct, frozen=True, kw_only=True):
    """One stream and its group.

    Attributes:
        depth: Entries that lie there, settled ones excluded.
        lag: Not yet delivered; -1 when the server can't tell (before version 7).
        pending: Delivered and not settled.
        oldest_ms: Age of the oldest entry, 0 when there is none.
        consumers: How many the group knows.
    """

    stream: str
    group: str
    depth: int
    lag: int
    pending: int
    oldest_ms: int
    consumers: int


def work_streams(store: Store, topics: Sequence[str]) -> list[tuple[str, str]]:
    """The streams that engines and workers read, each with its group."""
    found = [(p.engine, GROUP_ENGINE) for p in store.keys.partitions]
    if len(store.keys.partitions) > 1:
        found += [(p.outbox, GROUP_ENGINE) for p in store.keys.partitions]
    found += [(p.worker(t), GROUP_WORKER) for t in topics for p in store.keys.partitions]
    return found


async def stream_facts(store: Store, streams: Sequence[tuple[str, str]]) -> list[StreamFacts]:
    """Depth, lag and age of streams, in one pipeline; what does not exist is empty."""
    commands: list[tuple[Any, ...]] = [("TIME",)]
    for stream, _ in streams:
        commands += [
            ("XLEN", stream),
            ("XINFO", "GROUPS", stream),
            ("XRANGE", stream, "-", "+", "COUNT", 1),
        ]
    replies = await store.transport.execute_many(commands)
    now_ms = store.clock.read(replies[0])
    found = []
    for number, (stream, group) in enumerate(streams):
        depth, groups, first = replies[3 * number + 1 : 3 * number + 4]
        found.append(_facts(stream, group, depth, groups, first, now_ms))
    return found


def _facts(
    stream: str, group: str, depth: Any, groups: Any, first: Any, now_ms: int
) -> StreamFacts:
    if isinstance(depth, ReplyError):
        raise depth
    mine: dict[bytes, Any] = {}
    for row in [] if isinstance(groups, ReplyError) else groups:
        facts = {row[i]: row[i + 1] for i in range(0, len(row), 2)}
        if facts[b"name"] == group.encode():
            mine = facts
    lag = mine.get(b"lag") if mine else depth
    pending = mine.get(b"pending", 0)
    if lag is None:
        # Entries were deleted out of order; all that is not pending and still there is undelivered.
        lag = max(0, depth - pending)
    oldest = 0 if isinstance(first, ReplyError) or not first else int(first[0][0].split(b"-")[0])
    return StreamFacts(
        stream=stream,
        group=group,
        depth=depth,
        lag=lag,
        pending=pending,
        oldest_ms=max(0, now_ms - oldest) if oldest else 0,
        consumers=mine.get(b"consumers", 0),
    )
