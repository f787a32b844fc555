"""What is read rather than counted: the depth of streams, timers, the server.

Whoever reads them writes to a board; whoever measures collects the boards of this process. A board
that is dropped is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Protocol
from weakref import WeakSet

from opentelemetry import metrics
from opentelemetry.metrics import NoOpMeterProvider, Observation
from opentelemetry.metrics._internal import _ProxyMeterProvider  # no public name, unlike traces'

from hotmesh.telemetry.metrics import CAPACITY, USED


class Settings(Protocol):
    """How much a router may hold."""

    @property
    def capacity(self) -> int: ...


class Holder(Protocol):
    """A router, as far as it is measured."""

    name: str

    @property
    def settings(self) -> Settings: ...

    @property
    def held(self) -> Sized: ...


class Board:
    """The last readings of one app: by gauge and, of each, by its attribute's value."""

    def __init__(self) -> None:
        self.readings: dict[str, dict[str, float]] = {}
        _boards.add(self)

    def close(self) -> None:
        """Its readings are old from now on."""
        self.readings = {}


_boards: WeakSet[Board] = WeakSet()
_routers: WeakSet[Holder] = WeakSet()


def watch(router: Holder) -> None:
    """Measure the slots of a router for as long as it lives."""
    _routers.add(router)


def is_measured() -> bool:
    """Whether anybody collects: without, nothing needs to be read."""
    provider = metrics.get_meter_provider()
    return not isinstance(provider, (NoOpMeterProvider, _ProxyMeterProvider))


def observe(name: str) -> Iterable[Observation]:
    """The series of a gauge now."""
    if name in (USED, CAPACITY):
        return list(_slots(name))
    merged: dict[str, float] = {}
    for board in list(_boards):
        merged.update(board.readings.get(name, {}))
    return [Observation(v, {"stream": k} if k else {}) for k, v in merged.items()]


def _slots(name: str) -> Iterator[Observation]:
    counts: dict[str, int] = {}
    for router in list(_routers):
        count = len(router.held) if name == USED else router.settings.capacity
        counts[router.name] = counts.get(router.name, 0) + count
    for router_name, count in counts.items():
        yield Observation(count, {"router": router_name})
