"""Time and chance, the same in every replay."""

from __future__ import annotations

import asyncio
import uuid as _uuid
from datetime import datetime, timedelta
from typing import Any

from hotmesh.durable.workflow.context import current
from hotmesh.durations import Duration, parse


async def sleep_for(duration: Duration) -> float:
    """Sleep, for milliseconds or for years; the seconds that it was.

    Args:
        duration: Seconds, a timedelta, or text such as `1 month`.
    """
    run_ = current("sleep_for")
    if run_.interceptors is None or "sleep" not in run_.interceptors:
        return await _slept(duration)
    call = run_.call(run_.begin.workflow, (duration,))
    slept: float = await run_.interceptors("sleep", call, lambda c: _slept(*c.args))
    return slept


async def _slept(duration: Duration) -> float:
    seconds = parse(duration) / 1000
    await asyncio.sleep(seconds)
    return seconds


async def sleep_until(when: datetime) -> float:
    """Sleep until a moment (aware); the seconds that it was, 0 when it is past."""
    return await sleep_for(max(timedelta(0), when - now()))


sleep = sleep_for


def now() -> datetime:
    """The time, aware, in UTC. It stands still while the code runs between two awaits."""
    return current("now").now


def time() -> float:
    """The same as seconds since the epoch."""
    return current("time").now_ms / 1000


class Drawn(float):
    """A number in [0, 1), with the methods of `random.Random` for whoever needs more."""

    _source: Any

    def __new__(cls, source: Any) -> Drawn:
        self = super().__new__(cls, source.random())
        self._source = source
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def random() -> Drawn:
    """A number in [0, 1), the same in every replay of the run, another in every run.

    `workflow.random().randint(1, 6)`, `.choice(...)` and the rest of `random.Random` work too.
    """
    return Drawn(current("random").chance)


def uuid4() -> _uuid.UUID:
    """A UUID, the same in every replay of the run, another in every run."""
    return _uuid.UUID(int=current("uuid4").ids.getrandbits(128), version=4)
