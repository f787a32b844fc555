"""`hotmesh.App`: topics, agents and tables of one application.

What decorators make is only noted down here. `async with app:` opens a client (send, ask, read
tables); `hotmesh worker -A module:app`, `app.main()` or `async with app.running():` run the agents.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Self

from hotmesh import connect
from hotmesh.connect import Connection
from hotmesh.durations import Duration, parse
from hotmesh.errors import SettingsInvalid
from hotmesh.ids import check_app_id
from hotmesh.lifecycle import serve
from hotmesh.mesh.options import RetryPolicy
from hotmesh.streams.agent import Agent, Sink, Supervise
from hotmesh.streams.client import Client
from hotmesh.streams.decorators import Decorators
from hotmesh.streams.join import Join
from hotmesh.streams.keys import Space, internal_topic
from hotmesh.streams.record import CodecName
from hotmesh.streams.replies import Replies
from hotmesh.streams.table import Table
from hotmesh.streams.topic import NotOpen, Topic
from hotmesh.streams.topics import Full, Wanted
from hotmesh.streams.worker import StreamWorker

LEASE_DEFAULT = "10s"
LEASE_MS_MIN = 500
GRACE_DEFAULT = "10s"


class App(Decorators):
    """One application.

    Attributes:
        id: Names its agents' groups and its tables; topics belong to the namespace.
        agents, tables, topics: By name.
        workflows: Where agents start workflows (`stream.start`): a `HotMesh`, or anything that is
            `hotmesh.streams.bridge.Workflows`. Opened and closed by whoever sets it.
    """

    def __init__(
        self,
        id: str,
        redis: connect.Source | Connection = None,
        *,
        namespace: str = "hm",
        partitions: int = 1,
        lease: Duration = LEASE_DEFAULT,
        grace: Duration = GRACE_DEFAULT,
        allow_eviction: bool = False,
    ) -> None:
        """Connects nothing.

        Args:
            id: Letters, digits and dashes.
            redis: A URL, a `redis.asyncio` client or pool, or None for `HOTMESH_REDIS_URL` or the
                embedded server.
            namespace: Prefix of all keys.
            partitions: Of topics and tables that say nothing themselves, when they are first used.
            lease: How long a process may be silent before its partitions go to others.
            grace: How long handlers may run on when a partition is let go of.
            allow_eviction: Accept a server that may evict keys.

        Raises:
            NameInvalid, SettingsInvalid: An argument is wrong.
        """
        self.id = check_app_id(id)
        Space(namespace)
        self.redis, self.namespace, self.partitions = redis, namespace, partitions
        self.lease_ms, self.grace_s = parse(lease), parse(grace) / 1000
        if self.lease_ms < LEASE_MS_MIN:
            raise SettingsInvalid(f"lease is at least {LEASE_MS_MIN}ms, not {lease!r}")
        self.topics: dict[str, Topic[Any]] = {}
        self.agents: dict[str, Agent] = {}
        self.tables: dict[str, Table[Any]] = {}
        super().__init__()
        self.count = max(1, partitions)
        self.client: Client | None = None
        self.workflows: Any = None
        self._allow_eviction = allow_eviction
        self._replies: Replies | None = None
        self._users = 0
        self._opening = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<App {self.id!r}: {len(self.agents)} agents, {len(self.tables)} tables>"

    # -- declaring

    def topic(
        self,
        name: str,
        *,
        value_type: Any = Any,
        key_type: Any = None,
        partitions: int | None = None,
        maxlen: int | None = None,
        retention: Duration | None = None,
        full: Full | None = None,
        codec: CodecName | None = None,
    ) -> Topic[Any]:
        """A topic of the namespace.

        Args:
            value_type: A `Record`, dataclass, pydantic model, `str`, …; plain data of any kind when
                it is not given.
            key_type: `str` when None.
            partitions: Fixed by the first who uses the topic; None takes what it has.
            maxlen: Entries kept, about; a million. What no group has handled is not dropped, see
                `full`.
            retention: How long entries are kept, handled or not; for ever.
            full: When `maxlen` unhandled entries are there: `block` producers (for 30 s, then
                `Overloaded`), `reject` at once, or `trim` the oldest.
            codec: `json` or `msgpack`; the type's own.
        """
        wanted = Wanted(
            partitions=partitions,
            maxlen=maxlen,
            retention=retention,
            full=full,
            types=_type_name(value_type),
        )
        topic: Topic[Any] = Topic(
            name,
            lambda: self.client,
            value_type=value_type,
            key_type=key_type,
            codec=codec,
            wanted=wanted,
            partitions_default=self.partitions,
        )
        return self.adopt(topic)

    def adopt(self, topic: Topic[Any]) -> Topic[Any]:
        """Note a topic; one of the same name takes its place."""
        self.topics[topic.name] = topic
        return topic

    def table(
        self,
        name: str,
        *,
        default: Callable[[], Any] | None = None,
        value_type: Any = None,
        key_type: Any = None,
        partitions: int | None = None,
        changes: bool = False,
    ) -> Table[Any]:
        """A table of this app.

        Args:
            default: Makes the value of a key that has none, such as `int` or `list`; without one
                a missing key is a `KeyError`.
            value_type: Of its values; what `default` makes when that is a plain type.
            key_type: Of its keys; `str` when None.
            partitions: Fixed by the first who uses it; as many as the app's topics have.
            changes: Keep a stream of changes, for `table.changes()`.
        """
        return self._table(name, default, value_type, key_type, partitions, changes, False)

    def global_table(
        self,
        name: str,
        *,
        default: Callable[[], Any] | None = None,
        value_type: Any = None,
        key_type: Any = None,
    ) -> Table[Any]:
        """A table in one partition, read in all: for what is small and looked up everywhere."""
        return self._table(name, default, value_type, key_type, None, True, True)

    def _table(
        self,
        name: str,
        default: Callable[[], Any] | None,
        value_type: Any,
        key_type: Any,
        partitions: int | None,
        changes: bool,
        is_global: bool,
    ) -> Table[Any]:
        if name in self.tables:
            raise SettingsInvalid(f"app {self.id!r} has a table {name!r} already")
        table: Table[Any] = Table(
            self,
            name,
            default=default,
            value_type=value_type,
            key_type=key_type,
            partitions=partitions,
            is_global=is_global,
            changes=changes,
        )
        self.tables[name] = table
        return table

    def join(
        self,
        left: Topic[Any],
        right: Topic[Any],
        *,
        on: tuple[Any, Any],
        within: Duration,
        name: str | None = None,
    ) -> Join:
        """A channel of pairs (left, right), for `agent`: values of two topics with the same key,
        whose events happened at most `within` from each other.

        Args:
            on: A field or function of each side's value, such as `(Order.id, Payment.order)`.
            name: Of the table in which each side waits for the other.
        """
        return Join(self, left, right, on, within, name or f"{left.name}-{right.name}-join")

    def agent(
        self,
        channel: Topic[Any] | Sequence[Topic[Any]] | Join | None = None,
        *,
        name: str | None = None,
        concurrency: int = 1,
        sink: Iterable[Sink] = (),
        retry: RetryPolicy | None = None,
        supervise: Supervise = "restart",
    ) -> Callable[[Callable[[Any], Any]], Agent]:
        """Decorator: `async def body(stream)` that iterates over the values of a topic.

        Args:
            channel: A topic, several (their values are merged), a join, or None for a topic of its
                own.
            name: Of the agent; the function's.
            concurrency: Bodies at once in each partition. Events of one key go to the same one.
            sink: Topics, agents and functions that get what it yields.
            retry: When an event fails: 3 attempts, the first after 100 ms; then the dead letters.
            supervise: `restart` a body that raises, or `stop` it.
        """
        join = channel if isinstance(channel, Join) else None
        if isinstance(channel, Join):
            topics = [channel.left, channel.right]
        else:
            topics = [channel] if isinstance(channel, Topic) else list(channel or ())

        def decorate(function: Callable[[Any], Any]) -> Agent:
            called = name or function.__name__.replace("_", "-").strip("-")
            if called in self.agents:
                raise SettingsInvalid(f"app {self.id!r} has an agent {called!r} already")
            agent = Agent(
                self,
                function,
                name=called,
                topics=topics or [self._own_topic(called)],
                concurrency=concurrency,
                sinks=sink,
                retry=retry,
                supervise=supervise,
                join=join,
            )
            self.agents[called] = agent
            return agent

        return decorate

    def _own_topic(self, agent: str) -> Topic[Any]:
        topic: Topic[Any] = Topic(
            internal_topic(self.id, agent),
            lambda: self.client,
            partitions_default=self.partitions,
        )
        return self.adopt(topic)

    # -- being open

    async def open(self) -> Client:
        """Connect as a client; as often as `close` will be called."""
        async with self._opening:  # orders the I/O of the first and the last user
            if self.client is None:
                client = await Client.open(
                    self.redis,
                    namespace=self.namespace,
                    role=f"app.{self.id}",
                    allow_eviction=self._allow_eviction,
                )
                self.client = client
                try:
                    await self._declare()
                except BaseException:
                    self.client = None
                    await client.close()
                    raise
            self._users += 1
            return self.client

    async def _declare(self) -> None:
        count = self.partitions
        for topic in list(self.topics.values()):
            count = max(count, (await topic.declare()).partitions)
        for agent in self.agents.values():
            for topic in agent.topics:
                count = max(count, (await topic.declare()).partitions)
        self.count = count
        for table in self.tables.values():
            spec = await table.declare()
            self.count = max(self.count, spec.partitions)

    async def table_partitions(self) -> int:
        """Partitions of a table that names none, and is new."""
        return self.count

    async def close(self) -> None:
        """Close, when everybody who opened has closed."""
        async with self._opening:
            self._users -= 1
            if self._users > 0 or self.client is None:
                return
            client, self.client = self.client, None
            replies, self._replies = self._replies, None
            for topic in self.topics.values():
                topic.forget()
            try:
                if replies is not None:
                    await replies.close()
            finally:
                await client.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self.close()

    def opened(self) -> Client:
        """The client.

        Raises:
            NotOpen: There is none.
        """
        if self.client is None:
            raise NotOpen(f"app {self.id!r}")
        return self.client

    def replies(self) -> Replies:
        """Answers to this client."""
        if self._replies is None:
            codecs = [t.codec for t in self.topics.values()]
            self._replies = Replies(self.opened(), self.count, codecs)
        return self._replies

    # -- running

    @asynccontextmanager
    async def running(self) -> AsyncIterator[StreamWorker]:
        """Run the agents in this event loop, beside whatever else it does; it is left when the
        context is. Installs no signal handlers.
        """
        client = await self.open()
        try:
            worker = StreamWorker(self, client)
            await self._call_hooks("start")
            await worker.start()
            try:
                yield worker
            finally:
                await worker.stop()
                await self._call_hooks("stop")
        finally:
            await self.close()

    async def run(self) -> int:
        """Run the agents until SIGTERM or SIGINT, in a process of their own; the exit code."""
        async with self.running() as worker:
            return await serve(worker.host)

    async def _call_hooks(self, name: str) -> None:
        for function in self.hooks[name]:
            result = function()
            if asyncio.iscoroutine(result):
                await result

    def main(self, argv: Sequence[str] | None = None) -> None:
        """The command line of this app: `worker`, its commands, `send`, `agents`, `tables`."""
        # The command line lies above this package, and is loaded by who wants one.
        main = import_module("hotmesh.cli.app_main").main

        raise SystemExit(main(self, argv))


def _type_name(value_type: Any) -> str:
    if value_type is Any or value_type is None:
        return ""
    return getattr(value_type, "__name__", None) or str(value_type)
