"""Topics as a router sees them: sending to them, and reading them once they are there.

A topic's number of partitions is fixed by whoever declares it, and a reader should not be the one:
a router that reads a topic which nobody has declared waits until somebody does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from hotmesh.errors import HotMeshError
from hotmesh.ids import check_topic
from hotmesh.log import get_logger
from hotmesh.routing.consumer import Consumer
from hotmesh.streams.client import Client
from hotmesh.streams.topic import Topic
from hotmesh.streams.topics import find
from hotmesh.telemetry.topics import sending

log = get_logger("hotmesh.routing")

LOOK_S = 0.25
"""How often an undeclared topic is looked for."""

TOPICS_MAX = 1_000
_PLAIN = (dict, list, tuple, int, float, bool, type(None))


class Topics:
    """Sends values to topics, and knows their partitions."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._topics: dict[tuple[str, Any], Topic[Any]] = {}
        self._partitions: dict[str, int] = {}
        self.declared = asyncio.Event()  # something was, by us

    async def partitions(self, topic: str) -> int | None:
        """How many partitions a topic has; None when nobody has declared it."""
        known = self._partitions.get(topic)
        if known is None and (spec := await find(self._client.store, topic)) is not None:
            known = self._partitions[topic] = spec.partitions
        return known

    async def send(
        self, topic: str, value: Any, *, key: Any, headers: Mapping[str, str] | None
    ) -> str:
        """Append one value; the id of the entry. A new topic is declared."""
        kind = type(value)
        of = self._topic(topic, Any if kind in _PLAIN else kind)
        if topic not in self._partitions:
            self._partitions[topic] = (await of.declare()).partitions
            self.declared.set()
        with sending(topic, headers) as carried:
            sent = await of.send(value, key=key, headers=carried)
        return sent.id if sent is not None else ""

    def _topic(self, name: str, value_type: Any) -> Topic[Any]:
        found = self._topics.get((name, value_type))
        if found is None:
            if len(self._topics) >= TOPICS_MAX:
                self._topics.clear()
            found = Topic(check_topic(name), lambda: self._client, value_type=value_type)
            self._topics[name, value_type] = found
        return found


class Reading:
    """A subscription to a topic or a plain stream, from the moment that it is there.

    A component: it has started when it reads, or has begun to wait.
    """

    def __init__(
        self, name: str, topic: str, topics: Topics, consumer: Callable[[int], Consumer]
    ) -> None:
        """`topic` is "" for a plain stream, which needs no declaration; `consumer` makes the
        consumer of so many partitions.
        """
        self.name = f"router:{name}"
        self._topic, self._topics, self._make = topic, topics, consumer
        self._draining = asyncio.Event()
        self.consumer: Consumer | None = None

    def drain(self) -> None:
        """Stop reading, or waiting. Idempotent."""
        self._draining.set()
        if self.consumer is not None:
            self.consumer.drain()

    async def run(self, started: asyncio.Event) -> None:
        """Until drained."""
        partitions = await self._partitions(started)
        if partitions is None:
            return
        self.consumer = self._make(partitions)
        if self._draining.is_set():
            self.consumer.drain()
        await self.consumer.run(started)

    async def _partitions(self, started: asyncio.Event) -> int | None:
        """Of the topic, once it has some; None when drained before."""
        if not self._topic:
            return 1
        while not self._draining.is_set():
            self._topics.declared.clear()
            try:
                if (found := await self._topics.partitions(self._topic)) is not None:
                    return found
            except HotMeshError as exc:
                log.warning("topic.not_looked_up", topic=self._topic, error=str(exc))
            if not started.is_set():
                log.info("topic.undeclared", topic=self._topic)
                started.set()
            await self._wait()
        return None

    async def _wait(self) -> None:
        waits = [
            asyncio.create_task(event.wait()) for event in (self._draining, self._topics.declared)
        ]
        try:
            await asyncio.wait(waits, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
