"""Agents: functions over the stream of a topic, and ways to talk to them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from hotmesh.durations import Duration, parse
from hotmesh.errors import HotMeshError, SettingsInvalid
from hotmesh.ids import check_topic
from hotmesh.mesh.options import RetryPolicy
from hotmesh.streams.event import Event
from hotmesh.streams.items import Items
from hotmesh.streams.keys import group_of_agent, internal_topic, partition_of
from hotmesh.streams.replies import encode_failure, encode_reply
from hotmesh.streams.topic import Topic
from hotmesh.streams.topics import TopicSpec, Wanted

if TYPE_CHECKING:
    from hotmesh.streams.app import App
    from hotmesh.streams.instance import Instance
    from hotmesh.streams.join import Join
    from hotmesh.streams.partition import Run
    from hotmesh.streams.transaction import Transaction

RETRY_DEFAULT = RetryPolicy(
    maximum_attempts=3, initial_interval="100ms", maximum_interval="10s", jitter=0.2
)
ASK_TIMEOUT = "60s"
CONCURRENCY_MAX = 1_000
INTERNAL_MAX = 20_000
"""Entries of an internal topic that are kept per partition; handled ones go first."""

MAP_IN_FLIGHT = 100
"""Values of one `map` that are under way at once."""

Supervise = Literal["restart", "stop"]
Sink = Any


class Agent:
    """An agent; made by `App.agent`. The function is what was decorated.

    Attributes:
        name: Within the app; its consumer group is `<app>.<name>`.
        topics: What it reads.
        concurrency: Bodies at once in each partition; events of one key go to the same one.
        retry: When an event's handling has failed.
        joined: How its topics become pairs, or None.
        supervise: What becomes of a body that raises: it is started again, or (`stop`) it is not.
    """

    def __init__(
        self,
        app: App,
        function: Callable[[Any], Any],
        *,
        name: str,
        topics: list[Topic[Any]],
        concurrency: int,
        sinks: Iterable[Sink],
        retry: RetryPolicy | None,
        supervise: Supervise,
        join: Join | None = None,
    ) -> None:
        """Used by `App.agent`."""
        check_topic(name)
        if not 1 <= concurrency <= CONCURRENCY_MAX:
            raise SettingsInvalid(
                f"agent {name!r}: concurrency lies between 1 and {CONCURRENCY_MAX}, not "
                f"{concurrency}"
            )
        if supervise not in ("restart", "stop"):
            raise SettingsInvalid(
                f"agent {name!r}: supervise is 'restart' or 'stop', not {supervise!r}"
            )
        self.app, self.name, self.function = app, name, function
        self.topics, self.concurrency = topics, concurrency
        self.retry, self.supervise = retry or RETRY_DEFAULT, supervise
        self.group = group_of_agent(app.id, name)
        self.routed = self.derived(internal_topic(app.id, name, "at"))
        self.specs: dict[str, TopicSpec] = {}
        self.joined = join
        self._sinks = list(sinks)
        self.__doc__ = function.__doc__
        self.__name__ = name

    def __repr__(self) -> str:
        return f"<Agent {self.name!r} on {', '.join(t.name for t in self.topics)}>"

    @property
    def channel(self) -> Topic[Any]:
        """Where `ask` and `cast` send to: the first of its topics."""
        return self.topics[0]

    @property
    def partitions(self) -> int:
        """The partitions over which its keys are spread."""
        return self.app.count

    # -- talking to it

    async def cast(self, value: Any, *, key: Any = None, **options: Any) -> None:
        """Send a value to it, and want no answer. Options are those of `Topic.send`."""
        await self.channel.send(value, key=key, **options)

    async def send(self, value: Any = None, *, key: Any = None, **options: Any) -> None:
        """As `cast`."""
        await self.cast(value, key=key, **options)

    async def ask(
        self,
        value: Any,
        *,
        key: Any = None,
        partition: int | None = None,
        headers: Mapping[str, str] | None = None,
        timestamp: Any = None,
        timeout: Duration | None = ASK_TIMEOUT,
    ) -> Any:
        """Send a value to it and wait for what it yields first, None when it yields nothing.

        Raises:
            AgentError: Its handling failed for good; the event is in the dead letters.
            AgentTimeout: No answer in time; the event goes on.
        """
        channel = self.channel
        client, replies = self.app.opened(), self.app.replies()
        spec = await channel.declare()
        pending = await replies.expect()
        try:
            at_key, fields = channel.encode(value, key, timestamp, headers, pending.address)
            if partition is None:
                partition = (
                    partition_of(at_key, spec.partitions)
                    if at_key is not None
                    else client.producer.next_partition(channel.name, spec.partitions)
                )
            await client.producer.send(channel.name, spec, partition, fields)
            timeout_s = parse(timeout) / 1000 if timeout is not None else None
            return await pending.wait(self.name, timeout_s)
        finally:
            replies.forget(pending)

    def map(self, values: Iterable[Any], *, key: Any = None) -> Items:
        """Ask with each value; answers as they come, in no order: `async for answer in …`, or
        `await …` for a list of all.

        Args:
            key: A function that gives each value's key.
        """

        async def walk() -> AsyncIterator[Any]:
            async for _, answer in self._ask_all(values, key):
                yield answer

        return Items(walk)

    async def join(self, values: Iterable[Any], *, key: Any = None) -> list[Any]:
        """Ask with each value; the answers in the order of the values, when all are there."""
        answers = {number: answer async for number, answer in self._ask_all(values, key)}
        return [answers[number] for number in sorted(answers)]

    def kvmap(self, pairs: Iterable[tuple[Any, Any]]) -> Items:
        """As `map`, of (key, value) pairs; (key, answer) as they come."""

        async def walk() -> AsyncIterator[tuple[Any, Any]]:
            listed = list(pairs)
            keys = iter([k for k, _ in listed])
            values = [v for _, v in listed]
            async for number, answer in self._ask_all(values, lambda _: next(keys)):
                yield listed[number][0], answer

        return Items(walk)

    async def kvjoin(self, pairs: Iterable[tuple[Any, Any]]) -> list[Any]:
        """As `join`, of (key, value) pairs."""
        listed = list(pairs)
        keys = iter([k for k, _ in listed])
        return await self.join([v for _, v in listed], key=lambda _: next(keys))

    async def _ask_all(self, values: Iterable[Any], key: Any) -> AsyncIterator[tuple[int, Any]]:
        numbered = iter(enumerate(values))
        asking: dict[asyncio.Task[Any], int] = {}
        loop = asyncio.get_running_loop()
        try:
            while True:
                while len(asking) < MAP_IN_FLIGHT:
                    found = next(numbered, None)
                    if found is None:
                        break
                    number, value = found
                    at_key = key(value) if callable(key) else key
                    # Owned: awaited or cancelled below.
                    asking[loop.create_task(self.ask(value, key=at_key))] = number
                if not asking:
                    return
                done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield asking.pop(task), task.result()
        finally:
            for task in asking:
                task.cancel()
            if asking:
                await asyncio.wait(asking)

    def add_sink(self, sink: Sink) -> None:
        """Send what it yields to a topic, another agent, or a function."""
        self._sinks.append(sink)

    # -- for its instances

    async def sink(self, instance: Instance, value: Any) -> None:
        """What becomes of a yielded value besides answers."""
        if not self._sinks:
            return
        events = instance.events
        key = events[-1].key if events else None
        for sink in self._sinks:
            if isinstance(sink, Topic):
                await sink.send(value, key=key)
            elif isinstance(sink, Agent):
                await sink.cast(value, key=key)
            else:
                result = sink(value)
                if inspect.isawaitable(result):
                    await result

    def answer(self, transaction: Transaction, event: Event, value: Any) -> None:
        """The answer to an event, sent with its effects."""
        if event.entry.reply is not None:
            transaction.replies.append((event.entry.reply, encode_reply(value)))

    def answer_failure(self, run: Run, event: Event, exc: BaseException) -> None:
        """The answer to an event that is given up."""
        if event.entry.reply is not None:
            run.reply(event.entry.reply, encode_failure(exc))

    def derived(self, name: str) -> Topic[Any]:
        """An internal topic of the same values."""
        first = self.topics[0]
        value_type = first.value_type
        for topic in self.topics[1:]:
            if topic.value_type is not value_type:
                value_type = value_type | topic.value_type
        return Topic(
            name,
            lambda: self.app.client,
            value_type=value_type,
            key_type=first.key_type,
            wanted=Wanted(maxlen=INTERNAL_MAX * max(1, self.app.count)),
            partitions_default=max(1, self.app.count),
        )

    def through(self, topic: Topic[Any]) -> None:
        """A topic that its values go through; declared before anything is read."""
        self.app.adopt(topic)

    def __call__(self, *args: Any) -> Any:
        """The decorated function itself, for tests of its logic."""
        return self.function(*args)


class AgentError(HotMeshError):
    """The handling of an event that was asked for failed for good.

    Attributes:
        agent: Who was asked.
        message: What it raised.
    """

    def __init__(self, *, agent: str, code: int, message: str) -> None:
        self.agent, self.code, self.message = agent, code, message
        super().__init__(f"agent {agent!r} failed with code {code}: {message}")
