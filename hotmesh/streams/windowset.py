"""`table[key]` of a table with windows: the windows of one key, as an event sees them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hotmesh.durations import Duration, parse
from hotmesh.streams.cells import MISSING, SESSIONS, Cell
from hotmesh.streams.record import encode_key
from hotmesh.streams.transaction import Late
from hotmesh.streams.window import Span

if TYPE_CHECKING:
    from hotmesh.streams.scope import Scope
    from hotmesh.streams.table import Table

Apply = Callable[[Any, Any], Any]


class WindowSet:
    """The windows of one key.

    `+=` and the like change every window that the event belongs to. Reading: `current()` at the
    time of the event, `now()` by the server's clock, `delta(ago)` how `current()` differs from what
    it was, `value()` whichever the table's `relative_to_…` says.
    """

    __slots__ = ("_at_ms", "_key", "_scope", "_table")

    def __init__(self, table: Table[Any], key: Any, scope: Scope, at_ms: int) -> None:
        self._table, self._key, self._scope, self._at_ms = table, key, scope, at_ms

    def belongs_to(self, table: Table[Any], key: Any) -> bool:
        """Whether these are the windows of this key."""
        return table is self._table and key == self._key

    # -- reading

    def current(self) -> Any:
        """The value at the time of the event at hand."""
        return self._value_at(self._at_ms)

    def now(self) -> Any:
        """The value at this moment, by the server's clock."""
        return self._value_at(self._scope.run.now_ms())

    def value(self) -> Any:
        """The value at the time that the table goes by."""
        return self._value_at(self._at_ms)

    def at(self, at_ms: int) -> Any:
        """The value at a time in milliseconds since 1970."""
        return self._value_at(at_ms)

    def delta(self, ago: Duration) -> Any:
        """The value now less the value `ago`, at the event's time."""
        return operator.sub(self.current(), self._value_at(self._at_ms - parse(ago)))

    def exists(self) -> bool:
        """Whether a window of the event's time has a value."""
        return self._look(self._at_ms) is not MISSING

    def _value_at(self, at_ms: int) -> Any:
        value = self._look(at_ms)
        return self._table.default_value() if value is MISSING else value

    def _look(self, at_ms: int) -> Any:
        window = self._table.window
        assert window is not None
        if window.kind == "session":
            found = _session_at(self._sessions()[1], at_ms, window.gap_ms)
            return MISSING if found is None else self._table.decode_value(found[2])
        transaction, total = self._scope.transaction(), MISSING
        for span in window.seen(at_ms):
            value = transaction.read(self._cell(span.pane))
            if value is not MISSING:
                total = value if total is MISSING else window.merge(total, value)
        return total

    # -- changing

    def apply(self, change: Apply, operand: Any) -> WindowSet:
        """Change the windows of the event's time by `change(value, operand)`."""
        window, table = self._table.window, self._table
        assert window is not None
        transaction = self._scope.transaction()
        part = self._scope.run.part(table)
        transaction.saw_time(part, self._at_ms)
        if window.kind == "session":
            self._apply_session(change, operand)
            return self
        for span in window.spans(self._at_ms):
            if window.expired(span.end_ms, part.watermark_ms):
                self._late(span)
                continue
            cell = self._cell(span.pane)
            transaction.write(cell, change(table.read(self._scope, cell, self._key), operand))
            transaction.saw_pane(part, span)
        return self

    def assign(self, value: Any) -> None:
        """Give the windows of the event's time a value."""
        self.apply(lambda _, given: given, value)

    def _late(self, span: Span) -> None:
        window = self._table.window
        assert window is not None
        self._scope.run.note_late(self._table)
        if window.late == "dead_letter":
            raise Late(
                f"the event is of {self._at_ms}, and the window of table {self._table.name!r} that "
                f"ended at {span.end_ms} has expired"
            )

    def _sessions(self) -> tuple[Cell, list[tuple[int, int, bytes]]]:
        cell = self._cell(SESSIONS)
        value = self._scope.transaction().read(cell)
        return cell, [] if value is MISSING else list(value.spans)

    def _apply_session(self, change: Apply, operand: Any) -> None:
        window, table, at_ms = self._table.window, self._table, self._at_ms
        assert window is not None
        transaction, part = self._scope.transaction(), self._scope.run.part(table)
        if window.expired(at_ms + window.gap_ms, part.watermark_ms):
            self._late(Span(at_ms, at_ms + window.gap_ms))
            return
        cell, sessions = self._sessions()
        near = [s for s in sessions if s[0] - window.gap_ms < at_ms < s[1] + window.gap_ms]
        value: Any = MISSING
        for _, _, raw in near:
            one = table.decode_value(raw)
            value = one if value is MISSING else window.merge(value, one)
        value = change(table.default_value() if value is MISSING else value, operand)
        rest = [s for s in sessions if s not in near]
        if value is not MISSING:
            first = min([at_ms, *(s[0] for s in near)])
            last = max([at_ms, *(s[1] for s in near)])
            rest.append((first, last, table.encode_value(value)))
        rest = [s for s in rest if not part.is_over(s[1] + window.gap_ms)]
        rest.sort()
        transaction.write(cell, table.sessions(rest))
        key = encode_key(self._key) or b""
        transaction.saw_session(part, key, [s[1] + window.gap_ms for s in rest])

    def _cell(self, pane: str) -> Cell:
        return self._table.cell(self._scope, self._key, pane)

    def __iadd__(self, other: Any) -> WindowSet:
        return self.apply(operator.add, other)

    def __isub__(self, other: Any) -> WindowSet:
        return self.apply(operator.sub, other)

    def __imul__(self, other: Any) -> WindowSet:
        return self.apply(operator.mul, other)

    def __itruediv__(self, other: Any) -> WindowSet:
        return self.apply(operator.truediv, other)

    def __ifloordiv__(self, other: Any) -> WindowSet:
        return self.apply(operator.floordiv, other)

    def __imod__(self, other: Any) -> WindowSet:
        return self.apply(operator.mod, other)

    def __ior__(self, other: Any) -> WindowSet:
        return self.apply(operator.or_, other)

    def __iand__(self, other: Any) -> WindowSet:
        return self.apply(operator.and_, other)

    def __repr__(self) -> str:
        return f"<windows of {self._key!r} in table {self._table.name!r}>"


def _session_at(
    sessions: list[tuple[int, int, bytes]], at_ms: int, gap_ms: int
) -> tuple[int, int, bytes] | None:
    for found in reversed(sessions):
        if found[0] - gap_ms < at_ms < found[1] + gap_ms:
            return found
    return None
