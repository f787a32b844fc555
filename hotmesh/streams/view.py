"""A table as it is stored: what any process may read of it, committed changes only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hotmesh.errors import SettingsInvalid
from hotmesh.streams.cells import MISSING, SESSIONS, decode_sessions
from hotmesh.streams.record import encode_key
from hotmesh.streams.window import Span

if TYPE_CHECKING:
    from hotmesh.streams.client import Client
    from hotmesh.streams.table import Table

PAGE = 500
CHANGES_BLOCK_MS = 1_000


class View:
    """Reads one table through one client."""

    def __init__(self, table: Table[Any], client: Client) -> None:
        self._table, self._client = table, client
        self._execute = client.connection.transport.execute

    async def get(self, key: Any, default: Any, at: Any) -> Any:
        """The value of a key, or a default."""
        await self._declared()
        encoded = encode_key(key)
        if encoded is None:
            raise SettingsInvalid("None is no key of a table")
        home = self._table.home(encoded)
        value: Any = MISSING
        if self._table.window is None:
            value = await self._value(home, "", encoded)
        else:
            value = await self._windowed(home, encoded, at)
        if value is not MISSING:
            return value
        found = default if default is not None else self._table.default_value()
        return None if found is MISSING else found

    async def items(self, at: Any) -> AsyncIterator[tuple[Any, Any]]:
        """Keys and values of the whole table, in no order."""
        spec = await self._declared()
        for home in range(spec.partitions):
            if self._table.window is None:
                async for key, raw in self._scan(home, ""):
                    yield self._table.decode_key(key), self._table.decode_value(raw)
            else:
                async for pair in self._windowed_items(home, at):
                    yield pair

    async def windows_of(self, key: Any) -> dict[Span, Any]:
        """Every window of a key."""
        await self._declared()
        window = self._table.window
        if window is None:
            raise SettingsInvalid(f"table {self._table.name!r} has no windows")
        encoded = encode_key(key) or b""
        home = self._table.home(encoded)
        if window.kind == "session":
            return {
                Span(first, last + window.gap_ms): self._table.decode_value(raw)
                for first, last, raw in await self._sessions(home, encoded)
            }
        found = {}
        for span in await self._spans(home):
            value = await self._value(home, span.pane, encoded)
            if value is not MISSING:
                found[span] = value
        return found

    async def changes(self, last: str) -> AsyncIterator[tuple[Any, Any, Span | None]]:
        """Changes as they are committed."""
        spec = await self._declared()
        table = self._table
        slots = [self._client.space.slot(p) for p in range(spec.partitions)]
        streams = {slot.changes(table.app_id, table.name): last for slot in slots}
        reader = await self._client.connection.reader(silence_s=CHANGES_BLOCK_MS / 1000 + 4)
        try:
            for name in streams:
                if last == "$":
                    streams[name] = await self._last_id(name)
            while True:
                command = ("XREAD", "COUNT", PAGE, "BLOCK", CHANGES_BLOCK_MS, "STREAMS")
                reply = await reader.execute(*command, *streams, *streams.values())
                for name, entries in reply or ():
                    for id, fields in entries:
                        streams[name.decode()] = id.decode()
                        yield self._change(dict(zip(fields[::2], fields[1::2], strict=True)))
        finally:
            await reader.close()

    async def _last_id(self, stream: str) -> str:
        rows = await self._execute("XREVRANGE", stream, "+", "-", "COUNT", 1)
        return rows[0][0].decode() if rows else "0"

    def _change(self, facts: dict[bytes, bytes]) -> tuple[Any, Any, Span | None]:
        table, pane = self._table, facts[b"w"].decode()
        key = table.decode_key(facts[b"k"])
        raw, window = facts.get(b"v"), table.window
        if pane == SESSIONS and window is not None:
            sessions = decode_sessions(raw).spans if raw is not None else ()
            if not sessions:
                return key, None, None
            first, last, inner = sessions[-1]
            return key, table.decode_value(inner), Span(first, last + window.gap_ms)
        value = table.decode_value(raw) if raw is not None else None
        if not pane or window is None:
            return key, value, None
        size = window.step_ms if window.kind == "sliding" else window.size_ms
        return key, value, Span(int(pane), int(pane) + size)

    # -- parts

    async def _declared(self) -> Any:
        spec = self._table.spec or await self._table.declare()
        return spec

    def _hash(self, home: int, pane: str) -> str:
        return self._client.space.slot(home).table(self._table.app_id, self._table.name, pane)

    async def _value(self, home: int, pane: str, key: bytes) -> Any:
        raw = await self._execute("HGET", self._hash(home, pane), key)
        return MISSING if raw is None else self._table.decode_value(raw)

    async def _windowed(self, home: int, key: bytes, at: Any) -> Any:
        window = self._table.window
        assert window is not None
        at_ms = await self._at_ms(home, at)
        if window.kind == "session":
            for first, last, raw in reversed(await self._sessions(home, key)):
                if first - window.gap_ms < at_ms < last + window.gap_ms:
                    return self._table.decode_value(raw)
            return MISSING
        total: Any = MISSING
        for span in window.seen(at_ms):
            value = await self._value(home, span.pane, key)
            if value is not MISSING:
                total = value if total is MISSING else window.merge(total, value)
        return total

    async def _windowed_items(self, home: int, at: Any) -> AsyncIterator[tuple[Any, Any]]:
        window = self._table.window
        assert window is not None
        pane = SESSIONS
        keys: dict[bytes, None] = {}
        at_ms = await self._at_ms(home, at)
        panes = [pane] if window.kind == "session" else [s.pane for s in window.seen(at_ms)]
        for pane in panes:
            async for key, _ in self._scan(home, pane):
                keys[key] = None
        for key in keys:
            value = await self._windowed(home, key, at_ms / 1000)
            if value is not MISSING:
                yield self._table.decode_key(key), value

    async def _scan(self, home: int, pane: str) -> AsyncIterator[tuple[bytes, bytes]]:
        """A key that is changed meanwhile may come twice, as the server's HSCAN says."""
        cursor, seen = b"0", set[bytes]()
        while True:
            cursor, flat = await self._execute(
                "HSCAN", self._hash(home, pane), cursor, "COUNT", PAGE
            )
            for at in range(0, len(flat), 2):
                if flat[at] not in seen:
                    seen.add(flat[at])
                    yield flat[at], flat[at + 1]
            if cursor == b"0":
                return

    async def _sessions(self, home: int, key: bytes) -> tuple[tuple[int, int, bytes], ...]:
        raw = await self._execute("HGET", self._hash(home, SESSIONS), key)
        return () if raw is None else decode_sessions(raw).spans

    async def _spans(self, home: int) -> list[Span]:
        slot, table = self._client.space.slot(home), self._table
        rows = await self._execute(
            "ZRANGE", slot.panes(table.app_id, table.name), 0, -1, "WITHSCORES"
        )
        pairs = zip(rows[::2], rows[1::2], strict=True)
        return sorted(Span(int(pane), int(float(end))) for pane, end in pairs)

    async def _at_ms(self, home: int, at: Any) -> int:
        if isinstance(at, datetime):
            at = at.timestamp()
        if at is not None:
            return int(at * 1000)
        if self._table.relative_to == "now":
            return self._client.store.clock.now_ms()
        slot, table = self._client.space.slot(home), self._table
        raw = await self._execute("HGET", slot.meta(table.app_id, table.name), "w")
        return self._client.store.clock.now_ms() if raw is None else int(raw)
