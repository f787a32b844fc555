"""One activity, called as a worker would, without a server."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from typing import Any

from msgspec.structs import replace

from hotmesh.durable.activity import CURRENT, Activity, ActivityInfo, Attempt, activity_name

INFO = ActivityInfo(
    name="",
    workflow_id="test-workflow",
    run_id="test-run",
    workflow="test",
    task_queue="test",
    seq=1,
    attempt=1,
    idempotency_key="test-run:1",
)


class ActivityEnvironment:
    """What an activity sees around it.

    Args:
        info: What `activity.info()` says that is not the default, such as `attempt=3` or
            `heartbeat_details=(40,)`.

    Attributes:
        heartbeats: The details of each heartbeat, in order.
    """

    def __init__(self, **info: Any) -> None:
        self._info = replace(INFO, **info)
        self.heartbeats: list[tuple[Any, ...]] = []
        self._running: list[tuple[Attempt, asyncio.Task[Any] | None]] = []
        self._reason = ""
        self._stopping = False

    async def run(self, fn: Any, *args: Any) -> Any:
        """Call an activity: an async function here, a plain one in a thread. What it gives.

        Raises:
            BaseException: What it raises; `CancelledError` when it let a cancellation through.
        """
        name = self._info.name or activity_name(fn)
        plain = _function(fn)
        attempt = Attempt(lambda: replace(self._info, name=name), self.heartbeats.append)
        attempt.stopping = self._stopping
        context = contextvars.copy_context()
        context.run(CURRENT.set, attempt)
        loop = asyncio.get_running_loop()
        if not inspect.iscoroutinefunction(plain):
            entry: tuple[Attempt, asyncio.Task[Any] | None] = (attempt, None)
            work: asyncio.Future[Any] = loop.run_in_executor(None, context.run, plain, *args)
        else:
            task = loop.create_task(plain(*args), context=context)
            entry, work = (attempt, task), task
        self._running.append(entry)
        try:
            if self._reason:
                self._cancel(entry, self._reason)
            return await work
        finally:
            self._running.remove(entry)

    def cancel(self, reason: str = "REQUESTED") -> None:
        """Ask what runs, and what will, to stop: `activity.cancel_reason()` says why."""
        self._reason = reason
        for entry in self._running:
            self._cancel(entry, reason)

    def shutdown(self) -> None:
        """Let the worker stop: `activity.shutting_down()` is true from now on."""
        self._stopping = True
        for attempt, _ in self._running:
            attempt.stopping = True

    def _cancel(self, entry: tuple[Attempt, asyncio.Task[Any] | None], reason: str) -> None:
        attempt, task = entry
        attempt.cancel(reason)
        if task is not None:
            task.cancel()


def _function(fn: Any) -> Any:
    if isinstance(fn, Activity):
        return fn.fn
    bound = getattr(fn, "__func__", None)
    if isinstance(bound, Activity):
        return bound.fn.__get__(fn.__self__)
    return fn
