"""Tells of turns that don't end: one thread per process looks at the turns that run.

    with watchdog.running():                    # a worker, for its life
        with watchdog.watch(run_id, 2.0) as turn:   # each turn
            loop.run_until_quiescent()
        if turn.stuck is not None:
            ...                                 # the task fails

The thread measures, the turns don't: a turn costs an entry in a table and its removal.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import traceback
from collections.abc import Callable
from time import monotonic, sleep  # bound here, before the guards wrap them
from types import FrameType, TracebackType
from typing import Any, TypeVar

from hotmesh.durable.errors_guard import WorkflowDeadlockError
from hotmesh.log import get_logger

__all__ = ["run_watched", "running", "watch"]

T = TypeVar("T")

log = get_logger("hotmesh.durable.watchdog")

LOOK_S_MIN, LOOK_S_MAX = 0.02, 0.5  # between two looks; a quarter of the shortest timeout between
STACK_FRAMES_MAX = 60

_turns: dict[int, watch] = {}  # by thread


class _Interrupted(BaseException):
    """Raised in the thread of a stuck turn."""


class watch:
    """Watch a turn on this thread: `with watch(name, deadlock_timeout_s) as turn:`.

    A turn under a debugger or a tracer is not reported. Turns on one thread may be nested; the
    outer one is not watched while the inner one runs.

    Args:
        name: For the log, such as the id of the run.
        deadlock_timeout_s: How long it may take; None for as long as it likes.

    Attributes:
        stuck: What the watchdog saw; None while all is well. Kept after the turn.
    """

    __slots__ = (
        "_outer",
        "_thread",
        "interrupt",
        "name",
        "seen_at",
        "settled",
        "stuck",
        "timeout_s",
    )

    def __init__(self, name: str, deadlock_timeout_s: float | None) -> None:
        self.name, self.timeout_s = name, deadlock_timeout_s
        self.interrupt = self.settled = False
        self.seen_at = 0.0
        self.stuck: WorkflowDeadlockError | None = None

    def __enter__(self) -> watch:
        self._thread = thread = threading.get_ident()
        self._outer = _turns.get(thread)
        _turns[thread] = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._outer is None:
            _turns.pop(self._thread, None)
        else:
            _turns[self._thread] = self._outer

    def settle(self) -> None:
        """For `run_watched`: leave, so that no exception of the watchdog's arrives from now on. One
        may arrive in here, between any two steps (so there is no lock: it would stay taken); then
        it is to be called again.
        """
        self.__exit__(None, None, None)
        if self.stuck is not None:
            while not self.settled:
                sleep(0)
            _raise_in(self._thread, None)


def run_watched(name: str, deadlock_timeout_s: float | None, call: Callable[[], T]) -> T:
    """`call()`, watched as by `watch`, and interrupted if it gets stuck.

    For threads of a pool: on the thread of the program's own loop the interruption could hit
    anything.

    Raises:
        WorkflowDeadlockError: It was stuck, even if it swallowed the interruption.
    """
    turn = watch(name, deadlock_timeout_s)
    turn.interrupt = True
    try:
        try:
            with turn:
                result = call()
        finally:
            turn.settle()
    except _Interrupted:
        turn.settle()
    if turn.stuck is not None:
        raise turn.stuck
    return result


class running:
    """Run the watchdog's thread: `with running():`, or `start()` and `stop()`. The last one to
    stop ends the thread.
    """

    def __enter__(self) -> None:
        _Thread.start_for_one_more()

    def __exit__(self, *_: object) -> None:
        _Thread.stop_for_one_less()

    start, stop = __enter__, __exit__


class _Thread(threading.Thread):
    users = 0
    one: _Thread | None = None
    changing = threading.Lock()

    def __init__(self) -> None:
        super().__init__(name="hotmesh-watchdog", daemon=True)
        self.ended = threading.Event()

    @classmethod
    def start_for_one_more(cls) -> None:
        with cls.changing:
            cls.users += 1
            if cls.one is None:
                cls.one = cls()
                cls.one.start()

    @classmethod
    def stop_for_one_less(cls) -> None:
        with cls.changing:
            cls.users -= 1
            if cls.users > 0 or cls.one is None:
                return
            one, cls.one = cls.one, None
            one.ended.set()
        one.join()

    def run(self) -> None:
        wait_s = LOOK_S_MAX
        while not self.ended.wait(wait_s):
            now, shortest_s = monotonic(), 4 * LOOK_S_MAX
            for thread, turn in _turns.copy().items():
                if turn.timeout_s is None or turn.stuck is not None:
                    continue
                shortest_s = min(shortest_s, turn.timeout_s)
                if turn.seen_at == 0.0:
                    turn.seen_at = now
                elif now - turn.seen_at >= turn.timeout_s:
                    _report(thread, turn, now - turn.seen_at)
            wait_s = min(max(shortest_s / 4, LOOK_S_MIN), LOOK_S_MAX)


def _report(thread: int, turn: watch, seconds: float) -> None:
    frame = sys._current_frames().get(thread)
    if frame is None or _is_traced(frame):
        return
    stack = "".join(traceback.format_stack(frame, STACK_FRAMES_MAX))
    del frame
    # Before the table is looked at: a turn that has left it by then isn't interrupted, and one that
    # leaves it later sees this and waits until it is.
    turn.stuck = WorkflowDeadlockError(
        f"a turn of {turn.name!r} has run for {seconds:.1f} s without giving control back; "
        "move what blocks or computes into an activity, or raise deadlock_timeout",
        seconds=seconds,
        stack=stack,
    )
    if turn.interrupt and _turns.get(thread) is turn:
        _raise_in(thread, _Interrupted)
    turn.settled = True
    log.error("turn.stuck", run=turn.name, seconds=round(seconds, 1), stack=stack)


def _is_traced(frame: FrameType | None) -> bool:
    monitoring: Any = getattr(sys, "monitoring", None)  # from 3.12 on
    if monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None:
        return True
    while frame is not None:
        if frame.f_trace is not None:
            return True
        frame = frame.f_back
    return False


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if kind is None else ctypes.py_object(kind)
    )
