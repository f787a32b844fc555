"""A topic as a program holds it: its types, and how to send to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hotmesh.errors import HotMeshError, SettingsInvalid
from hotmesh.streams.keys import check_topic_name, partition_of
from hotmesh.streams.produce import Sent
from hotmesh.streams.record import Codec, encode_key, key_decoder
from hotmesh.streams.scope import current
from hotmesh.streams.topics import TopicSpec, Wanted
from hotmesh.streams.wire import encode_headers, fields_of
from hotmesh.telemetry import spans

if TYPE_CHECKING:
    from hotmesh.streams.client import Client

T = TypeVar("T")


class NotOpen(HotMeshError):
    """Something was sent or read before the app was opened: use `async with app:`, or run it."""

    code = 409

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not connected; use it inside 'async with app:' or an agent")


class Topic(Generic[T]):
    """A topic; made by `App.topic`.

    Attributes:
        name: Within the namespace: other apps and routers that use the name meet it.
        value_type, key_type: What its values and keys are.
    """

    def __init__(
        self,
        name: str,
        client: Callable[[], Client | None],
        *,
        value_type: Any = Any,
        key_type: Any = None,
        codec: Any = None,
        wanted: Wanted | None = None,
        partitions_default: int = 1,
    ) -> None:
        """Used by `App.topic`. `client` gives what is open, None when nothing is."""
        self.name = check_topic_name(name)
        self.value_type, self.key_type = value_type, key_type
        self.codec: Codec[T] = Codec(value_type, codec=codec)
        self.decode_key = key_decoder(key_type)
        self.wanted = wanted or Wanted()
        self.wanted.check(name)
        self._client, self._partitions_default = client, partitions_default
        self._what = f"a value of topic {name!r}"
        self._spec: TopicSpec | None = None

    def __repr__(self) -> str:
        return f"<Topic {self.name!r} of {self.codec}>"

    # -- sending

    async def send(
        self,
        value: T | None = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: datetime | float | None = None,
        headers: Mapping[str, str] | None = None,
        replicas: int = 0,
    ) -> Sent | None:
        """Send one value; returns when the server has it.

        Inside an agent it is an effect of the event at hand instead: it is sent when the event's
        changes of tables and its acknowledgement are written, in the same script, or not at all.
        Then this returns None at once.

        Args:
            value: Of the topic's type.
            key: Decides the partition, and with it the order: entries of one key stay in order.
                Without one, partitions are taken in turn.
            partition: Instead of the key's.
            timestamp: When it happened, as a datetime or in seconds since 1970; the time of
                arrival when None.
            headers: Text by name.
            replicas: Wait until so many replicas have it, at most a second.

        Raises:
            PayloadInvalid, PayloadTooLarge: The value, the key or a header is refused.
            Overloaded: The topic is full.
            ServerUnavailable: No connection for about ten seconds; a repeated call may append it
            twice.
        """
        client = self._opened()
        spec = self._spec or await self.declare()
        at, fields = self._entry(client, spec, value, key, partition, timestamp, headers)
        scope = current.get()
        if scope is not None and scope.has_event:
            scope.transaction().send(self, spec, at, fields)
            return None
        return await client.producer.send(self.name, spec, at, fields, replicas)

    async def send_many(
        self, values: Iterable[T] | Iterable[tuple[Any, T]], *, keyed: bool = False
    ) -> list[Sent]:
        """Send many values in one go; returns when the server has all of them.

        Args:
            values: Values, or (key, value) pairs when `keyed`.

        Raises:
            As `send`; then any of them may be there.
        """
        client = self._opened()
        spec = self._spec or await self.declare()
        entries = []
        for item in values:
            key, value = item if keyed else (None, item)  # type: ignore[misc]
            entries.append(self._entry(client, spec, value, key, None, None, None))
        scope = current.get()
        if scope is not None and scope.has_event:
            for at, fields in entries:
                scope.transaction().send(self, spec, at, fields)
            return []
        return await client.producer.send_all(self.name, spec, entries)

    async def send_soon(self, value: T | None = None, *, key: Any = None) -> asyncio.Future[Sent]:
        """Put a value in line and go on; the future is done when the server has it. Waits only
        when too many are in line, which is what slows a fast producer down.
        """
        client = self._opened()
        spec = self._spec or await self.declare()
        at, fields = self._entry(client, spec, value, key, None, None, None)
        await client.producer.room()
        future: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        client.producer.put(self.name, spec, at, fields, _settle(future), 0)
        return future

    async def flush(self) -> None:
        """Return when everything that was put in line has been sent."""
        await self._opened().producer.flush()

    def encode(
        self,
        value: Any,
        key: Any = None,
        timestamp: datetime | float | None = None,
        headers: Mapping[str, str] | None = None,
        reply: bytes | None = None,
    ) -> tuple[bytes | None, list[Any]]:
        """Key and fields of an entry."""
        payload, tag = self.codec.encode(value, what=self._what)
        at_key = key.encode() if type(key) is str else encode_key(key)
        told = encode_headers(_traced(headers))
        return at_key, fields_of(payload, tag, at_key, _event_ms(timestamp), told, reply)

    def _entry(
        self,
        client: Client,
        spec: TopicSpec,
        value: Any,
        key: Any,
        partition: int | None,
        timestamp: datetime | float | None,
        headers: Mapping[str, str] | None,
    ) -> tuple[int, list[Any]]:
        at_key, fields = self.encode(value, key, timestamp, headers)
        if partition is not None:
            if not 0 <= partition < spec.partitions:
                raise SettingsInvalid(
                    f"topic {self.name!r} has partitions 0 to {spec.partitions - 1}, not "
                    f"{partition}"
                )
            return partition, fields
        if at_key is not None:
            return partition_of(at_key, spec.partitions), fields
        return client.producer.next_partition(self.name, spec.partitions), fields

    # -- knowing

    async def declare(self) -> TopicSpec:
        """Make the topic known, or find it.

        Raises:
            SettingsInvalid: It has another number of partitions than was asked for.
        """
        client = self._opened()
        self._spec = await client.topic(
            self.name, self.wanted, partitions_default=self._partitions_default
        )
        return self._spec

    def forget(self) -> None:
        """The client was closed: what is known may change until the next one."""
        self._spec = None

    def _opened(self) -> Client:
        client = self._client()
        if client is None:
            raise NotOpen(f"topic {self.name!r}")
        return client


def _settle(future: asyncio.Future[Sent]) -> Callable[[Any], None]:
    def settle(outcome: Any) -> None:
        if future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    return settle


def _event_ms(timestamp: datetime | float | None) -> int | None:
    if timestamp is None:
        return None
    if isinstance(timestamp, datetime):
        timestamp = timestamp.timestamp()
    ms = round(timestamp * 1000)
    if ms < 0:
        raise SettingsInvalid(f"timestamp is in seconds since 1970, not {timestamp}")
    return ms


def _traced(headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """The headers, and the trace that the sender is in."""
    trace = spans.current()
    if not trace or (headers and "traceparent" in headers):
        return headers
    return {**(headers or {}), "traceparent": trace}
