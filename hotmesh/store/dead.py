"""Dead letters: entries that nobody could handle, kept with their reason until a person decides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from hotmesh.errors import HotMeshError
from hotmesh.store.jobs import Store
from hotmesh.store.keys import Partition

_ID = re.compile(r"(\d{1,4}):(\d{1,19}-\d{1,19})", re.ASCII)

DEAD_MAX = 100_000
"""Dead letters kept per partition; the oldest go first."""


class DeadLetter(Struct, frozen=True, kw_only=True):
    """One dead letter.

    Attributes:
        id: `<partition>:<entry id>`, what `retry` and `drop` take.
        stream: The stream that it came from.
        payload: The entry as it was.
        at_ms: When it was given up, on the server's clock.
    """

    id: str
    reason: str
    stream: str
    job: str
    deliveries: int
    payload: bytes
    at_ms: int


class Facts(Struct, frozen=True, kw_only=True):
    """A dead letter as it is shown: everything but what its entry holds.

    Attributes:
        at: ISO 8601, on the server's clock.
        bytes: The size of what it holds.
    """

    id: str
    at: str
    reason: str
    stream: str
    job: str
    deliveries: int
    bytes: int


class DeadLetterNotFound(HotMeshError):
    """There is no dead letter of an id."""

    code = 404

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(f"there is no dead letter {id!r}; hotmesh dlq list shows their ids")


def facts_of(letter: DeadLetter) -> Facts:
    """What is shown of a dead letter."""
    at = datetime.fromtimestamp(letter.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return Facts(
        id=letter.id,
        at=at,
        reason=letter.reason,
        stream=letter.stream,
        job=letter.job,
        deliveries=letter.deliveries,
        bytes=len(letter.payload),
    )


def content_of(payload: bytes) -> tuple[Any, bool]:
    """What an entry holds and True; its bytes and False when they can't be decoded."""
    try:
        return msgspec.msgpack.decode(payload), True
    except (msgspec.DecodeError, ValueError, RecursionError):
        return payload, False


def bury_op(
    position: int,
    payload: bytes,
    *,
    reason: str,
    stream: str,
    job: str,
    deliveries: int,
    extra: bytes | None = None,
    to: str = "",
) -> list[Any]:
    """The op that keeps a dead letter, for `Store.answer`.

    Args:
        extra, to: What the entry has beside its payload: its fields `d` and `to`.
    """
    from hotmesh.store.encode import text

    facts = [reason, stream, job, deliveries, DEAD_MAX]
    return ["dead", position, text(payload), *facts, text(extra or b""), to]


async def find(store: Store, *, limit: int = 100, job: str | None = None) -> list[DeadLetter]:
    """Dead letters, the newest first."""
    found: list[DeadLetter] = []
    for number, partition in enumerate(store.keys.partitions):
        last, before = "+", len(found)
        while len(found) - before < limit:
            rows = await store.transport.execute(
                "XREVRANGE", partition.dead, last, "-", "COUNT", limit
            )
            letters = [_letter(number, row) for row in rows]
            found += [d for d in letters if job is None or d.job == job]
            if len(rows) < limit:
                break
            last = f"({rows[-1][0].decode()}"
    return sorted(found, key=lambda d: d.at_ms, reverse=True)[:limit]


async def get(store: Store, id: str) -> DeadLetter:
    """One dead letter.

    Raises:
        DeadLetterNotFound
    """
    found = await _row(store, id)
    if found is None:
        raise DeadLetterNotFound(id)
    return _letter(*found)


async def retry(store: Store, id: str) -> bool:
    """Append the entry to its stream again and forget the dead letter; False when there is none
    of that id.
    """
    return await _redrive(store, id, "1")


async def drop(store: Store, id: str) -> bool:
    """Forget a dead letter; False when there is none of that id."""
    return await _redrive(store, id, "0")


async def _redrive(store: Store, id: str, again: str) -> bool:
    found = await _row(store, id)
    if found is None:
        return False
    letter = _letter(*found)
    dead = store.keys.partitions[found[0]].dead
    entry = letter.id.partition(":")[2]
    return await redrive(store, dead, letter.stream, entry, again=again == "1")


async def redrive(store: Store, dead: str, stream: str, id: str, *, again: bool) -> bool:
    """Take a dead letter out of `dead`, and append its entry to `stream` again; False when there
    is none of that id.
    """
    return bool(await store.run("redrive", [dead, stream], id, "1" if again else "0"))


async def _row(store: Store, id: str) -> tuple[int, Any] | None:
    """Its partition and its entry; None for an id that names nothing."""
    found = _ID.fullmatch(id)
    if found is None or int(found[1]) >= len(store.keys.partitions):
        return None
    number, entry = int(found[1]), found[2]
    dead = store.keys.partitions[number].dead
    rows: Sequence[Any] = await store.transport.execute("XRANGE", dead, entry, entry)
    return (number, rows[0]) if rows else None


def _letter(number: int, row: Any) -> DeadLetter:
    id, fields = row
    facts = {fields[i]: fields[i + 1] for i in range(0, len(fields), 2)}
    return DeadLetter(
        id=f"{number}:{id.decode()}",
        reason=facts.get(b"reason", b"").decode(errors="replace"),
        stream=facts.get(b"stream", b"").decode(),
        job=facts.get(b"job", b"").decode(errors="replace"),
        deliveries=int(facts.get(b"deliveries", 0)),
        payload=facts.get(b"p", b""),
        at_ms=int(id.partition(b"-")[0]),
    )


def stream_topic(partition: Partition, stream: str) -> str:
    """The worker topic of a stream's name, "" for the engine's."""
    head = partition.prefix + "s:"
    return stream[len(head) :] if stream.startswith(head) else ""
