"""Futures, tasks and handles of the deterministic loop.

asyncio keeps futures in sets (`wait`, `TaskGroup`), and the order of a set follows hashes. So the
hash of ours is a number given in order of creation, one series per loop: the same program makes
the same order in every process. Equality stays identity.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from hotmesh.durable.loop import DeterministicLoop

__all__ = ["DurableTimer", "LoopFuture", "LoopHandle", "LoopTask"]

T = TypeVar("T")


class LoopFuture(asyncio.Future[T]):
    """A future of a `DeterministicLoop`.

    A subclass sets `number = loop.next_number()` when it is created; without, it is numbered when
    it is first hashed. It may pass where a task is asked for (`asyncio.create_task`,
    `TaskGroup.create_task`), and so has a name.
    """

    __slots__ = ("_name", "number")

    number: int

    def __hash__(self) -> int:
        try:
            return self.number
        except AttributeError:
            loop: DeterministicLoop = self.get_loop()  # type: ignore[assignment]
            self.number = loop.next_number()
            return self.number

    def get_name(self) -> str:
        """The name, `Future-<number>` unless one was set."""
        try:
            return self._name
        except AttributeError:
            return f"Future-{hash(self)}"

    def set_name(self, value: object) -> None:
        """Set the name; asyncio does when `create_task` is given one."""
        self._name = str(value)


class LoopTask(asyncio.Task[T]):
    """A task of a `DeterministicLoop`; made by its `create_task` alone."""

    __slots__ = ("number",)

    number: int

    def __hash__(self) -> int:
        try:
            return self.number
        except AttributeError:
            # asyncio hashes a new task for its process-wide weak set, before it has a number. The
            # address is right there: by number, the first tasks of all runs would collide.
            return id(self)


class LoopHandle(asyncio.Handle):
    """A callback that is ready. Not initialised by its base, which costs as much again."""

    __slots__ = ("args", "callback", "context")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context,
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self._cancelled = False

    def cancel(self) -> None:
        """Keep the callback from being run; nothing happens when it has."""
        self._cancelled = True

    def __repr__(self) -> str:
        state = " cancelled" if self._cancelled else ""
        return f"<{type(self).__name__}{state} {self.callback!r}>"


class DurableTimer(asyncio.TimerHandle):
    """A callback that waits for its time, which the loop's host keeps.

    Attributes:
        delay_s: Seconds from when it was asked for; more than 0 for those that a host sees.
        when_s: The loop's time at which it is due.
        seq: For the host; None until it sets it.
    """

    __slots__ = ("args", "callback", "context", "delay_s", "seq", "waiting", "when_s")

    def __init__(
        self,
        delay_s: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: DeterministicLoop,
        context: contextvars.Context,
    ) -> None:
        self._loop = loop
        self._cancelled = False
        self.callback = callback
        self.args = args
        self.context = context
        self.delay_s = delay_s
        self.when_s = loop.now_s + delay_s
        self.seq: int | None = None
        self.waiting = False

    def when(self) -> float:
        """The loop's time at which it is due."""
        return self.when_s

    def cancel(self) -> None:
        """Keep the callback from being run, and tell the host if it still waits."""
        if self._cancelled:
            return
        self._cancelled = True
        if self.waiting:
            self.waiting = False
            self._loop.timer_cancelled(self)

    # The base compares times, and two timers due at once would be one in a host's table.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        state = " cancelled" if self._cancelled else " waiting" if self.waiting else ""
        return f"<DurableTimer{state} delay_s={self.delay_s:g} seq={self.seq}>"
