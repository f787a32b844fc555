"""A namespace of durable workflows whose time is skipped: a month's sleep takes milliseconds.

    async with DurableEnvironment(workflows=[order], activities=[charge]) as env:
        handle = await env.client.workflow.start(order, "a")
        assert await handle.result() == "shipped"  # it slept for 30 days

Server, scripts, client and workers are the real ones; only the clock is moved, by the skew that all
scripts take. It jumps to the next timer while somebody waits for a result or in `env.sleep`, and
nothing else is in progress: no turn, no attempt at an activity, no call of the client.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from hotmesh.connect import Connection, Source
from hotmesh.durable.client import Client
from hotmesh.durable.worker import Worker
from hotmesh.durations import Duration, parse
from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.store import Store

log = get_logger("hotmesh.testing")

LOOK_S = 0.002
"""How often the environment looks whether something is in progress."""

LOOKS = 2
"""Looks in a row that must find nothing before time is skipped."""


class DurableEnvironment:
    """Used as a context. Everything in it shares one clock.

    Args:
        redis: As everywhere; None for the embedded server.
        workflows, activities, task_queue: Of a first worker; without any, none is made.
        namespace: One that no other test has, by default.
        worker: More options of workers, such as `max_cached=0`.

    Attributes:
        client: What tests start workflows with.
        skipped_ms: How much time has been skipped.
    """

    def __init__(
        self,
        redis: Source | Connection = None,
        *,
        workflows: Sequence[Any] = (),
        activities: Sequence[Any] = (),
        task_queue: str = "default",
        namespace: str = "",
        **worker: Any,
    ) -> None:
        self._redis = redis
        self._first = (workflows, activities, task_queue)
        self._options = {"lease": "5s", "grace": "1s", **worker}
        self.namespace = namespace or f"test-{secrets.token_hex(6)}"
        self.client = Client(redis, self.namespace)
        self.skipped_ms = 0
        self._stores: list[Store] = []
        self._workers: list[Worker] = []
        self._waiting = self._calling = self._held = 0
        self._sleepers: dict[asyncio.Event, int] = {}
        self._stack = AsyncExitStack()
        self._skipper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            opened = await self.client.open()
            self._share(opened.store)
            opened.results.wait = self._awaiting(opened.results.wait)  # type: ignore[method-assign]
            transport: Any = opened.store.transport
            transport.execute_many = self._counted(transport.execute_many)
            workflows, activities, queue = self._first
            if workflows or activities:
                await self.worker(workflows=workflows, activities=activities, task_queue=queue)
            self._skipper = asyncio.get_running_loop().create_task(self._skip())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _close(self) -> None:
        if self._skipper is not None:
            self._skipper.cancel()
            await asyncio.wait([self._skipper])
        for worker in reversed(self._workers):
            await worker.stop()
        await self.client.close()

    async def worker(
        self,
        *,
        workflows: Sequence[Any] = (),
        activities: Sequence[Any] = (),
        task_queue: str = "default",
        **options: Any,
    ) -> Worker:
        """Another worker, stopped with the environment."""
        worker = await Worker.create(
            self._redis,
            namespace=self.namespace,
            task_queue=task_queue,
            workflows=workflows,
            activities=activities,
            **{**self._options, **options},
        )
        self._share(worker.point.store)
        self._workers.append(worker)
        await worker.start()
        return worker

    @property
    def now(self) -> datetime:
        """The time of everything in the environment, in UTC."""
        return datetime.fromtimestamp(self._stores[0].clock.now_ms() / 1000, UTC)

    async def sleep(self, duration: Duration) -> None:
        """Let time pass; what falls due meanwhile, happens first."""
        event = asyncio.Event()
        self._sleepers[event] = self._stores[0].clock.now_ms() + parse(duration)
        try:
            await event.wait()
        finally:
            del self._sleepers[event]

    @contextmanager
    def no_skipping(self) -> Iterator[None]:
        """Time passes as it does outside."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    # -- inside

    def _share(self, store: Store) -> None:
        store.clock.skew_ms += self.skipped_ms
        self._stores.append(store)

    def _awaiting(self, wait: Callable[..., Any]) -> Callable[..., Any]:
        """Counts who waits for results: while nobody does, time is not skipped."""

        async def waiting(*args: Any, **kwargs: Any) -> Any:
            self._waiting += 1
            try:
                return await wait(*args, **kwargs)
            finally:
                self._waiting -= 1

        return waiting

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def counted(*args: Any, **kwargs: Any) -> Any:
            self._calling += 1
            try:
                return await call(*args, **kwargs)
            finally:
                self._calling -= 1

        return counted

    async def _skip(self) -> None:
        looks = 0
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                idle = (self._waiting or self._sleepers) and not self._held and await self._idle()
                looks = looks + 1 if idle else 0
                if self._sleepers:
                    self._wake_sleepers()
                if looks >= LOOKS:
                    looks = 0
                    await self._jump()
            except HotMeshError as exc:
                log.warning("time.stays", error=str(exc))

    async def _idle(self) -> bool:
        """Whether no stream holds an entry: an entry is deleted when its work is done."""
        if self._calling or any(self._runs_something(worker) for worker in self._workers):
            return False
        replies = await self._look([("XLEN", key) for key in self._streams()])
        return not any(replies) and not self._calling

    def _runs_something(self, worker: Worker) -> bool:
        return bool(worker.calls.attempts.running or (worker.turns and worker.turns.active))

    def _streams(self) -> list[str]:
        keys = []
        for partition in self._stores[0].keys.partitions:
            keys += [partition.engine, partition.outbox]
            for worker in self._workers:
                for keeper in ("", worker.identity):
                    keys.append(partition.tasks(worker.task_queue, keeper))
                    keys.append(partition.calls(worker.task_queue, keeper))
        return list(dict.fromkeys(keys))

    async def _look(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Read in one moment, past the client's own calls."""
        transport = self._workers[0].point.store.transport if self._workers else None
        source = transport or self._stores[0].transport
        replies = await source.execute_many([("MULTI",), *commands, ("EXEC",)])
        if isinstance(replies[-1], Exception):
            raise replies[-1]
        return list(replies[-1])

    async def _jump(self) -> None:
        """To the next timer, or to the end of a sleep of the test's."""
        partitions = self._stores[0].keys.partitions
        found = await self._look(
            [("ZRANGE", p.timers, 0, 0, "WITHSCORES") for p in partitions] + [("TIME",)]
        )
        clock = self._stores[0].clock
        now_ms = clock.read(found.pop())
        due = [int(float(row[1])) for row in found if row]
        due += self._sleepers.values()
        if not due or self._held or self._calling:
            return
        ahead = min(due) - now_ms
        if ahead > 0:
            self.skipped_ms += ahead
            for store in self._stores:
                store.clock.skew_ms += ahead
        self._wake_sleepers()
        await self._stores[-1].transport.execute("PUBLISH", self._stores[0].keys.wake, "")

    def _wake_sleepers(self) -> None:
        now_ms = self._stores[0].clock.now_ms()
        for event, at_ms in self._sleepers.items():
            if now_ms >= at_ms:
                event.set()
