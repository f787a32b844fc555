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
        name: The topic of a worker stream, else ""; for the outbox the partition's number, or
            another app's id after an `@`.
        rid: A repeated append with the same id does nothing; "" where the job's revision sees to
            it.
    """

    stream: StreamKind
    name: str
    payload: bytes
    rid: str = ""


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


class Delete(Struct, frozen=True, tag="delete"):
    """Delete the job's record now."""


class Hear(Struct, frozen=True, tag="hear"):
    """Wait for a signal, or take one that came early: then its entry is appended at once.

    Attributes:
        waiter: `<partition>:` of the job that waits, and a `Woken` without its signal: what its
            engine is told when the signal comes.
        rid: A repeated registration with the same id does nothing; "" where the job's revision
            sees to it.
    """

    topic: str
    key: str
    waiter: bytes
    rid: str = ""


class Unhear(Struct, frozen=True, tag="unhear"):
    """Wait no more."""

    topic: str
    key: str
    waiter: bytes


class Tell(Struct, frozen=True, tag="tell"):
    """Send a signal to whoever waits, the one that has waited longest; keep it for whoever comes
    within `pending_ms`.

    Attributes:
        closes: Whether it ends the wait.
        rid: A repeated sending with the same id does nothing.
    """

    topic: str
    key: str
    signal: bytes
    closes: bool
    rid: str
    pending_ms: int


class Count(Struct, frozen=True, tag="count"):
    """Add to statistics of one job key and time slot.

    Attributes:
        name: Identifies topic, job key and slot.
        sums: Fields and what is added to each.
        values: Paths and the value that min, max and median are taken of.
        indexes: Facets whose list the job joins.
        keep_ms: How long after the last change they are kept; 0 for ever.
    """

    name: str
    jid: str
    sums: dict[str, float]
    values: dict[str, float]
    indexes: tuple[str, ...]
    keep_ms: int


Effect: TypeAlias = (
    FieldsSet
    | FieldsDrop
    | Append
    | TimerSet
    | TimerDrop
    | Publish
    | Expire
    | Delete
    | Hear
    | Unhear
    | Tell
    | Count
)


@dataclass(slots=True)
class Stored:
    """One job and what its transitions left in its partition, as the server would hold it."""

    fields: dict[str, bytes] = field(default_factory=dict)
    streams: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)
    timers: dict[bytes, int] = field(default_factory=dict)
    published: list[tuple[str, str, bytes]] = field(default_factory=list)
    expires_at_ms: int | None = None
    waiters: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)
    early: dict[tuple[str, str], list[tuple[bytes, bool, int]]] = field(default_factory=dict)
    receipts: set[str] = field(default_factory=set)
    woken: list[tuple[bytes, bytes]] = field(default_factory=list)
    sums: dict[tuple[str, str], float] = field(default_factory=dict)
    values: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    indexes: dict[tuple[str, str], list[str]] = field(default_factory=dict)


def fold(stored: Stored, effect: Effect, now_ms: int) -> None:
    """Apply one effect, in place."""
    match effect:
        case FieldsSet(fields=fields):
            stored.fields.update(fields)
        case FieldsDrop(names=names):
            for name in names:
                stored.fields.pop(name, None)
        case Append(stream=stream, name=name, payload=payload, rid=rid):
            if rid in stored.receipts:
                return
            stored.receipts.update({rid} if rid else ())
            stored.streams.setdefault((stream, name), []).append(payload)
        case TimerSet(entry=entry, after_ms=after_ms):
            stored.timers[entry] = now_ms + after_ms
        case TimerDrop(entry=entry):
            stored.timers.pop(entry, None)
        case Publish(channel=channel, name=name, payload=payload):
            stored.published.append((channel, name, payload))
        case Expire(after_ms=after_ms):
            stored.expires_at_ms = now_ms + after_ms
        case Delete():
            stored.fields.clear()
        case Hear():
            _hear(stored, effect, now_ms)
        case Unhear(topic=topic, key=key, waiter=waiter):
            waiting = stored.waiters.get((topic, key), [])
            if waiter in waiting:
                waiting.remove(waiter)
        case Tell():
            _tell(stored, effect, now_ms)
        case Count():
            _count(stored, effect)
        case _:
            assert_never(effect)


def _hear(stored: Stored, effect: Hear, now_ms: int) -> None:
    where = (effect.topic, effect.key)
    if effect.rid and effect.rid in stored.receipts:
        return
    stored.receipts.update({effect.rid} if effect.rid else ())
    early = stored.early.get(where, [])
    while early:
        signal, closes, until_ms = early.pop(0)
        if until_ms < now_ms:
            continue
        stored.woken.append((effect.waiter, signal))
        if closes:
            return
    stored.waiters.setdefault(where, []).append(effect.waiter)


def _tell(stored: Stored, effect: Tell, now_ms: int) -> None:
    if effect.rid in stored.receipts:
        return
    stored.receipts.add(effect.rid)
    where = (effect.topic, effect.key)
    if waiting := stored.waiters.get(where):
        stored.woken.append((waiting[0], effect.signal))
        if effect.closes:
            del waiting[0]
    elif effect.pending_ms:
        early = stored.early.setdefault(where, [])
        while early and early[0][2] < now_ms:
            early.pop(0)
        early.append((effect.signal, effect.closes, now_ms + effect.pending_ms))


def _count(stored: Stored, effect: Count) -> None:
    for name, amount in effect.sums.items():
        where = (effect.name, name)
        stored.sums[where] = stored.sums.get(where, 0) + amount
    for path, value in effect.values.items():
        stored.values.setdefault((effect.name, path), {})[effect.jid] = value
    for facet in effect.indexes:
        stored.indexes.setdefault((effect.name, facet), []).append(effect.jid)
