"""Old plans: which versions no job needs any more, and their end.

A version is needed while it is active, while it is one of those that were active last (to go back
to), while a job's record names it, or while an entry asks to start a job on it. All other entries
and all timers are of jobs that have a record, or come too late.

Nothing counts jobs per version: that would cost every start and every end. Instead this looks
through the records, in pages with pauses. Jobs come and go while it looks, so what it finds holds
only if nobody has used the version since a while before it began. Every process notes which
versions it uses, before it does, at least every `USED_EVERY_S`. A job on the version can only
begin, and an order for one only be given, by a process that has noted it, so either this finds what
needs the version, or the note. The last check and the end are one script, in the slot where
activation seals a version.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from hotmesh.compiler import decode_plan
from hotmesh.connect import ReplyError
from hotmesh.core.state import META, Meta
from hotmesh.log import get_logger
from hotmesh.messages import ChildStart, SendAll, decode_engine_entry
from hotmesh.store.jobs import BATCH_MAX, Store
from hotmesh.store.plans import _ACTIVATED, _DIGEST, USED_EVERY_S

log = get_logger("hotmesh.store")

IDLE_MS = int(2 * USED_EVERY_S * 1000)
"""A version that was used so lately is in use: a process notes it every half of this time."""

SHARE = 4
"""Pauses are so many times as long as the reading before them: collecting is never in a hurry."""

_version = msgspec.msgpack.Decoder(Meta)


class Versions(Struct, frozen=True):
    """What is known of an app's versions when the search begins.

    Attributes:
        activated: When each was activated last, as its field holds it.
        used: When each was used last, in ms; those that were never used are absent.
        active: What some partition starts jobs on.
        now_ms: The server's time.
    """

    stored: frozenset[str]
    activated: dict[str, bytes]
    used: dict[str, int]
    active: frozenset[str]
    now_ms: int

    def candidates(self, kept: int, idle_ms: int) -> set[str]:
        """Versions that may be old: activated once, not active, not one of the `kept` before
        it, and at rest.
        """
        past = [v for v in self.activated if v in self.stored and v not in self.active]
        past.sort(key=lambda v: int(self.activated[v]), reverse=True)
        rest_ms = self.now_ms - idle_ms
        return {
            version
            for version in past[kept:]
            if self.used.get(version, 0) <= rest_ms and int(self.activated[version]) <= rest_ms
        }


async def collect(store: Store, *, kept: int = 1, idle_ms: int = IDLE_MS) -> list[str]:
    """Forget the plans that nothing needs; their versions.

    Args:
        kept: How many of the versions that were active before are kept all the same.
        idle_ms: How long a version must have been at rest.
    """
    known = await versions(store)
    candidates = known.candidates(kept, idle_ms)
    if not candidates:
        return []
    old = candidates - await needed(store, candidates)
    gone = []
    for version in sorted(old):
        if await _forget(store, known, version, known.now_ms - idle_ms):
            log.info("plan.collected", app=store.keys.app_id, version=version)
            gone.append(version)
    return gone


async def versions(store: Store) -> Versions:
    """What there is, in one pipeline."""
    keys = store.keys
    commands: list[tuple[Any, ...]] = [("TIME",), ("HKEYS", keys.plans), ("HGETALL", keys.app)]
    commands += [("HGETALL", keys.uses), *(("GET", p.version) for p in keys.partitions)]
    replies = await store.transport.execute_many(commands)
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply
    stored, app, used = replies[1], _pairs(replies[2]), _pairs(replies[3])
    return Versions(
        frozenset(n.decode() for n in stored),
        {n.removeprefix(_ACTIVATED): v for n, v in app.items() if n.startswith(_ACTIVATED)},
        {n: int(v) for n, v in used.items()},
        frozenset(v.decode() for v in replies[4:] if v is not None),
        store.clock.read(replies[0]),
    )


async def needed(store: Store, wanted: Iterable[str]) -> set[str]:
    """Which of these versions a record or an order names. Ends when all of them are.

    Records first: an order that becomes a job meanwhile is noted by who made it one. Dead letters
    twice, because an entry may go there and back while the others are looked through.
    """
    left, found = set(wanted), set[str]()
    partitions = store.keys.partitions
    dead = [p.dead for p in partitions]
    streams = [*dead, *(p.outbox for p in partitions), *(p.engine for p in partitions), *dead]
    async for version in _of_records(store):
        found |= left & {version}
        if found == left:
            return found
    for stream in streams:
        async for version in _of_orders(store, stream):
            found |= left & {version}
    return found


async def _of_records(store: Store) -> AsyncIterator[str]:
    cursor = b"0"
    while True:
        began = time.monotonic()
        command = ("SCAN", cursor, "MATCH", store.keys.jobs, "COUNT", BATCH_MAX, "TYPE", "hash")
        cursor, names = await store.transport.execute(*command)
        replies = await store.transport.execute_many([("HGET", n, META) for n in names])
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply
            if reply is not None:
                yield _version.decode(reply).version
        if cursor in (b"0", 0):
            return
        await asyncio.sleep(SHARE * (time.monotonic() - began))


async def _of_orders(store: Store, stream: str) -> AsyncIterator[str]:
    """Versions on which entries of a stream ask to start jobs."""
    first = "-"
    while True:
        began = time.monotonic()
        rows = await store.transport.execute("XRANGE", stream, first, "+", "COUNT", BATCH_MAX)
        for _, fields in rows:
            try:
                entry = decode_engine_entry(_pairs(fields).get("p", b""))
            except (msgspec.DecodeError, ValueError, RecursionError):
                continue  # a call of a worker, or nothing that could ever start a job
            if isinstance(entry, (ChildStart, SendAll)):
                yield entry.version
        if len(rows) < BATCH_MAX:
            return
        first = f"({rows[-1][0].decode()}"
        await asyncio.sleep(SHARE * (time.monotonic() - began))


async def _forget(store: Store, known: Versions, version: str, used_ms_max: int) -> bool:
    keys = store.keys
    data = await store.transport.execute("HGET", keys.plans, version)
    if data is None:
        return False
    activated = _ACTIVATED + version
    arguments = [version, activated, known.activated[version], used_ms_max]
    arguments += [_DIGEST + version, decode_plan(data).digest]
    return bool(await store.run("collect", [keys.plans, keys.app, keys.uses], *arguments))


def _pairs(flat: list[bytes]) -> dict[str, bytes]:
    return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
