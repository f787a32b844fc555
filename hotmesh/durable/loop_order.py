"""The places of asyncio where an order comes from addresses and a loop's own classes don't help.

Each is replaced once per process, when the first deterministic loop is made, by a wrapper that
does something only while such a loop runs.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import threading
from asyncio import tasks
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotmesh.durable.loop import DeterministicLoop

__all__ = ["install"]

_installed = False
_installing = threading.Lock()


def install(kind: type[DeterministicLoop]) -> None:
    """Put the wrappers in place, unless they are."""
    global _installed
    if _installed:
        return
    with _installing:
        if not _installed:
            _wrap_as_completed(kind)
            _wrap_all_tasks(kind)
            _number_gathering_futures(kind)
            _installed = True


def _replace(name: str, wrapper: Callable[..., Any]) -> None:
    setattr(tasks, name, wrapper)
    setattr(asyncio, name, wrapper)


def _wrap_as_completed(kind: type[DeterministicLoop]) -> None:
    """It puts bare coroutines into a set before it makes tasks of them."""
    original = tasks.as_completed

    def ordered(fs: Iterable[Awaitable[Any]], timeout: float | None) -> Any:
        return original([asyncio.ensure_future(f) for f in dict.fromkeys(fs)], timeout=timeout)

    def ordered_when_iterated(fs: Iterable[Awaitable[Any]], timeout: float | None) -> Iterator[Any]:
        yield from ordered(fs, timeout)

    # Until 3.12 it is a generator function: no task exists before the first one is asked for.
    in_order = ordered if sys.version_info >= (3, 13) else ordered_when_iterated

    @functools.wraps(original)
    def as_completed(fs: Any, *, timeout: float | None = None) -> Any:
        if isinstance(asyncio._get_running_loop(), kind) and not inspect.isawaitable(fs):
            return in_order(fs, timeout)
        return original(fs, timeout=timeout)

    _replace("as_completed", as_completed)


def _wrap_all_tasks(kind: type[DeterministicLoop]) -> None:
    """It reads a weak set of all tasks of the process."""
    original = tasks.all_tasks

    @functools.wraps(original)
    def all_tasks(loop: asyncio.AbstractEventLoop | None = None) -> set[asyncio.Task[Any]]:
        asked = asyncio._get_running_loop() if loop is None else loop
        if isinstance(asked, kind):
            return set(asked.live_tasks())
        return original(loop)

    _replace("all_tasks", all_tasks)


def _number_gathering_futures(kind: type[DeterministicLoop]) -> None:
    """`gather` makes its future by itself, so that a loop can't give it a number."""

    def numbered(self: Any) -> int:
        try:
            number: int = self._hotmesh_number
        except AttributeError:
            loop = self.get_loop()
            number = loop.next_number() if isinstance(loop, kind) else object.__hash__(self)
            self._hotmesh_number = number
        return number

    tasks._GatheringFuture.__hash__ = numbered  # type: ignore[attr-defined]
