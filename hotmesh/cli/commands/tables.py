"""`hotmesh tables`: what the tables of apps hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hotmesh.cli.context import Cli
from hotmesh.cli.output import UsageError, to_json
from hotmesh.cli.stream_apps import streams
from hotmesh.streams.cells import SESSIONS, decode_sessions
from hotmesh.streams.client import Client
from hotmesh.streams.record import Codec, key_decoder
from hotmesh.streams.tables import TableSpec, find_tables

_value: Codec[Any] = Codec()
_key = key_decoder()
LIMIT_DEFAULT = 100


async def tables(
    table: str | None = None, key: str | None = None, *, limit: int = LIMIT_DEFAULT, cli: Cli
) -> None:
    """List tables; with a name print what one holds.

    Args:
        table: APP/TABLE.
        key: Only this key.
        limit: At most so many values.
    """
    async with streams(cli) as client:
        known = await find_tables(client.store)
        if table is None:
            await _list(client, known, cli)
            return
        if table not in known:
            raise UsageError(
                f"there is no table {table!r}; known are: {', '.join(known) or 'none'}"
            )
        rows = await _rows(client, table, known[table], key, limit)
    if cli.output.json:
        cli.output.result({"table": table, "values": rows})
        return
    cli.output.table(
        ("key", "from", "value"),
        [(r["key"], r["from"] or "-", to_json(r["value"])) for r in rows],
    )


async def _list(client: Client, known: dict[str, TableSpec], cli: Cli) -> None:
    found = []
    for name, spec in known.items():
        app, _, table = name.partition("/")
        count = 0
        for number in range(spec.partitions):
            for _, hash in await _hashes(client, app, table, spec, number):
                count += await client.connection.transport.execute("HLEN", hash)
        found.append(
            {"table": name, "partitions": spec.partitions, "window": spec.window, "values": count}
        )
    if cli.output.json:
        cli.output.result({"tables": found})
        return
    if not found:
        cli.output.line("there are no tables; an app that is started declares its own")
        return
    cli.output.table(
        ("table", ">partitions", "window", ">values"),
        [(f["table"], f["partitions"], f["window"] or "-", f["values"]) for f in found],
    )


async def _hashes(
    client: Client, app: str, table: str, spec: TableSpec, number: int
) -> list[tuple[str, str]]:
    """Panes and their hashes in one partition."""
    slot = client.space.slot(number)
    panes = [""]
    if spec.window == "session":
        panes = [SESSIONS]
    elif spec.window:
        found = await client.connection.transport.execute("ZRANGE", slot.panes(app, table), 0, -1)
        panes = [pane.decode() for pane in found]
    return [(pane, slot.table(app, table, pane)) for pane in panes]


async def _rows(
    client: Client, name: str, spec: TableSpec, key: str | None, limit: int
) -> list[dict[str, Any]]:
    app, _, table = name.partition("/")
    rows: list[dict[str, Any]] = []
    for number in range(spec.partitions):
        for pane, hash in await _hashes(client, app, table, spec, number):
            cursor: Any = b"0"
            while len(rows) < limit:
                cursor, flat = await client.connection.transport.execute(
                    "HSCAN", hash, cursor, "COUNT", 500
                )
                for at in range(0, len(flat), 2):
                    found = _key(flat[at])
                    if key is None or str(found) == key:
                        rows += _row(found, pane, flat[at + 1])
                if cursor == b"0":
                    break
    return rows[:limit]


def _row(key: Any, pane: str, raw: bytes) -> list[dict[str, Any]]:
    if pane == SESSIONS:
        spans = decode_sessions(raw).spans
        return [{"key": key, "from": _at(first), "value": _plain(one)} for first, _, one in spans]
    return [{"key": key, "from": _at(int(pane)) if pane else None, "value": _plain(raw)}]


def _plain(raw: bytes) -> Any:
    try:
        return _value.decode(raw, None)
    except ValueError:
        return raw.decode(errors="replace")


def _at(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
