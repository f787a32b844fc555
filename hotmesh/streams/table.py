"""Tables: values by key that agents keep, durable and partitioned.

Inside an agent a table is like a dict: `totals[key] += price`. What an event changes is stored with
its acknowledgement, in one script. From anywhere else it is read with `await table.get(key)` and
`async for key, value in table.items()`.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hotmesh.errors import PayloadInvalid, SettingsInvalid
from hotmesh.ids import check_topic
from hotmesh.streams import window as windows
from hotmesh.streams.cells import (
    MISSING,
    SESSIONS,
    Cell,
    Sessions,
    decode_sessions,
    encode_sessions,
)
from hotmesh.streams.items import Items
from hotmesh.streams.keys import partition_of
from hotmesh.streams.record import Codec, encode_key, key_decoder
from hotmesh.streams.scope import current
from hotmesh.streams.tables import TableSpec, declare_table
from hotmesh.streams.topic import NotOpen
from hotmesh.streams.view import View
from hotmesh.streams.window import Span, Window
from hotmesh.streams.windowset import WindowSet

if TYPE_CHECKING:
    from hotmesh.streams.app import App
    from hotmesh.streams.scope import Scope

V = TypeVar("V")
OnClose = Callable[[Any, Any, Span], Awaitable[None] | None]
CHANGES_MAX = 100_000
_SIMPLE = (int, float, str, bytes, bool, list, dict, set)


class NoEvent(PayloadInvalid):
    """A table was used like a dict outside of an agent."""

    code = 409


class Table(Generic[V]):
    """A table; made by `App.table`.

    Attributes:
        name: Within the app.
        window: None when its values are not kept by window.
        relative_to: What `value()` and `+=` mean by "now": `event`, `now` (the server's clock),
            or a function of the event's value that gives seconds since 1970 or a datetime.
    """

    def __init__(
        self,
        app: App,
        name: str,
        *,
        default: Callable[[], V] | None,
        value_type: Any,
        key_type: Any,
        partitions: int | None,
        is_global: bool,
        changes: bool,
    ) -> None:
        """Used by `App.table`."""
        self.name, self.app_id = check_topic(name), app.id
        self.default = default
        if value_type is None and default in _SIMPLE:
            value_type = default
        self._codec: Codec[V] = Codec(value_type)
        self._tag = b""
        self._key = key_decoder(key_type)
        self.wanted_partitions = 1 if is_global else partitions
        self.is_global = is_global
        self.has_changes = changes or is_global
        self.changes_max = CHANGES_MAX
        self.window: Window | None = None
        self.relative_to: str | Callable[[Any], Any] = "event"
        self.closers: list[OnClose] = []
        self.spec: TableSpec | None = None
        self._app = app

    def __repr__(self) -> str:
        kind = f" {self.window.kind}" if self.window else ""
        return f"<Table {self.name!r}{kind}>"

    # -- windows

    def tumbling(self, size: Any, *, expires: Any = None, **options: Any) -> Table[V]:
        """Keep a value per key and window of `size`; windows follow each other.

        Args:
            expires: How long after its end a window is kept, and takes late events; a day.
            options: `grace` (how long after its end it is reported as closed), `late`
                (`"drop"` or `"dead_letter"`), `idle`, `merge`; see `Window`.
        """
        return self._windowed(windows.tumbling(size, expires=expires, **options))

    def hopping(self, size: Any, step: Any, *, expires: Any = None, **options: Any) -> Table[V]:
        """Keep a value per key and window of `size`; one begins every `step`."""
        return self._windowed(windows.hopping(size, step, expires=expires, **options))

    def sliding(
        self, size: Any, step: Any = None, *, expires: Any = None, **options: Any
    ) -> Table[V]:
        """Keep what happened in the last `size` before each moment, sharp to `step`."""
        return self._windowed(windows.sliding(size, step, expires=expires, **options))

    def session(self, gap: Any, *, expires: Any = None, **options: Any) -> Table[V]:
        """Keep a value per key and session: events with no silence of `gap` between them."""
        return self._windowed(windows.session(gap, expires=expires, **options))

    def _windowed(self, window: Window) -> Table[V]:
        if self.window is not None:
            raise SettingsInvalid(f"table {self.name!r} has windows already")
        if self.default is None:
            raise SettingsInvalid(
                f"table {self.name!r} has windows and needs a default, such as default=int"
            )
        self.window = window
        return self

    def relative_to_now(self) -> Table[V]:
        """Windows go by the server's clock, not by the time of events."""
        self.relative_to = "now"
        return self

    def relative_to_stream(self) -> Table[V]:
        """Windows go by the time of the event at hand (the default)."""
        self.relative_to = "event"
        return self

    def relative_to_field(self, field: Any) -> Table[V]:
        """Windows go by a field of the value: `Order.at`, or a function of the value."""
        getter = getattr(field, "__get__", None)
        self.relative_to = getter if not inspect.isroutine(field) and getter else field
        return self

    def on_close(self, function: OnClose) -> OnClose:
        """Decorator: `function(key, value, window)` once for each value of a window that has
        closed. What it sends and changes is stored with the note that it was called.
        """
        if self.window is None:
            raise SettingsInvalid(f"table {self.name!r} has no windows that could close")
        self.closers.append(function)
        return function

    # -- like a dict, inside an agent

    def __getitem__(self, key: Any) -> Any:
        scope = self._scope()
        if self.window is not None:
            return WindowSet(self, key, scope, scope.at_ms(self))
        return self.read(scope, self.cell(scope, key, ""), key)

    def __setitem__(self, key: Any, value: Any) -> None:
        scope = self._scope()
        if isinstance(value, WindowSet):  # what `t[k] += x` gives back: it is written already
            if not value.belongs_to(self, key):
                raise PayloadInvalid("a window set can't be stored under another key")
            return
        if self.window is not None:
            WindowSet(self, key, scope, scope.at_ms(self)).assign(value)
            return
        scope.transaction().write(self.cell(scope, key, ""), value)

    def __delitem__(self, key: Any) -> None:
        scope = self._scope()
        if self.window is not None:
            WindowSet(self, key, scope, scope.at_ms(self)).assign(MISSING)
            return
        cell = self.cell(scope, key, "")
        if scope.transaction().read(cell) is MISSING:
            raise KeyError(key)
        scope.transaction().write(cell, MISSING)

    def __contains__(self, key: Any) -> bool:
        scope = self._scope()
        if self.window is not None:
            return WindowSet(self, key, scope, scope.at_ms(self)).exists()
        return scope.transaction().read(self.cell(scope, key, "")) is not MISSING

    def pop(self, key: Any, *default: Any) -> Any:
        """Take a value out."""
        if key in self:
            value = self[key]
            del self[key]
            return value
        if default:
            return default[0]
        raise KeyError(key)

    def setdefault(self, key: Any, value: V) -> V:
        """The value of a key, which is `value` from now on if there was none."""
        if key not in self:
            self[key] = value
        found: V = self[key]
        return found

    # -- from anywhere

    async def get(self, key: Any, default: Any = None, *, at: Any = None) -> Any:
        """The value of a key, in any process.

        Args:
            default: When there is none; the table's own default when None.
            at: Of a table with windows: which moment, as a datetime or in seconds since 1970; the
                time of the latest event when None.
        """
        return await self._view().get(key, default, at)

    def items(self, *, at: Any = None) -> Items:
        """All keys and values, in any process: `async for key, value in table.items()`, or
        `await table.items()` for a list of pairs.

        Args:
            at: As in `get`.
        """
        return Items(lambda: self._view().items(at))

    def keys(self, *, at: Any = None) -> Items:
        """All keys; as `items`."""

        async def walk() -> AsyncIterator[Any]:
            async for key, _ in self._view().items(at):
                yield key

        return Items(walk)

    def values(self, *, at: Any = None) -> Items:
        """All values; as `items`."""

        async def walk() -> AsyncIterator[Any]:
            async for _, value in self._view().items(at):
                yield value

        return Items(walk)

    async def windows_of(self, key: Any) -> dict[Span, Any]:
        """Every window of a key that is kept, the oldest first."""
        return await self._view().windows_of(key)

    def changes(self, *, last: str = "$") -> AsyncIterator[tuple[Any, Any, Span | None]]:
        """Changes as they are committed: key, value (None: deleted), window.

        Args:
            last: `$` from now on, `0` from the oldest that is kept.
        """
        if not self.has_changes:
            raise SettingsInvalid(
                f"table {self.name!r} keeps no changes; make it with changes=True"
            )
        return self._view().changes(last)

    # -- for the parts of this package

    async def declare(self) -> TableSpec:
        """Make the table known, or find it.

        Raises:
            SettingsInvalid: It has another number of partitions than was asked for.
        """
        client = self._app.client
        if client is None:
            raise NotOpen(f"table {self.name!r}")
        partitions = await self._app.table_partitions()
        self.spec = await declare_table(client.store, self, partitions)
        return self.spec

    def home(self, key: bytes) -> int:
        """The partition of a key."""
        assert self.spec is not None, "a table is declared before it is used"
        return partition_of(key, self.spec.partitions)

    def cell(self, scope: Scope, key: Any, pane: str) -> Cell:
        """The cell of a key as the event at hand may see it."""
        encoded = key.encode() if type(key) is str else encode_key(key)
        if encoded is None:
            raise PayloadInvalid(f"None is no key of table {self.name!r}", field="key")
        return scope.transaction().cell(self, pane, encoded)

    def read(self, scope: Scope, cell: Cell, key: Any) -> Any:
        """The value of a cell, or the default."""
        transaction = scope.transaction()
        value = transaction.read(cell)
        if value is MISSING:
            if self.default is None:
                raise KeyError(key)
            value = self.default()
            transaction.hand_default(cell, value)
        return value

    def default_value(self) -> Any:
        """The default, or MISSING."""
        return self.default() if self.default is not None else MISSING

    def encode_value(self, value: Any) -> bytes:
        """A value as stored."""
        data, self._tag = self._codec.encode(value, what=f"a value of table {self.name!r}")
        return data

    def check_value(self, value: Any) -> None:
        """Raises PayloadInvalid for what can't be stored."""
        if type(value) not in (int, float, str):
            self.encode_value(value)

    def decode_value(self, data: bytes) -> Any:
        """A value as it was stored."""
        return self._codec.decode(data, None)

    def encode_stored(self, pane: str, value: Any) -> bytes:
        """What a cell holds, as stored."""
        return encode_sessions(value) if pane == SESSIONS else self.encode_value(value)

    def decode_stored(self, pane: str, data: bytes) -> Any:
        """What a cell held when it was stored."""
        return decode_sessions(data) if pane == SESSIONS else self.decode_value(data)

    def sessions(self, spans: list[tuple[int, int, bytes]]) -> Any:
        """What the cell of a key's sessions holds; MISSING when there is none left."""
        return Sessions(tuple(spans)) if spans else MISSING

    def decode_key(self, data: bytes) -> Any:
        """A key as it was stored."""
        return self._key(data)

    def _scope(self) -> Scope:
        scope = current.get()
        if scope is None:
            raise NoEvent(
                f"table {self.name!r} is like a dict inside agents only; elsewhere write "
                "'await table.get(key)'"
            )
        return scope

    def _view(self) -> View:
        client = self._app.client
        if client is None:
            raise NotOpen(f"table {self.name!r}")
        return View(self, client)
