"""Two topics as pairs: values with the same key whose events happened close to each other.

Each side waits for the other in a table with windows, so a pair is found whichever comes first,
once, over kills too. What finds no partner within the time is forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from hotmesh.durations import Duration, parse
from hotmesh.errors import SettingsInvalid
from hotmesh.streams.rerouting import group_by
from hotmesh.streams.stream import Stream, getter_of

if TYPE_CHECKING:
    from hotmesh.streams.app import App
    from hotmesh.streams.instance import Instance
    from hotmesh.streams.topic import Topic

Waiting = tuple[bool, int, bytes]
"""Whether it is of the left side, its time, and its payload."""


class Join:
    """A channel of pairs; made by `App.join`."""

    def __init__(
        self,
        app: App,
        left: Topic[Any],
        right: Topic[Any],
        on: tuple[Any, Any],
        within: Duration,
        name: str,
    ) -> None:
        if not isinstance(left.value_type, type) or left.value_type is right.value_type:
            raise SettingsInvalid(
                f"a join of {left.name!r} and {right.name!r} needs two value types that differ: "
                "they tell the sides apart"
            )
        self.left, self.right = left, right
        self.within_ms = parse(within)
        self._keys: tuple[Callable[[Any], Any], ...] = tuple(getter_of(key) for key in on)
        self.table = app.table(name, default=list, value_type=list[Waiting])
        # A partner may be a window before or after: both are kept as long as one can come.
        self.table.tumbling(within, expires=2 * self.within_ms / 1000)

    def is_left(self, value: Any) -> bool:
        """Which side a value is of."""
        return isinstance(value, self.left.value_type)

    def key(self, value: Any) -> Any:
        """What a value is joined by."""
        return self._keys[0 if self.is_left(value) else 1](value)

    def pairs(self, value: Any, at_ms: int) -> list[tuple[Any, Any]]:
        """Note a value, and find its partners: called while its event is at hand."""
        is_left = self.is_left(value)
        mine, other = (self.left, self.right) if is_left else (self.right, self.left)
        windows = self.table[self.key(value)]
        near = (at_ms - self.within_ms, at_ms, at_ms + self.within_ms)
        found: list[Waiting] = [one for at in near for one in (windows.at(at) if at >= 0 else ())]
        payload, _ = mine.codec.encode(value, what="a value of a join")
        windows.apply(lambda some, one: [*some, one], (is_left, at_ms, payload))
        partners = [
            other.codec.decode(raw, None)
            for left, when, raw in found
            if left is not is_left and abs(when - at_ms) <= self.within_ms
        ]
        return [(value, p) if is_left else (p, value) for p in partners]


class JoinedStream(Stream[tuple[Any, Any]]):
    """Pairs. An event is handled when all of its pairs are."""

    def __init__(self, instance: Instance, join: Join) -> None:
        super().__init__(instance)
        self._join = join
        self._pairs: deque[tuple[Any, Any]] = deque()
        group_by(instance.part, join.key, "join")

    def __aiter__(self) -> AsyncIterator[tuple[Any, Any]]:
        return self

    async def __anext__(self) -> tuple[Any, Any]:
        while not self._pairs:
            event = await self._pull()
            self._pairs.extend(self._join.pairs(event.value, event.timestamp_ms))
        return self._pairs.popleft()
