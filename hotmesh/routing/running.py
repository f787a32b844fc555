"""A router that runs: what it has open, from its start to its stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from msgspec import Struct

from hotmesh import connect
from hotmesh.connect import Connection
from hotmesh.durations import Duration
from hotmesh.errors import SettingsInvalid
from hotmesh.lifecycle import Host
from hotmesh.log import get_logger
from hotmesh.mesh import HotMesh, Settings, Worker
from hotmesh.quorum import Served, join
from hotmesh.routing.consumer import Consumer, Middleware, Watch
from hotmesh.routing.desk import Desk
from hotmesh.routing.emit import Emit, emitter
from hotmesh.routing.position import Position, after_of
from hotmesh.routing.source import Source
from hotmesh.routing.subscription import Subscription, Where
from hotmesh.routing.topics import Reading, Topics
from hotmesh.routing.workflows import Workflows
from hotmesh.store.leases import create_group, seek
from hotmesh.streams.client import Client
from hotmesh.telemetry.metrics import Metrics

log = get_logger("hotmesh.routing")


class Wiring(Struct, frozen=True):
    """What a router was made of."""

    group: str
    namespace: str
    app: str | None
    subscriptions: tuple[Subscription, ...]
    middleware: tuple[Middleware, ...]
    metrics: Metrics
    watch: Watch | None
    emits: tuple[Emit, ...] = ()
    lease: Duration = "30s"
    grace: Duration = "30s"


class Running:
    """Connection, topics, consumers.

    Attributes:
        client: Open until `stop`.
        topics: What sends.
        host: Runs the consumers.
    """

    def __init__(self, client: Client, wiring: Wiring) -> None:
        """Made by `open`."""
        self.client, self.topics, self._wiring = client, Topics(client), wiring
        self._readings = [self._reading(s) for s in wiring.subscriptions]
        self.host = Host([self._readings])
        self._workflows: Workflows | None = None
        self._mesh: HotMesh | None = None
        self.stopping = False

    @classmethod
    async def open(
        cls,
        redis: connect.Source | Connection,
        wiring: Wiring,
        moves: Mapping[str, Position],
    ) -> Self:
        """Connect, move groups, and start to read."""
        role = f"router-{wiring.group}"
        client = await Client.open(redis, namespace=wiring.namespace, role=role)
        try:
            running = cls(client, wiring)
            for source, position in moves.items():
                await running.seek(source, position, None)
            await running._enlist()
            try:
                await running.host.start()
                await running._emit()
            except BaseException:
                await running.host.kill()
                raise
        except BaseException:
            await client.close()
            raise
        return running

    async def stop(self) -> None:
        """Drain and close; the second call does nothing."""
        if self.stopping:
            return
        self.stopping = True
        try:
            # Handlers and activities may publish while they end, so the topics outlive both.
            if self._mesh is not None:
                await self._mesh.stop()
            await self.host.stop()
        except BaseException:  # cancelled in the middle: others find what we hold
            await self.host.kill()
            raise
        finally:
            await self.client.close()

    async def _enlist(self) -> None:
        """Join the fleet of the app, if there is one: shown in roll calls, throttled, drained."""
        wiring = self._wiring
        if wiring.app is None or not self._readings:
            return
        member = await join(
            self.client.connection,
            wiring.app,
            namespace=wiring.namespace,
            roles=(f"router:{wiring.group}",),
            serves=self._served,
        )
        # Before the readings: a throttle holds from the first entry on. Left after them.
        self.host = Host([[member], self._readings])

    def _served(self) -> list[Served]:
        return [
            Served(r.name, r.consumer.topic, r.consumer.loop, r.drain, is_named=True)
            for r in self._readings
            if r.consumer is not None
        ]

    async def _emit(self) -> None:
        """Be the worker of activities that append to topics."""
        wiring, client = self._wiring, self.client
        if not wiring.emits:
            return
        assert wiring.app is not None, "checked by emit()"
        self._mesh = await HotMesh.init(
            wiring.app,
            client.connection,
            engine=False,
            workers=[
                Worker(e.activity, emitter(self.topics, e.topic), concurrency=e.concurrency)
                for e in wiring.emits
            ],
            lease=wiring.lease,
            namespace=wiring.namespace,
            settings=Settings(grace=wiring.grace),
        )

    @property
    def consumers(self) -> list[Consumer]:
        """What reads at present."""
        return [r.consumer for r in self._readings if r.consumer is not None]

    def now_ms(self) -> int:
        """The server's clock."""
        return self.client.store.clock.now_ms()

    async def workflows(self) -> Workflows:
        """A client of the app's workflows.

        Raises:
            AppNotFound: Nothing of the app is active yet.
        """
        if self._workflows is None:
            app = self._wiring.app
            assert app is not None, "checked by route()"
            connection, namespace = self.client.connection, self._wiring.namespace
            opened = await Workflows.open(connection, app, namespace, self._wiring.metrics)
            self._workflows = self._workflows or opened
        return self._workflows

    async def append(self, stream: str, fields: Mapping[str, Any]) -> str:
        """Append an entry to a plain stream; its id."""
        Where(stream=stream)
        if not fields:
            raise SettingsInvalid(f"an entry of stream {stream!r} has at least one field")
        arguments = [part for name, value in fields.items() for part in (name, value)]
        id: bytes = await self.client.store.transport.execute("XADD", stream, "*", *arguments)
        return id.decode()

    async def seek(self, source: str, to: Position, group: str | None) -> None:
        """Move groups of a source."""
        store = self.client.store
        for subscription in self._of(source, group):
            after = after_of(to, self.now_ms())
            found = await self._source(subscription)
            for lane in found.lanes if found is not None else ():
                await create_group(store, lane.stream, subscription.group, after)
                await seek(store, lane.stream, subscription.group, after)
            log.info("group.moved", source=source, group=subscription.group, after=after)

    async def desk(self, source: str | None, group: str | None) -> Desk:
        """Dead letters of a source, or of all."""
        found = [(await self._source(s), s.group) for s in self._of(source, group)]
        return Desk(self.client.store, [(at, group) for at, group in found if at is not None])

    def _reading(self, subscription: Subscription) -> Reading:
        client, wiring = self.client, self._wiring
        start = after_of(subscription.options.start, self.now_ms())
        plan = subscription.plan(start, wiring.middleware)
        where, group = subscription.where, subscription.group

        def consumer(partitions: int) -> Consumer:
            source = where.source(client.space, group, partitions)
            settings = subscription.options.settings()
            store, connection = client.store, client.connection
            return Consumer(
                connection, store, source, group, plan, settings, wiring.metrics, wiring.watch
            )

        return Reading(where.name, where.topic, self.topics, consumer)

    async def _source(self, subscription: Subscription) -> Source | None:
        """None of a topic that nobody has declared."""
        where, partitions = subscription.where, 1
        if where.topic:
            found = await self.topics.partitions(where.topic)
            if found is None:
                return None
            partitions = found
        return where.source(self.client.space, subscription.group, partitions)

    def _of(self, source: str | None, group: str | None) -> list[Subscription]:
        all = self._wiring.subscriptions
        found = [s for s in all if source in (None, s.where.name) and group in (None, s.group)]
        if not found and source is not None:
            raise SettingsInvalid(
                f"this router does not read {source!r}; it reads {names_of(all) or 'nothing'}"
            )
        return found


def names_of(subscriptions: Sequence[Subscription]) -> str:
    """What is read, for people."""
    return ", ".join(sorted({s.where.name for s in subscriptions}))
