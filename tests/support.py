"""Helpers of all tests that are no fixtures."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

POLL_S = 0.01


async def eventually(condition: Callable[[], Awaitable[Any] | Any], within_s: float = 10) -> Any:
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
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        assert loop.time() < deadline, f"{_text(condition)} did not hold within {within_s:g} s"
        await asyncio.sleep(POLL_S)


def _text(condition: Callable[[], Any]) -> str:
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):
        return repr(condition)
