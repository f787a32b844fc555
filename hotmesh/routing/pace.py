"""A rate limit: so many in so much time, spread evenly."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from hotmesh.durations import parse
from hotmesh.errors import DurationInvalid, SettingsInvalid

_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(.+?)\s*", re.ASCII)


def interval_of(rate: str) -> float:
    """Seconds between two events of a rate such as `100/s`, `5/min` or `1000/1h`.

    Raises:
        SettingsInvalid: It is none.
    """
    found = _RATE.fullmatch(rate) if isinstance(rate, str) else None
    if found is not None and float(found[1]) > 0:
        span = found[2] if found[2][0].isdigit() else f"1{found[2]}"
        try:
            return parse(span) / 1000 / float(found[1])
        except DurationInvalid:
            pass  # said below
    raise SettingsInvalid(f"{rate!r} is not a rate; write for example '100/s', '5/min' or '10/1h'")


class Pace:
    """Turns, at most one per interval on average, for this process.

    Who asks waits for its turn in order. After a pause a few turns may be taken at once, so that a
    loop that is a little late keeps the rate.
    """

    BURST_S = 0.1

    def __init__(self, rate: str, clock: Callable[[], float] | None = None) -> None:
        self._interval_s = interval_of(rate)
        self._clock = clock
        self._next = 0.0

    def delay(self, now: float) -> float:
        """Take the next turn: seconds until it comes."""
        self._next = max(self._next, now - self.BURST_S)
        at = self._next
        self._next += self._interval_s
        return max(0.0, at - now)

    async def turn(self) -> None:
        """Wait for the next turn."""
        clock = self._clock or asyncio.get_running_loop().time
        delay_s = self.delay(clock())
        if delay_s > 0:
            await asyncio.sleep(delay_s)
