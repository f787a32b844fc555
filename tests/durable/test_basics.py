"""What every workflow does: activities, sleep, signals, children, search, ends of all kinds."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest
from conftest import Durable
from support import eventually

from hotmesh.durable import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    FatalError,
    RetryPolicy,
    WorkflowAlreadyStarted,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowInterrupted,
    WorkflowNotFound,
    activity,
    workflow,
)

FAST = RetryPolicy(initial_interval="10ms", maximum_attempts=5)


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@activity.defn
def shout(name: str) -> str:
    return name.upper()


async def test_an_activity_gives_its_result(durable: Durable) -> None:
    async def example(name: str) -> str:
        return await greet(name)

    await durable.worker(example, activities=[greet])
    assert await durable.run(example, "HotMesh") == "Hello, HotMesh!"


async def test_a_plain_function_runs_in_a_thread(durable: Durable) -> None:
    async def example(name: str) -> str:
        return await shout(name)

    await durable.worker(example, activities=[shout])
    assert await durable.run(example, "a") == "A"


async def test_results_come_in_the_order_of_the_calls(durable: Durable) -> None:
    @activity.defn
    async def late(n: int) -> int:
        await asyncio.sleep((3 - n) * 0.05)
        return n

    async def example() -> list[int]:
        return await asyncio.gather(late(1), late(2), late(3))

    await durable.worker(example, activities=[late])
    assert await durable.run(example) == [1, 2, 3]


async def test_a_failing_activity_is_tried_again(durable: Durable) -> None:
    attempts: list[int] = []

    @activity.defn(retry=FAST)
    async def flaky() -> int:
        attempts.append(activity.info().attempt)
        if len(attempts) < 5:
            raise ValueError("not yet")
        return len(attempts)

    async def example() -> int:
        return await flaky()

    await durable.worker(example, activities=[flaky])
    assert await durable.run(example) == 5
    assert attempts == [1, 2, 3, 4, 5]


async def test_a_fatal_error_is_not_tried_again(durable: Durable) -> None:
    calls: list[int] = []

    @activity.defn(retry=FAST)
    async def fatal() -> None:
        calls.append(1)
        raise FatalError("stop-x")

    async def example() -> None:
        await fatal()

    await durable.worker(example, activities=[fatal])
    with pytest.raises(WorkflowFailed, match="stop-x") as caught:
        await durable.run(example)
    assert caught.value.code == 598
    assert calls == [1]


async def test_an_exhausted_activity_can_be_caught(durable: Durable) -> None:
    @activity.defn(retry=RetryPolicy(maximum_attempts=2, initial_interval="10ms"))
    async def broken() -> None:
        raise ApplicationError("nope", 1, 2)

    async def example() -> list[Any]:
        try:
            await broken()
        except ActivityError as exc:
            assert isinstance(exc.cause, ApplicationError)
            return [exc.code, exc.attempt, exc.retry_state, list(exc.cause.details)]
        return []

    await durable.worker(example, activities=[broken])
    assert await durable.run(example) == [597, 2, "max_attempts", [1, 2]]


async def test_sleep_and_time(durable: Durable) -> None:
    async def example() -> list[Any]:
        before = workflow.now()
        slept = await workflow.sleep_for("100 ms")
        return [slept, (workflow.now() - before) >= datetime.timedelta(milliseconds=99)]

    await durable.worker(example)
    assert await durable.run(example) == [0.1, True]


async def test_chance_differs_between_runs_only(durable: Durable) -> None:
    async def example() -> list[Any]:
        first = [float(workflow.random()), str(workflow.uuid4())]
        await workflow.sleep_for("10ms")
        return [*first, workflow.random().randint(1, 10)]

    await durable.worker(example)
    one, other = await durable.run(example), await durable.run(example)
    assert one != other
    assert 0 <= one[0] < 1


async def test_signals_are_collected(durable: Durable) -> None:
    async def example() -> list[Any]:
        return await workflow.wait_for_signal("one", "two")

    await durable.worker(example)
    handle = await durable.start(example)
    await handle.signal("two", {"n": 2})
    await durable.new_client().workflow.signal("one", {"n": 1})
    assert await handle.result(timeout="10s") == [{"n": 1}, {"n": 2}]


async def test_an_early_signal_waits(durable: Durable) -> None:
    async def example() -> list[Any]:
        await workflow.sleep_for("50ms")
        return await workflow.wait_for_signal("early")

    handle = await durable.start(example)
    await handle.signal("early", 1)
    await durable.worker(example)
    assert await handle.result(timeout="10s") == [1]


async def test_a_wait_for_a_signal_ends_in_time(durable: Durable) -> None:
    async def example() -> Any:
        return [await workflow.condition("never", timeout="50ms")]

    await durable.worker(example)
    assert await durable.run(example) == [False]


async def test_a_child_gives_its_result(durable: Durable) -> None:
    async def child(n: int) -> int:
        await workflow.sleep_for("10ms")
        return n * 2

    async def nothing() -> None:
        return None

    async def parent() -> list[Any]:
        started = await workflow.start_child(
            child, 4, workflow_id=workflow.info().workflow_id + "c"
        )
        return [
            await workflow.execute_child(child, 2),
            await workflow.execute_child(nothing),
            await started,
        ]

    await durable.worker(parent, child, nothing)
    assert await durable.run(parent) == [4, None, 8]


async def test_a_failed_child_says_why(durable: Durable) -> None:
    async def child() -> None:
        raise ApplicationError("broken", type="Broken")

    async def parent() -> list[str]:
        try:
            await workflow.execute_child(child)
        except ChildWorkflowError as exc:
            return [str(exc.cause), getattr(exc.cause, "type", "")]
        return []

    await durable.worker(parent, child)
    assert await durable.run(parent) == ["broken", "Broken"]


async def test_fields_are_changed_once(durable: Durable) -> None:
    async def example() -> list[Any]:
        search = workflow.search()
        await search.set("custom1", "durable", "custom2", 55)
        await search.set(flag=True, nothing=None, text="7")
        found = [await search.incr("count", 10), await search.incr("count", 1)]
        found += [await search.mult("product", 12), await search.mult("product", 10)]
        await workflow.sleep_for("10ms")
        found += await search.mget("custom1", "custom2", "flag", "nothing", "text", "missing")
        found.append(await search.delete("custom1", "missing"))
        found.append(await search.get("custom1"))
        return found

    await durable.worker(example)
    handle = await durable.start(example)
    expected = [10, 11, 12, 120, "durable", 55, True, None, "7", None, 1, None]
    assert await handle.result(timeout="10s") == expected
    fields = await handle.fields()
    assert fields == {
        "custom2": 55,
        "flag": True,
        "nothing": None,
        "text": "7",
        "count": 11,
        "product": 120,
    }


async def test_fields_of_the_start_are_there(durable: Durable) -> None:
    async def example() -> Any:
        return await workflow.search().get("who")

    await durable.worker(example)
    assert await durable.run(example, fields={"who": "me"}) == "me"


async def test_a_hook_runs_beside(durable: Durable) -> None:
    async def second(n: int) -> None:
        await workflow.search().incr("n", n)
        await workflow.signal("done", n)

    async def example() -> list[Any]:
        await workflow.hook(second, 5)
        got = await workflow.wait_for_signal("done")
        return [got[0], await workflow.search().get("n")]

    await durable.worker(example, hooks=[second])
    assert await durable.run(example) == [5, 5]


async def test_once_runs_once(durable: Durable) -> None:
    calls: list[int] = []

    def draw(n: int) -> int:
        calls.append(n)
        return n

    async def example() -> list[int]:
        first = await workflow.once(draw, 0)
        await workflow.sleep_for("10ms")
        return [first, await workflow.once(draw, 2)]

    await durable.worker(example)
    assert await durable.run(example) == [0, 2]
    assert calls == [0, 2]


async def test_a_failure_of_the_code_fails_the_run(durable: Durable) -> None:
    async def example() -> None:
        raise ValueError("bad input")

    await durable.worker(example)
    with pytest.raises(WorkflowFailed, match="bad input") as caught:
        await durable.run(example)
    assert caught.value.status == "failed"


async def test_cancel_lets_the_code_clean_up(durable: Durable) -> None:
    refunded: list[str] = []

    @activity.defn
    async def refund() -> None:
        refunded.append("yes")

    async def example() -> None:
        try:
            await workflow.sleep_for("1 hour")
        finally:
            await refund()

    await durable.worker(example, activities=[refund])
    handle = await durable.start(example)
    await eventually(lambda: handle.status())
    await handle.cancel("enough")
    with pytest.raises(WorkflowCancelled):
        await handle.result(timeout="10s")
    assert refunded == ["yes"]
    assert await handle.status() == "canceled"


async def test_interrupt_ends_at_once(durable: Durable) -> None:
    async def example() -> None:
        await workflow.sleep_for("1 hour")

    await durable.worker(example)
    loud, silent = await durable.start(example), await durable.start(example)
    await loud.interrupt("enough")
    await silent.interrupt(throw=False)
    with pytest.raises(WorkflowInterrupted) as caught:
        await loud.result(timeout="10s")
    assert caught.value.code == 410
    assert await silent.result(timeout="10s") is None
    with pytest.raises(WorkflowNotFound):
        await loud.signal("late")


async def test_continue_as_new_keeps_the_id(durable: Durable) -> None:
    async def example(n: int) -> Any:
        await workflow.sleep_for("5ms")
        if n:
            workflow.continue_as_new(n - 1)
        return [n, await workflow.search().get("kept")]

    await durable.worker(example)
    handle = await durable.start(example, 3, fields={"kept": "yes"})
    assert await handle.result(timeout="10s") == [0, "yes"]


async def test_an_open_id_is_taken(durable: Durable) -> None:
    async def example() -> int:
        await workflow.wait_for_signal("go")
        return 1

    await durable.worker(example)
    handle = await durable.start(example, workflow_id="w1")
    with pytest.raises(WorkflowAlreadyStarted):
        await durable.start(example, workflow_id="w1")
    same = await durable.start(example, workflow_id="w1", conflict="use_existing")
    assert same.run_id == handle.run_id
    await handle.signal("go")
    assert await handle.result(timeout="10s") == 1
    again = await durable.start(example, workflow_id="w1")
    assert again.run_id != handle.run_id
    await again.signal("go")
    assert await again.result(timeout="10s") == 1
    assert await handle.result(timeout="10s") == 1


@workflow.defn
class Counter:
    def __init__(self) -> None:
        self.count = 0

    @workflow.run
    async def main(self, until: int) -> int:
        await workflow.wait_condition(lambda: self.count >= until)
        return self.count

    @workflow.signal
    async def add(self, n: int) -> None:
        self.count += n

    @workflow.query
    def value(self) -> int:
        return self.count

    @workflow.update
    async def set_to(self, n: int) -> int:
        before, self.count = self.count, n
        await asyncio.sleep(0.01)
        return before

    @set_to.validator
    def check(self, n: int) -> None:
        if n < 0:
            raise ValueError("must not be negative")


async def test_a_class_with_signals_queries_and_updates(durable: Durable) -> None:
    await durable.worker(Counter)
    handle = await durable.start(Counter, 10)
    assert await handle.query("value") == 0
    await handle.signal("add", 3)
    await eventually(lambda: _is(handle.query("value"), 3))
    assert await handle.update("set_to", 5) == 3
    with pytest.raises(Exception, match="negative"):
        await handle.update("set_to", -1)
    await handle.signal("add", 6)
    assert await handle.result(timeout="10s") == 11
    assert await handle.query("value") == 11


async def _is(asked: Any, value: Any) -> bool:
    return bool(await asked == value)


async def test_asyncio_in_workflows(durable: Durable) -> None:
    @activity.defn
    async def slow(n: float) -> float:
        await asyncio.sleep(n)
        return n

    async def example() -> list[Any]:
        found: list[Any] = []
        try:
            async with asyncio.timeout(0.05):
                await slow(5)
        except TimeoutError:
            found.append("timeout")
        async with asyncio.TaskGroup() as group:
            one = group.create_task(slow(0.01))
            two = group.create_task(slow(0.02))
        found += [one.result(), two.result()]
        queue: asyncio.Queue[int] = asyncio.Queue(1)

        async def produce() -> None:
            for i in range(3):
                await queue.put(i)

        task = asyncio.create_task(produce())
        found.append([await queue.get() for _ in range(3)])
        await task
        return found

    await durable.worker(example, activities=[slow])
    assert await durable.run(example) == ["timeout", 0.01, 0.02, [0, 1, 2]]


async def test_another_worker_goes_on(durable: Durable) -> None:
    seen: list[str] = []

    @activity.defn
    async def mark(what: str) -> str:
        seen.append(what)
        return what

    async def example() -> list[Any]:
        first = await mark("first")
        got = await workflow.wait_for_signal("go")
        return [first, got[0], await mark("second")]

    first = await durable.worker(example, activities=[mark])
    handle = await durable.start(example)
    await eventually(lambda: seen == ["first"])
    await first.stop()
    await durable.worker(example, activities=[mark])
    await handle.signal("go", 1)
    assert await handle.result(timeout="10s") == ["first", 1, "second"]
    assert seen == ["first", "second"]
