"""Deploys: runs that began under other code (rows 83-89, 101, 123 of the scenarios)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from durable_env import Durable
from support import eventually

from hotmesh.durable import RetryPolicy, WorkflowFailed, activity, workflow

done: list[str] = []


@activity.defn
async def reserve(order: str) -> str:
    done.append(f"reserve {order}")
    return "reserved"


@activity.defn
async def charge(order: str, amount: int = 1) -> str:
    done.append(f"charge {order} {amount}")
    return "charged"


@activity.defn
async def audit(order: str) -> str:
    done.append(f"audit {order}")
    return "audited"


ACTIVITIES = [reserve, charge, audit]


def named(name: str, **options: Any) -> Any:
    return workflow.defn(name=name, **options)


@pytest.fixture(autouse=True)
def _forget() -> None:
    done.clear()


async def _deploy(durable: Durable, *workflows: Any, **options: Any) -> Any:
    """Replace the workers by one with other code."""
    for worker in durable.workers:
        await worker.stop()
    return await durable.worker(*workflows, activities=ACTIVITIES, **options)


async def _failing(handle: Any) -> str:
    """Wait for the first failed turn: what it says."""

    async def failed() -> str:
        return str((await handle.describe()).last_error)

    return str(await eventually(failed))


async def _at(handle: Any, kind: str, count: int = 1) -> None:
    """Wait until a run's history holds something."""

    async def holds() -> bool:
        return (await handle.history()).kinds.count(kind) >= count

    await eventually(holds)


@named("order")
async def order(id: str) -> list[str]:
    first = await reserve(id)
    (said,) = await workflow.wait_for_signal(f"go-{id}")
    return [first, said, await charge(id)]


async def test_83_a_run_moves_to_another_worker(durable: Durable) -> None:
    await durable.worker(order, activities=ACTIVITIES)
    handle = await durable.start(order, "a")
    await _at(handle, "ACT_DONE")
    await _deploy(durable, order)
    await durable.client.workflow.signal("go-a", "now")
    assert await handle.result(timeout="20s") == ["reserved", "now", "charged"]
    assert done == ["reserve a", "charge a 1"]


async def test_84_a_step_before_the_open_one_is_reported_and_the_old_code_goes_on(
    durable: Durable,
) -> None:
    @named("order84")
    async def old(id: str) -> str:
        await reserve(id)
        await workflow.sleep_for("1s")
        return await charge(id)

    @named("order84")
    async def new(id: str) -> str:
        await reserve(id)
        await audit(id)
        await workflow.sleep_for("1s")
        return await charge(id)

    line = new.__code__.co_firstlineno + 3
    await durable.worker(old, activities=ACTIVITIES)
    handle = await durable.start(old, "b")
    await _at(handle, "TIMER")
    await _deploy(durable, new)

    said = await _failing(handle)
    assert said.startswith("NonDeterminismError:")
    assert "turn 2, command 0, history holds TIMER 2, the code asked for ACT 2 audit" in said
    assert f"{__file__}:{line}" in said
    assert "patched()" in said
    assert await handle.status() == "running"

    await _deploy(durable, old)
    assert await handle.result(timeout="20s") == "charged"
    assert done == ["reserve b", "charge b 1"]


async def test_84_a_failed_replay_may_fail_the_run(durable: Durable) -> None:
    @named("order84b")
    async def old(id: str) -> None:
        await reserve(id)
        await workflow.wait_for_signal(f"go-{id}")

    @named("order84b", on_nondeterminism="fail")
    async def new(id: str) -> None:
        await charge(id)

    await durable.worker(old, activities=ACTIVITIES)
    handle = await durable.start(old, "c")
    await _at(handle, "WAIT")
    await _deploy(durable, new)
    await durable.client.workflow.signal("go-c")
    with pytest.raises(WorkflowFailed, match=r"history holds ACT 1 reserve, .* for ACT 1 charge"):
        await handle.result(timeout="20s")


@named("order85")
async def before_85(id: str) -> list[str]:
    for _ in range(3):
        await reserve(id)
    await workflow.wait_for_signal(f"go-{id}")
    return [await charge(id)]


@named("order85")
async def after_85(id: str) -> list[str]:
    for _ in range(3):
        await reserve(id)
    await workflow.wait_for_signal(f"go-{id}")
    if workflow.patched("audit"):
        return [await audit(id), await charge(id)]
    return [await charge(id)]


@named("order85c")
async def before_85_early(id: str) -> list[str]:
    await reserve(id)
    await workflow.wait_for_signal(f"go-{id}")
    return [await charge(id)]


@named("order85c")
async def after_85_early(id: str) -> list[str]:
    found = []
    if workflow.patched("audit"):
        found.append(await audit(id))
    await reserve(id)
    await workflow.wait_for_signal(f"go-{id}")
    return [*found, await charge(id)]


async def test_85_a_patch_separates_runs_that_began_before_from_those_after(
    durable: Durable,
) -> None:
    await durable.worker(before_85_early, activities=ACTIVITIES)
    old = await durable.start(before_85_early, "old")
    await _at(old, "WAIT")
    await _deploy(durable, after_85_early)
    new = await durable.start(after_85_early, "new")
    await _at(new, "WAIT")
    # Both are replayed by yet another worker.
    await _deploy(durable, after_85_early)
    await durable.client.workflow.signal("go-old")
    await durable.client.workflow.signal("go-new")
    assert await old.result(timeout="20s") == ["charged"]
    assert await new.result(timeout="20s") == ["audited", "charged"]
    assert "PATCH" in (await new.history()).kinds
    assert "PATCH" not in (await old.history()).kinds


async def test_85_a_patch_is_reached_live_after_a_replay(durable: Durable) -> None:
    """What the code had not come to takes the new path, whatever came before."""
    await durable.worker(before_85, activities=ACTIVITIES)
    handle = await durable.start(before_85, "d")
    await _at(handle, "WAIT")
    await _deploy(durable, after_85)
    await durable.client.workflow.signal("go-d")
    assert await handle.result(timeout="20s") == ["audited", "charged"]


async def test_85_a_patch_in_a_loop_keeps_its_first_answer(durable: Durable) -> None:
    @named("loop85")
    async def old() -> list[bool]:
        found = []
        for i in range(4):
            await workflow.wait_for_signal(f"go-{workflow.info().workflow_id}-{i}")
            found.append(False)
        return found

    @named("loop85")
    async def new() -> list[bool]:
        found = []
        for i in range(4):
            found.append(workflow.patched("loop"))
            await workflow.wait_for_signal(f"go-{workflow.info().workflow_id}-{i}")
        return found

    await durable.worker(old, activities=ACTIVITIES)
    handle = await durable.start(old)
    await _at(handle, "WAIT")
    await _deploy(durable, new)
    for i in range(4):
        await durable.client.workflow.signal(f"go-{handle.workflow_id}-{i}")
    assert await handle.result(timeout="20s") == [False] * 4
    fresh = await durable.start(new)
    for i in range(4):
        await durable.client.workflow.signal(f"go-{fresh.workflow_id}-{i}")
    assert await fresh.result(timeout="20s") == [True] * 4
    assert (await fresh.history()).kinds.count("PATCH") == 1


async def test_86_patched_then_deprecated_then_gone(durable: Durable) -> None:
    @named("aged")
    async def v1(id: str) -> list[str]:
        await reserve(id)
        await workflow.wait_for_signal(f"go-{id}")
        return [await charge(id)]

    @named("aged")
    async def v2(id: str) -> list[str]:
        extra = [await audit(id)] if workflow.patched("audit") else []
        await reserve(id)
        await workflow.wait_for_signal(f"go-{id}")
        return [*extra, await charge(id)]

    @named("aged")
    async def v3(id: str) -> list[str]:
        workflow.deprecate_patch("audit")
        extra = [await audit(id)]
        await reserve(id)
        await workflow.wait_for_signal(f"go-{id}")
        return [*extra, await charge(id)]

    @named("aged")
    async def v4(id: str) -> list[str]:
        extra = [await audit(id)]
        await reserve(id)
        await workflow.wait_for_signal(f"go-{id}")
        return [*extra, await charge(id)]

    await durable.worker(v1, activities=ACTIVITIES)
    first = await durable.start(v1, "v1")
    await _at(first, "WAIT")
    await _deploy(durable, v2)
    second = await durable.start(v2, "v2")
    await _at(second, "WAIT")
    await durable.client.workflow.signal("go-v1")  # the oldest end before the branch goes
    assert await first.result(timeout="20s") == ["charged"]

    await _deploy(durable, v3)
    third = await durable.start(v3, "v3")
    await _at(third, "WAIT")
    await durable.client.workflow.signal("go-v2")
    assert await second.result(timeout="20s") == ["audited", "charged"]

    await _deploy(durable, v4)
    fourth = await durable.start(v4, "v4")
    await _at(fourth, "WAIT")
    await durable.client.workflow.signal("go-v3")
    await durable.client.workflow.signal("go-v4")
    assert await third.result(timeout="20s") == ["audited", "charged"]
    assert await fourth.result(timeout="20s") == ["audited", "charged"]


async def test_86_a_patch_that_goes_too_early_is_reported(durable: Durable) -> None:
    @named("early86")
    async def patched(id: str) -> str:
        if workflow.patched("audit"):
            await audit(id)
        await workflow.wait_for_signal(f"go-{id}")
        return "ended"

    @named("early86")
    async def gone(id: str) -> str:
        await audit(id)
        await workflow.wait_for_signal(f"go-{id}")
        return "ended"

    await durable.worker(patched, activities=ACTIVITIES)
    handle = await durable.start(patched, "e")
    await _at(handle, "WAIT")
    await _deploy(durable, gone)
    await durable.client.workflow.signal("go-e")
    assert "history holds PATCH audit" in await _failing(handle)
    await _deploy(durable, patched)
    assert await handle.result(timeout="20s") == "ended"


async def test_87_a_removed_last_step_is_no_silent_end(durable: Durable) -> None:
    @named("order87")
    async def old(id: str) -> str:
        await reserve(id)
        await workflow.wait_for_signal(f"go-{id}")
        return await charge(id)

    @named("order87")
    async def new(id: str) -> str:
        return await reserve(id)

    await durable.worker(old, activities=ACTIVITIES)
    handle = await durable.start(old, "f")
    await _at(handle, "WAIT")
    await _deploy(durable, new)
    await durable.client.workflow.signal("go-f")
    said = await _failing(handle)
    assert "history holds WAIT 2 go-f, the code asked for COMPLETE" in said
    assert "ended early" in said
    assert await handle.status() == "running"
    await _deploy(durable, old)
    assert await handle.result(timeout="20s") == "charged"


@pytest.mark.parametrize("how", ["plain", "step_id", "strict_args"])
async def test_88_swapped_equal_steps(durable: Durable, how: str) -> None:
    options = {"strict_args": True} if how == "strict_args" else {}

    def call(id: str) -> Any:
        wanted = {"step_id": id} if how == "step_id" else {}
        return workflow.execute_activity(reserve, id, **wanted)

    @named("order88", **options)
    async def old() -> str:
        await call("x")
        await call("y")
        await workflow.wait_for_signal("go-88")
        return "ended"

    @named("order88", **options)
    async def new() -> str:
        await call("y")
        await call("x")
        await workflow.wait_for_signal("go-88")
        return "ended"

    await durable.worker(old, activities=ACTIVITIES)
    handle = await durable.start(old)
    await _at(handle, "WAIT")
    await _deploy(durable, new)
    await durable.client.workflow.signal("go-88")
    if how != "plain":
        said = await _failing(handle)
        assert "NonDeterminismError" in said
        assert ("arguments" in said) == (how == "strict_args")
        await _deploy(durable, old)
    assert await handle.result(timeout="20s") == "ended"


async def test_88_a_step_id_is_used_once(durable: Durable) -> None:
    async def twice() -> None:
        for _ in range(2):
            await workflow.execute_activity(reserve, "x", step_id="same")

    await durable.worker(twice, activities=ACTIVITIES)
    with pytest.raises(WorkflowFailed, match="step_id 'same' was used before"):
        await durable.run(twice)


async def test_89_changed_arguments_replay(durable: Durable) -> None:
    @named("order89")
    async def old(id: str) -> str:
        await charge(id, 1)
        await workflow.wait_for_signal(f"go-{id}")
        return await charge(id, 1)

    @named("order89")
    async def new(id: str) -> str:
        await charge(id, 2)
        await workflow.wait_for_signal(f"go-{id}")
        return await charge(id, 2)

    await durable.worker(old, activities=ACTIVITIES)
    handle = await durable.start(old, "g")
    await _at(handle, "WAIT")
    await _deploy(durable, new)
    await durable.client.workflow.signal("go-g")
    assert await handle.result(timeout="20s") == "charged"
    assert done == ["charge g 1", "charge g 2"]


async def test_100_a_worker_without_the_workflow_leaves_it_to_others(durable: Durable) -> None:
    async def other() -> None: ...

    await durable.worker(other, activities=ACTIVITIES)
    handle = await durable.start(order, "h")
    said = await _failing(handle)
    assert "UnknownWorkflow" in said
    assert "'order'" in said
    assert "other" in said
    await _deploy(durable, order)
    await durable.client.workflow.signal("go-h", "now")
    assert await handle.result(timeout="20s") == ["reserved", "now", "charged"]


async def test_123_an_error_in_the_replayed_part_leaves_the_run_open(durable: Durable) -> None:
    @named("order123")
    async def old(id: str) -> str:
        await reserve(id)
        await workflow.wait_for_signal(f"go-{id}")
        return "ended"

    @named("order123")
    async def broken(id: str) -> str:
        await reserve(id)
        raise TypeError("a typing error of the deploy")

    await durable.worker(old, activities=ACTIVITIES)
    handle = await durable.start(old, "i")
    await _at(handle, "WAIT")
    await _deploy(durable, broken)
    await durable.client.workflow.signal("go-i")
    assert "a typing error of the deploy" in await _failing(handle)
    assert await handle.status() == "running"
    live = await durable.start(broken, "j")
    with pytest.raises(WorkflowFailed, match="a typing error of the deploy"):
        await live.result(timeout="20s")
    await _deploy(durable, old)
    assert await handle.result(timeout="20s") == "ended"


async def test_123_an_error_in_a_replayed_handler_leaves_the_run_open(durable: Durable) -> None:
    @named("handled123")
    class Old:
        def __init__(self) -> None:
            self.said: list[str] = []

        @workflow.run
        async def main(self) -> list[str]:
            await workflow.wait_condition(lambda: len(self.said) == 2)
            return self.said

        @workflow.signal
        async def say(self, word: str) -> None:
            self.said.append(word)

    @named("handled123")
    class Broken(Old):
        @workflow.signal
        async def say(self, word: str) -> None:
            if word == "one":
                raise TypeError("a broken handler")
            self.said.append(word)

    await durable.worker(Old, activities=ACTIVITIES)
    handle = await durable.start(Old)
    await handle.signal("say", "one")
    await _at(handle, "TASK", 2)
    await _deploy(durable, Broken)
    await handle.signal("say", "two")
    assert "a broken handler" in await _failing(handle)
    await _deploy(durable, Old)
    assert await handle.result(timeout="20s") == ["one", "two"]


async def test_107_suspend_on_keeps_the_run_open(durable: Durable) -> None:
    @named("bug107", suspend_on=(ValueError,))
    async def broken() -> str:
        await reserve("k")
        raise ValueError("mend me")

    @named("bug107", suspend_on=(ValueError,))
    async def mended() -> str:
        return await reserve("k")

    async def plain() -> None:
        raise ValueError("at once")

    await durable.worker(broken, plain, activities=ACTIVITIES)
    with pytest.raises(WorkflowFailed, match="at once"):
        await durable.run(plain)
    handle = await durable.start(broken)
    assert "mend me" in await _failing(handle)

    async def again() -> bool:
        return (await handle.describe()).task_failures >= 2

    await eventually(again)
    assert await handle.status() == "running"
    await _deploy(durable, mended)
    assert await handle.result(timeout="20s") == "reserved"
    assert done == ["reserve k"]


async def test_124_calls_count_when_they_are_made(durable: Durable) -> None:
    async def example() -> list[str]:
        task = asyncio.create_task(_execute("first"))  # type: ignore[arg-type]
        _execute("never awaited")
        last = await _execute("last")
        return [await task, last]

    def _execute(what: str) -> Any:
        return workflow.execute_activity(reserve, what)

    await durable.worker(example, activities=ACTIVITIES)
    handle = await durable.start(example)
    assert await handle.result(timeout="20s") == ["reserved", "reserved"]
    acts = [e for e in await handle.history() if e.kind == "ACT"]
    assert [(e.seq, e.fields["args"]) for e in acts] == [
        (1, ["first"]),
        (2, ["never awaited"]),
        (3, ["last"]),
    ]


async def test_parallel_failures_are_all_tried_again(durable: Durable) -> None:
    """An attempt that fails while the run's commit is under way is not forgotten."""

    @activity.defn(retry=RetryPolicy(initial_interval="10ms", maximum_attempts=5))
    async def flaky(n: int) -> int:
        await asyncio.sleep(n * 0.0003)
        if n % 2 and activity.info().attempt < 3:
            raise ValueError("not yet")
        return n

    async def example() -> list[int]:
        return await asyncio.gather(*(flaky(n) for n in range(60)))

    await durable.worker(example, activities=[flaky])
    for _ in range(3):
        assert await durable.run(example) == list(range(60))
