"""What an agent's body iterates over: values of a topic, and operators on the way.

async for order in stream                       values
async for event in stream.events()              with key, headers and time
async for batch in stream.take(100, within="1s")
stream.filter(f)  .map(f)  .group_by(Order.id)  .through(topic)  .enumerate()  .items()
stream.join(table, on=Order.customer)           values with what a table has for them
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hotmesh.durations import Duration, parse
from hotmesh.errors import SettingsInvalid
from hotmesh.streams.event import Event
from hotmesh.streams.rerouting import group_by, through

if TYPE_CHECKING:
    from hotmesh.streams.instance import Instance
    from hotmesh.streams.table import Table
    from hotmesh.streams.topic import Topic

T = TypeVar("T")
U = TypeVar("U")


class Stream(Generic[T]):
    """Values of the agent's topic, in order. Made by the agent.

    Attributes:
        instance: The running body that iterates.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._pull = instance.pull

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        value: T = (await self._pull()).value
        return value

    @property
    def current_event(self) -> Event | None:
        """The event at hand."""
        events = self.instance.events
        return events[-1] if events else None

    @property
    def partition(self) -> int:
        """The partition that is read here."""
        return self.instance.run.number

    # -- workflows

    async def start(self, name: str, data: Any = None) -> str:
        """Start a workflow for the event at hand, once however often it is handled; its id.

        The app must know where: `app.workflows = mesh`.
        """
        return await self.instance.workflows().start(name, data, once=self.instance.once(name))

    async def signal(self, name: str, data: Any = None) -> None:
        """Wake a workflow that waits, once for the event at hand."""
        await self.instance.workflows().signal(name, data, once=self.instance.once(name))

    async def execute(self, name: str, data: Any = None, *, timeout: Duration | None = 60) -> Any:
        """Start a workflow for the event at hand, and wait for what it gives."""
        id = await self.start(name, data)
        return await self.instance.workflows().result(name, id, timeout=timeout)

    # -- forms of iterating

    async def events(self) -> AsyncIterator[Event]:
        """Events: value, key, headers, time."""
        async for _ in self:
            event = self.current_event
            assert event is not None
            yield event

    async def items(self) -> AsyncIterator[tuple[Any, T]]:
        """Keys and values."""
        async for value in self:
            event = self.current_event
            yield (event.key if event is not None else None), value

    async def take(self, count: int, within: Duration = "1s") -> AsyncIterator[list[T]]:
        """Lists of at most `count` values that came within a time of the first.

        A batch is handled as one: its changes take effect together. When it fails its events are
        handed on one by one, so that a single bad one is found.
        """
        if count < 1:
            raise SettingsInvalid(f"take() takes at least 1, not {count}")
        within_s = parse(within) / 1000
        while True:
            try:
                events = await self.instance.pull_batch(count, within_s)
            except StopAsyncIteration:
                return
            values = [e.value for e in events]
            yield await self._through_ops(values)

    async def _through_ops(self, values: list[Any]) -> list[Any]:
        return values

    async def enumerate(self, start: int = 0) -> AsyncIterator[tuple[int, T]]:
        """Numbers and values, counted in this process."""
        number = start
        async for value in self:
            yield number, value
            number += 1

    # -- operators

    def filter(self, keep: Callable[[T], Any]) -> Derived[T]:
        """Only values for which `keep(value)`, which may be async, is true; others are done."""
        return Derived(self, keep=keep)

    def map(self, change: Callable[[T], Any]) -> Derived[Any]:
        """`change(value)`, which may be async, instead of each value."""
        return Derived(self, change=change)

    def group_by(self, key: Any, *, name: str = "") -> Stream[T]:
        """Values by another key: each is handled in the partition of that key, in order per key.

        Args:
            key: A field (`Order.customer`), or a function of the value.
            name: Of the internal topic, when a body groups more than once.
        """
        group_by(self.instance.part, getter_of(key), name)
        return self

    def through(self, topic: Topic[T]) -> Stream[T]:
        """Send every value to a topic, and go on with what comes out of it."""
        through(self.instance.part, topic)
        return self

    def join(
        self, table: Table[Any], *, on: Any = None, missing: Any = None
    ) -> AsyncIterator[tuple[T, Any]]:
        """Values, each with what a table has for it at that moment.

        Args:
            on: A field or function that gives the table's key; the event's key when None.
            missing: Instead of a value that the table does not have.
        """
        return self._joined(table, getter_of(on) if on is not None else None, missing)

    async def _joined(
        self, table: Table[Any], on: Callable[[Any], Any] | None, missing: Any
    ) -> AsyncIterator[tuple[T, Any]]:
        async for value in self:
            event = self.current_event
            key = on(value) if on is not None else (event.key if event is not None else None)
            yield value, (table[key] if key is not None and key in table else missing)

    async def echo(self, *topics: Topic[T]) -> AsyncIterator[T]:
        """Values, each sent to topics too."""
        async for value in self:
            event = self.current_event
            for topic in topics:
                await topic.send(value, key=event.key if event is not None else None)
            yield value


class Derived(Stream[T]):
    """A stream with an operator on the way."""

    def __init__(
        self,
        source: Stream[Any],
        *,
        keep: Callable[[Any], Any] | None = None,
        change: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(source.instance)
        self._source, self._keep, self._change = source, keep, change

    async def __anext__(self) -> T:
        while True:
            value = await self._source.__anext__()
            if self._keep is not None and not await _now(self._keep(value)):
                continue
            if self._change is not None:
                value = await _now(self._change(value))
            found: T = value
            return found

    async def _through_ops(self, values: list[Any]) -> list[Any]:
        kept = []
        for value in await self._source._through_ops(values):
            if self._keep is not None and not await _now(self._keep(value)):
                continue
            kept.append(await _now(self._change(value)) if self._change is not None else value)
        return kept


async def _now(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def getter_of(key: Any) -> Callable[[Any], Any]:
    """A field (`Order.id`) or a function of a value, as a function."""
    if callable(key):
        getter: Callable[[Any], Any] = key
        return getter
    get = getattr(key, "__get__", None)
    if get is None:
        raise SettingsInvalid(f"{key!r:.80} is neither a field such as Order.id nor a function")

    def field(value: Any) -> Any:
        return get(value)

    return field
