"""Async generators that a run leaves suspended.

One that loses its last reference is closed by a task, as asyncio does; that happens at the same
point of every replay. One that the garbage collector finds, or that is dropped outside a turn, is
kept until the run is torn down: a `finally` block that ran then could order things at a moment no
replay repeats.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from hotmesh.durable.collector import collecting, watch_collector

if TYPE_CHECKING:
    from hotmesh.durable.loop import DeterministicLoop

__all__ = ["Generators"]


class Generators:
    """The hooks that a loop gives to the interpreter while it runs."""

    def __init__(self, loop: DeterministicLoop) -> None:
        watch_collector()
        self._loop = loop
        self._live: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
        self._orphans: list[AsyncGenerator[Any, Any]] = []

    def started(self, generator: AsyncGenerator[Any, Any]) -> None:
        """A generator is iterated for the first time."""
        self._live.add(generator)

    def dropped(self, generator: AsyncGenerator[Any, Any]) -> None:
        """A suspended generator is about to be freed. May be called on any thread."""
        if self._loop.is_current() and not collecting():
            self._loop.call_soon(self._loop.create_task, generator.aclose())
        else:
            self._orphans.append(generator)

    def suspended(self) -> list[AsyncGenerator[Any, Any]]:
        """Those that have begun and not ended."""
        return [g for g in (*self._live, *self._orphans) if getattr(g, "ag_frame", None)]

    def take(self) -> list[AsyncGenerator[Any, Any]]:
        """Those that are suspended; each is given out once."""
        suspended = self.suspended()
        self._live.clear()
        self._orphans.clear()
        return suspended
