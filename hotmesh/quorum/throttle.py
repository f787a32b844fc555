"""Throttles: kept on the server, so that they outlive everybody; read by every member at its start,
with every beat, and when it is told that something changed.

A throttle stands for the whole fleet, for the workers of a topic, or for one member. The strictest
that concerns a router is the one it keeps. One for the whole fleet is the last word: it replaces
all others.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence

import msgspec

from hotmesh.connect import ReplyError
from hotmesh.errors import SettingsInvalid
from hotmesh.ids import check_topic
from hotmesh.log import get_logger
from hotmesh.quorum.wire import Throttle, decode_throttle, encode
from hotmesh.router.pace import PAUSED, THROTTLE_MS_MAX
from hotmesh.store import Store, fleet

log = get_logger("hotmesh.quorum")

ALL, _TOPIC, _MEMBER = "*", "topic:", "member:"

WHY_MAX = 200


def scope(topic: str | None, guid: str | None) -> str:
    """The field that keeps a throttle: `*`, `topic:<topic>` or `member:<guid>`.

    Raises:
        SettingsInvalid: Both are given.
        NameInvalid: The topic can't be one.
    """
    if topic is not None and guid is not None:
        raise SettingsInvalid("a throttle is for a topic or for a member (guid), not for both")
    if topic is not None:
        return _TOPIC + check_topic(topic)
    return ALL if guid is None else _MEMBER + guid


def check_ms(ms: object) -> int:
    """The throttle if it can be one.

    Raises:
        SettingsInvalid: It can't.
    """
    if isinstance(ms, bool) or not isinstance(ms, int) or not PAUSED <= ms <= THROTTLE_MS_MAX:
        raise SettingsInvalid(
            f"a throttle is a whole number of milliseconds from 0 to {THROTTLE_MS_MAX:,}, or "
            f"{PAUSED} for a pause, not {ms!r}"
        )
    return ms


def effective_ms(throttles: Mapping[str, Throttle], topic: str, guid: str) -> int:
    """The strictest throttle that concerns a router of a member; `topic` is "" for an engine."""
    scopes = [ALL, _MEMBER + guid, *([_TOPIC + topic] if topic else [])]
    found = [throttles[s].ms for s in scopes if s in throttles]
    return PAUSED if PAUSED in found else max(found, default=0)


def parse(reply: Sequence[bytes]) -> dict[str, Throttle]:
    """Throttles by scope, of an HGETALL."""
    found = {}
    for name, value in zip(reply[::2], reply[1::2], strict=True):
        try:
            found[name.decode()] = decode_throttle(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            log.error("throttle.unreadable", scope=name, error=str(exc))
    return found


async def throttles(store: Store) -> dict[str, Throttle]:
    """What holds now, by scope: `*`, `topic:<topic>`, `member:<guid>`."""
    reply = await store.transport.execute("HGETALL", store.keys.throttles)
    if isinstance(reply, ReplyError):
        raise reply
    return parse(reply)


async def write(store: Store, where: str, ms: int, why: str) -> None:
    """Keep a throttle, or forget it when `ms` is 0; one for all replaces every other."""
    by = f"{socket.gethostname()}:{os.getpid()}"
    rule = encode(Throttle(ms, by, why[:WHY_MAX], store.clock.now_ms())) if ms else b""
    await fleet.keep_throttle(store, where, rule)
