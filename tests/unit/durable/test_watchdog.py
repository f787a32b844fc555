"""The watchdog: turns that don't end are reported, and in a thread of a pool also ended."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from loop_host import new_loop

from hotmesh.durable import watchdog
from hotmesh.durable.errors_guard import WorkflowDeadlockError
from hotmesh.durable.watchdog import _Thread, _turns

GIVE_UP_S = 30


def spin_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + GIVE_UP_S
    while not condition():
        assert time.monotonic() < give_up, "nothing happened"


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "hotmesh-watchdog"]


@pytest.fixture(autouse=True)
def untraced() -> Any:
    """A turn under a tracer, such as coverage, is not reported."""
    if sys.gettrace() is not None:
        pytest.skip("a tracer runs")
    yield
    assert threads() == []
    assert _turns == {}


def test_a_turn_that_does_not_end_is_reported_with_its_stack(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR, "hotmesh")

    with watchdog.running(), watchdog.watch("run-7", 0.05) as turn:
        spin_until(lambda: turn.stuck is not None)

    assert isinstance(turn.stuck, WorkflowDeadlockError)
    assert turn.stuck.seconds >= 0.05
    assert "spin_until" in turn.stuck.stack
    assert "'run-7'" in str(turn.stuck)
    spin_until(lambda: len(caplog.records) > 0)
    assert ["turn.stuck" in r.getMessage() for r in caplog.records] == [True]


def test_a_turn_that_ends_is_not_reported_and_one_without_timeout_never() -> None:
    with watchdog.running():
        with (
            watchdog.watch("forever", None) as forever,
            watchdog.watch("short", GIVE_UP_S) as short,
        ):
            spin_until(lambda: short.seen_at > 0)
        with watchdog.watch("marker", 0.02) as marker:
            spin_until(lambda: marker.stuck is not None)

    assert forever.stuck is None
    assert short.stuck is None


def test_the_outer_turn_is_watched_again_after_an_inner_one() -> None:
    with watchdog.running(), watchdog.watch("outer", 0.02) as outer:
        with watchdog.watch("inner", None):
            assert _turns[threading.get_ident()] is not outer
        spin_until(lambda: outer.stuck is not None)

    assert outer.stuck is not None


def test_in_a_thread_the_stuck_code_is_interrupted_even_if_it_catches_everything() -> None:
    outcome: list[BaseException | str] = []

    async def workflow() -> None:
        while True:
            try:
                while True:
                    pass
            except Exception:  # noqa: BLE001
                outcome.append("swallowed")

    def turn() -> None:
        loop, _ = new_loop()
        task = loop.create_task(workflow())
        try:
            watchdog.run_watched("run", 0.05, loop.run_until_quiescent)
        except WorkflowDeadlockError as error:
            outcome.append(error)
        outcome.append("done" if task.done() else "not done")
        loop.uncollected_errors()

    with watchdog.running():
        thread = threading.Thread(target=turn, daemon=True)
        thread.start()
        thread.join(GIVE_UP_S)

    assert not thread.is_alive()
    assert [type(o) for o in outcome] == [WorkflowDeadlockError, str]
    assert outcome[1] == "done"


def test_an_interrupt_never_arrives_after_its_turn() -> None:
    """The turns end just as they are reported; whatever arrives late would end the thread."""
    finished: list[int] = []

    def turn(i: int) -> int:
        me = _turns[threading.get_ident()]
        spin_until(lambda: me.seen_at > 0)
        end = time.perf_counter() + 0.0002 * i
        spin_until(lambda: time.perf_counter() > end and (i % 2 == 0 or me.stuck is not None))
        return i

    def turns() -> None:
        for i in range(60):
            try:
                finished.append(watchdog.run_watched(f"run-{i}", 0.0, lambda i=i: turn(i)))
            except WorkflowDeadlockError:
                finished.append(-i)
            for _ in range(2000):  # room for a late one
                pass

    with watchdog.running():
        thread = threading.Thread(target=turns)
        thread.start()
        thread.join(GIVE_UP_S * 2)

    assert sorted(map(abs, finished)) == list(range(60))
    assert any(i < 0 for i in finished)


def test_one_thread_serves_all_and_ends_with_the_last() -> None:
    first, second = watchdog.running(), watchdog.running()
    first.start()
    [thread] = threads()
    second.start()
    assert threads() == [thread]

    first.stop()
    assert thread.is_alive()
    second.stop()
    assert threads() == []
    assert _Thread.one is None

    with watchdog.running():  # and it starts again
        assert len(threads()) == 1


def test_a_traced_turn_is_not_reported() -> None:
    with watchdog.running(), watchdog.watch("debugged", 0.02) as debugged:
        frame = sys._getframe()
        frame.f_trace = lambda *_: None
        try:
            seen = threading.Event()
            threading.Timer(0, seen.set).start()
            with_another = threading.Thread(target=_wait_for_another_report)
            with_another.start()
            with_another.join(GIVE_UP_S)
        finally:
            del frame.f_trace

    assert debugged.seen_at > 0
    assert debugged.stuck is None


def _wait_for_another_report() -> None:
    with watchdog.watch("other", 0.2) as other:
        spin_until(lambda: other.stuck is not None)
