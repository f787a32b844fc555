"""Waiting for a condition, never for a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.01


async def eventually(condition: Callable[[], Awaitable[T] | T], within_s: float = 10.0) -> T:
    """Poll until a condition holds.

    Args:
        condition: A plain or an async function; it holds when what it gives is true.
        within_s: The deadline.

    Returns:
        What the condition gave at last.

    Raises:
        AssertionError: It did not hold in time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        found = condition()
        value: T = await found if inspect.isawaitable(found) else found
        if value:
            return value
        if loop.time() >= deadline:
            raise AssertionError(f"{_text(condition)} did not hold within {within_s:g} s")
        await asyncio.sleep(POLL_S)


def _text(condition: Callable[..., object]) -> str:
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):
        return repr(condition)
