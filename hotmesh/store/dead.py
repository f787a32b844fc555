"""Dead letters: entries that nobody could handle, kept with their reason until a person decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from hotmesh.store.jobs import Store
from hotmesh.store.keys import Partition

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


def bury_op(
    position: int, payload: bytes, *, reason: str, stream: str, job: str, deliveries: int
) -> list[Any]:
    """The op that keeps a dead letter, for `Store.answer`."""
    from hotmesh.store.encode import text

    return ["dead", position, text(payload), reason, stream, job, deliveries, DEAD_MAX]


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


async def retry(store: Store, id: str) -> bool:
    """Append the entry to its stream again and forget the dead letter; False when there is none
    of that id.
    """
    return await _redrive(store, id, "1")


async def drop(store: Store, id: str) -> bool:
    """Forget a dead letter; False when there is none of that id."""
    return await _redrive(store, id, "0")


async def _redrive(store: Store, id: str, again: str) -> bool:
    number, _, entry = id.partition(":")
    if not number.isdigit() or int(number) >= len(store.keys.partitions) or not entry:
        return False
    partition = store.keys.partitions[int(number)]
    rows: Sequence[Any] = await store.transport.execute("XRANGE", partition.dead, entry, entry)
    if not rows:
        return False
    stream = _letter(int(number), rows[0]).stream
    return await redrive(store, partition.dead, stream, entry, again=again == "1")


async def redrive(store: Store, dead: str, stream: str, id: str, *, again: bool) -> bool:
    """Take a dead letter out of `dead`, and append its entry to `stream` again; False when there
    is none of that id.
    """
    return bool(await store.run("redrive", [dead, stream], id, "1" if again else "0"))


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
