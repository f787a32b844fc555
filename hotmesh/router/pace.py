"""How fast a router may take entries: at once, one every so many milliseconds, or not at all.

A throttled router waits before it reads, never with an entry in hand: what it does not take lies in
the stream, for a sibling that is faster.
"""

from __future__ import annotations

import asyncio
import time

PAUSED = -1
"""The throttle that takes nothing until it is lifted."""

THROTTLE_MS_MAX = 2_147_483_647


class Pace:
    """The throttle of one router.

    Attributes:
        ms: 0 for none, `PAUSED`, or the milliseconds that each entry makes the next one wait.
    """

    __slots__ = ("_changed", "_owed", "_took_at", "ms")

    def __init__(self) -> None:
        self.ms = 0
        self._took_at, self._owed = 0.0, 0
        self._changed = asyncio.Event()

    def set(self, ms: int) -> bool:
        """Change it; False when it was so already. A router that sleeps wakes, and the time that it
        has slept counts.
        """
        if ms == self.ms:
            return False
        self.ms = ms
        self.wake()
        return True

    def wake(self) -> None:
        """End the sleep of a router, to look again."""
        self._changed.set()

    def took(self, entries: int) -> None:
        """So many were just taken."""
        self._took_at, self._owed = time.monotonic(), entries

    def wait_s(self) -> float:
        """How long until the next entry may be taken; of use unless it is paused."""
        if self.ms <= 0:
            return 0.0
        return max(0.0, self._took_at + self._owed * self.ms / 1000 - time.monotonic())

    async def sleep(self, delay_s: float | None) -> None:
        """Wait so long (None: without end), or until the throttle changes or the router drains."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), delay_s)
        except TimeoutError:
            pass
