"""The part of a table that lies in one partition, as its owner holds it.

A *cell* is one value. The owner's cells are the truth as far as they are loaded: nobody else writes
here while the lease's epoch stands. A pane that is loaded whole answers for keys it does not have,
too; a cell of any other is read from the server when it is first asked for.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from hotmesh.connect import ReplyError
from hotmesh.streams.keys import Slot
from hotmesh.streams.window import Span

if TYPE_CHECKING:
    from hotmesh.streams.commit import Commit
    from hotmesh.streams.peek import Peek
    from hotmesh.streams.store import StreamStore
    from hotmesh.streams.table import Table

CELLS_MAX = 200_000
"""Cells of one part that are held in memory; beyond it clean ones are forgotten."""

PRELOAD_MAX = 20_000
"""Panes of at most so many cells are loaded when a partition is taken."""

SESSIONS = "s"
PAGE = 1_000


class Missing:
    """There is no value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()


class Cell:
    """One value of a table.

    Attributes:
        home: The partition that it lies in.
        pane: Of a windowed table: which window; "" otherwise.
        value: Decoded, or MISSING.
        raw: As stored, None when missing or not stored yet.
        version: Grows with each change in this process.
    """

    __slots__ = ("home", "key", "pane", "part", "raw", "value", "version")

    def __init__(self, part: Part, home: int, pane: str, key: bytes, raw: bytes | None) -> None:
        self.part, self.home, self.pane, self.key = part, home, pane, key
        self.raw = raw
        self.value: Any = part.table.decode_stored(pane, raw) if raw is not None else MISSING
        self.version = 0


class Part:
    """One table in one partition."""

    def __init__(self, table: Table[Any], slot: Slot, peek: Peek) -> None:
        self.table, self.slot = table, slot
        self.watermark_ms = 0
        self.closed_ms = 0
        self.panes: dict[str, int] = {}  # what exists, and its end
        self._peek = peek
        self._app = table.app_id
        self._cells: dict[tuple[str, bytes], Cell] = {}
        self._whole: set[str] = set()
        self._dirty: dict[Cell, None] = {}
        self._new_panes: dict[str, int] = {}
        self._gone_panes: dict[str, None] = {}
        self._marks = False
        self._touched_ms = 0  # when it was first seen that no event comes; 0: one has come
        self._all_panes_known = False
        self._ends: list[int] = []  # a heap: of windows that were not reported yet
        self._ending: dict[int, set[str]] = {}
        self._expiring: list[tuple[int, str]] = []  # a heap

    # -- loading

    async def load(self, store: StreamStore) -> None:
        """Read what there is to know, and the panes that are small."""
        name = self.table.name
        meta, panes = await _checked(
            store,
            [
                ("HMGET", self.slot.meta(self._app, name), "w", "c"),
                ("ZRANGE", self.slot.panes(self._app, name), 0, -1, "WITHSCORES"),
            ],
        )
        self.watermark_ms, self.closed_ms = (int(m or 0) for m in meta)
        window = self.table.window
        if window is not None and window.kind != "session":
            rows = iter(panes)
            self.panes = {
                pane.decode(): int(float(end)) for pane, end in zip(rows, rows, strict=True)
            }
            self._all_panes_known = True
        elif window is not None:
            rows = iter(panes)
            self.panes = {_latin(key): int(float(end)) for key, end in zip(rows, rows, strict=True)}
        self._expiring = [(end, pane) for pane, end in self.panes.items()]
        heapq.heapify(self._expiring)
        for pane in self._stored_panes():
            await self.load_pane(store, pane, PRELOAD_MAX)
        self._load_ends()

    def _load_ends(self) -> None:
        window = self.table.window
        for pane, end_ms in self.panes.items():
            self._will_end(end_ms, pane)
        if window is not None and window.kind == "session":
            for cell in self.loaded(SESSIONS):
                for _, last, _ in cell.value.spans:
                    self._will_end(last + window.gap_ms, _latin(cell.key))

    def _stored_panes(self) -> list[str]:
        window = self.table.window
        if window is None:
            return [""]
        return [SESSIONS] if window.kind == "session" else list(self.panes)

    async def load_pane(self, store: StreamStore, pane: str, count_max: int = CELLS_MAX) -> None:
        """Load a pane whole, unless it has more than `count_max` cells. What is in memory stays."""
        key = self.slot.table(self._app, self.table.name, pane)
        (count,) = await _checked(store, [("HLEN", key)])
        if count > count_max or len(self._cells) + count > 2 * CELLS_MAX:
            return
        (flat,) = await _checked(store, [("HGETALL", key)])
        for at in range(0, len(flat), 2):
            if (pane, flat[at]) not in self._cells:
                cell = Cell(self, self.slot.number, pane, flat[at], flat[at + 1])
                self._cells[pane, flat[at]] = cell
        self._whole.add(pane)

    # -- cells

    def cell(self, pane: str, key: bytes) -> Cell:
        """The cell of a key, read now if it is not known."""
        found = self._cells.get((pane, key))
        if found is None:
            raw = None
            if pane not in self._whole and not (self._all_panes_known and pane not in self.panes):
                raw = self._peek.hget(self.slot.table(self._app, self.table.name, pane), key)
            elif pane not in self._whole:
                self._whole.add(pane)  # it does not exist yet: we make it
            found = self._cells[pane, key] = Cell(self, self.slot.number, pane, key, raw)
        return found

    def change(self, cell: Cell, value: Any) -> None:
        """Give a cell a value (MISSING: delete it); it is stored with the next commit."""
        cell.value = value
        cell.version += 1
        self._dirty[cell] = None

    def note_pane(self, span: Span) -> None:
        """A window has been changed: it exists."""
        if span.pane not in self.panes:
            self._add_pane(span.pane, span.end_ms)
            self._will_end(span.end_ms, span.pane)

    def note_session(self, key: bytes, ends_ms: Sequence[int]) -> None:
        """The sessions of a key end then."""
        name = _latin(key)
        if ends_ms and self.panes.get(name) != ends_ms[-1]:
            self._add_pane(name, ends_ms[-1])
        for end_ms in ends_ms:
            self._will_end(end_ms, name)

    def _add_pane(self, name: str, end_ms: int) -> None:
        self.panes[name] = self._new_panes[name] = end_ms
        self._gone_panes.pop(name, None)
        heapq.heappush(self._expiring, (end_ms, name))

    def advance(self, at_ms: int) -> None:
        """Event time has come so far."""
        if at_ms > self.watermark_ms:
            self.watermark_ms = at_ms
            self._marks = True
        self._touched_ms = 0

    def advance_if_idle(self, now_ms: int, idle_ms: int) -> None:
        """No event for so long: time goes on by the clock, so much behind it."""
        if not self._touched_ms:
            self._touched_ms = now_ms
        elif now_ms - self._touched_ms >= idle_ms and now_ms - idle_ms > self.watermark_ms:
            self.watermark_ms = now_ms - idle_ms
            self._marks = True

    def close_until(self, at_ms: int) -> None:
        """Windows that ended by then have been reported."""
        self.closed_ms = at_ms
        self._marks = True

    def loaded(self, pane: str) -> Iterator[Cell]:
        """The cells of a pane that are in memory and have a value."""
        return (
            c for (p, _), c in list(self._cells.items()) if p == pane and c.value is not MISSING
        )

    def is_whole(self, pane: str) -> bool:
        """Whether `loaded` gives all of a pane."""
        return pane in self._whole

    # -- closing and expiry

    def due(self) -> tuple[int, list[str]] | None:
        """The earliest end that can be reported as closed, with its windows (of sessions: keys)."""
        window = self.table.window
        assert window is not None
        while self._ends and self._ends[0] <= self.closed_ms:
            self._ending.pop(heapq.heappop(self._ends), None)
        if not self._ends or self._ends[0] > self.watermark_ms - window.grace_ms:
            return None
        return self._ends[0], sorted(self._ending[self._ends[0]])

    def _will_end(self, end_ms: int, name: str) -> None:
        if end_ms > self.closed_ms:
            found = self._ending.get(end_ms)
            if found is None:
                found = self._ending[end_ms] = set()
                heapq.heappush(self._ends, end_ms)
            found.add(name)

    def has_expired(self) -> bool:
        """Whether `expire` has something to do."""
        return bool(self._expiring) and self.is_over(self._expiring[0][0])

    def is_over(self, end_ms: int) -> bool:
        """Whether a window that ended then may be deleted: it has expired, and was reported."""
        window = self.table.window
        if window is None or not window.expired(end_ms, self.watermark_ms):
            return False
        return end_ms <= self.closed_ms or not self.table.closers

    def expire(self) -> None:
        """Forget windows that are gone by now; they are deleted with the next commit."""
        window = self.table.window
        while self.has_expired():
            end_ms, pane = heapq.heappop(self._expiring)
            if window is None or self.panes.get(pane) != end_ms:
                continue  # of a session that has gone on
            del self.panes[pane]
            self._new_panes.pop(pane, None)
            self._gone_panes[pane] = None
            if window.kind == "session":
                self._drop_sessions(pane.encode("latin-1"))
            else:
                self._drop_pane(pane)

    def _drop_pane(self, pane: str) -> None:
        self._whole.discard(pane)
        for at in [at for at in self._cells if at[0] == pane]:
            self._dirty.pop(self._cells.pop(at), None)

    def _drop_sessions(self, key: bytes) -> None:
        cell = self._cells.get((SESSIONS, key)) or Cell(self, self.slot.number, SESSIONS, key, None)
        self._cells[SESSIONS, key] = cell
        self.change(cell, MISSING)

    # -- storing

    def store(self, commit: Commit) -> None:
        """Put every change into a commit."""
        name, app = self.table.name, self._app
        sets: dict[str, list[Any]] = {}
        drops: dict[str, list[Any]] = {}
        for cell in self._dirty:
            if cell.value is MISSING:
                cell.raw = None
                drops.setdefault(cell.pane, []).append(cell.key)
            else:
                cell.raw = self.table.encode_stored(cell.pane, cell.value)
                sets.setdefault(cell.pane, []).extend((cell.key, cell.raw))
        for pane, pairs in sets.items():
            commit.many("HSET", commit.key(self.slot.table(app, name, pane), "h"), pairs)
        for pane, keys in drops.items():
            commit.many("HDEL", commit.key(self.slot.table(app, name, pane), "h"), keys)
        if self.table.has_changes and self._dirty:
            self._tell_changes(commit)
        self._store_panes(commit)
        if self._marks:
            meta = commit.key(self.slot.meta(app, name), "h")
            commit.add("HSET", meta, "w", self.watermark_ms, "c", self.closed_ms)
        self._dirty, self._marks = {}, False

    def _tell_changes(self, commit: Commit) -> None:
        stream = self.slot.changes(self._app, self.table.name)
        for cell in self._dirty:
            value = () if cell.raw is None else ("v", cell.raw)
            commit.append(
                stream, ("k", cell.key, "w", cell.pane, *value), keep=self.table.changes_max
            )

    def _store_panes(self, commit: Commit) -> None:
        if not self._new_panes and not self._gone_panes:
            return
        name, app, window = self.table.name, self._app, self.table.window
        index = commit.key(self.slot.panes(app, name), "z")
        pairs = [x for pane, end in self._new_panes.items() for x in (end, pane.encode("latin-1"))]
        if pairs:
            commit.many("ZADD", index, pairs)
        gone = [pane.encode("latin-1") for pane in self._gone_panes]
        if gone:
            commit.many("ZREM", index, gone)
            if window is not None and window.kind != "session":
                for pane in self._gone_panes:
                    commit.add("UNLINK", commit.key(self.slot.table(app, name, pane), "h"))
        self._new_panes, self._gone_panes = {}, {}

    def forget_some(self) -> None:
        """Keep memory bounded. Only while no transaction is open, and after `store`."""
        if len(self._cells) <= CELLS_MAX or self._dirty:
            return
        for at in list(self._cells)[: len(self._cells) // 2]:
            del self._cells[at]
            self._whole.discard(at[0])


def _latin(data: bytes) -> str:
    """Bytes of any kind as text, and back by the same name."""
    return data.decode("latin-1")


async def _checked(store: StreamStore, commands: list[tuple[Any, ...]]) -> list[Any]:
    replies = await store.transport.execute_many(commands)
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply
    return replies


class Sessions(msgspec.Struct, array_like=True, frozen=True):
    """The sessions of one key: first and last event of each, and its value as stored."""

    spans: tuple[tuple[int, int, bytes], ...]


decode_sessions = msgspec.msgpack.Decoder(Sessions).decode
encode_sessions = msgspec.msgpack.Encoder().encode
