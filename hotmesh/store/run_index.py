"""What the indexes of runs forget, and when.

Indexes live longer than the records in them. So the script that ends a run also notes, under the
time at which its record will expire, which indexes name it; whoever has an engine takes these
entries away then, and a finished run leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from hotmesh.core.durable import ledger
from hotmesh.core.state import REV, STATUS
from hotmesh.store.encode import text
from hotmesh.store.jobs import Store
from hotmesh.store.keys import Partition
from hotmesh.store.runs import ATTRIBUTES, RUN, RunCommand, Runs

EXPIRING = "expiring"
SWEEP_MAX = 200
LATER_MS = 5_000
"""When a record that should have expired is looked for again: clocks differ a little."""


class Forgotten(Struct, array_like=True, frozen=True, tag="forget1"):
    """A run that the indexes will forget: the indexes of its search attributes, by name."""

    jid: str
    run_id: str
    names: tuple[str, ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Forgotten).decode


def forgotten(jid: str, run_id: str, names: Iterable[str]) -> Forgotten:
    """What is noted of a run; the same run always gives the same note."""
    return Forgotten(jid, run_id, tuple(sorted(set(names))))


def expires(command: RunCommand, names: Iterable[str], at_ms: int) -> None:
    """The indexes are to forget the run of this command at a time."""
    note = _encode(forgotten(command.jid, command.run_id, names))
    at = command.key(command.partition.runs(EXPIRING))
    command.ops.append(["rank", at, text(note), str(at_ms)])


def unindex(command: RunCommand, note: Forgotten, *, spare: Iterable[str] = ()) -> None:
    """The indexes forget a run now.

    Args:
        spare: Indexes that a newer run of the same id is in.
    """
    kept = set(spare)
    for name in ("open", "closed", *note.names):
        if name not in kept:
            command.rank(name, "")
    at = command.key(command.partition.runs(EXPIRING))
    command.ops.append(["rank", at, text(_encode(note)), ""])


async def sweep(store: Store, partition: Partition, now_ms: int) -> tuple[int, int]:
    """Let the indexes of one partition forget runs whose records have expired.

    Returns:
        How many notes were due, at most `SWEEP_MAX`, and in how many milliseconds the next one is;
        -1 when there is none.
    """
    runs, key = Runs(store), partition.runs(EXPIRING)
    due, following = await runs.execute(
        [
            ("ZRANGEBYSCORE", key, "-inf", now_ms, "LIMIT", 0, SWEEP_MAX),
            ("ZRANGEBYSCORE", key, f"({now_ms}", "+inf", "WITHSCORES", "LIMIT", 0, 1),
        ]
    )
    notes = [_decode(member) for member in due]
    wanted = (RUN, REV, STATUS, ATTRIBUTES)
    heads = await runs.execute([("HMGET", partition.job(n.jid), *wanted) for n in notes])
    # A run that begins or changes meanwhile is guarded by its revision: the note stays for later.
    await runs.run([_swept(store, n, head, now_ms) for n, head in zip(notes, heads, strict=True)])
    return len(due), max(0, int(float(following[1])) - now_ms) if following else -1


def _swept(
    store: Store, note: Forgotten, head: Sequence[bytes | None], now_ms: int
) -> tuple[Any, ...]:
    run_id, rev, status, attributes = head
    command = RunCommand(store, note.jid, note.run_id)
    if run_id is None:
        unindex(command, note)
    elif run_id.decode() == note.run_id:
        expires(command, note.names, now_ms + LATER_MS)
    else:
        values = msgspec.msgpack.decode(attributes) if attributes else None
        state = "open" if int(status or 0) > 0 else "closed"
        unindex(command, note, spare=[state, *ledger.index_names(values or {})])
    return command.build(["entry", (rev or b"").decode(), "", [], ""])
