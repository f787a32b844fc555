"""What the handling of one event (or one batch of `take`) reads, changes and sends.

Nothing of it is seen by others before it is complete. Then it is checked that no value that it has
read was changed meanwhile by another event of this partition; if one was, all is dropped and the
event is handled again, alone. What is complete goes into the partition's next commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hotmesh.errors import HotMeshError
from hotmesh.streams.cells import MISSING, Cell, Sessions
from hotmesh.streams.window import Span

if TYPE_CHECKING:
    from hotmesh.streams.partition import Run
    from hotmesh.streams.topic import Topic
    from hotmesh.streams.topics import TopicSpec

_FIXED = (int, float, str, bool, bytes, type(None), tuple, frozenset, Sessions)


class Conflict(Exception):
    """A value that was read has been changed by another event: handle the event again."""


class Elsewhere(Exception):
    """The values that were changed lie in another partition: the event must be handled there."""

    def __init__(self, home: int) -> None:
        self.home = home
        super().__init__(home)


class KeysElsewhere(HotMeshError):
    """One event has changed values in several partitions, in a way that can't be added up."""

    code = 409


class Late(HotMeshError):
    """An event came after its window had expired, and the table says `late="dead_letter"`."""

    code = 410


class Send:
    """An entry for a topic."""

    __slots__ = ("fields", "partition", "spec", "topic")

    def __init__(self, topic: str, spec: TopicSpec, partition: int, fields: list[Any]) -> None:
        self.topic, self.spec, self.partition, self.fields = topic, spec, partition, fields


class Delta:
    """A number that is to be added to a value in another partition."""

    __slots__ = ("amount", "cell")

    def __init__(self, cell: Cell, amount: Any) -> None:
        self.cell, self.amount = cell, amount


class Transaction:
    """Open while a handler runs for its event or batch."""

    __slots__ = (
        "_away",
        "_handed",
        "_panes",
        "_reads",
        "_run",
        "_times",
        "_writes",
        "replies",
        "sends",
    )

    def __init__(self, run: Run) -> None:
        self._run = run
        self._reads: dict[Cell, int] = {}
        self._writes: dict[Cell, Any] = {}
        self._handed: dict[Cell, tuple[Any, bytes | None]] = {}
        self._away: dict[tuple[Any, str, bytes], Cell] = {}
        self._panes: list[tuple[Any, Any, list[int]]] = []
        self._times: dict[Any, int] = {}
        self.sends: list[Send] = []
        self.replies: list[tuple[bytes, bytes]] = []

    # -- values

    def cell(self, table: Any, pane: str, key: bytes) -> Cell:
        """The cell of a key; one of another partition is read once for this transaction."""
        home = table.home(key)
        if home == self._run.number:
            return self._run.part(table).cell(pane, key)
        at = (table, pane, key)
        found = self._away.get(at)
        if found is None:
            found = self._away[at] = self._run.cell_of(table, home, pane, key)
        return found

    def read(self, cell: Cell) -> Any:
        """The value of a cell as this event sees it, MISSING when there is none.

        A value that can be changed in place is a copy of this event's own; if it was changed when
        the event ends, that counts as a write.
        """
        if cell in self._writes:
            return self._writes[cell]
        if cell in self._handed:
            return self._handed[cell][0]
        self._reads.setdefault(cell, cell.version)
        value = cell.value
        if isinstance(value, _FIXED) or value is MISSING:
            return value
        table = cell.part.table
        raw = table.encode_value(value)  # the stored form may be older than the value
        copy = table.decode_value(raw)
        self._handed[cell] = (copy, raw)
        return copy

    def hand_default(self, cell: Cell, value: Any) -> None:
        """The default of a missing cell, which the handler may change in place."""
        if not isinstance(value, _FIXED):
            self._handed[cell] = (value, cell.part.table.encode_value(value))

    def write(self, cell: Cell, value: Any) -> None:
        """Give a cell a value; MISSING deletes it."""
        if value is not MISSING and not isinstance(value, Sessions):
            cell.part.table.check_value(value)
        self._handed.pop(cell, None)
        self._writes[cell] = value

    def saw_pane(self, part: Any, span: Span) -> None:
        """A window of a table is changed."""
        self._panes.append((part, span, []))

    def saw_session(self, part: Any, key: bytes, ends_ms: list[int]) -> None:
        """The sessions of a key are changed, and end then."""
        self._panes.append((part, key, ends_ms))

    def saw_time(self, part: Any, at_ms: int) -> None:
        """An event of this time has touched a windowed table."""
        if at_ms > self._times.get(part, -1):
            self._times[part] = at_ms

    # -- sending

    def send(self, topic: Topic[Any], spec: TopicSpec, partition: int, fields: list[Any]) -> None:
        """An entry that is to be sent when this is complete."""
        self.sends.append(Send(topic.name, spec, partition, fields))

    # -- the end

    def complete(self) -> list[Delta]:
        """Check, and make the changes seen. Synchronous: nothing comes in between.

        Returns:
            What is to be added to values of other partitions.

        Raises:
            Conflict, Elsewhere, KeysElsewhere: Nothing was changed.
        """
        for cell, version in self._reads.items():
            if cell.version != version:
                raise Conflict
        for cell, (copy, raw) in self._handed.items():
            if cell.part.table.encode_value(copy) != raw:
                self._writes[cell] = copy
        here = self._run.number
        away = [c for c in self._writes if c.home != here]
        deltas = self._deltas(away) if away else []
        for cell, value in self._writes.items():
            if cell.home == here:
                cell.part.change(cell, value)
        for part, what, ends_ms in self._panes:
            if isinstance(what, Span):
                part.note_pane(what)
            else:
                part.note_session(what, ends_ms)
        for part, at_ms in self._times.items():
            part.advance(at_ms)
        return deltas

    def _deltas(self, away: list[Cell]) -> list[Delta]:
        homes = {c.home for c in self._writes}
        if len(homes) == 1:
            raise Elsewhere(homes.pop())
        deltas = []
        for cell in away:
            before, after = cell.value, self._writes[cell]
            if before is MISSING:
                before = cell.part.table.default_value()
            if not _is_number(before) or not _is_number(after) or cell not in self._reads:
                raise KeysElsewhere(
                    f"one event changes values of table {cell.part.table.name!r} in "
                    f"{len(homes)} partitions; group the stream by the table's key first "
                    "(stream.group_by), or give the table one partition. Only numbers that are "
                    "added to (t[k] += 1) may lie anywhere"
                )
            deltas.append(Delta(cell, after - before))
        return deltas


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
