"""What a person tells members: how fast to take entries, and to stop taking them."""

from __future__ import annotations

import asyncio

from hotmesh.connect import Connection
from hotmesh.errors import DrainTimeout, MemberAmbiguous, MemberNotFound
from hotmesh.log import get_logger
from hotmesh.quorum import throttle as throttles
from hotmesh.quorum.asking import Asking
from hotmesh.quorum.roll import beats, judged
from hotmesh.quorum.wire import Profile
from hotmesh.store import Store

log = get_logger("hotmesh.quorum")

OBEY_S = 2.0
LOOK_S = 0.2


async def throttle(
    connection: Connection,
    store: Store,
    ms: int,
    *,
    topic: str | None = None,
    guid: str | None = None,
    why: str = "",
    timeout_s: float = OBEY_S,
) -> list[Profile]:
    """Keep a throttle, and wait until the members that are there have taken it up.

    Returns:
        Those that did not say so in time. They read it with their next beat.

    Raises:
        SettingsInvalid, NameInvalid, MemberNotFound
    """
    ms = throttles.check_ms(ms)
    if topic is None and guid is not None:
        guid = await _guid_of(store, guid, is_lifted=ms == 0)
    await throttles.write(store, throttles.scope(topic, guid), ms, why)
    alive = await _alive(store)
    if guid is not None:
        alive = [m for m in alive if m.guid == guid]
    guids = [m.guid for m in alive]
    answers = await Asking(connection, store).ask("obey", guids, timeout_s, target=guid or "")
    return [m for m in alive if m.guid not in answers or not answers[m.guid].ok]


async def drain(connection: Connection, store: Store, who: str, *, timeout_s: float) -> Profile:
    """Have a member take nothing more, and wait until nothing is in its hands.

    Raises:
        MemberNotFound, MemberAmbiguous: There is none, or more than one, of that name.
        DrainTimeout: It still holds entries, or does not answer. It goes on draining.
    """
    member = await find_member(store, who)
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s
    while True:
        left_s = max(LOOK_S, until - loop.time())
        asking = Asking(connection, store)
        answers = await asking.ask("drain", [member.guid], min(2.0, left_s), target=member.guid)
        answer = answers.get(member.guid)
        now = next((m for m in await beats(store) if m.guid == member.guid), None)
        if now is None:
            return member  # it has left: nothing is in its hands
        if answer is not None and not answer.ok:
            raise DrainTimeout(guid=member.guid, in_flight=now.in_flight, reason=answer.reason)
        if now.state == "drained":
            return now
        if loop.time() >= until:
            reason = "" if answer else "it does not answer"
            raise DrainTimeout(guid=member.guid, in_flight=now.in_flight, reason=reason)
        await asyncio.sleep(LOOK_S)


async def find_member(store: Store, who: str) -> Profile:
    """The member that a guid, the beginning of one, or the name of its host means.

    Raises:
        MemberNotFound, MemberAmbiguous
    """
    members = await beats(store)
    exact = [m for m in members if m.guid == who]
    found = exact or [m for m in members if who and (m.guid.startswith(who) or m.host == who)]
    if not found:
        raise MemberNotFound(who)
    alive = [m for m in found if judged(m, store.clock.now_ms()).state not in ("dead", "silent")]
    found = alive or found
    if len(found) > 1:
        raise MemberAmbiguous(who, [m.guid for m in found])
    return found[0]


async def _guid_of(store: Store, who: str, *, is_lifted: bool) -> str:
    try:
        return (await find_member(store, who)).guid
    except MemberNotFound:
        # A member that is gone may have left a throttle behind.
        if is_lifted and throttles.scope(None, who) in await throttles.throttles(store):
            return who
        raise


async def _alive(store: Store) -> list[Profile]:
    members = await beats(store)
    now_ms = store.clock.now_ms()
    return [m for m in members if judged(m, now_ms).state not in ("dead", "silent")]
