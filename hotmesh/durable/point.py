"""A point of presence in one namespace: the connection, the store and the engine that clients and
workers share.
"""

from __future__ import annotations

from collections.abc import Sequence

from hotmesh import connect
from hotmesh.connect import Connection
from hotmesh.core import Limits
from hotmesh.durable.codec import Coder, PayloadCodec
from hotmesh.engine import Engine
from hotmesh.errors import NameInvalid
from hotmesh.ids import check_app_id
from hotmesh.log import get_logger
from hotmesh.store import Keys, Plans, Store, partitions_of
from hotmesh.store.runs import Runs
from hotmesh.telemetry import Observer
from hotmesh.telemetry.metrics import instruments

log = get_logger("hotmesh.durable")

PREFIX = "hm"


class Point:
    """What is open. Made by `open_point`; whoever made it closes it."""

    def __init__(self, connection: Connection, store: Store) -> None:
        self.connection, self.store = connection, store
        self.coder: Coder | None = None
        self.runs = Runs(store)
        self.metrics = instruments()
        self.engine = Engine(
            store,
            Plans(store),
            Observer(store.keys.app_id, self.metrics, store.clock.now_ms),
            Limits(1_000, 1_048_576, len(store.keys.partitions)),
            backlog_max=0,
        )

    async def close(self) -> None:
        """Close what was opened."""
        await self.connection.close()


async def open_point(
    redis: connect.Source | Connection,
    namespace: str,
    partitions: int | None,
    role: str,
    codecs: Sequence[PayloadCodec] = (),
) -> Point:
    """Connect.

    Raises:
        ServerUnavailable, ServerUnsuitable, ConnectionInvalid: There is no server to work on.
        NameInvalid: The namespace can't stand in keys.
    """
    if check_app_id(namespace) == PREFIX:
        raise NameInvalid(f"namespace {namespace!r} is the prefix of all keys; take another")
    connection = await connect.open(redis, role=role)
    try:
        facts = await connect.check(connection.transport, allow_eviction=False)
        for warning in facts.warnings:
            log.warning("server.doubtful", warning=warning)
        app_key = Keys(PREFIX, namespace).app
        count = await partitions_of(connection.transport, app_key, partitions)
        store = Store(connection.transport, Keys(PREFIX, namespace, count))
        await store.open()
    except BaseException:
        await connection.close()
        raise
    point = Point(connection, store)
    point.coder = Coder(codecs) if codecs else None
    return point
