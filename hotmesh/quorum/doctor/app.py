"""Checks of what the server keeps of one app: versions, timers, groups and keys."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from hotmesh.connect import ReplyError
from hotmesh.core.state import STATUS
from hotmesh.errors import HotMeshError
from hotmesh.quorum.doctor.verdict import Verdict, fail, note, ok, unknown, warn
from hotmesh.router.lease import FORGOTTEN_MS
from hotmesh.router.member import is_dead
from hotmesh.store import Plans, Store, fleet, leases

OVERDUE_MS = 10_000
"""A timer that is late by so much: no engine fires it."""

KEYS_MAX = 20_000
"""Keys that are looked at; a server with more is looked at in part."""

JOBS_MAX = 500


async def check_app(store: Store, plans: Plans, topics: Collection[str]) -> list[Verdict]:
    """All checks of the app; `topics` are the worker topics that are known."""
    return [
        await _version(store, plans),
        await _timers(store),
        *await _consumers(store, topics),
        *await _keys(store, topics),
    ]


async def _version(store: Store, plans: Plans) -> Verdict:
    replies = await store.transport.execute_many(
        [("GET", p.version) for p in store.keys.partitions]
    )
    found = sorted({r.decode() for r in replies if isinstance(r, bytes)})
    if not found:
        fix = "hotmesh deploy FILE --activate"
        return warn("active version", "none: no job can start", fix)
    if len(found) > 1 or any(r is None for r in replies):
        said = f"partitions differ: {', '.join(found)}: an activation was cut off"
        return fail("active version", said, f"hotmesh activate {found[-1]} again")
    try:
        await plans.program(found[0])
    except HotMeshError as exc:
        return fail("active version", f"{found[0]}: {exc}", "upgrade hotmesh here")
    return ok("active version", found[0])


async def _timers(store: Store) -> Verdict:
    commands: list[tuple[Any, ...]] = [("TIME",)]
    commands += [("ZRANGE", p.timers, 0, 0, "WITHSCORES") for p in store.keys.partitions]
    clock, *firsts = await store.transport.execute_many(commands)
    now_ms = store.clock.read(clock)
    late_ms = max((now_ms - float(first[1]) for first in firsts if first), default=0.0)
    if late_ms > OVERDUE_MS:
        said = f"the oldest is due since {late_ms / 1000:,.0f} s"
        return fail("timers", said, "start an engine; see its log if one runs")
    return ok("timers", "none is overdue")


async def _consumers(store: Store, topics: Collection[str]) -> list[Verdict]:
    idle, holding, lost = 0, 0, []
    for stream, group in fleet.work_streams(store, sorted(topics)):
        for consumer in await leases.consumers(store, stream, group):
            is_gone = is_dead(consumer.name) or consumer.idle_ms > FORGOTTEN_MS
            if is_gone and consumer.pending:
                holding += consumer.pending
            elif is_gone:
                idle += 1
        groups = (await store.transport.execute_many([("XINFO", "GROUPS", stream)]))[0]
        if not isinstance(groups, ReplyError) and not groups:
            lost.append(stream)
    return [_of_consumers(idle, holding), _of_groups(lost)]


def _of_consumers(idle: int, holding: int) -> Verdict:
    if holding:
        said = f"processes that are gone hold {holding:,} entries"
        fix = "start a member that serves their topic: it takes them over"
        return warn("orphaned consumers", said, fix)
    if idle:
        said = f"{idle:,} that hold nothing are still in their groups"
        return note("orphaned consumers", said, "hotmesh quorum removes them")
    return ok("orphaned consumers", "none")


def _of_groups(lost: list[str]) -> Verdict:
    if lost:
        named = ", ".join(lost[:5])
        said = f"streams without their group: {named}"
        return note("groups", said, "who serves them makes it; entries wait until then")
    return ok("groups", "every stream has its group")


async def _keys(store: Store, topics: Collection[str]) -> list[Verdict]:
    found, is_whole = await _scan(store)
    if found is None:
        return [unknown("orphaned keys", "the keys (SCAN)")]
    keys, seen = store.keys, "" if is_whole else f" (of the first {KEYS_MAX:,} keys)"
    head = f"{keys.namespace}:{{{keys.app_id}/"
    beyond = [k for k in found if not 0 <= _partition(k, head) < len(keys.partitions)]
    known = {p.worker(topic) for p in keys.partitions for topic in topics}
    heads = tuple(p.worker("") for p in keys.partitions)
    unknown_streams = [k for k in found if k.startswith(heads) and k not in known]
    verdicts = [await _finished(store, found, seen)]
    if beyond:
        said = f"{len(beyond):,} keys lie in partitions that the app does not have, such as "
        fix = "the partition count was changed by hand; restore it, or move or delete them"
        return [*verdicts, fail("orphaned keys", f"{said}{beyond[0]}{seen}", fix)]
    if unknown_streams:
        named = ", ".join(unknown_streams[:5])
        said = f"streams of topics that no deployed version names: {named}{seen}"
        return [*verdicts, note("orphaned keys", said, "delete them if nothing needs them")]
    return [*verdicts, ok("orphaned keys", f"none{seen}")]


async def _scan(store: Store) -> tuple[list[str] | None, bool]:
    """Keys of the app's partitions, and whether these are all."""
    pattern = f"{store.keys.namespace}:{{{store.keys.app_id}/*"
    found: list[str] = []
    cursor: bytes = b"0"
    looked = 0
    while looked < KEYS_MAX:
        command = ("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
        reply = (await store.transport.execute_many([command]))[0]
        if isinstance(reply, ReplyError):
            return None, False
        cursor, looked = reply[0], looked + 1000
        found += [key.decode(errors="replace") for key in reply[1]]
        if cursor == b"0":
            return found, True
    return found, False


def _partition(key: str, head: str) -> int:
    number = key.removeprefix(head).partition("}")[0]
    return int(number) if number.isdigit() else -1


async def _finished(store: Store, found: list[str], seen: str) -> Verdict:
    heads = tuple(f"{p.prefix}j:" for p in store.keys.partitions)
    jobs = [key for key in found if key.startswith(heads)][:JOBS_MAX]
    commands: list[tuple[Any, ...]] = [("HGET", key, STATUS) for key in jobs]
    commands += [("PTTL", key) for key in jobs]
    replies = await store.transport.execute_many(commands)
    kept = 0
    for status, ttl in zip(replies[: len(jobs)], replies[len(jobs) :], strict=True):
        if isinstance(status, bytes) and int(status) <= 0 and ttl == -1:
            kept += 1
    if kept:
        said = f"{kept:,} of {len(jobs):,} finished or running jobs are finished and never expire"
        return note(
            "finished jobs", said + seen, "give their graphs an `expire`, if it is not meant"
        )
    return ok("finished jobs", f"all expire ({len(jobs):,} jobs looked at)")
