"""Dead letters of router groups, for `hotmesh dlq`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hotmesh.cli.context import Context
from hotmesh.cli.output import UsageError
from hotmesh.routing.desk import Desk, Letter, lane_of_letter
from hotmesh.routing.keys import check_group
from hotmesh.routing.source import Source
from hotmesh.routing.subscription import Where
from hotmesh.store import Store
from hotmesh.streams.client import Client
from hotmesh.streams.topics import find


def is_of_router(id: str) -> bool:
    """Whether an id is one of a router's letters: they hold the key that they lie under."""
    return "/" in id


async def letters_of(cli: Context, topic: str, stream: str, group: str, limit: int) -> list[Letter]:
    """The newest letters of a group.

    Raises:
        UsageError: No group is named. SettingsInvalid: Neither or both of topic and stream are.
    """
    if not group:
        raise UsageError("name the group too: --group billing; that of a route is GROUP.ROUTE")
    where = Where(topic, stream)
    check_group(group)
    async with _client(cli) as client:
        spec = await find(client.store, topic) if topic else None
        source = where.source(client.space, group, spec.partitions if spec is not None else 1)
        return await Desk(client.store, [(source, group)]).letters(limit)


async def letter_of(store: Store, id: str) -> Letter | None:
    """One letter by its id; None when there is none."""
    lane = lane_of_letter(id)
    if lane is None:
        return None
    return await Desk(store, [(Source(lane.stream, (lane,)), "")]).letter(id)


@asynccontextmanager
async def desk_store(cli: Context) -> AsyncIterator[Store]:
    """A store for letters; their ids say where they lie, so no app is needed."""
    async with _client(cli) as client:
        yield client.store


@asynccontextmanager
async def _client(cli: Context) -> AsyncIterator[Client]:
    async with cli.connection() as connection:
        client = await Client.open(connection, namespace=cli.settings.mesh.namespace)
        async with client:
            yield client
