"""Runs are repaired: reset to a task, a step completed by hand, tried again at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from durable_env import Durable
from support import eventually

from hotmesh.durable import (
    ApplicationError,
    RetryPolicy,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowNotFound,
    activity,
    workflow,
)
from hotmesh.durable.reset import StepNotOpen
from hotmesh.errors import SettingsInvalid
from hotmesh.store.runs import STATE

ONCE = RetryPolicy(maximum_attempts=1)


async def _has(handle: Any, kind: str) -> bool:
    return kind in (await handle.history()).kinds


async def test_a_reset_keeps_what_came_before_and_runs_the_rest_again(durable: Durable) -> None:
    calls: list[str] = []

    @activity.defn
    async def act(name: str) -> str:
        calls.append(name)
        return f"{name}{calls.count(name)}"

    async def example() -> list[Any]:
        found = [str(workflow.uuid4()), await act("a"), await act("b")]
        found += await workflow.wait_for_signal("go")
        return [*found, await act("c")]

    await durable.worker(example, activities=[act])
    handle = await durable.start(example, workflow_id="w")
    await eventually(lambda: _has(handle, "WAIT"))
    await handle.signal("go", "signalled")
    first = await handle.result(timeout="20s")
    assert first[1:] == ["a1", "b1", "signalled", "c1"]

    # Tasks: 1 asks for a, 2 for b, 3 waits, 4 asks for c, 5 ends.
    again = await durable.client.workflow.reset("w", task=2, reason="b was wrong")

    assert again.run_id != handle.run_id
    assert await again.result(timeout="20s") == [first[0], "a1", "b2", "signalled", "c2"]
    assert calls == ["a", "b", "c", "b", "c"]
    history = await again.history()
    assert history[0].fields["prev_run_id"] == handle.run_id
    assert await durable.client.workflow.count("status = 'completed'") == 1


async def test_an_open_run_is_terminated_and_forked(durable: Durable) -> None:
    calls: list[str] = []

    @activity.defn
    async def act(name: str) -> str:
        calls.append(name)
        return name

    async def example() -> list[Any]:
        found: list[Any] = [await act("a")]
        async with asyncio.TaskGroup() as group:
            slept = group.create_task(asyncio.sleep(0.3))
            found.append(await act("b"))
            await slept
        found += await workflow.wait_for_signal("go")
        return found

    await durable.worker(example, activities=[act])
    handle = await durable.start(example, workflow_id="w", search_attributes={"k": 1})
    waiting = asyncio.create_task(handle.result(timeout="20s"))
    await eventually(lambda: _has(handle, "WAIT"))

    again = await durable.client.workflow.reset("w", task=3)

    await eventually(lambda: _has(again, "WAIT"))
    await again.signal("go", 1)
    assert await again.result(timeout="20s") == ["a", "b", 1]
    assert await waiting == ["a", "b", 1]
    assert calls == ["a", "b"]
    point = await durable.client.open()
    old = await point.runs.record("w", handle.run_id)
    assert old[STATE] == b"terminated"
    assert [d.run_id for d in await durable.client.workflow.list("k = 1")] == [again.run_id]


async def test_a_failed_run_is_repaired_by_fixed_code(durable: Durable) -> None:
    broken = [True]

    @activity.defn(retry=ONCE)
    async def act() -> str:
        if broken:
            raise ApplicationError("out of order")
        return "done"

    async def child(n: int) -> int:
        return n

    async def example() -> list[Any]:
        return [await workflow.execute_child(child, 7), await act()]

    await durable.worker(example, child, activities=[act])
    handle = await durable.start(example, workflow_id="w")
    with pytest.raises(WorkflowFailed):
        await handle.result(timeout="20s")
    broken.clear()
    kinds = (await handle.history()).kinds
    tasks_until_act = kinds[: kinds.index("ACT")].count("TASK")

    again = await durable.client.workflow.reset("w", task=tasks_until_act)

    assert await again.result(timeout="20s") == [7, "done"]
    assert await durable.client.workflow.count("workflow = 'child'") == 1


async def test_a_reset_that_makes_no_sense_is_refused(durable: Durable) -> None:
    async def example() -> None:
        return None

    await durable.worker(example)
    await durable.run(example, workflow_id="w")
    with pytest.raises(SettingsInvalid, match="between 1 and 1"):
        await durable.client.workflow.reset("w", task=2)
    with pytest.raises(WorkflowNotFound):
        await durable.client.workflow.reset("none", task=1)


async def test_a_step_is_completed_by_hand(durable: Durable) -> None:
    @activity.defn(retry=RetryPolicy(initial_interval="1h"))
    async def broken() -> str:
        raise ApplicationError("never")

    async def example() -> list[Any]:
        found = await broken()
        await asyncio.sleep(3600)
        return [found]

    await durable.worker(example, activities=[broken])
    handle = await durable.start(example, workflow_id="w")

    async def skipped(seq: int) -> bool:
        try:
            await durable.client.workflow.skip_step("w", seq, result="by hand")
        except StepNotOpen:
            return False
        return True

    await eventually(lambda: skipped(1))
    await eventually(lambda: skipped(2))

    assert await handle.result(timeout="20s") == ["by hand"]
    events = list(await handle.history())
    (done,) = [e for e in events if e.kind == "ACT_DONE"]
    assert done.fields["worker"] == "(by hand)"
    with pytest.raises(WorkflowNotFound):
        await durable.client.workflow.skip_step("w", 1)


async def test_a_run_that_could_not_go_on_is_resumed_at_once(durable: Durable) -> None:
    broken = [True]

    async def example() -> str:
        if broken:
            raise ValueError("a fault of the code")
        return "fixed"

    definition = workflow.defn(suspend_on=(ValueError,))(example)
    await durable.worker(definition)
    handle = await durable.start(definition, workflow_id="w")

    async def failures() -> int:
        return (await handle.describe()).task_failures

    async def has_failed_twice() -> bool:
        return await failures() >= 2

    await eventually(has_failed_twice)
    broken.clear()
    await durable.client.workflow.resume("w")

    assert await handle.result(timeout="20s") == "fixed"
    with pytest.raises(WorkflowNotFound):
        await durable.client.workflow.resume("w")


async def test_what_came_while_a_run_was_continued_follows_its_beginning(durable: Durable) -> None:
    ready: list[str] = []

    async def example(n: int) -> None:
        if n == 0:
            ready.append("now")
            await workflow.continue_as_new(1)
        await asyncio.sleep(3600)

    worker = await durable.worker(example)
    handle = durable.client.workflow.get_handle("w")
    runs = worker.turns.runs
    commit = runs.try_all

    async def with_a_cancel(commands: Any) -> Any:
        if ready:
            ready.clear()
            await handle.cancel("meanwhile")
        return await commit(commands)

    runs.try_all = with_a_cancel  # type: ignore[method-assign]
    await durable.start(example, 0, workflow_id="w")

    with pytest.raises(WorkflowCancelled, match="meanwhile"):
        await handle.result(timeout="20s")
    assert (await handle.history()).kinds[:2] == ["START", "CANCEL_REQ"]
