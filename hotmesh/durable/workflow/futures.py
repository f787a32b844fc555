"""asyncio with lists, in the order in which they were given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from hotmesh.durable.workflow.context import current

T = TypeVar("T")


async def all(*awaitables: Awaitable[Any]) -> list[Any]:
    """The results of several at once, in their order: `asyncio.gather` as a list."""
    current("all")
    return list(await asyncio.gather(*awaitables))


def shield(awaitable: Awaitable[T]) -> asyncio.Future[T]:
    """`asyncio.shield`: cancelling who waits does not cancel what is awaited."""
    return asyncio.shield(awaitable)


async def wait(
    awaitables: Sequence[Any],
    *,
    timeout: float | None = None,
    return_when: str = asyncio.ALL_COMPLETED,
) -> tuple[list[asyncio.Future[Any]], list[asyncio.Future[Any]]]:
    """`asyncio.wait` with lists in the given order: done, and pending."""
    futures = [asyncio.ensure_future(a) for a in awaitables]
    if not futures:
        return [], []
    done, _ = await asyncio.wait(futures, timeout=timeout, return_when=return_when)
    return [f for f in futures if f in done], [f for f in futures if f not in done]
