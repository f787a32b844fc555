"""Windows that have closed, told to whoever wants to know: `@table.on_close`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from hotmesh.log import get_logger
from hotmesh.streams.cells import MISSING, SESSIONS, Part
from hotmesh.streams.scope import current
from hotmesh.streams.transaction import Conflict, Transaction
from hotmesh.streams.window import Span

if TYPE_CHECKING:
    from hotmesh.streams.partition import Run
    from hotmesh.streams.store import StreamStore

log = get_logger("hotmesh.streams")

FAILURES_MAX = 5


class Closer:
    """A `Scope`: what functions of `on_close` send and change is one transaction per window, stored
    with the note that the window was reported.
    """

    def __init__(self, run: Run, store: StreamStore) -> None:
        self.run, self._store = run, store
        self._transaction: Transaction | None = None
        self._at_ms = 0
        self._failures = 0

    @property
    def has_event(self) -> bool:
        """A window is at hand whenever functions are called."""
        return True

    def transaction(self) -> Transaction:
        """Of the window at hand."""
        if self._transaction is None:
            self._transaction = self.run.open()
        return self._transaction

    def at_ms(self, table: Any) -> int:
        """The end of the window at hand."""
        return self._at_ms

    async def look(self) -> None:
        """Report what has closed."""
        for part in self.run.parts():
            window = part.table.window
            if window is None:
                continue
            if window.idle_ms:
                part.advance_if_idle(self.run.now_ms(), window.idle_ms)
            if part.table.relative_to == "now":
                part.advance(self.run.now_ms())
            if part.has_expired():
                self.run.wake()
            if not part.table.closers:
                continue
            while (found := part.due()) is not None:
                if self.run.lost.is_set() or not await self._close(part, *found):
                    return

    async def _close(self, part: Part, end_ms: int, panes: list[str]) -> bool:
        self._at_ms = end_ms - 1
        token = current.set(self)
        try:
            for key, value, span in await self._values(part, panes, end_ms):
                for function in part.table.closers:
                    result = function(part.table.decode_key(key), value, span)
                    if inspect.isawaitable(result):
                        await result
            transaction = self.transaction()
            self.run.take(transaction, transaction.complete())
            self._failures = 0
        except Conflict:
            return False  # at the next look
        except Exception as exc:
            self._failures += 1
            log.warning("window.close_failed", table=part.table.name, end_ms=end_ms, exc_info=exc)
            if self._failures < FAILURES_MAX:
                return False
            log.error("window.close_given_up", table=part.table.name, end_ms=end_ms)
            self._failures = 0
        finally:
            current.reset(token)
            if self._transaction is not None:
                self._transaction = None
                self.run.close()
        part.close_until(end_ms)
        self.run.wake()
        return True

    async def _values(
        self, part: Part, panes: list[str], end_ms: int
    ) -> list[tuple[bytes, Any, Span]]:
        found = []
        for pane in panes:
            found += await self._values_of(part, pane, end_ms)
        return found

    async def _values_of(self, part: Part, pane: str, end_ms: int) -> list[tuple[bytes, Any, Span]]:
        window, table = part.table.window, part.table
        assert window is not None
        if window.kind == "session":
            key = pane.encode("latin-1")
            cell = part.cell(SESSIONS, key)
            spans = () if cell.value is MISSING else cell.value.spans
            return [
                (key, table.decode_value(raw), Span(first, last + window.gap_ms))
                for first, last, raw in spans
                if last + window.gap_ms == end_ms
            ]
        if not part.is_whole(pane):
            await part.load_pane(self._store, pane)
        span = Span(int(pane), end_ms)
        return [(c.key, c.value, span) for c in part.loaded(pane)]
