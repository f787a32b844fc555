"""Dead letters of a router's groups: look, give another life, or drop."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import DecodeError, Struct

from hotmesh.messages import Again, decode_again
from hotmesh.routing.keys import Lane
from hotmesh.routing.source import Source
from hotmesh.store import Store
from hotmesh.store.dead import redrive

PAGE = 200
_ID = re.compile(r"\d{1,20}-\d{1,20}", re.ASCII)


class Letter(Struct, frozen=True, kw_only=True):
    """One dead letter.

    Attributes:
        id: What `retry` and `drop` take.
        source: The topic or plain stream.
        group: Who could not handle it.
        entry: The id that the entry had.
        reason: Why it was given up.
        deliveries: Attempts, or deliveries of the last one.
        fields: The entry's fields as they lay in the stream.
        at_ms: When it was given up, on the server's clock.
    """

    id: str
    source: str
    group: str
    entry: str
    reason: str
    deliveries: int
    fields: dict[str, bytes]
    at_ms: int


class Desk:
    """Dead letters of some sources."""

    def __init__(self, store: Store, sources: Sequence[tuple[Source, str]]) -> None:
        """Each source with the group that reads it."""
        self._store = store
        self._lanes = [
            (source.name, group, lane) for source, group in sources for lane in source.lanes
        ]

    async def letters(self, limit: int) -> list[Letter]:
        """The newest first."""
        found: list[Letter] = []
        for source, group, lane in self._lanes:
            found += await self._of_lane(source, group, lane, limit)
        return sorted(found, key=lambda letter: letter.at_ms, reverse=True)[:limit]

    async def letter(self, id: str) -> Letter | None:
        """One letter; None when there is none of that id."""
        name, _, letter = id.rpartition("/")
        for source, group, lane in self._lanes:
            if lane.again == name and _ID.fullmatch(letter):
                rows = await self._store.transport.execute("XRANGE", lane.dead, letter, letter)
                return _letter(source, group, lane, *_facts(rows[0])) if rows else None
        return None

    async def redrive(self, id: str, *, again: bool) -> bool:
        """Append a letter's entry to the attempts of its group, or forget it."""
        name, _, letter = id.rpartition("/")
        for _, _, lane in self._lanes:
            if lane.again == name and _ID.fullmatch(letter):
                return await redrive(self._store, lane.dead, lane.again, letter, again=again)
        return False

    async def _of_lane(self, source: str, group: str, lane: Lane, limit: int) -> list[Letter]:
        found: list[Letter] = []
        last = "+"
        while len(found) < limit:
            command = ("XREVRANGE", lane.dead, last, "-", "COUNT", PAGE)
            rows = await self._store.transport.execute(*command)
            found += [_letter(source, group, lane, *_facts(row)) for row in rows]
            if len(rows) < PAGE:
                break
            last = f"({rows[-1][0].decode()}"
        return found[:limit]


def lane_of_letter(id: str) -> Lane | None:
    """Where a letter lies, of whatever group it is; None when the id is none."""
    again, slash, _ = id.rpartition("/")
    head, mark, name = again.rpartition("}:n:")
    if not slash or not mark:
        return None
    source = name.rpartition(":")[0]
    return Lane(source, again, f"{head}}}:d:{name}", f"{head}}}:x:{name}")


async def redrive_letter(store: Store, id: str, *, again: bool) -> bool:
    """Give a letter another life, or forget it, of whatever group it is; False when there is none
    of that id.
    """
    lane = lane_of_letter(id)
    return lane is not None and await Desk(store, [(Source("", (lane,)), "")]).redrive(
        id, again=again
    )


def _facts(row: Any) -> tuple[bytes, dict[bytes, Any]]:
    id, fields = row
    return id, {fields[i]: fields[i + 1] for i in range(0, len(fields), 2)}


def _letter(source: str, group: str, lane: Lane, id: bytes, facts: dict[bytes, Any]) -> Letter:
    try:
        entry = decode_again(facts.get(b"p", b""))
    except (DecodeError, ValueError):
        entry = Again(lane.stream, "", 1, ())
    names = entry.fields[::2]
    return Letter(
        id=f"{lane.again}/{id.decode()}",
        source=source,
        group=group,
        entry=entry.id,
        reason=facts.get(b"reason", b"").decode(errors="replace"),
        deliveries=int(facts.get(b"deliveries", 0)),
        fields={
            n.decode(errors="replace"): v for n, v in zip(names, entry.fields[1::2], strict=False)
        },
        at_ms=int(id.partition(b"-")[0]),
    )
