"""Keys of what a group keeps beside a stream: entries that come again, their timers, dead letters.

They lie in the slot of the stream, so that one script can let go of an entry and write what becomes
of it. Of a topic they are named by `streams.keys`; of a plain stream of somebody else they borrow
the tag that its key has, or the whole key as their tag.
"""

from __future__ import annotations

from msgspec import Struct

from hotmesh.errors import NameInvalid
from hotmesh.ids import check_topic, derive, escape
from hotmesh.streams.keys import Slot

GROUP_MAX = 64
STREAM_BYTES_MAX = 512


class Lane(Struct, frozen=True):
    """One stream that a group reads, and what it keeps beside it.

    Attributes:
        stream: The entries.
        again: Entries whose next attempt is due; this group's alone.
        timers: Those whose attempt is not due yet.
        dead: Entries that this group could not handle.
        partition: Of the topic.
    """

    stream: str
    again: str
    timers: str
    dead: str
    partition: int = 0


def check_group(group: str) -> str:
    """A consumer group's name if it can stand in keys.

    Raises:
        NameInvalid: Letters, digits, `.`, `_` and `-`, at most 64.
    """
    if not isinstance(group, str) or len(group) > GROUP_MAX:
        raise NameInvalid(f"group {group!r:.100} must be text of at most {GROUP_MAX} characters")
    return check_topic(group)


def lane_of_topic(slot: Slot, topic: str, group: str) -> Lane:
    """One partition of a topic."""
    name = f"{topic}:{group}"
    return Lane(
        slot.entries(topic),
        f"{slot.prefix}n:{name}",
        f"{slot.prefix}d:{name}",
        f"{slot.dead(topic)}:{group}",
        slot.number,
    )


def lane_of_stream(namespace: str, stream: str, group: str) -> Lane:
    """A plain stream, whatever its key.

    Raises:
        NameInvalid: It has no key.
    """
    if not isinstance(stream, str) or not 0 < len(stream.encode()) <= STREAM_BYTES_MAX:
        raise NameInvalid(f"the key of a stream is text of 1 to {STREAM_BYTES_MAX} bytes")
    name = escape(stream)
    if len(name) > 200:
        name = f"~{derive(stream)}"
    prefix = f"{namespace}:{{{_tag(stream)}}}:"
    return Lane(
        stream,
        f"{prefix}n:{name}:{group}",
        f"{prefix}d:{name}:{group}",
        f"{prefix}x:{name}:{group}",
    )


def _tag(key: str) -> str:
    """What the cluster hashes of a key: what stands in its first braces, else all of it."""
    _, brace, rest = key.partition("{")
    inside, closed, _ = rest.partition("}")
    return inside if brace and closed and inside else key
