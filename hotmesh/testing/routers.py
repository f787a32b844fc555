"""A router under test: feed it, and wait until its handlers have handled what they were fed.

The router is the user's own, on a real server, in a group and a namespace of its own; what is
handled is seen by a middleware, so nothing of it behaves otherwise than in production.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from hotmesh.routing import Delivery, Letter, Router

WITHIN_S = 10.0


class Handled(Struct, frozen=True):
    """One attempt at one entry.

    Attributes:
        error: What the handler raised; None when the entry was handled.
    """

    topic: str
    id: str
    key: str | None
    attempt: int
    error: BaseException | None = None


class RouterClient:
    """Runs a router for a test: `async with RouterClient(router) as client:`.

    Attributes:
        router: The router under test.
        attempts: Every attempt so far, in the order of their ends.
    """

    def __init__(self, router: Router) -> None:
        """The router must not run yet; it is stopped at the end."""
        self.router = router
        self.attempts: list[Handled] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.router.observe(self._watch)
        try:
            await self.router.start()
        except BaseException:
            self.router.observe(None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.router.stop()
        finally:
            self.router.observe(None)

    async def feed(
        self,
        topic: str = "",
        value: Any = None,
        *,
        key: Any = None,
        headers: Mapping[str, str] | None = None,
        stream: str = "",
        within_s: float = WITHIN_S,
    ) -> str:
        """Append an entry and wait until it has been handled; the entry's id.

        Args:
            topic, value, key, headers: As of `Router.publish`.
            stream: Instead of a topic the key of a plain stream; `value` is its fields then.
            within_s: The deadline, retries included (see `skip_time`).

        Raises:
            AssertionError: It was not handled in time; the message says what was tried.
        """
        if stream:
            id = await self.router.append(stream, value)
        else:
            id = await self.router.publish(topic, value, key=key, headers=headers)
        await self.handled(topic or stream, id, within_s=within_s)
        return id

    async def handled(self, source: str, id: str, *, within_s: float = WITHIN_S) -> Handled:
        """Wait until an entry has been handled without an error.

        Raises:
            AssertionError: It was not, in time.
        """

        def found() -> Handled | None:
            return next((a for a in self._of(source, id) if a.error is None), None)

        return await self._until(found, f"entry {id} of {source!r} was not handled", within_s)

    async def failed(
        self, source: str, id: str, *, attempt: int = 1, within_s: float = WITHIN_S
    ) -> Handled:
        """Wait until an attempt at an entry has failed.

        Raises:
            AssertionError: It did not, in time.
        """

        def found() -> Handled | None:
            return next((a for a in self._of(source, id) if a.error and a.attempt == attempt), None)

        return await self._until(found, f"attempt {attempt} at {id} did not fail", within_s)

    async def dead(self, source: str, id: str, *, within_s: float = WITHIN_S) -> Letter:
        """Wait until an entry lies in the dead letters.

        Raises:
            AssertionError: It does not, in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while True:
            for letter in await self.router.dead_letters(source):
                if letter.entry == id:
                    return letter
            if loop.time() >= deadline:
                raise AssertionError(f"entry {id} of {source!r} is no dead letter; {self._told()}")
            await asyncio.sleep(0.01)

    def _of(self, source: str, id: str) -> list[Handled]:
        return [a for a in self.attempts if a.topic == source and a.id == id]

    async def _until(
        self, found: Callable[[], Handled | None], what: str, within_s: float
    ) -> Handled:
        try:
            async with asyncio.timeout(within_s):
                while (attempt := found()) is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as exc:
            raise AssertionError(f"{what} within {within_s:g} s; {self._told()}") from exc
        return attempt

    def _told(self) -> str:
        tries = [
            f"{a.topic} {a.id} attempt {a.attempt}: {a.error!r}" if a.error else f"{a.id}: handled"
            for a in self.attempts[-10:]
        ]
        return f"attempts so far: {'; '.join(tries) or 'none'}"

    def _watch(self, delivery: Delivery, error: BaseException | None) -> None:
        self.attempts.append(
            Handled(delivery.topic, delivery.id, delivery.key, delivery.attempt, error)
        )
        self._changed.set()
