"""Who is there: members as they tell it themselves, and their streams as the server has them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hotmesh.connect import Connection, ReplyError
from hotmesh.quorum.asking import Asking
from hotmesh.quorum.wire import Part, Profile, decode_profile
from hotmesh.router.member import is_dead
from hotmesh.store import GROUP_ENGINE, GROUP_WORKER, Store
from hotmesh.store.fleet import StreamFacts, stream_facts

BEAT_S = 3.0
"""How often a member tells how it is."""

SILENT_MS = 7_000
"""A member that has missed two beats is silent: noticed, and shown."""

GONE_MS = 15_000
"""A silent member that nobody waits for any more."""

ANSWER_S = 1.0


async def beats(store: Store) -> list[Profile]:
    """Every member by its last beat, silent ones too; the clock is read anew."""
    return [profile for profile, _ in await records(store)]


async def records(store: Store) -> list[tuple[Profile, bytes]]:
    """The same with the bytes that the server holds."""
    replies = await store.transport.execute_many([("TIME",), ("HGETALL", store.keys.members)])
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply
    store.clock.read(replies[0])
    found = []
    for value in replies[1][1::2]:
        try:
            found.append((decode_profile(value), value))
        except msgspec.DecodeError:
            continue  # of a release that tells it otherwise
    return found


def judged(profile: Profile, now_ms: int) -> Profile:
    """A profile whose state says whether it is dead or silent."""
    if is_dead(profile.consumer):
        return msgspec.structs.replace(profile, state="dead")
    if now_ms - profile.seen_ms > SILENT_MS:
        return msgspec.structs.replace(profile, state="silent")
    return profile


async def roll_call(
    connection: Connection, store: Store, *, timeout_s: float = ANSWER_S
) -> list[Profile]:
    """Every member as it is now, with its streams.

    Members are asked to tell; who does not answer in time stands there as it told last, and as
    `silent` when that was long ago.

    Args:
        timeout_s: How long to wait for answers; 0 takes the last beats.
    """
    members = await beats(store)
    alive = [m.guid for m in members if judged(m, store.clock.now_ms()).state != "dead"]
    if timeout_s > 0 and alive:
        await Asking(connection, store).ask("beat", alive, timeout_s)
        members = await beats(store)
    now_ms = store.clock.now_ms()
    members = [judged(m, now_ms) for m in members]
    return await _with_streams(store, members)


async def _with_streams(store: Store, members: Sequence[Profile]) -> list[Profile]:
    wanted = {pair for m in members for part in m.parts for pair in streams_of(store, part)}
    facts = {(f.stream, f.group): f for f in await stream_facts(store, sorted(wanted))}
    return [
        msgspec.structs.replace(
            m, parts=tuple(_filled(p, [facts[s] for s in streams_of(store, p)]) for p in m.parts)
        )
        for m in members
    ]


def streams_of(store: Store, part: Part) -> list[tuple[str, str]]:
    """Where a part reads: stream and group."""
    if part.streams:
        return [(stream, part.group) for stream in part.streams]
    if part.role == "engine":
        return [(p.engine, GROUP_ENGINE) for p in store.keys.partitions]
    if part.topic:
        return [(p.worker(part.topic), GROUP_WORKER) for p in store.keys.partitions]
    return []


def _filled(part: Part, facts: Sequence[StreamFacts]) -> Part:
    return msgspec.structs.replace(
        part,
        depth=sum(f.depth for f in facts),
        lag=sum(f.lag for f in facts),
        pending=sum(f.pending for f in facts),
        oldest_ms=max((f.oldest_ms for f in facts), default=0),
    )
