"""The deterministic loop as its owner sees it: turns, time, timers, conditions, errors."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from loop_host import new_loop, run, run_on

from hotmesh.durable.errors_guard import WorkflowDeadlockError, WorkflowForbiddenError
from hotmesh.durable.loop import DeterministicLoop, DurableTimer, LoopFuture
from hotmesh.durable.loop_refused import RefusingLoop
from hotmesh.durable.violation import HERE, Flags


class Evicted(BaseException):
    pass


# -- turns


def test_ready_callbacks_run_in_order_and_nothing_runs_before_the_turn() -> None:
    loop, _ = new_loop()
    seen: list[int] = []
    loop.call_soon(seen.append, 1)
    loop.call_soon(lambda: loop.call_soon(seen.append, 3))
    loop.call_soon(seen.append, 2)
    assert seen == []

    loop.run_until_quiescent()

    assert seen == [1, 2, 3]


def test_a_cancelled_callback_does_not_run() -> None:
    loop, _ = new_loop()
    seen: list[int] = []
    handle = loop.call_soon(seen.append, 1)
    handle.cancel()

    loop.run_until_quiescent()

    assert handle.cancelled()
    assert seen == []


def test_a_turn_is_the_running_loop_and_gives_it_back() -> None:
    loop, _ = new_loop()
    seen: list[Any] = []

    async def main() -> None:
        seen.append((asyncio.get_running_loop(), asyncio.current_task()))

    task = loop.create_task(main())
    loop.run_until_quiescent()

    assert seen == [(loop, task)]
    assert asyncio._get_running_loop() is None
    assert not loop.is_running()


@pytest.mark.parametrize("inside_task", [True, False])
async def test_a_turn_runs_inside_another_loop(inside_task: bool) -> None:
    outer, done = asyncio.get_running_loop(), asyncio.Event()
    loop, _ = new_loop()
    seen: list[Any] = []

    async def main() -> None:
        seen.append((asyncio.get_running_loop(), asyncio.current_task()))
        await asyncio.sleep(0)
        seen.append((asyncio.get_running_loop(), asyncio.current_task()))

    task = loop.create_task(main(), context=contextvars.Context())

    def turn() -> None:
        before = asyncio.current_task()
        loop.run_until_quiescent()
        assert asyncio.get_running_loop() is outer
        assert asyncio.current_task() is before
        done.set()

    if inside_task:
        turn()
    else:
        outer.call_soon(turn)
    await done.wait()

    assert seen == [(loop, task)] * 2
    assert asyncio.current_task() is not None


def test_a_turn_runs_inside_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> tuple[Any, Any]:
        await asyncio.sleep(0)
        return asyncio.get_running_loop(), asyncio.current_task()

    async def outer() -> None:
        loop, _ = new_loop()
        task = loop.create_task(main())
        loop.run_until_quiescent()
        assert task.result() == (loop, task)
        before = asyncio.current_task()
        await asyncio.sleep(0)
        assert before is asyncio.current_task() is not None

    uvloop.run(outer())


def test_a_turn_gives_the_running_loop_back_when_a_callback_ends_it() -> None:
    loop, _ = new_loop()
    seen: list[int] = []

    async def main() -> None:
        raise SystemExit(3)

    loop.create_task(main())
    loop.call_soon(seen.append, 1)
    with pytest.raises(SystemExit):
        loop.run_until_quiescent()

    assert asyncio._get_running_loop() is None
    loop.run_until_quiescent()  # and it can go on
    assert seen == [1]


def test_a_turn_inside_a_turn_of_the_same_loop_is_an_error() -> None:
    loop, _ = new_loop()
    loop.call_soon(loop.run_until_quiescent)

    loop.run_until_quiescent()

    [(name, error)] = loop.uncollected_errors()
    assert "run_until_quiescent" in name
    assert "runs already" in str(error)


def test_a_turn_of_another_run_inside_a_turn_works() -> None:
    inner, outer = new_loop("inner")[0], new_loop("outer")[0]
    seen: list[Any] = []

    async def main(label: str) -> None:
        await asyncio.sleep(0)
        seen.append((label, asyncio.get_running_loop()))
        if label == "outer":
            inner.run_until_quiescent()
            seen.append(("again", asyncio.get_running_loop()))

    inner.create_task(main("inner"))
    outer.create_task(main("outer"))
    outer.run_until_quiescent()

    assert seen == [("outer", outer), ("inner", inner), ("again", outer)]


def test_a_turn_that_never_rests_is_ended() -> None:
    loop, _ = new_loop()

    async def spin() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    loop.create_task(spin())
    with pytest.raises(WorkflowDeadlockError, match="1,000 callbacks"):
        loop.run_until_quiescent(max_handles=1000)

    assert asyncio._get_running_loop() is None
    assert loop.tear_down(Evicted) == []


def test_exactly_max_handles_callbacks_are_no_overrun() -> None:
    loop, _ = new_loop()
    seen: list[int] = []
    for i in range(10):
        loop.call_soon(seen.append, i)

    loop.run_until_quiescent(max_handles=10)

    assert seen == list(range(10))


def test_a_turn_runs_on_a_thread_without_a_loop() -> None:
    loop, _ = new_loop()

    async def main() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    task = loop.create_task(main())
    thread = threading.Thread(target=loop.run_until_quiescent)
    thread.start()
    thread.join()

    assert task.result() == thread.ident


# -- time and timers


def test_time_is_the_owners_and_never_decreases() -> None:
    loop, _ = new_loop()
    loop.now_s = 100.5
    loop.now_s = 99.0

    assert loop.time() == loop.now_s == 100.5


def test_a_timer_is_told_to_the_host_at_once_and_fires_once() -> None:
    loop, host = new_loop()
    loop.now_s = 50.0
    seen: list[str] = []
    timer = loop.call_later(1.5, seen.append, "x")

    assert host.started == [timer]
    assert (timer.delay_s, timer.when_s, timer.when(), timer.seq) == (1.5, 51.5, 51.5, 0)
    loop.run_until_quiescent()
    assert seen == []

    loop.fire(timer)
    loop.fire(timer)
    loop.run_until_quiescent()
    timer.cancel()

    assert seen == ["x"]
    assert host.cancelled == []


def test_a_cancelled_timer_is_told_once_and_does_not_fire() -> None:
    loop, host = new_loop()
    timer = loop.call_later(1, pytest.fail)
    timer.cancel()
    timer.cancel()

    loop.fire(timer)
    loop.run_until_quiescent()

    assert host.cancelled == [timer]
    assert timer.cancelled()


def test_a_timer_cancelled_between_firing_and_running_does_not_run() -> None:
    loop, host = new_loop()
    timer = loop.call_later(1, pytest.fail)
    loop.fire(timer)
    timer.cancel()

    loop.run_until_quiescent()

    assert host.cancelled == []  # it fired: there is nothing to take back
    assert loop.uncollected_errors() == []


def test_two_timers_due_at_once_are_two() -> None:
    loop, _ = new_loop()

    def callback() -> None: ...

    first, second = loop.call_later(1, callback), loop.call_later(1, callback)

    assert first != second
    assert len({first, second}) == 2


@pytest.mark.parametrize("delay", [0, -1, 0.0, -math.inf])
def test_a_sleep_of_nothing_is_a_yield_without_a_timer(delay: float) -> None:
    loop, host = new_loop()
    seen: list[str] = []

    async def main() -> None:
        await asyncio.sleep(delay)
        seen.append("slept")

    loop.create_task(main())
    loop.call_soon(seen.append, "between")
    loop.run_until_quiescent()

    assert seen == ["between", "slept"]
    assert host.started == []


@pytest.mark.parametrize("delay", [math.nan, math.inf, 101 * 366 * 86_400])
def test_a_sleep_of_no_length_or_of_centuries_is_refused(delay: float) -> None:
    loop, host = new_loop()

    async def main() -> None:
        await asyncio.sleep(delay)

    task = loop.create_task(main())
    loop.run_until_quiescent()

    with pytest.raises(ValueError):
        task.result()
    assert host.started == []


def test_call_at_is_rounded_to_milliseconds() -> None:
    loop, host = new_loop()
    loop.now_s = 1_764_028_800.123
    loop.call_at(loop.time() + 0.1, lambda: None)
    seen: list[int] = []
    loop.call_at(loop.time() - 5, seen.append, 1)
    loop.run_until_quiescent()

    assert [timer.delay_s for timer in host.started] == [0.1]
    assert seen == [1]
    with pytest.raises(ValueError):
        loop.call_at(math.nan, lambda: None)
    with pytest.raises(ValueError):
        loop.call_at(math.inf, lambda: None)


@pytest.mark.parametrize("spelling", ["sleep", "timeout", "wait_for", "wait"])
def test_leaving_early_cancels_the_timer(spelling: str) -> None:
    loop, host = new_loop()
    event = asyncio.Event()

    async def main() -> None:
        if spelling == "sleep":
            await asyncio.sleep(9)
        elif spelling == "timeout":
            async with asyncio.timeout(9):
                await event.wait()
        elif spelling == "wait_for":
            await asyncio.wait_for(event.wait(), 9)
        else:
            await asyncio.wait([asyncio.create_task(event.wait())], timeout=9)

    task = loop.create_task(main())
    loop.run_until_quiescent()
    assert [timer.delay_s for timer in host.started] == [9]
    assert host.cancelled == []

    if spelling == "sleep":
        task.cancel()
    else:
        loop.call_soon(event.set)
    loop.run_until_quiescent()

    assert host.cancelled == host.started
    assert task.done()


# -- conditions


def test_conditions_are_looked_at_in_order_when_nothing_is_ready() -> None:
    loop, _ = new_loop()
    state: list[str] = []
    looked: list[str] = []

    def when(label: str, holds: Callable[[], bool]) -> Callable[[], bool]:
        def predicate() -> bool:
            looked.append(label)
            return holds()

        return predicate

    async def waits(label: str, holds: Callable[[], bool]) -> None:
        await loop.wait_condition(when(label, holds))
        state.append(label)

    loop.create_task(waits("b", lambda: "a" in state))
    loop.create_task(waits("a", lambda: "go" in state))
    loop.run_until_quiescent()
    assert looked == ["b", "a"]

    loop.call_soon(state.append, "go")
    loop.run_until_quiescent()

    assert looked == ["b", "a", "b", "a", "b"]
    assert state == ["go", "a", "b"]


def test_what_a_condition_raises_reaches_its_waiter_alone() -> None:
    loop, _ = new_loop()
    broken = loop.wait_condition(lambda: bool(1 / 0))
    fine = loop.wait_condition(lambda: True)

    loop.run_until_quiescent()

    assert isinstance(broken.exception(), ZeroDivisionError)
    assert fine.done()


def test_a_condition_nobody_waits_for_is_not_looked_at() -> None:
    loop, _ = new_loop()
    future = loop.wait_condition(lambda: pytest.fail("looked at"))
    future.cancel()

    loop.run_until_quiescent()

    assert future.cancelled()


def test_a_condition_sees_the_context_of_its_waiter() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")
    loop, _ = new_loop()

    async def main() -> None:
        variable.set("mine")
        await loop.wait_condition(lambda: variable.get() == "mine")

    task = loop.create_task(main())
    loop.run_until_quiescent()

    assert task.done()
    assert variable.get() == ""


# -- tasks


def test_create_task_returns_our_own_unchanged() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(asyncio.sleep(0))
        future: LoopFuture[str] = loop.create_future()  # type: ignore[assignment]
        assert asyncio.create_task(task) is task  # type: ignore[arg-type]
        assert asyncio.create_task(future, name="step") is future  # type: ignore[arg-type]
        assert future.get_name() == "step"
        future.set_result("done")
        async with asyncio.TaskGroup() as group:
            assert group.create_task(future) is future  # type: ignore[arg-type]
        assert await future == "done"

    run(main())


def test_a_task_of_another_loop_is_refused() -> None:
    other, _ = new_loop("other")
    loop, _ = new_loop()
    task = other.create_task(asyncio.sleep(0))

    with pytest.raises(WorkflowForbiddenError, match="another event loop"):
        loop.create_task(task)

    other.tear_down(Evicted)


def test_names_and_numbers_count_per_loop() -> None:
    async def main() -> list[tuple[str, int]]:
        tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(2)]
        tasks.append(asyncio.create_task(asyncio.sleep(0), name="mine"))
        await asyncio.gather(*tasks)
        return [(task.get_name(), hash(task)) for task in tasks]

    expected = [("Task-2", 2), ("Task-3", 3), ("mine", 4)]
    assert run(main()) == expected
    assert run(main()) == expected


def test_tasks_of_many_runs_do_not_collide_in_asyncios_registry() -> None:
    """asyncio keeps all tasks of the process in one weak set: equal hashes there are a list."""
    loops = [new_loop()[0] for _ in range(50)]
    pairs = [loop.create_task(asyncio.sleep(1)) for loop in loops]

    registry = getattr(asyncio.tasks, "_scheduled_tasks", None) or asyncio.tasks._all_tasks  # type: ignore[attr-defined]
    hashes = [hash(ref) for ref in registry.data if ref() in pairs]

    assert len(set(hashes)) == len(pairs)
    for loop in loops:
        loop.tear_down(Evicted)


def test_a_task_is_kept_alive_by_the_loop_alone() -> None:
    import gc

    loop, host = new_loop()
    seen: list[str] = []

    async def background() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        task = asyncio.create_task(background())
        task.add_done_callback(lambda _: seen.append("done"))

    loop.create_task(main())
    loop.run_until_quiescent()
    gc.collect()

    assert len(loop.live_tasks()) == 1
    assert seen == []
    assert loop.tear_down(Evicted) == []
    assert seen == ["done"]
    assert host.started == []


def test_eager_tasks_and_unknown_options_are_refused() -> None:
    loop, _ = new_loop()
    coroutine = asyncio.sleep(0)
    with pytest.raises(WorkflowForbiddenError, match="eager"):
        loop.create_task(coroutine, eager_start=True)
    with pytest.raises(TypeError, match="colour"):
        loop.create_task(coroutine, colour="red")
    coroutine.close()


# -- errors nobody awaits


def test_an_exception_of_a_background_task_is_listed_once() -> None:
    loop, _ = new_loop()

    async def fails() -> None:
        raise KeyError("lost")

    loop.create_task(fails(), name="writer")
    loop.run_until_quiescent()

    [(name, error)] = loop.uncollected_errors()
    assert (name, error.args) == ("writer", ("lost",))
    assert loop.uncollected_errors() == []


def test_an_awaited_or_cancelled_task_is_not_listed() -> None:
    async def fails() -> None:
        raise KeyError("seen")

    async def main() -> None:
        with pytest.raises(KeyError):
            await asyncio.create_task(fails())
        await asyncio.gather(fails(), return_exceptions=True)
        asyncio.create_task(asyncio.sleep(5)).cancel()

    loop, host = new_loop()
    run_on(loop, host, main())

    assert loop.uncollected_errors() == []


def test_an_exception_of_a_callback_is_listed_and_the_turn_goes_on() -> None:
    loop, _ = new_loop()
    seen: list[int] = []

    def breaks() -> None:
        raise OSError("callback")

    loop.call_soon(breaks)
    loop.call_soon(seen.append, 1)
    loop.run_until_quiescent()

    [(name, error)] = loop.uncollected_errors()
    assert "breaks" in name
    assert isinstance(error, OSError)
    assert seen == [1]


def test_an_exception_handler_takes_what_nobody_awaits() -> None:
    loop, _ = new_loop()
    taken: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: taken.append(context))
    assert loop.get_exception_handler() is not None
    loop.call_exception_handler({"message": "look"})

    loop.set_exception_handler(lambda _, context: 1 / 0)
    loop.call_exception_handler({"message": "look"})

    assert taken == [{"message": "look"}]
    assert [type(error) for _, error in loop.uncollected_errors()] == [ZeroDivisionError]


# -- refusals


def test_every_refused_method_says_what_to_use_and_marks_the_turn() -> None:
    loop, _ = new_loop()
    names = [name for name in vars(RefusingLoop) if not name.startswith("_")]
    assert {"run_in_executor", "call_soon_threadsafe", "create_connection", "stop"} <= set(names)

    for name in names:
        HERE.flags = flags = Flags()
        with pytest.raises(WorkflowForbiddenError, match=f"loop.{name}") as caught:
            getattr(loop, name)(1, 2, x=3)
        HERE.flags = None
        assert flags.violated is caught.value
        assert caught.value.instead


def test_no_method_of_an_event_loop_is_left_out() -> None:
    left_out = [
        name
        for name, method in vars(asyncio.AbstractEventLoop).items()
        if callable(method)
        and not name.startswith("_")
        and getattr(DeterministicLoop, name) is method
    ]

    assert left_out == []


def _threadsafe() -> Any:
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), asyncio.get_running_loop())


@pytest.mark.parametrize(
    "call",
    [
        lambda: asyncio.to_thread(print),
        lambda: asyncio.open_connection("localhost", 1),
        lambda: asyncio.start_server(print, "localhost", 1),
        lambda: asyncio.create_subprocess_exec("true"),
        lambda: asyncio.create_subprocess_shell("true"),
        lambda: asyncio.get_running_loop().run_in_executor(None, print),
        lambda: asyncio.get_running_loop().getaddrinfo("localhost", 1),
    ],
)
def test_threads_sockets_and_processes_of_asyncio_are_refused(call: Callable[[], Any]) -> None:
    async def main() -> None:
        with pytest.raises(WorkflowForbiddenError, match="an activity"):
            await call()

    run(main())


def test_a_future_of_another_loop_marks_the_turn_even_when_swallowed() -> None:
    other, _ = new_loop("other")
    foreign = other.create_future()

    async def main() -> str:
        try:
            await foreign
        except RuntimeError as error:
            return str(error)
        return ""

    HERE.flags = flags = Flags()
    try:
        message = run(main())
    finally:
        HERE.flags = None

    assert "future of another event loop" in message
    assert flags.violated is not None
    assert flags.violated.instead == "an activity"


def test_other_errors_of_a_step_mark_nothing() -> None:
    class Bad:
        def __await__(self) -> Any:
            yield "nonsense"

    async def main() -> None:
        with pytest.raises(RuntimeError, match="bad yield"):
            await Bad()

    HERE.flags = flags = Flags()
    try:
        run(main())
    finally:
        HERE.flags = None

    assert flags.violated is None


# -- the owner's view of timers stays typed


def test_timer_shows_its_state() -> None:
    loop, _ = new_loop()
    timer: DurableTimer = loop.call_later(2, print)
    assert "waiting" in repr(timer)
    timer.cancel()
    assert "cancelled" in repr(timer)
    assert "run" in repr(loop)
