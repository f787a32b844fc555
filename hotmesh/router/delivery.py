"""One entry as it was delivered to this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Key: TypeAlias = tuple[str, bytes]
"""Stream and entry id.

An id alone is not enough: one script often gives entries of several streams the same.
"""


class Delivery:
    """An entry that this consumer holds.

    Attributes:
        stream, id: Where it lies.
        payload: Its field `p`, None when the entry has lost it (deleted under us) or never had it.
        extra: Its field `d`, which few entries have, or None.
        to, app: Its field `to`: of an entry of an outbox, the partition that it is for, or the
            other app.
        at: Its field `at`: which item of a run's history rides in `extra`, -1 for none.
        lost: Whether it lay with a worker that is gone.
        fields: All of them, name and value in turn, where a reader of its own asked for them.
        count: Deliveries so far, this one included; 1 for one read the first time. A poison guard,
            not an attempt counter.
    """

    __slots__ = ("app", "at", "count", "extra", "fields", "id", "lost", "payload", "stream", "to")

    def __init__(
        self, stream: str, id: bytes, payload: bytes | None, extra: bytes | None = None
    ) -> None:
        self.stream, self.id, self.payload, self.extra = stream, id, payload, extra
        self.count, self.to, self.app, self.at, self.lost = 1, -1, "", -1, False
        self.fields: list[bytes] = []

    @property
    def key(self) -> Key:
        """What tells this entry from every other."""
        return (self.stream, self.id)

    def __repr__(self) -> str:
        return f"Delivery({self.stream}, {self.id.decode()}, count={self.count})"


def parse(stream: str, entries: list[Any]) -> list[Delivery]:
    """Deliveries of a raw reply: `[[id, [field, value, …]], …]`. A deleted entry has no fields."""
    deliveries = []
    for entry in entries:
        if entry is None:
            continue
        id, fields = entry
        delivery = Delivery(stream, id, None)
        for i in range(0, len(fields or ()), 2):
            name = fields[i]
            if name == b"p":
                delivery.payload = fields[i + 1]
            elif name == b"d":
                delivery.extra = fields[i + 1]
            elif name == b"to":
                _address(delivery, fields[i + 1])
            elif name == b"at":
                delivery.at = int(fields[i + 1])
            elif name == b"lost":
                delivery.lost = True
        deliveries.append(delivery)
    return deliveries


def _address(delivery: Delivery, to: bytes) -> None:
    if to.isdigit():
        delivery.to = int(to)
    elif to.startswith(b"@"):
        delivery.app = to[1:].decode(errors="replace")


Parse = Callable[[str, list[Any]], list[Delivery]]
"""Stream and raw entries → deliveries."""


def parse_fields(stream: str, entries: list[Any]) -> list[Delivery]:
    """Deliveries of entries with any fields; the payload stands for there being some."""
    deliveries = []
    for entry in entries:
        if entry is not None:
            id, fields = entry
            delivery = Delivery(stream, id, b"" if fields else None)
            delivery.fields = fields or []
            deliveries.append(delivery)
    return deliveries
