"""Scenarios 60 to 82: cancellation, timers, timeouts."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from conftest import Durable
from support import eventually

from hotmesh.durable import (
    ActivityError,
    RetryPolicy,
    TimeoutFailure,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowInterrupted,
    activity,
    workflow,
)

ONCE = RetryPolicy(maximum_attempts=1)


async def test_60_cancel_ends_a_sleep(durable: Durable) -> None:
    async def example() -> None:
        await asyncio.sleep(3600)

    await durable.worker(example)
    handle = await durable.start(example)
    await eventually(lambda: _has(handle, "TIMER"))
    await handle.cancel()
    with pytest.raises(WorkflowCancelled):
        await handle.result(timeout="10s")
    assert await _has(handle, "TIMER_CANCEL")


async def _has(handle: Any, kind: str) -> bool:
    return any(e.kind == kind for e in await handle.history())


async def test_62_a_swallowed_cancel_completes(durable: Durable) -> None:
    async def example() -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await workflow.sleep_for("10ms")
            return f"went on: {workflow.cancel_requested()}"
        return ""

    await durable.worker(example)
    handle = await durable.start(example)
    await eventually(lambda: _has(handle, "TIMER"))
    await handle.cancel()
    assert await handle.result(timeout="10s") == "went on: True"
    assert await handle.status() == "completed"


async def test_65_cancel_before_the_first_turn(durable: Durable) -> None:
    async def example() -> str:
        try:
            await asyncio.sleep(3600)
        finally:
            await workflow.search().set(cleaned="yes")
        return ""

    handle = await durable.start(example)
    skipped = await durable.start(example)
    await handle.cancel("early")
    await skipped.cancel("early", before_start="skip")
    await durable.worker(example)
    for one, expected in ((handle, {"cleaned": "yes"}), (skipped, {})):
        with pytest.raises(WorkflowCancelled):
            await one.result(timeout="10s")
        assert await one.fields() == expected


@pytest.mark.parametrize("how", ["try_cancel", "wait_completed", "abandon"])
async def test_66_how_a_cancelled_activity_is_left(durable: Durable, how: Any) -> None:
    seen: list[str] = []

    @activity.defn(cancellation=how, retry=ONCE)
    async def act() -> None:
        seen.append("began")
        try:
            await asyncio.sleep(0.5)
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)
            seen.append("cleaned")
            raise
        seen.append("ended")

    async def example() -> list[str]:
        task = asyncio.ensure_future(act())
        await workflow.sleep_for("100ms")
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        return []

    await durable.worker(example, activities=[act])
    handle = await durable.start(example)
    await handle.result(timeout="10s")
    at_end = list(seen)
    expected = {
        "try_cancel": ["began"],
        "wait_completed": ["began", "cleaned"],
        "abandon": ["began"],
    }[how]
    assert at_end == expected
    last = "ended" if how == "abandon" else "cleaned"
    if how != "abandon":
        await eventually(lambda: last in seen)


async def test_67_an_activity_without_heartbeat_is_cancelled(durable: Durable) -> None:
    cancelled = asyncio.Event()

    @activity.defn(retry=ONCE)
    async def act() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def example() -> str:
        try:
            async with asyncio.timeout(0.1):
                await act()
        except TimeoutError:
            return "timeout"
        return ""

    await durable.worker(example, activities=[act])
    assert await durable.run(example) == "timeout"
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_68_a_thread_sees_that_it_should_stop(durable: Durable) -> None:
    stopped = threading.Event()

    @activity.defn(retry=ONCE)
    def act() -> None:
        deadline = time.monotonic() + 20
        while not activity.is_cancelled() and time.monotonic() < deadline:
            activity.wait_cancelled(0.01)
        if activity.is_cancelled():
            stopped.set()

    async def example() -> str:
        try:
            async with asyncio.timeout(0.1):
                await act()
        except TimeoutError:
            return "timeout"
        return ""

    await durable.worker(example, activities=[act])
    assert await durable.run(example) == "timeout"
    await eventually(stopped.is_set)


async def test_70_a_shielded_activity_goes_on(durable: Durable) -> None:
    @activity.defn(retry=ONCE)
    async def act() -> str:
        await asyncio.sleep(0.3)
        return "done"

    async def example() -> list[str]:
        task = asyncio.ensure_future(act())
        found = []
        try:
            await asyncio.wait_for(asyncio.shield(task), 0.05)
        except TimeoutError:
            found.append("timeout")
        return [*found, await task]

    await durable.worker(example, activities=[act])
    assert await durable.run(example) == ["timeout", "done"]


async def test_71_a_task_group_cancels_its_others(durable: Durable) -> None:
    @activity.defn(retry=ONCE)
    async def act(n: int) -> int:
        if n == 2:
            await asyncio.sleep(0.05)
            raise ValueError("third")
        await asyncio.sleep(10)
        return n

    async def example() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                for n in range(12):
                    group.create_task(act(n))
        except ExceptionGroup as caught:
            return str(caught.exceptions[0].__cause__)
        return ""

    await durable.worker(example, activities=[act])
    handle = await durable.start(example)
    assert await handle.result(timeout="10s") == "third"
    cancelled = [e.seq for e in await handle.history() if e.kind == "ACT_CANCEL"]
    assert cancelled == [s for s in range(1, 13) if s != 3]


async def test_72_waits_in_all_forms(durable: Durable) -> None:
    @activity.defn(retry=ONCE)
    async def act(n: float) -> float:
        await asyncio.sleep(n)
        if n == 0.02:
            raise ValueError("two")
        return n

    async def example() -> list[Any]:
        tasks = [asyncio.ensure_future(act(n)) for n in (0.06, 0.01)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        found: list[Any] = [sorted(t.result() for t in done), len(pending)]
        order = [await one for one in asyncio.as_completed([act(0.05), act(0.015)])]
        found.append(order)
        some = await asyncio.gather(act(0.02), act(0.01), return_exceptions=True)
        found.append([type(x).__name__ for x in some])
        found.append(await tasks[0])
        return found

    await durable.worker(example, activities=[act])
    assert await durable.run(example) == [
        [0.01],
        1,
        [0.015, 0.05],
        ["ActivityError", "float"],
        0.06,
    ]


async def test_74_a_timer_that_was_taken_back_at_once_is_no_step(durable: Durable) -> None:
    async def example() -> None:
        task = asyncio.ensure_future(asyncio.sleep(10))
        await asyncio.sleep(0)
        task.cancel()
        await workflow.sleep_for("10ms")

    await durable.worker(example)
    handle = await durable.start(example)
    await handle.result(timeout="10s")
    timers = [e.seq for e in await handle.history() if e.kind == "TIMER"]
    assert timers == [2]


async def test_75_odd_sleeps(durable: Durable) -> None:
    async def example() -> list[str]:
        await asyncio.sleep(0)
        await asyncio.sleep(-1)
        try:
            await asyncio.sleep(float("nan"))
        except ValueError:
            return ["nan"]
        return []

    await durable.worker(example)
    handle = await durable.start(example)
    assert await handle.result(timeout="10s") == ["nan"]
    assert not await _has(handle, "TIMER")


async def test_77_a_run_has_a_time_limit(durable: Durable) -> None:
    @activity.defn(retry=ONCE)
    async def act() -> None:
        await asyncio.sleep(10)

    async def child() -> None:
        await workflow.sleep_for("1 hour")

    async def example() -> None:
        await asyncio.gather(
            act(), workflow.execute_child(child, workflow_id=f"{workflow.info().workflow_id}-c")
        )

    await durable.worker(example, child, activities=[act])
    handle = await durable.start(example, run_timeout="300ms")
    with pytest.raises(WorkflowFailed) as caught:
        await handle.result(timeout="10s")
    assert caught.value.status == "timed_out"
    assert isinstance(caught.value.cause, TimeoutFailure)
    below = durable.client.workflow.get_handle(f"{handle.workflow_id}-c")
    await eventually(lambda: _status(below, "terminated"))


async def _status(handle: Any, status: str) -> bool:
    return bool(await handle.status() == status)


async def test_78_an_activity_that_finds_no_worker(durable: Durable) -> None:
    @activity.defn(task_queue="nobody", schedule_to_start_timeout="200ms")
    async def act() -> None:
        pass

    async def example() -> list[str]:
        try:
            await act()
        except ActivityError as exc:
            assert isinstance(exc.cause, TimeoutFailure)
            return [exc.cause.timeout_type, exc.retry_state]
        return []

    await durable.worker(example)
    assert await durable.run(example) == ["SCHEDULE_TO_START", "timeout"]


async def test_79_all_attempts_have_a_time_limit(durable: Durable) -> None:
    @activity.defn(
        schedule_to_close_timeout="500ms",
        retry=RetryPolicy(initial_interval="300ms", maximum_attempts=0),
    )
    async def act() -> None:
        raise ValueError("the last real error")

    async def example() -> list[str]:
        try:
            await act()
        except ActivityError as exc:
            return [str(exc.cause), exc.retry_state]
        return []

    await durable.worker(example, activities=[act])
    assert await durable.run(example) == ["the last real error", "timeout"]


async def test_25_an_attempt_has_a_time_limit(durable: Durable) -> None:
    attempts: list[int] = []

    @activity.defn(start_to_close_timeout="200ms", retry=RetryPolicy(initial_interval="10ms"))
    async def act() -> int:
        attempts.append(activity.info().attempt)
        if len(attempts) == 1:
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                return -1
        return len(attempts)

    async def example() -> int:
        return await act()

    await durable.worker(example, activities=[act])
    assert await durable.run(example) == 2
    assert attempts == [1, 2]


async def test_26_heartbeats_reach_the_next_attempt(durable: Durable) -> None:
    seen: list[Any] = []

    @activity.defn(heartbeat_timeout="300ms", retry=RetryPolicy(initial_interval="10ms"))
    async def act() -> Any:
        info = activity.info()
        seen.append(list(info.heartbeat_details))
        if info.attempt == 1:
            activity.heartbeat(7, "x")
            await asyncio.sleep(10)
        return info.heartbeat_details

    async def example() -> Any:
        return await act()

    await durable.worker(example, activities=[act])
    assert await durable.run(example) == [7, "x"]
    assert seen == [[], [7, "x"]]


async def test_80_an_activity_of_an_ended_run_never_starts(durable: Durable) -> None:
    ran: list[int] = []

    @activity.defn(task_queue="later")
    async def act() -> None:
        ran.append(1)

    @activity.defn(task_queue="later")
    async def marker() -> int:
        return 1

    async def example() -> None:
        await act()

    async def other() -> int:
        return await marker()

    await durable.worker(example, other)
    handle = await durable.start(example)
    await eventually(lambda: _has(handle, "ACT"))
    await handle.terminate()
    with pytest.raises(WorkflowInterrupted):
        await handle.result(timeout="10s")
    await durable.worker(activities=[act, marker], task_queue="later")
    assert await durable.run(other) == 1
    assert ran == []


async def test_81_a_cancelled_parent_waits_for_its_child(durable: Durable) -> None:
    order: list[str] = []

    @activity.defn
    async def note(what: str) -> None:
        order.append(what)

    async def child() -> None:
        try:
            await workflow.sleep_for("1 hour")
        finally:
            await note("child")

    async def parent() -> None:
        try:
            await workflow.execute_child(child, workflow_id=f"{workflow.info().workflow_id}-c")
        finally:
            await note("parent")

    await durable.worker(parent, child, activities=[note])
    handle = await durable.start(parent)
    await eventually(lambda: _has(handle, "CHILD_STARTED"))
    await handle.cancel()
    with pytest.raises(WorkflowCancelled):
        await handle.result(timeout="10s")
    assert order == ["child", "parent"]


@pytest.mark.parametrize(
    ("policy", "status"),
    [("abandon", "running"), ("terminate", "terminated"), ("request_cancel", "canceled")],
)
async def test_82_what_becomes_of_children(durable: Durable, policy: Any, status: str) -> None:
    async def child() -> None:
        await workflow.sleep_for("1 hour")

    async def parent() -> str:
        started = await workflow.start_child(child, parent_close_policy=policy)
        return started.workflow_id

    await durable.worker(parent, child)
    below = durable.client.workflow.get_handle(await durable.run(parent))
    await eventually(lambda: _status(below, status))
