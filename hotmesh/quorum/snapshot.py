"""One look at a mesh in figures: its streams with their rates, its members, its server."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from hotmesh.connect import Connection
from hotmesh.connect.server import parse_info
from hotmesh.quorum.roll import roll_call
from hotmesh.quorum.throttle import throttles
from hotmesh.quorum.wire import Part, Profile, Throttle
from hotmesh.store import Store
from hotmesh.store.fleet import StreamFacts, kept, stream_facts, work_streams

ENGINE = "(engine)"
OUTBOX = "(outbox)"


class Flow(Struct, frozen=True, kw_only=True):
    """The streams of one topic, over all partitions.

    Attributes:
        topic: A worker topic, `(engine)`, `(outbox)`, or the role of a router.
        depth, lag, pending: Entries there, not yet delivered, in somebody's hands.
        oldest_ms: Age of the oldest.
        settled: Entries that the members that are there have settled since they started; -1 for a
            topic that nobody serves.
        in_s, out_s: Entries per second since the snapshot before; None in the first one.
        members: How many serve it.
    """

    topic: str
    depth: int
    lag: int
    pending: int
    oldest_ms: int
    settled: int
    members: int
    in_s: float | None = None
    out_s: float | None = None


class Snapshot(Struct, frozen=True, kw_only=True):
    """One look.

    Attributes:
        at_ms: On the server's clock.
        version: The active one, "" for none.
        timers, dead_letters: How many wait.
        server: What it is, such as `valkey 9.1.2`.
        memory_bytes, memory_max_bytes: Of the server; the latter is 0 without a limit.
        commands_s: What the server does.
    """

    at_ms: int
    app: str
    version: str
    flows: tuple[Flow, ...]
    members: tuple[Profile, ...]
    throttles: dict[str, Throttle]
    timers: int
    dead_letters: int
    server: str
    memory_bytes: int
    memory_max_bytes: int
    commands_s: int
    clients: int


async def take(
    connection: Connection, store: Store, topics: Collection[str], *, timeout_s: float = 0.5
) -> Snapshot:
    """Look now.

    Args:
        topics: Worker topics to show beside those that members serve.
        timeout_s: How long members may take to answer.
    """
    members = await roll_call(connection, store, timeout_s=timeout_s)
    wanted = sorted({*topics, *(topic for m in members for topic in m.topics)})
    facts = await stream_facts(store, work_streams(store, wanted))
    info_reply, version = await store.transport.execute_many(
        [("INFO",), ("GET", store.keys.partitions[0].version)]
    )
    info = parse_info(info_reply)
    timers, dead_letters = await kept(store)
    kind = "valkey" if "valkey_version" in info else "redis"
    return Snapshot(
        at_ms=store.clock.now_ms(),
        app=store.keys.app_id,
        version=version.decode() if isinstance(version, bytes) else "",
        flows=tuple(_flows(store, facts, members)),
        members=tuple(members),
        throttles=await throttles(store),
        timers=timers,
        dead_letters=dead_letters,
        server=f"{kind} {info.get('valkey_version') or info.get('redis_version') or '?'}",
        memory_bytes=_number(info, "used_memory"),
        memory_max_bytes=_number(info, "maxmemory"),
        commands_s=_number(info, "instantaneous_ops_per_sec"),
        clients=_number(info, "connected_clients"),
    )


def _flows(store: Store, facts: Sequence[StreamFacts], members: Sequence[Profile]) -> list[Flow]:
    by_topic: dict[str, list[StreamFacts]] = {}
    for fact in facts:
        by_topic.setdefault(_topic(store, fact.stream), []).append(fact)
    found = []
    for topic, mine in by_topic.items():
        role = "engine" if topic == ENGINE else f"worker:{topic}"
        parts = [
            p
            for m in members
            if m.state not in ("silent", "dead")
            for p in m.parts
            if p.role == role
        ]
        found.append(
            Flow(
                topic=topic,
                depth=sum(f.depth for f in mine),
                lag=sum(f.lag for f in mine),
                pending=sum(f.pending for f in mine),
                oldest_ms=max(f.oldest_ms for f in mine),
                settled=sum(p.settled for p in parts) if parts else -1,
                members=len(parts),
            )
        )
    return found + _named(members)


def _named(members: Sequence[Profile]) -> list[Flow]:
    """Streams of their own that members read, such as those of a router, by its role."""
    by_role: dict[str, list[Part]] = {}
    for member in members:
        for part in member.parts if member.state not in ("silent", "dead") else ():
            if part.streams:
                by_role.setdefault(part.role, []).append(part)
    return [
        Flow(
            topic=role,
            depth=max(p.depth for p in parts),
            lag=max(p.lag for p in parts),
            pending=max(p.pending for p in parts),
            oldest_ms=max(p.oldest_ms for p in parts),
            settled=sum(p.settled for p in parts),
            members=len(parts),
        )
        for role, parts in sorted(by_role.items())
    ]


def _topic(store: Store, stream: str) -> str:
    for partition in store.keys.partitions:
        if stream == partition.engine:
            return ENGINE
        if stream == partition.outbox:
            return OUTBOX
        head = partition.worker("")
        if stream.startswith(head):
            return stream.removeprefix(head)
    return stream


def with_rates(before: Snapshot, after: Snapshot) -> Snapshot:
    """A snapshot with the rates since another: what was settled, and what must have come in."""
    elapsed_s = max(0.001, (after.at_ms - before.at_ms) / 1000)
    past = {flow.topic: flow for flow in before.flows}
    flows = []
    for now in after.flows:
        was = past.get(now.topic)
        if was is not None and was.settled >= 0 and now.settled >= 0:
            # Less than before: a member has left, and took its count along.
            settled = max(0, now.settled - was.settled)
            arrived = max(0, settled + now.depth - was.depth)
            out_s, in_s = round(settled / elapsed_s, 1), round(arrived / elapsed_s, 1)
            now = replace(now, in_s=in_s, out_s=out_s)
        flows.append(now)
    return replace(after, flows=tuple(flows))


def _number(info: dict[str, str], name: str) -> int:
    text = info.get(name, "")
    return int(text) if text.isdigit() else 0
