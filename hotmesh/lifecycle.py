"""Start and stop of everything that runs for long: one small contract, and one order, written here
and nowhere else.

Components come in stages. Start: stage by stage, each component once the one before it has
started. Stop: the stages in reverse, all of a stage at once, so that what others need outlives
them:

    stop reading → finish or hand back what is held, at most `grace` → flush what is being applied
    → close what we own

A second signal skips to the close.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Sequence
from typing import Any, Protocol

from hotmesh.log import get_logger

log = get_logger("hotmesh.lifecycle")

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_KILLED = 0, 1, 2, 130


class Component(Protocol):
    """Something that runs until it is drained."""

    @property
    def name(self) -> str:
        """Its name in logs."""

    async def run(self, started: asyncio.Event) -> None:
        """Return once drained. A crash is raised, never only logged."""

    def drain(self) -> None:
        """Stop taking new work. Idempotent, callable before `run`."""


class Host:
    """Runs components in one process."""

    def __init__(self, stages: Sequence[Sequence[Component]]) -> None:
        self._stages = stages
        self._running: list[list[tuple[Component, asyncio.Task[None]]]] = []
        self.failed: asyncio.Future[Any] | None = None

    @property
    def components(self) -> list[Component]:
        """All of them, in the order in which they start."""
        return [component for stage in self._stages for component in stage]

    async def start(self) -> None:
        """Start all, in order; returns when the last one has started.

        Raises:
            BaseException: What the first component that could not start raised. Those before it
            have been stopped.
        """
        self.failed = asyncio.get_running_loop().create_future()
        try:
            for stage in self._stages:
                self._running.append([])
                for component in stage:
                    await self._start(component)
        except BaseException:
            await self.stop()
            raise

    async def _start(self, component: Component) -> None:
        started = asyncio.Event()
        task = asyncio.create_task(component.run(started), name=component.name)
        self._running[-1].append((component, task))
        waiting = asyncio.create_task(started.wait())
        try:
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if task.done():
            self._running[-1].pop()
            task.result()
            return
        task.add_done_callback(lambda t: self._ended(component, t))

    def _ended(self, component: Component, task: asyncio.Task[None]) -> None:
        exc = None if task.cancelled() else task.exception()
        if exc is not None and self.failed is not None and not self.failed.done():
            log.error("component.failed", component=component.name, error=repr(exc))
            self.failed.set_result(exc)

    async def stop(self) -> None:
        """Drain all; what crashed has been reported. Idempotent."""
        while self._running:
            stage = self._running[-1]
            for component, _ in stage:
                component.drain()
            if stage:
                await asyncio.wait([task for _, task in stage])
            self._running.pop()

    async def kill(self) -> None:
        """Cancel everything now. Entries in hand are found again by others."""
        tasks = [task for stage in self._running for _, task in stage]
        self._running.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def settle_memory() -> None:
    """Once all is loaded: keep the garbage collector away from what will never be garbage.

    Its full collections walk every module and model that a process has loaded, tens of
    milliseconds each time, and find nothing. For a program that owns its process; a library leaves
    the collector alone.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


class Signals:
    """SIGTERM and SIGINT as events, for a program that owns its process."""

    def __init__(self) -> None:
        self.first, self.second = asyncio.Event(), asyncio.Event()

    def __enter__(self) -> Signals:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._receive)
        return self

    def __exit__(self, *exc: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    def _receive(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


async def serve(host: Host) -> int:
    """Run a started host until a signal, or until a component crashes; the exit code.

    The first SIGTERM or SIGINT drains, a second one stops at once.
    """
    assert host.failed is not None, "serve() takes a host that has been started"
    settle_memory()
    with Signals() as signals:
        first: asyncio.Future[Any] = asyncio.create_task(signals.first.wait())
        await asyncio.wait([first, host.failed], return_when=asyncio.FIRST_COMPLETED)
        first.cancel()
        crashed = host.failed.done()
        log.info("process.draining", reason="crash" if crashed else "signal")
        stopping = asyncio.create_task(host.stop())
        second = asyncio.create_task(signals.second.wait())
        await asyncio.wait([stopping, second], return_when=asyncio.FIRST_COMPLETED)
        second.cancel()
        if not stopping.done():
            stopping.cancel()
            await asyncio.wait([stopping])
            await host.kill()
            return EXIT_KILLED
        return EXIT_FAILED if crashed else EXIT_DONE
