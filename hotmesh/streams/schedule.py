"""Timers, crontabs and tasks of an app.

A timer runs in every process, a crontab once over the fleet: each process knows when it matches,
and a script decides which of them runs it. A match that nobody was there for is not made up for.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from hotmesh.errors import HotMeshError, MappingError, SettingsInvalid
from hotmesh.log import get_logger
from hotmesh.mapping import next_match_ms

if TYPE_CHECKING:
    from hotmesh.streams.app import App
    from hotmesh.streams.client import Client
    from hotmesh.streams.store import StreamStore

log = get_logger("hotmesh.streams")

SLEEP_S_MAX = 30.0
"""A look at the server's clock now and then: a host's may drift."""

Function = Callable[[], Awaitable[Any] | Any]


class Timer:
    """Something that runs every so often.

    Attributes:
        once: Over the fleet, rather than in every process.
    """

    def __init__(self, name: str, function: Function, every_ms: int, once: bool) -> None:
        self.name, self.function, self.every_ms, self.once = name, function, every_ms, once

    def next_ms(self, after_ms: int) -> int:
        """When it is due next; over the fleet, all processes agree on the moments."""
        if self.once:
            return after_ms - after_ms % self.every_ms + self.every_ms
        return after_ms + self.every_ms


class Crontab:
    """Something that runs when a cron expression matches, in UTC."""

    def __init__(self, name: str, function: Function, expression: str, once: bool) -> None:
        self.name, self.function, self.expression, self.once = name, function, expression, once
        try:
            next_match_ms(expression, 0)
        except MappingError as exc:
            raise SettingsInvalid(f"crontab {name!r}: {exc}") from exc

    def next_ms(self, after_ms: int) -> int:
        """When it matches next."""
        return next_match_ms(self.expression, after_ms)


class Task:
    """Something that runs when a process has started; `once`: only in the first of the fleet."""

    def __init__(self, name: str, function: Function, once: bool) -> None:
        self.name, self.function, self.once = name, function, once


async def claim(store: StreamStore, app_id: str, name: str, at_ms: int) -> bool:
    """Whether this process runs what is due; False when another does."""
    return bool(await store.run("tick", [store.space.ticks(app_id)], name, at_ms))


class Schedule:
    """Runs them all. A component: `run` until `drain`, which cancels tasks that still run."""

    name = "schedule"

    def __init__(self, app: App, client: Client) -> None:
        self._app, self._client = app, client
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Idempotent."""
        self._draining.set()

    async def run(self, started: asyncio.Event) -> None:
        """Until drained."""
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._task(t), name=t.name) for t in self._app.tasks]
            running += [tasks.create_task(self._repeat(t), name=t.name) for t in self._app.timers]
            started.set()
            await self._draining.wait()
            for task in running:
                task.cancel()

    async def _task(self, task: Task) -> None:
        if task.once and not await self._is_first(task):
            return
        await self._call(task.name, task.function)

    async def _is_first(self, task: Task) -> bool:
        """Whether no process that runs now has begun it: the first member of the fleet does."""
        store, members = self._client.store, self._client.space.members(self._app.id)
        try:
            alive = await store.transport.execute("ZCARD", members)
            return alive <= 1 and await claim(
                store, self._app.id, f"task/{task.name}", store.clock.now_ms()
            )
        except HotMeshError as exc:
            log.warning("task.claim_failed", task=task.name, error=str(exc))
            return False

    async def _repeat(self, timer: Timer | Crontab) -> None:
        clock = self._client.store.clock
        at_ms = timer.next_ms(clock.now_ms())
        while True:
            await self._until(at_ms)
            try:
                store, app_id = self._client.store, self._app.id
                mine = not timer.once or await claim(store, app_id, timer.name, at_ms)
            except HotMeshError as exc:
                log.warning("timer.claim_failed", timer=timer.name, error=str(exc))
                mine = False
            if mine:
                await self._call(timer.name, timer.function)
            # What took longer than its interval skips what it has missed.
            at_ms = timer.next_ms(max(at_ms, clock.now_ms() - 1))

    async def _until(self, at_ms: int) -> None:
        clock = self._client.store.clock
        while True:
            left_ms = at_ms - clock.now_ms()
            if left_ms <= 0:
                return
            await asyncio.sleep(min(left_ms / 1000, SLEEP_S_MAX))

    async def _call(self, name: str, function: Function) -> None:
        try:
            result = function()
            if inspect.isawaitable(result):
                await result
        except Exception as exc:
            log.warning("timer.failed", timer=name, exc_info=exc)
