"""Each construct of asyncio on the deterministic loop does what it does elsewhere."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from loop_host import new_loop, run, run_on


async def after(delay: float, value: Any) -> Any:
    await asyncio.sleep(delay)
    if isinstance(value, BaseException):
        raise value
    return value


def test_sleep_returns_its_result() -> None:
    assert run(asyncio.sleep(3, "x")) == "x"


def test_gather_keeps_the_order_of_its_arguments() -> None:
    async def main() -> Any:
        return await asyncio.gather(after(3, "a"), after(1, "b"), asyncio.sleep(0, "c"))

    assert run(main()) == ["a", "b", "c"]


def test_gather_returns_or_raises_exceptions() -> None:
    async def main() -> Any:
        got = await asyncio.gather(after(1, KeyError("k")), after(2, 2), return_exceptions=True)
        with pytest.raises(OSError):
            await asyncio.gather(after(9, 1), after(1, OSError("o")))
        return got

    got = run(main())
    assert isinstance(got[0], KeyError)
    assert got[1] == 2


@pytest.mark.parametrize("when", ["FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"])
def test_wait(when: str) -> None:
    async def main() -> Any:
        names = {"slow": 5, "fast": 1, "bad": 2}
        tasks = [
            asyncio.create_task(after(d, OSError(n) if n == "bad" else n), name=n)
            for n, d in names.items()
        ]
        done, pending = await asyncio.wait(tasks, return_when=getattr(asyncio, when))
        for task in pending:
            task.cancel()
        return [sorted(task.get_name() for task in part) for part in (done, pending)]

    assert (
        run(main())
        == {
            "FIRST_COMPLETED": [["fast"], ["bad", "slow"]],
            "FIRST_EXCEPTION": [["bad", "fast"], ["slow"]],
            "ALL_COMPLETED": [["bad", "fast", "slow"], []],
        }[when]
    )


def test_wait_with_a_timeout_returns_what_is_done() -> None:
    async def main() -> Any:
        tasks = [asyncio.create_task(after(d, d)) for d in (1, 9)]
        done, pending = await asyncio.wait(tasks, timeout=2)
        assert asyncio.get_running_loop().time() == 2
        return len(done), len(pending), [task.cancel() for task in pending]

    assert run(main()) == (1, 1, [True])


def test_wait_for() -> None:
    async def main() -> Any:
        assert await asyncio.wait_for(after(1, "in time"), 2) == "in time"
        cancelled = []

        async def slow() -> None:
            try:
                await asyncio.sleep(99)
            except asyncio.CancelledError:
                cancelled.append(asyncio.get_running_loop().time())
                raise

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow(), 2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow(), 0)
        return cancelled

    assert run(main()) == [3]


def test_wait_for_a_shielded_task_leaves_it_alone() -> None:
    async def main() -> Any:
        task = asyncio.create_task(after(5, "whole"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), 1)
        return await task

    assert run(main()) == "whole"


def test_timeouts_nest_reschedule_and_expire() -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        log = []
        try:
            async with asyncio.timeout(10):
                try:
                    async with asyncio.timeout(2) as inner:
                        await asyncio.sleep(99)
                except TimeoutError:
                    log.append(("inner", loop.time(), inner.expired()))
                await asyncio.sleep(99)
        except TimeoutError:
            log.append(("outer", loop.time(), True))
        async with asyncio.timeout_at(loop.time() + 1) as moved:
            moved.reschedule(loop.time() + 5)
            await asyncio.sleep(3)
        async with asyncio.timeout(None):
            await asyncio.sleep(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.sleep(1)
        return log, loop.time()

    assert run(main()) == ([("inner", 2, True), ("outer", 10, True)], 14)


def test_as_completed_is_in_order_of_completion() -> None:
    async def main() -> Any:
        got = [await f for f in asyncio.as_completed([after(3, "c"), after(1, "a"), after(2, "b")])]
        with pytest.raises(TimeoutError):
            for f in asyncio.as_completed([after(9, 1), after(1, 2)], timeout=2):
                got.append(await f)
        with pytest.raises(TypeError):
            list(asyncio.as_completed(after(1, 2)))  # type: ignore[arg-type]
        return got

    with pytest.warns(RuntimeWarning, match="never awaited"):
        assert run(main()) == ["a", "b", "c", 2]


def test_as_completed_starts_bare_coroutines_in_the_order_given() -> None:
    started: list[int] = []

    async def starts(i: int) -> int:
        started.append(i)
        return i

    async def main() -> Any:
        coroutine = starts(0)
        given = [coroutine, coroutine, *(starts(i) for i in range(1, 40))]
        return [await f for f in asyncio.as_completed(given)]

    assert run(main()) == started == list(range(40))


async def test_as_completed_elsewhere_is_untouched() -> None:
    new_loop()  # the wrapper is in place
    got = [await f for f in asyncio.as_completed([asyncio.sleep(0, i) for i in range(3)])]

    assert sorted(got) == [0, 1, 2]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="new in 3.13")
def test_as_completed_iterates_asynchronously() -> None:
    async def main() -> Any:
        tasks = [asyncio.create_task(after(d, d)) for d in (3, 1, 2)]
        return [
            (tasks.index(t), t.result())
            async for t in asyncio.as_completed(tasks)  # type: ignore
        ]

    assert run(main()) == [(1, 1), (2, 2), (0, 3)]


def test_a_task_group_awaits_all_and_cancels_on_failure() -> None:
    async def main() -> Any:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(after(d, d)) for d in (2, 1)]
        assert [task.result() for task in tasks] == [2, 1]
        ended = []

        async def slow() -> None:
            try:
                await asyncio.sleep(99)
            finally:
                ended.append(asyncio.get_running_loop().time())

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(slow())
                group.create_task(after(1, KeyError("k")))
                await asyncio.sleep(50)
        assert [type(e) for e in caught.value.exceptions] == [KeyError]
        return ended

    assert run(main()) == [3]


def test_cancel_uncancel_and_messages() -> None:
    async def main() -> Any:
        log: list[Any] = []

        async def stubborn() -> str:
            task = asyncio.current_task()
            assert task is not None
            try:
                await asyncio.sleep(9)
            except asyncio.CancelledError as error:
                log.append((error.args, task.cancelling(), task.uncancel()))
            await asyncio.sleep(1)
            return "survived"

        task = asyncio.create_task(stubborn())
        task.add_done_callback(lambda t: log.append(t.result()))
        await asyncio.sleep(0)
        assert task.cancel("why")
        return await task, log

    assert run(main()) == ("survived", [(("why",), 1, 0), "survived"])


def test_shield_is_cancelled_outside_alone() -> None:
    async def main() -> Any:
        inner = asyncio.create_task(after(5, "inner"))
        outer = asyncio.shield(inner)
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        return await inner

    assert run(main()) == "inner"


def test_ensure_future_and_awaitables() -> None:
    class Awaitable:
        def __await__(self) -> Any:
            return (yield from asyncio.sleep(1, "awaited").__await__())

    async def main() -> Any:
        task = asyncio.ensure_future(Awaitable())
        assert asyncio.ensure_future(task) is task
        assert asyncio.all_tasks() == {task, asyncio.current_task()}
        return await task

    assert run(main()) == "awaited"


# -- synchronisation


def test_locks_and_semaphores_grant_in_order() -> None:
    async def main(lock: Any, width: int) -> Any:
        granted: list[int] = []
        held = peak = 0

        async def worker(i: int) -> None:
            nonlocal held, peak
            async with lock:
                granted.append(i)
                held += 1
                peak = max(peak, held)
                await asyncio.sleep(1)
                held -= 1

        await asyncio.gather(*(worker(i) for i in range(10)))
        assert peak == width
        return granted

    async def all_of_them() -> None:
        for lock, width in (
            (asyncio.Lock(), 1),
            (asyncio.Semaphore(2), 2),
            (asyncio.BoundedSemaphore(3), 3),
        ):
            assert await main(lock, width) == list(range(10))

    run(all_of_them())


def test_an_event_wakes_all_in_order() -> None:
    async def main() -> Any:
        event, woken = asyncio.Event(), []

        async def waits(i: int) -> None:
            await event.wait()
            woken.append(i)

        async with asyncio.TaskGroup() as group:
            for i in range(10):
                group.create_task(waits(i))
            await asyncio.sleep(1)
            event.set()
        return woken

    assert run(main()) == list(range(10))


def test_a_condition_notifies_in_order() -> None:
    async def main() -> Any:
        condition, woken, state = asyncio.Condition(), [], {"open": False}

        async def waits(i: int) -> None:
            async with condition:
                await condition.wait_for(lambda: state["open"])
                woken.append(i)

        async with asyncio.TaskGroup() as group:
            for i in range(6):
                group.create_task(waits(i))
            await asyncio.sleep(1)
            async with condition:
                condition.notify(2)  # not open yet: they wait again, behind the others
            await asyncio.sleep(1)
            state["open"] = True
            async with condition:
                condition.notify_all()
        return woken

    assert run(main()) == [2, 3, 4, 5, 0, 1]


def test_a_barrier_lets_all_through_at_once() -> None:
    async def main() -> Any:
        barrier, passed = asyncio.Barrier(3), []

        async def comes(i: int) -> None:
            await asyncio.sleep(i)
            await barrier.wait()
            passed.append((i, asyncio.get_running_loop().time()))

        await asyncio.gather(*(comes(i) for i in (1, 2, 3)))
        return sorted(passed)

    assert run(main()) == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (asyncio.Queue, [3, 1, 2]),
        (asyncio.LifoQueue, [3, 1, 2]),
        (asyncio.PriorityQueue, [3, 1, 2]),
    ],
)
def test_a_queue_of_one_hands_over_one_by_one(kind: Any, expected: list[int]) -> None:
    async def main() -> Any:
        queue = kind(maxsize=1)
        got = []

        async def producer() -> None:
            for i in (3, 1, 2):
                await queue.put(i)

        async def consumer() -> None:
            for _ in range(3):
                got.append(await queue.get())
                await asyncio.sleep(1)
                queue.task_done()

        await asyncio.gather(producer(), consumer(), queue.join())
        return got

    assert run(main()) == expected


# -- contexts and generators


def test_context_variables_are_copied_when_a_task_is_made() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    async def child() -> str:
        before = variable.get()
        variable.set("child")
        await asyncio.sleep(1)
        return f"{before} {variable.get()}"

    async def main() -> Any:
        variable.set("main")
        task = asyncio.create_task(child())
        variable.set("later")
        context = contextvars.copy_context()
        context.run(variable.set, "given")
        given = asyncio.create_task(child(), context=context)
        seen = []
        asyncio.get_running_loop().call_soon(lambda: seen.append(variable.get()))
        asyncio.get_running_loop().call_later(1, lambda: seen.append(variable.get()))
        return await task, await given, variable.get(), seen

    assert run(main()) == ("main child", "given child", "later", ["later", "later"])
    assert variable.get() == "none"


def test_a_run_can_start_from_an_empty_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    variable.set("the program's")
    loop, _ = new_loop()

    async def main() -> str:
        return variable.get()

    task = loop.create_task(main(), context=contextvars.Context())
    loop.run_until_quiescent()

    assert task.result() == "none"


def test_async_generators_and_context_managers() -> None:
    log: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for i in range(3):
                await asyncio.sleep(1)
                yield i
        finally:
            await asyncio.sleep(1)
            log.append("closed")

    @asynccontextmanager
    async def resource() -> AsyncIterator[str]:
        await asyncio.sleep(1)
        yield "held"
        log.append("released")

    async def main() -> Any:
        async with resource() as held:
            return [held, [i async for i in numbers()]]

    assert run(main()) == ["held", [0, 1, 2]]
    assert log == ["closed", "released"]


def test_an_async_generator_that_is_left_is_closed_by_a_task() -> None:
    log: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(1)
            log.append("closed")

    async def main() -> None:
        async for _ in numbers():
            break
        log.append("left")
        await asyncio.sleep(5)

    run(main())
    assert log == ["left", "closed"]


def test_an_async_generator_that_the_collector_finds_waits_for_the_tear_down() -> None:
    import gc

    log: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        me = [None]
        me[0] = me  # type: ignore[call-overload]
        try:
            yield 1
        finally:
            log.append("closed")

    class Cycle:
        pass

    async def main() -> None:
        cycle: Any = Cycle()
        cycle.me, cycle.generator = cycle, numbers()
        await anext(cycle.generator)
        del cycle
        gc.collect()
        await asyncio.sleep(1)

    gc.disable()
    try:
        loop, host = new_loop()
        run_on(loop, host, main())
        assert log == []
        assert loop.tear_down(KeyboardInterrupt) == []
    finally:
        gc.enable()

    assert log == ["closed"]


def test_caches_of_pure_functions_work() -> None:
    @functools.cache
    def square(i: int) -> int:
        return i * i

    async def main() -> int:
        return square(3) + square(3)

    assert run(main()) == 18
    assert square.cache_info().hits == 1


def test_the_program_is_told_of_uncaught_errors_in_callbacks() -> None:
    loop, host = new_loop()

    async def main() -> None:
        asyncio.get_running_loop().call_exception_handler({"message": "by hand"})
        asyncio.get_running_loop().call_later(1, lambda: 1 / 0)
        await asyncio.sleep(2)

    run_on(loop, host, main())

    assert [type(error) for _, error in loop.uncollected_errors()] == [
        RuntimeError,
        ZeroDivisionError,
    ]
