"""What operators ask of topics and groups: lengths, lag, owners; and where a group goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from hotmesh.connect import ReplyError
from hotmesh.errors import HotMeshError
from hotmesh.streams.topics import TopicSpec, find_all
from hotmesh.streams.wire import Entry

if TYPE_CHECKING:
    from hotmesh.streams.client import Client

BLOCK_MS = 1_000
COUNT_MAX = 100_000
"""Entries that are counted by hand where the server can't tell a lag."""


class GroupInUse(HotMeshError):
    """A group can't be moved while its readers run."""

    code = 409


class TopicFacts(Struct, frozen=True, kw_only=True):
    """One topic.

    Attributes:
        length: Entries in all partitions.
        dead: Dead letters.
        groups: Who reads it.
    """

    name: str
    partitions: int
    length: int
    dead: int
    maxlen: int
    retention_ms: int
    full: str
    types: str
    groups: tuple[str, ...]


class Lag(Struct, frozen=True, kw_only=True):
    """A group in one partition of a topic.

    Attributes:
        pending: Given out and not acknowledged.
        behind: Not given out yet.
        oldest_ms: The age of the oldest of both; 0 when there is none.
        owner: The process that runs the partition, of an app; "" for none, or of a router.
    """

    topic: str
    group: str
    partition: int
    pending: int
    behind: int
    oldest_ms: int
    owner: str


async def topics(client: Client) -> list[TopicFacts]:
    """Every topic of the namespace."""
    return [
        await topic(client, name, spec) for name, spec in (await find_all(client.store)).items()
    ]


async def topic(client: Client, name: str, spec: TopicSpec) -> TopicFacts:
    """One topic."""
    length = dead = 0
    groups: dict[str, None] = {}
    for number in range(spec.partitions):
        slot = client.space.slot(number)
        replies = await client.connection.transport.execute_many(
            [
                ("XLEN", slot.entries(name)),
                ("XLEN", slot.dead(name)),
                ("XINFO", "GROUPS", slot.entries(name)),
            ]
        )
        if not isinstance(replies[0], ReplyError):
            length += replies[0]
        if not isinstance(replies[1], ReplyError):
            dead += replies[1]
        groups.update(dict.fromkeys(_text(g[b"name"]) for g in _rows(replies[2])))
    return TopicFacts(
        name=name,
        partitions=spec.partitions,
        length=length,
        dead=dead,
        maxlen=spec.maxlen,
        retention_ms=spec.retention_ms,
        full=spec.full,
        types=spec.types,
        groups=tuple(sorted(groups)),
    )


async def lags(client: Client, name: str, spec: TopicSpec, group: str | None = None) -> list[Lag]:
    """How far groups are behind in a topic, by partition."""
    found = []
    for number in range(spec.partitions):
        stream = client.space.slot(number).entries(name)
        reply = (await client.connection.transport.execute_many([("XINFO", "GROUPS", stream)]))[0]
        for facts in _rows(reply):
            if group is not None and _text(facts[b"name"]) != group:
                continue
            lag = await _lag(client, name, number, facts)
            found.append(lag)
    return sorted(found, key=lambda lag: (lag.group, lag.partition))


async def _lag(client: Client, name: str, number: int, facts: dict[bytes, Any]) -> Lag:
    slot, group = client.space.slot(number), _text(facts[b"name"])
    stream, last = slot.entries(name), facts[b"last-delivered-id"].decode()
    execute = client.connection.transport.execute
    behind = facts.get(b"lag")
    rest = await execute("XRANGE", stream, f"({last}", "+", "COUNT", 1)
    if not isinstance(behind, int):  # Redis 6.2, or entries were deleted
        behind = len(await execute("XRANGE", stream, f"({last}", "+", "COUNT", COUNT_MAX))
    pending = await execute("XPENDING", stream, group)
    first = pending[1] or (rest[0][0] if rest else None)
    now_ms = client.store.clock.now_ms()
    oldest_ms = max(0, now_ms - int(first.partition(b"-")[0])) if first else 0
    app_id = group.partition(".")[0]
    owner = await execute("HGET", slot.owner(app_id), "o") if "." in group else None
    return Lag(
        topic=name,
        group=group,
        partition=number,
        pending=int(pending[0]),
        behind=behind,
        oldest_ms=oldest_ms,
        owner=_text(owner or b""),
    )


async def tail(
    client: Client, name: str, spec: TopicSpec, *, last: str = "$", dead: bool = False
) -> AsyncIterator[tuple[int, Entry]]:
    """Entries as they come, with their partitions, without being in a group.

    Args:
        last: `$` from now on, `0` from the oldest, or an id to go on behind.
        dead: The dead letters of the topic's agents instead: `Entry.foreign` has all fields, the
            `reason` and the `group` among them.
    """
    slots = [client.space.slot(p) for p in range(spec.partitions)]
    streams = [slot.dead(name) if dead else slot.entries(name) for slot in slots]
    positions: dict[str, str] = {}
    for stream in streams:
        positions[stream] = last
        if last == "$":
            rows = await client.connection.transport.execute(
                "XREVRANGE", stream, "+", "-", "COUNT", 1
            )
            positions[stream] = rows[0][0].decode() if rows else "0-0"
    reader = await client.connection.reader(silence_s=BLOCK_MS / 1000 + 4)
    try:
        while True:
            command = ("XREAD", "COUNT", 500, "BLOCK", BLOCK_MS, "STREAMS")
            reply = await reader.execute(*command, *positions, *positions.values())
            for stream, rows in reply or ():
                number = streams.index(stream.decode())
                for id, fields in rows:
                    positions[stream.decode()] = id.decode()
                    entry = Entry(id, fields)
                    if dead:
                        entry.foreign = dict(zip(*[map(_text, fields)] * 2, strict=True))
                    yield number, entry
    finally:
        await reader.close()


async def reset(
    client: Client, name: str, spec: TopicSpec, group: str, to: str, *, force: bool = False
) -> dict[int, str]:
    """Have a group go on from somewhere else; the id before it, by partition.

    Nothing that it has done is taken back: entries that are read again have their effects again.

    Args:
        to: `earliest`, `latest`, a time in milliseconds since 1970, or an id of an entry.
        force: Also while processes run the group: an app's then start each partition anew.

    Raises:
        GroupInUse: Its readers run.
    """
    app_id = group.partition(".")[0]
    execute = client.connection.transport.execute
    busy = []
    for number in range(spec.partitions):
        owner = await execute("HGET", client.space.slot(number).owner(app_id), "o")
        if owner and "." in group:
            busy.append(number)
    if busy and not force:
        raise GroupInUse(
            f"partitions {', '.join(map(str, busy))} of {group!r} are run by workers; stop them, "
            "or use --force, which has them start again"
        )
    done = {}
    for number in range(spec.partitions):
        slot = client.space.slot(number)
        stream = slot.entries(name)
        before = await _before(client, stream, to)
        await client.store.run(
            "seek", [stream, slot.owner(app_id), slot.attempts(group)], group, before
        )
        done[number] = before
    await execute("PUBLISH", client.space.fleet(app_id), "reset")
    return done


async def _before(client: Client, stream: str, to: str) -> str:
    """The id behind which a group goes on."""
    execute = client.connection.transport.execute
    if to == "earliest":
        return "0-0"
    if to == "latest":
        rows = await execute("XREVRANGE", stream, "+", "-", "COUNT", 1)
        return rows[0][0].decode() if rows else "0-0"
    rows = await execute("XREVRANGE", stream, f"({to if '-' in to else to + '-0'}", "-", "COUNT", 1)
    return rows[0][0].decode() if rows else "0-0"


def _rows(reply: Any) -> list[dict[bytes, Any]]:
    if isinstance(reply, ReplyError):  # no such stream yet
        return []
    return [dict(zip(row[::2], row[1::2], strict=True)) for row in reply]


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
