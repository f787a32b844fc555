"""Start and stop of everything that runs for long: one small contract, and one order, written here
and nowhere else.

Components come in stages. Start: stage by stage, each component once the one before it has
started. Stop: the stages in reverse, all of a stage at once, so that what others need outlives
them:

    stop reading → finish or hand back what is held, at most `grace` → flush what is being applied
    → close what we own

A second signal skips to the close, and so does a drain that takes longer than it may.

| Signal | What it does |
| --- | --- |
| SIGTERM, SIGINT | drain; while the server is awaited, end at once |
| the second of them | stop now |
| SIGHUP | a service: reload what can be changed while it runs; on a terminal: drain |
"""

from __future__ import annotations

import asyncio
import gc
import random
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar

from hotmesh.errors import ServerUnavailable
from hotmesh.log import get_logger

log = get_logger("hotmesh.lifecycle")

T = TypeVar("T")

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_OVERDUE, EXIT_KILLED = 0, 1, 2, 3, 130
"""Drained; failed; wrong configuration; the drain took too long; stopped by the second signal."""

BACKOFF_S_MIN, BACKOFF_S_MAX = 0.2, 5.0
DRAIN_MARGIN_S = 5.0
"""What a drain may take beyond the grace of handlers: handing back, flushing, saying goodbye."""

KILL_S = 2.0
"""How long what was cancelled may take to end; after that the process ends without it."""


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
        """Cancel everything now. Entries in hand are found again by others; code that ignores its
        cancellation is left behind.
        """
        tasks = [task for stage in self._running for _, task in stage]
        self._running.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=KILL_S)
            for task in left:
                log.warning("component.abandoned", component=task.get_name())


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
    """Signals as events, for a program that owns its process."""

    def __init__(self, hang_up: Literal["reload", "drain", "default"] = "default") -> None:
        """`hang_up`: what SIGHUP means. To a service it says that its configuration has changed; a
        terminal that is closed sends it, too, and then it should end what ran there.
        """
        self.first, self.second = asyncio.Event(), asyncio.Event()
        self.reload = asyncio.Event()
        self._actions: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: self._receive,
            signal.SIGINT: self._receive,
        }
        if hang_up != "default":
            is_reload = hang_up == "reload"
            self._actions[signal.SIGHUP] = self.reload.set if is_reload else self._receive

    def __enter__(self) -> Signals:
        for number, action in self._actions.items():
            asyncio.get_running_loop().add_signal_handler(number, action)
        return self

    def __exit__(self, *exc: object) -> None:
        for number in self._actions:
            asyncio.get_running_loop().remove_signal_handler(number)

    def _receive(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


async def until_available(
    call: Callable[[], Awaitable[T]], *, wait_s: float, stop: asyncio.Event
) -> T | None:
    """What a call gives, repeated with back-off while the server can't be reached.

    Args:
        wait_s: How long to try; 0 tries once.
        stop: Ends the wait.

    Returns:
        None when it was stopped.

    Raises:
        ServerUnavailable: It was not there in all that time. Other errors are raised at once.
    """
    loop = asyncio.get_running_loop()
    until, failures = loop.time() + wait_s, 0
    while not stop.is_set():
        try:
            return await call()
        except ServerUnavailable as exc:
            failures += 1
            pause_s = min(BACKOFF_S_MIN * 2 ** min(failures - 1, 10), BACKOFF_S_MAX)
            pause_s *= random.uniform(0.5, 1.0)
            left_s = until - loop.time()
            if pause_s > left_s:
                raise
            log.warning(
                "server.awaited", error=str(exc), failures=failures, gives_up_in_s=round(left_s)
            )
        try:
            await asyncio.wait_for(stop.wait(), pause_s)
        except TimeoutError:
            pass
    return None


async def serve(
    host: Host,
    *,
    signals: Signals | None = None,
    drain_s: float | None = None,
    reload: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """Run a started host until a signal, or until a component crashes; the exit code.

    The first SIGTERM or SIGINT drains, a second one stops at once.

    Args:
        signals: Those of a program that listens already; None listens from here on.
        drain_s: How long a drain may take; None for no bound.
        reload: Awaited for every SIGHUP; its errors must be its own.
    """
    assert host.failed is not None, "serve() takes a host that has been started"
    settle_memory()
    if signals is None:
        with Signals("reload" if reload is not None else "default") as own:
            return await serve(host, signals=own, drain_s=drain_s, reload=reload)
    await _until_told(host.failed, signals, reload)
    crashed = host.failed.done()
    log.info("process.draining", reason="crash" if crashed else "signal")
    stopping = asyncio.create_task(host.stop())
    second = asyncio.create_task(signals.second.wait())
    await asyncio.wait([stopping, second], timeout=drain_s, return_when=asyncio.FIRST_COMPLETED)
    second.cancel()
    if stopping.done():
        stopping.result()
        return EXIT_FAILED if crashed else EXIT_DONE
    is_overdue = not signals.second.is_set()
    if is_overdue:
        log.error("process.overdue", drain_s=drain_s)
    stopping.cancel()
    await asyncio.wait([stopping])
    await host.kill()
    return EXIT_OVERDUE if is_overdue else EXIT_KILLED


async def _until_told(
    failed: asyncio.Future[Any],
    signals: Signals,
    reload: Callable[[], Awaitable[None]] | None,
) -> None:
    """Until the first signal to stop, or a crash; reload meanwhile."""
    while not signals.first.is_set() and not failed.done():
        first = asyncio.create_task(signals.first.wait())
        again = asyncio.create_task(signals.reload.wait())
        waiting: list[asyncio.Future[Any]] = [first, again, failed]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        first.cancel()
        again.cancel()
        if signals.reload.is_set() and reload is not None:
            signals.reload.clear()
            await reload()
