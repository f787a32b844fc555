"""What a transition may order: a closed union of effects, and `fold`, which says what they do to a
stored partition.

`fold` is the reference for the Lua ops (a property test runs both and compares) and the server of
the simulator. It is never used in place of the server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, assert_never

from msgspec import Struct

StreamKind = Literal["engine", "worker", "outbox"]


class FieldsSet(Struct, frozen=True, tag="set"):
    """Write fields of the job's hash."""

    fields: dict[str, bytes]


class FieldsDrop(Struct, frozen=True, tag="drop"):
    """Delete fields of the job's hash."""

    names: tuple[str, ...]


class Append(Struct, frozen=True, tag="append"):
    """Append an entry.

    Attributes:
        stream: The engine's own stream, a worker topic's, or the outbox to another partition.
        name: The topic of a worker stream, the partition's number for the outbox, else "".
    """

    stream: StreamKind
    name: str
    payload: bytes


class TimerSet(Struct, frozen=True, tag="timer"):
    """Have `entry` appended to the engine stream once `after_ms` have passed on the server's clock.

    The entry is the timer's identity: the same bytes set again move it.
    """

    entry: bytes
    after_ms: int


class TimerDrop(Struct, frozen=True, tag="untimer"):
    """Take a timer back; nothing when it has fired."""

    entry: bytes


class Publish(Struct, frozen=True, tag="publish"):
    """Tell whoever listens. A hint of at most 1 KB: who needs the fact reads the record.

    Attributes:
        channel: `caller` (name: the client's guid) or `topic` (name: what the graph publishes, a
            dot and the job id).
    """

    channel: Literal["caller", "topic"]
    name: str
    payload: bytes


class Expire(Struct, frozen=True, tag="expire"):
    """Delete the job after this time on the server's clock."""

    after_ms: int


Effect: TypeAlias = FieldsSet | FieldsDrop | Append | TimerSet | TimerDrop | Publish | Expire


@dataclass(slots=True)
class Stored:
    """One job and what its transitions left in its partition, as the server would hold it."""

    fields: dict[str, bytes] = field(default_factory=dict)
    streams: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)
    timers: dict[bytes, int] = field(default_factory=dict)
    published: list[tuple[str, str, bytes]] = field(default_factory=list)
    expires_at_ms: int | None = None


def fold(stored: Stored, effect: Effect, now_ms: int) -> None:
    """Apply one effect, in place."""
    match effect:
        case FieldsSet(fields=fields):
            stored.fields.update(fields)
        case FieldsDrop(names=names):
            for name in names:
                stored.fields.pop(name, None)
        case Append(stream=stream, name=name, payload=payload):
            stored.streams.setdefault((stream, name), []).append(payload)
        case TimerSet(entry=entry, after_ms=after_ms):
            stored.timers[entry] = now_ms + after_ms
        case TimerDrop(entry=entry):
            stored.timers.pop(entry, None)
        case Publish(channel=channel, name=name, payload=payload):
            stored.published.append((channel, name, payload))
        case Expire(after_ms=after_ms):
            stored.expires_at_ms = now_ms + after_ms
        case _:
            assert_never(effect)
