"""Which topics there are: their partitions and bounds, agreed on by whoever uses them.

The number of partitions is fixed by the first who declares a topic: keys would move otherwise. The
bounds are those of the last who gave some.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from hotmesh.durations import Duration, parse
from hotmesh.errors import SettingsInvalid
from hotmesh.streams.keys import PARTITIONS_MAX, check_topic_name
from hotmesh.streams.store import StreamStore

Full = Literal["block", "reject", "trim"]
MAXLEN_DEFAULT = 1_000_000
"""Entries of a topic whose owner says nothing: some hundred megabytes, not all of the server."""

_TRIES_MAX = 20


class TopicSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all users of a topic agree on; stored as JSON.

    Attributes:
        partitions: Fixed for ever.
        maxlen: Entries kept in all partitions together, about; 0 for no bound.
        retention_ms: How long entries are kept, handled or not; 0 for no bound.
        full: What a producer meets when `maxlen` is reached and some group has not handled the
            oldest: it waits (`block`), is refused (`reject`), or the oldest go unhandled (`trim`).
        types: What the values are called, for people.
    """

    partitions: int = 1
    maxlen: int = MAXLEN_DEFAULT
    retention_ms: int = 0
    full: Full = "block"
    types: str = ""

    @property
    def length_max(self) -> int:
        """The bound of one partition."""
        return max(1, self.maxlen // self.partitions) if self.maxlen else 0


class Wanted(Struct, frozen=True, kw_only=True):
    """What one user says about a topic; None for what it leaves to others."""

    partitions: int | None = None
    maxlen: int | None = None
    retention: Duration | None = None
    full: Full | None = None
    types: str = ""

    def check(self, topic: str) -> None:
        """Raises SettingsInvalid for what can't be."""
        if self.partitions is not None and not 1 <= self.partitions <= PARTITIONS_MAX:
            raise SettingsInvalid(
                f"topic {topic!r}: partitions lies between 1 and {PARTITIONS_MAX}, not "
                f"{self.partitions}"
            )
        if self.maxlen is not None and self.maxlen < 0:
            raise SettingsInvalid(f"topic {topic!r}: maxlen is 0 (no bound) or more")
        if self.full not in (None, "block", "reject", "trim"):
            raise SettingsInvalid(
                f"topic {topic!r}: full is 'block', 'reject' or 'trim', not {self.full!r}"
            )

    def over(self, known: TopicSpec) -> TopicSpec:
        """What holds now."""
        told = {
            "maxlen": self.maxlen,
            "retention_ms": parse(self.retention) if self.retention is not None else None,
            "full": self.full,
            "types": self.types or None,
        }
        given = {name: value for name, value in told.items() if value is not None}
        return msgspec.structs.replace(known, **given)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(TopicSpec).decode


async def declare(
    store: StreamStore, topic: str, wanted: Wanted | None = None, *, partitions_default: int = 1
) -> TopicSpec:
    """Make a topic known, or find it, and change what `wanted` says.

    Args:
        partitions_default: Of a new topic, when `wanted` leaves it open.

    Raises:
        SettingsInvalid: It has another number of partitions.
        NameInvalid: It can't be called so.
    """
    wanted = wanted or Wanted()
    check_topic_name(topic)
    wanted.check(topic)
    for _ in range(_TRIES_MAX):
        found = await find(store, topic)
        known = found or TopicSpec(partitions=wanted.partitions or partitions_default)
        if wanted.partitions not in (None, known.partitions):
            raise SettingsInvalid(
                f"topic {topic!r} has {known.partitions} partitions since it was first used, and "
                f"that is fixed; declare it with them, or take another name"
            )
        now = wanted.over(known)
        if now == found:
            return now
        before = _encode(found) if found else b""
        if await store.run("declare", [store.space.topics], topic, before, _encode(now)):
            return now
    raise SettingsInvalid(f"topic {topic!r} is declared differently by many at once; try again")


async def find(store: StreamStore, topic: str) -> TopicSpec | None:
    """What is known of a topic; None when nobody has declared it."""
    raw = await store.transport.execute("HGET", store.space.topics, topic)
    return _decode(raw) if raw is not None else None


async def find_all(store: StreamStore) -> dict[str, TopicSpec]:
    """Every topic of the namespace, by its name."""
    raw = await store.transport.execute("HGETALL", store.space.topics)
    found = {raw[i].decode(): _decode(raw[i + 1]) for i in range(0, len(raw), 2)}
    return dict(sorted(found.items()))
