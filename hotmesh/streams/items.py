"""Many things that come one after the other: `async for`, or `await` for a list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any


class Items:
    """`async for` over something, or `await` it for a list."""

    def __init__(self, walk: Callable[[], AsyncIterator[Any]]) -> None:
        self._walk = walk

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._walk()

    def __await__(self) -> Any:
        return self._all().__await__()

    async def _all(self) -> list[Any]:
        return [item async for item in self._walk()]

    def __iter__(self) -> Any:
        raise TypeError("this is asynchronous: write 'async for … in …', or 'await …' for a list")
