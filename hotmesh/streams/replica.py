"""Global tables: a copy of each in every process that runs agents, kept up by its changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger

if TYPE_CHECKING:
    from hotmesh.connect import Transport
    from hotmesh.streams.client import Client
    from hotmesh.streams.table import Table

log = get_logger("hotmesh.streams")

BLOCK_MS = 1_000
PAGE = 500
PAUSE_S = 0.5


class Replicas:
    """Of the app's global tables. A component: `run` until `drain`."""

    name = "replicas"

    def __init__(self, client: Client, tables: list[Table[Any]]) -> None:
        self._client, self._tables = client, tables
        self._values: dict[Table[Any], dict[bytes, bytes]] = {}
        self._draining = asyncio.Event()
        self._reader: Transport | None = None

    def get(self, table: Table[Any], key: bytes) -> bytes | None:
        """A value as it was committed a moment ago; None when there is none.

        Raises:
            KeyError: There is no copy of the table here.
        """
        return self._values[table].get(key)

    def has(self, table: Table[Any]) -> bool:
        """Whether there is a copy of the table here."""
        return table in self._values

    def drain(self) -> None:
        """Idempotent."""
        self._draining.set()

    async def run(self, started: asyncio.Event) -> None:
        """Load all of them, then follow."""
        if not self._tables:
            started.set()
            await self._draining.wait()
            return
        following = asyncio.create_task(self._follow(started), name=self.name)
        draining = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait([following, draining], return_when=asyncio.FIRST_COMPLETED)
        finally:
            # A cancelled XREAD loses nothing: it moves no position on the server.
            for task in (following, draining):
                task.cancel()
            await asyncio.wait([following, draining])
        if not following.cancelled():
            following.result()

    async def _follow(self, started: asyncio.Event) -> None:
        while True:
            reader = None
            try:
                reader = await self._client.connection.reader(silence_s=BLOCK_MS / 1000 + 4)
                last = {stream: await self._load(table) for stream, table in self._streams()}
                started.set()
                while True:
                    await self._read(reader, last)
            except HotMeshError as exc:
                log.warning("replicas.failed", error=str(exc))
            finally:
                if reader is not None:
                    await reader.close()
            await asyncio.sleep(PAUSE_S)  # and load again: changes may have been missed

    def _streams(self) -> list[tuple[str, Table[Any]]]:
        slot = self._client.space.slot(0)
        return [(slot.changes(t.app_id, t.name), t) for t in self._tables]

    async def _load(self, table: Table[Any]) -> str:
        """All values, and the change behind which to follow: it was read first."""
        slot, execute = self._client.space.slot(0), self._client.connection.transport.execute
        changes = slot.changes(table.app_id, table.name)
        rows = await execute("XREVRANGE", changes, "+", "-", "COUNT", 1)
        flat = await execute("HGETALL", slot.table(table.app_id, table.name))
        self._values[table] = dict(zip(flat[::2], flat[1::2], strict=True))
        return rows[0][0].decode() if rows else "0-0"

    async def _read(self, reader: Transport, last: dict[str, str]) -> None:
        command = ("XREAD", "COUNT", PAGE, "BLOCK", BLOCK_MS, "STREAMS")
        reply = await reader.execute(*command, *last, *last.values())
        tables = dict(self._streams())
        for name, entries in reply or ():
            values = self._values[tables[name.decode()]]
            for id, fields in entries:
                last[name.decode()] = id.decode()
                facts = dict(zip(fields[::2], fields[1::2], strict=True))
                if b"v" in facts:
                    values[facts[b"k"]] = facts[b"v"]
                else:
                    values.pop(facts[b"k"], None)
