"""Who holds which entry: extend, hand back, claim. Commands over one stream and its group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from hotmesh.connect import ReplyError
from hotmesh.store.jobs import Store

CLAIM_MAX = 100
"""Entries claimed at a time: a lease that runs is better with a sibling that has a free slot."""


class Consumer(Struct, frozen=True):
    """A consumer as the group knows it."""

    name: str
    pending: int
    idle_ms: int


async def create_group(store: Store, stream: str, group: str, start: str = "0") -> None:
    """Make the group and its stream, from the first entry on, or after the entry `start`;
    nothing when it exists.
    """
    replies = await store.transport.execute_many(
        [("XGROUP", "CREATE", stream, group, start, "MKSTREAM")]
    )
    if isinstance(replies[0], ReplyError) and replies[0].kind != "BUSYGROUP":
        raise replies[0]


async def seek(store: Store, stream: str, group: str, after: str) -> None:
    """Have a group read on after another entry."""
    await store.transport.execute("XGROUP", "SETID", stream, group, after)


async def extend(
    store: Store, stream: str, group: str, consumer: str, ids: Sequence[bytes]
) -> set[bytes]:
    """Renew the leases of entries; the ids that are no longer ours."""
    lost = await store.run("extend", [stream], group, consumer, *ids)
    return set(lost)


async def release(
    store: Store, stream: str, group: str, consumer: str, idle_ms: int, ids: Sequence[bytes]
) -> int:
    """Hand entries back, as if they had been idle for `idle_ms`; how many were still ours."""
    count: int = await store.run("release", [stream], group, consumer, idle_ms, *ids)
    return count


async def recount(
    store: Store, stream: str, group: str, consumer: str, counts: Mapping[bytes, int]
) -> int:
    """Say how often entries were begun; how many of them are still ours."""
    pairs = [part for pair in counts.items() for part in pair]
    held: int = await store.run("recount", [stream], group, consumer, *pairs)
    return held


async def retire(store: Store, stream: str, group: str, consumer: str) -> bool:
    """Forget a consumer that holds nothing."""
    return bool(await store.run("retire", [stream], group, consumer))


async def consumers(store: Store, stream: str, group: str) -> list[Consumer]:
    """The group's consumers; none when the group is gone."""
    reply = (await store.transport.execute_many([("XINFO", "CONSUMERS", stream, group)]))[0]
    if isinstance(reply, ReplyError):
        return []
    found = []
    for row in reply:
        facts = {row[i]: row[i + 1] for i in range(0, len(row), 2)}
        name = facts[b"name"].decode(errors="replace")
        found.append(Consumer(name, facts[b"pending"], facts[b"idle"]))
    return found


async def claim_idle(
    store: Store, stream: str, group: str, consumer: str, *, idle_ms: int, count: int
) -> list[list[Any]]:
    """Take over entries that nobody has touched for `idle_ms`: raw `[id, fields]`.

    A whole pass over the pending list: one call looks at a bounded part of it.
    """
    found: list[list[Any]] = []
    cursor = b"0-0"
    while len(found) < count:
        command = ("XAUTOCLAIM", stream, group, consumer, idle_ms, cursor, "COUNT", count)
        reply = (await store.transport.execute_many([command]))[0]
        if isinstance(reply, ReplyError):
            if reply.kind == "NOGROUP":
                return found
            raise reply
        cursor = reply[0]
        found += [e for e in reply[1] if e is not None]
        await _forget(store, stream, group, reply[2] if len(reply) > 2 else [])
        if cursor == b"0-0":
            break
    return found


async def claim_from(
    store: Store, stream: str, group: str, consumer: str, *, owner: str, count: int
) -> list[list[Any]]:
    """Take over what a dead consumer holds: raw `[id, fields]`."""
    pending = ("XPENDING", stream, group, "-", "+", count, owner)
    held = (await store.transport.execute_many([pending]))[0]
    if isinstance(held, ReplyError) or not held:
        return []
    ids = [row[0] for row in held]
    # min-idle 1: a sibling that claimed it in this very moment has reset the idle time.
    reply = await store.transport.execute("XCLAIM", stream, group, consumer, 1, *ids)
    found = [e for e in reply if e is not None and e[1] is not None]
    return found


async def own_pending(
    store: Store, stream: str, group: str, consumer: str, *, after: str
) -> tuple[list[list[Any]], str]:
    """A page of what this consumer holds, without counting as a delivery: raw `[id, fields]`, and
    where to go on ("" at the end).

    Args:
        after: Where the page before ended; "" for the first.
    """
    start = f"({after}" if after else "-"
    command = ("XPENDING", stream, group, start, "+", CLAIM_MAX, consumer)
    held = (await store.transport.execute_many([command]))[0]
    if isinstance(held, ReplyError):
        if held.kind == "NOGROUP":
            return [], ""
        raise held
    ids = [row[0] for row in held]
    replies = await store.transport.execute_many([("XRANGE", stream, i, i) for i in ids])
    found = []
    for id, reply in zip(ids, replies, strict=True):
        if isinstance(reply, ReplyError):
            raise reply
        found.append(reply[0] if reply else [id, None])
    return found, ids[-1].decode() if len(ids) == CLAIM_MAX else ""


async def delivery_counts(
    store: Store, stream: str, group: str, consumer: str, ids: Sequence[bytes]
) -> dict[bytes, int]:
    """How often each entry was delivered so far."""
    commands = [("XPENDING", stream, group, i, i, 1, consumer) for i in ids]
    replies = await store.transport.execute_many(commands)
    counts = {}
    for id, reply in zip(ids, replies, strict=True):
        if not isinstance(reply, ReplyError) and reply:
            counts[id] = reply[0][3]
    return counts


async def _forget(store: Store, stream: str, group: str, ids: Sequence[bytes]) -> None:
    # Entries that were deleted while pending, by hand: nothing is left to deliver. Servers from 7.0
    # on have dropped them from the list already.
    if ids:
        await store.transport.execute_many([("XACK", stream, group, *ids)])
