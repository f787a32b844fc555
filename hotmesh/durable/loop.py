"""A deterministic event loop: the same program with the same inputs runs in the same order, in
every process.

It has no clock, no selector and no threads. Its owner sets the time, resolves futures, fires
timers, and then lets it run until nothing is ready. Callbacks run in the order in which they were
made ready, and nothing reorders them. What needs the outside (timers) is told to a `Host`; what
would need a thread or a socket is refused. It knows nothing of hotmesh.

A turn may be run from a plain callback of another running loop, from inside a task of one, or on
a thread without any.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from asyncio import tasks as asyncio_tasks
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from time import monotonic  # bound here, before the guards wrap it
from typing import Any, Protocol, TypeVar, cast

from hotmesh.durable.errors_guard import WorkflowDeadlockError
from hotmesh.durable.loop_errors import ReportingLoop
from hotmesh.durable.loop_foreign import TaskStep, mark_if_foreign
from hotmesh.durable.loop_generators import Generators
from hotmesh.durable.loop_order import install
from hotmesh.durable.loop_refused import RefusingLoop
from hotmesh.durable.loop_stacks import stacks
from hotmesh.durable.loop_tasks import DurableTimer, LoopFuture, LoopHandle, LoopTask
from hotmesh.durable.violation import forbid

__all__ = ["DeterministicLoop", "DurableTimer", "Host", "LoopFuture", "LoopTask"]

T = TypeVar("T")
DELAY_S_MAX = 100 * 365.25 * 86_400  # a hundred years: what is longer is a mistake in units
HANDLES_PER_LOOK = 256  # callbacks between two looks at the clock while a run is torn down

_get_running_loop, _set_running_loop = asyncio._get_running_loop, asyncio._set_running_loop
# From 3.12 on; 3.14 keeps the current task per thread, so that the outer one has to be put aside.
_swap_current_task = getattr(asyncio_tasks, "_swap_current_task", None)


class Host(Protocol):
    """What the loop asks of its owner."""

    def timer_started(self, handle: DurableTimer) -> None:
        """A callback was put off by `handle.delay_s`, more than 0. Called synchronously. The host
        calls `loop.fire(handle)` when it is due.
        """

    def timer_cancelled(self, handle: DurableTimer) -> None:
        """A timer was cancelled before it fired."""


class DeterministicLoop(ReportingLoop, RefusingLoop):
    """See the module.

    Args:
        host: Keeps the timers.
        name: For messages.
    """

    def __init__(self, host: Host, *, name: str = "") -> None:
        super().__init__()
        install(DeterministicLoop)
        self.name = name
        self._host = host
        self._now_s = 0.0
        self._ready: deque[LoopHandle | DurableTimer] = deque()
        self._conditions: list[
            tuple[Callable[[], bool], contextvars.Context, asyncio.Future[None]]
        ] = []
        self._created = 0
        self._live: dict[int, asyncio.Task[Any]] = {}
        self._bare = contextvars.Context()
        self._generators = Generators(self)
        self._hooks = (self._generators.started, self._generators.dropped)
        self._running = False
        self._closed = False
        self._evicted: BaseException | type[BaseException] | None = None

    # -- for the owner

    @property
    def host(self) -> Host:
        """Who owns the loop."""
        return self._host

    def call_inside(self, fn: Callable[..., T], *args: Any) -> T:
        """Call a function as if the loop ran; nothing else runs."""
        outer = self._enter()
        try:
            return fn(*args)
        finally:
            self._leave(outer)

    @property
    def now_s(self) -> float:
        """The loop's time, in seconds. It never decreases: a smaller value is ignored."""
        return self._now_s

    @now_s.setter
    def now_s(self, value: float) -> None:
        if value > self._now_s:
            self._now_s = value

    def fire(self, handle: DurableTimer) -> None:
        """Make the callback of a timer ready; nothing happens when it was cancelled or fired."""
        if handle.waiting:
            handle.waiting = False
            self._ready.append(handle)

    def run_until_quiescent(self, *, max_handles: int = 1_000_000) -> None:
        """Run what is ready until nothing is, look at the conditions, and repeat while one became
        true.

        Raises:
            WorkflowDeadlockError: More than `max_handles` callbacks ran without coming to rest.
            KeyboardInterrupt, SystemExit: Raised by a callback.
        """
        outer = self._enter()
        try:
            left = max_handles
            while True:
                left = self._run_ready(left)
                if self._ready:
                    raise WorkflowDeadlockError(
                        f"loop {self.name!r} ran {max_handles:,} callbacks in one turn without "
                        "coming to rest; look for a loop that awaits nothing but asyncio.sleep(0)"
                    )
                if not self._conditions or not self._look_at_conditions():
                    return
        finally:
            self._leave(outer)

    def tear_down(
        self,
        evicted: BaseException | type[BaseException],
        *,
        rounds: int = 100,
        seconds: float = 0.5,
    ) -> list[asyncio.Task[Any]]:
        """End all tasks now, rather than let the garbage collector do it later on any thread.

        They are cancelled and run until rest, again and again; then async generators are closed.
        Meanwhile, and for good, timers and conditions raise `evicted`. What tasks raise is dropped.

        Returns:
            The tasks that live on. Keep them, or the garbage collector will close them.
        """
        self._evicted = evicted
        deadline = monotonic() + seconds
        outer = self._enter()
        try:
            for _ in range(rounds):
                for task in tuple(self._live.values()):
                    task.cancel()
                if not self._live:
                    for generator in self._generators.take():
                        self.create_task(generator.aclose())
                while self._ready and monotonic() < deadline:
                    self._run_ready(HANDLES_PER_LOOK)
                if monotonic() >= deadline or not (self._live or self._generators.suspended()):
                    break
        finally:
            self._leave(outer)
        self._closed = True
        self.uncollected_errors()
        self._ready.clear()
        self._conditions.clear()
        return list(self._live.values())

    def stacks(self) -> str:
        """The stacks of all live tasks, in order of creation."""
        return stacks(self._live.values())

    def live_tasks(self) -> list[asyncio.Task[Any]]:
        """The tasks that are not done, in order of creation."""
        return [task for task in self._live.values() if not task.done()]

    def next_number(self) -> int:
        """A number for a future: see `LoopFuture`."""
        self._created += 1
        return self._created

    def is_current(self) -> bool:
        """Whether a turn of this loop runs on this thread."""
        return _get_running_loop() is self

    # -- for asyncio and workflow code

    def time(self) -> float:
        """The owner's time; constant within a turn."""
        return self._now_s

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> LoopHandle:
        """Run a callback after those that are ready now."""
        if type(callback) is TaskStep:
            mark_if_foreign(callback)
        if context is None:  # an empty one is false
            context = contextvars.copy_context()
        handle = LoopHandle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> DurableTimer:
        """Run a callback after `delay` seconds; as soon as possible, without a timer, when that is
        not more than 0.

        Raises:
            ValueError: The delay is not a number or longer than a hundred years.
        """
        if delay != delay or delay > DELAY_S_MAX:
            raise ValueError(f"a delay must be a number of seconds up to 100 years, not {delay!r}")
        if self._evicted is not None and delay > 0:
            raise self._evicted
        if context is None:
            context = contextvars.copy_context()
        timer = DurableTimer(delay, callback, args, self, context)
        timer.waiting = True
        if delay > 0:
            self._host.timer_started(timer)
        else:
            self.fire(timer)
        return timer

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> DurableTimer:
        """Run a callback at a time of this loop, to the millisecond. See `call_later`."""
        # Rounded, as `time() + 0.1 - time()` is not 0.1, and the delay is what gets recorded.
        delay = when - self._now_s
        return self.call_later(
            round(delay, 3) if abs(delay) <= DELAY_S_MAX else delay,
            callback,
            *args,
            context=context,
        )

    def timer_cancelled(self, timer: DurableTimer) -> None:
        """For `DurableTimer.cancel`."""
        self._host.timer_cancelled(timer)

    def wait_condition(self, predicate: Callable[[], bool]) -> asyncio.Future[None]:
        """A future that is done once `predicate` is true, looked at whenever nothing is ready; the
        ones registered first are looked at first. What it raises, the future raises.
        """
        if self._evicted is not None:
            raise self._evicted
        future: asyncio.Future[None] = self.create_future()
        self._conditions.append((predicate, contextvars.copy_context(), future))
        return future

    def create_future(self) -> LoopFuture[Any]:
        """A future with the next number."""
        future: LoopFuture[Any] = LoopFuture(loop=self)
        self._created = future.number = self._created + 1
        return future

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T] | LoopFuture[T] | LoopTask[T],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> asyncio.Task[T]:
        """A task for a coroutine. A task or future of this loop is returned as it is."""
        if isinstance(coro, LoopTask | LoopFuture):
            self._refuse_foreign(coro)
            if name is not None:
                coro.set_name(str(name))
            return cast(asyncio.Task[T], coro)
        if options.pop("eager_start", None):
            forbid("an eager task", "asyncio.create_task()")
        if options:
            raise TypeError(f"create_task() takes no {', '.join(options)}")
        number = self._created = self._created + 1
        task: LoopTask[T] = LoopTask(
            coro,
            loop=self,
            name=f"Task-{number}" if name is None else str(name),
            context=context,
        )
        task.number = number
        self._live[number] = task
        task.add_done_callback(self._task_done, context=self._bare)
        return task

    def get_task_factory(self) -> None:
        """None: there is one kind of task."""

    def is_running(self) -> bool:
        """Whether a turn runs."""
        return self._running

    def is_closed(self) -> bool:
        """Whether it was torn down."""
        return self._closed

    def get_debug(self) -> bool:
        """False: a turn is not timed here."""
        return False

    def __repr__(self) -> str:
        return (
            f"<DeterministicLoop {self.name!r} tasks={len(self._live)} ready={len(self._ready)} "
            f"now_s={self._now_s}>"
        )

    # -- inside

    def _enter(self) -> tuple[Any, Any, Any]:
        """Become the running loop of this thread; what to give to `_leave`."""
        if self._running:
            raise RuntimeError(f"loop {self.name!r} runs already")
        outer = _get_running_loop()
        task = None
        if _swap_current_task is not None and outer is not None:
            task = asyncio_tasks.current_task(outer)
            if task is not None:
                _swap_current_task(outer, None)
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(*self._hooks)
        _set_running_loop(self)
        self._running = True
        return outer, task, hooks

    def _leave(self, before: tuple[Any, Any, Any]) -> None:
        outer, task, hooks = before
        self._running = False
        _set_running_loop(outer)
        sys.set_asyncgen_hooks(*hooks)
        if task is not None and _swap_current_task is not None:
            _swap_current_task(outer, task)

    def _run_ready(self, limit: int) -> int:
        """Run what is ready, and gets ready by that; at most `limit`. How much of it is left."""
        ready = self._ready
        while ready and limit > 0:
            limit -= 1
            handle = ready.popleft()
            if handle._cancelled:
                continue
            try:
                handle.context.run(handle.callback, *handle.args)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001
                self.report_callback(handle, error)
        return limit

    def _look_at_conditions(self) -> bool:
        """Wake those whose condition holds; whether there was one."""
        for predicate, context, future in tuple(self._conditions):
            if future.done():
                continue
            try:
                if context.run(predicate):
                    future.set_result(None)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001
                future.set_exception(error)
        self._conditions = [entry for entry in self._conditions if not entry[2].done()]
        return bool(self._ready)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        del self._live[hash(task)]
        self.report_task(task)

    def _refuse_foreign(self, future: asyncio.Future[Any]) -> None:
        if future.get_loop() is not self:
            forbid("a task of another event loop", "tasks made in this workflow")
