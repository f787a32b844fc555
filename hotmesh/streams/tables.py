"""Which tables there are, and their partitions: fixed by the first who declares one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hotmesh.errors import SettingsInvalid
from hotmesh.streams.keys import PARTITIONS_MAX

if TYPE_CHECKING:
    from hotmesh.streams.store import StreamStore
    from hotmesh.streams.table import Table


class TableSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all users of a table agree on; stored as JSON under `<app>/<table>`."""

    partitions: int = 1
    window: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(TableSpec).decode


async def declare_table(store: StreamStore, table: Table[Any], partitions: int = 1) -> TableSpec:
    """Make a table known, or find it.

    Args:
        partitions: Of a new table that names none itself.

    Raises:
        SettingsInvalid: It has another number of partitions than it asks for.
    """
    wanted = table.wanted_partitions
    if wanted is not None and not 1 <= wanted <= PARTITIONS_MAX:
        raise SettingsInvalid(
            f"table {table.name!r}: partitions lies between 1 and {PARTITIONS_MAX}, not {wanted}"
        )
    kind = table.window.kind if table.window else ""
    spec = TableSpec(partitions=wanted or partitions, window=kind)
    field = f"{table.app_id}/{table.name}"
    await store.transport.execute("HSETNX", store.space.tables, field, _encode(spec))
    found = _decode(await store.transport.execute("HGET", store.space.tables, field))
    if wanted is not None and found.partitions != wanted:
        raise SettingsInvalid(
            f"table {table.name!r} has {found.partitions} partitions since it was first used, and "
            "that is fixed; declare it with them, or take another name"
        )
    return found


async def find_tables(store: StreamStore) -> dict[str, TableSpec]:
    """Every table of the namespace, by `<app>/<name>`."""
    raw = await store.transport.execute("HGETALL", store.space.tables)
    found = {raw[i].decode(): _decode(raw[i + 1]) for i in range(0, len(raw), 2)}
    return dict(sorted(found.items()))
