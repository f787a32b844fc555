"""What the fleet keeps on the server beside the jobs: members and throttles; and the housekeeping
of the work streams. Every write is one script that any number of processes may run at once.
"""

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
        lag: Not yet delivered; reckoned from the other two when the server can't tell.
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


async def keep_throttle(store: Store, scope: str, throttle: bytes) -> None:
    """Keep a throttle under its scope, or forget it when it is empty; one of scope `*` replaces
    every other.
    """
    await store.run("throttle", [store.keys.throttles], scope, throttle)


async def forget_member(store: Store, guid: str, profile: bytes, scope: str) -> bool:
    """Forget a member and the throttle of its own; False when it has been heard of since its
    profile was read.
    """
    keys = [store.keys.members, store.keys.throttles]
    return bool(await store.run("forget", keys, guid, profile, scope))


async def trim(store: Store, stream: str, group: str) -> int:
    """Drop entries that the group has settled and that a cut left behind; how many."""
    dropped: int = await store.run("trim", [stream], group)
    return dropped


async def kept(store: Store) -> tuple[int, int]:
    """Timers that wait and dead letters that are kept, over all partitions."""
    partitions = store.keys.partitions
    commands = [("ZCARD", p.timers) for p in partitions] + [("XLEN", p.dead) for p in partitions]
    replies = await store.transport.execute_many(commands)
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply
    return sum(replies[: len(partitions)]), sum(replies[len(partitions) :])
