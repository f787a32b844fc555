"""One entry on its way through an agent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hotmesh.streams.wire import Entry


class Event:
    """An entry of a topic, decoded; what `stream.events()` gives.

    Attributes:
        value, key: As the topic's types say; the key is None when there is none.
        topic, partition: Where it was read.
        attempt: From 0; grows with each failure of its handling.
    """

    __slots__ = ("alone", "attempt", "entry", "key", "partition", "stream", "topic", "value")

    def __init__(
        self, entry: Entry, value: Any, key: Any, topic: str, partition: int, stream: str
    ) -> None:
        self.entry, self.value, self.key = entry, value, key
        self.topic, self.partition, self.stream = topic, partition, stream
        self.attempt = 0
        self.alone = False  # it failed as one of a batch: it is handed on by itself

    @property
    def id(self) -> str:
        """Its id in the stream: unique in its partition, and growing."""
        return self.entry.id.decode()

    @property
    def origin(self) -> str:
        """`<topic>/<partition>/<id>` where it was sent to: the same over deliveries, retries and
        moves to other partitions. An idempotency key for what a handler does outside.
        """
        if self.entry.origin is not None:
            return self.entry.origin.decode(errors="replace")
        return f"{self.topic}/{self.partition}/{self.id}"

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""
        return self.entry.headers

    @property
    def timestamp_ms(self) -> int:
        """When it happened, in milliseconds since 1970; when it arrived, if nobody said."""
        return self.entry.event_ms

    @property
    def timestamp(self) -> datetime:
        """When it happened, as an aware datetime."""
        return datetime.fromtimestamp(self.entry.event_ms / 1000, UTC)

    def __repr__(self) -> str:
        return f"<Event {self.id} of {self.topic}/{self.partition} key={self.key!r}>"
