"""What one process has open for topics: a connection, the scripts, a producer, and what it knows of
topics. An `App` and a `Router` each hold one.
"""

from __future__ import annotations

from typing import Any, Self

from hotmesh import connect
from hotmesh.connect import Connection
from hotmesh.log import get_logger
from hotmesh.streams.keys import Space
from hotmesh.streams.produce import Producer
from hotmesh.streams.store import StreamStore
from hotmesh.streams.topics import TopicSpec, Wanted, declare

log = get_logger("hotmesh.streams")


class Client:
    """Made by `open`; closed by `close`.

    Attributes:
        connection, store, producer: Of this process.
    """

    def __init__(self, connection: Connection, store: StreamStore) -> None:
        self.connection, self.store = connection, store
        self.producer = Producer(store)
        self._specs: dict[str, TopicSpec] = {}

    @classmethod
    async def open(
        cls,
        redis: connect.Source | Connection = None,
        *,
        namespace: str = "hm",
        role: str = "streams",
        allow_eviction: bool = False,
    ) -> Client:
        """Connect.

        Args:
            redis: As in `HotMesh.init`; a `Connection` is shared.

        Raises:
            ServerUnavailable, ServerUnsuitable, ConnectionInvalid: There is no server to work on.
        """
        space = Space(namespace)
        connection = await connect.open(redis, role=role)
        try:
            facts = await connect.check(connection.transport, allow_eviction=allow_eviction)
            for warning in facts.warnings:
                log.warning("server.doubtful", warning=warning)
            store = StreamStore(connection.transport, space)
            await store.open()
        except BaseException:
            await connection.close()
            raise
        return cls(connection, store)

    @property
    def space(self) -> Space:
        """Where everything lies."""
        return self.store.space

    async def topic(
        self, name: str, wanted: Wanted | None = None, *, partitions_default: int = 1
    ) -> TopicSpec:
        """What is known of a topic, made known when it is new; read once per process.

        Raises:
            SettingsInvalid: It has another number of partitions than `wanted`.
        """
        spec = self._specs.get(name)
        if spec is None:
            spec = await declare(self.store, name, wanted, partitions_default=partitions_default)
            self._specs[name] = spec
        return spec

    async def close(self) -> None:
        """Send what is in line, and close. May be called twice."""
        try:
            await self.producer.close()
        finally:
            await self.connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self.close()
