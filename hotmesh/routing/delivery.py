"""What a handler is told about the entry that it handles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from hotmesh.errors import DeliveryLost

Extend = Callable[[], Awaitable[bool]]


class Delivery:
    """One entry, as a handler gets it.

    Attributes:
        id: The id of the entry in its stream, the same over retries and redeliveries: an
            idempotency key for what the handler does outside.
        topic: The topic, or the key of a plain stream.
        key: What the producer gave as key, or None.
        headers: What the producer gave as headers.
        attempt: From 1; grows with each retry.
        deliveries: How often this attempt was handed to a process, from 1: more than once after a
            crash.
        partition: Of the topic; 0 for a plain stream.
    """

    __slots__ = (
        "_extend",
        "attempt",
        "deliveries",
        "headers",
        "id",
        "key",
        "partition",
        "topic",
    )

    def __init__(
        self,
        id: str,
        topic: str,
        key: str | None,
        headers: Mapping[str, str],
        *,
        attempt: int = 1,
        deliveries: int = 1,
        partition: int = 0,
        extend: Extend,
    ) -> None:
        """Made by the router."""
        self.id, self.topic, self.key, self.headers = id, topic, key, headers
        self.attempt, self.deliveries, self.partition = attempt, deliveries, partition
        self._extend = extend

    async def extend(self) -> None:
        """Renew the lease now, and make sure that the entry is still ours.

        The router renews it by itself while the handler runs. Call this before an effect outside
        that should not happen twice, or between long stretches of work that block the loop.

        Raises:
            DeliveryLost: Another consumer has the entry.
            ServerUnavailable: The server can't be asked.
        """
        if not await self._extend():
            raise DeliveryLost(topic=self.topic, id=self.id)

    def __repr__(self) -> str:
        return f"Delivery({self.topic} {self.id}, attempt {self.attempt})"
