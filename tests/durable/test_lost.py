"""Activities that a replay finds open: lost with their worker, or answered in that moment."""

from __future__ import annotations

import asyncio
from typing import Any

from durable_env import Durable
from support import eventually

from hotmesh.durable import activity, workflow


async def test_an_answer_that_comes_while_a_run_is_read_is_no_loss(durable: Durable) -> None:
    go_on, attempts = asyncio.Event(), []

    @activity.defn
    async def held() -> str:
        attempts.append(activity.info().attempt)
        await go_on.wait()
        return "done"

    async def example() -> list[Any]:
        answer = held()
        (said,) = await workflow.wait_for_signal(f"go-{workflow.info().workflow_id}")
        return [said, await answer]

    worker = await durable.worker(example, activities=[held], max_cached=0, eager=False)
    handle = await durable.start(example)
    await eventually(lambda: attempts)
    assert worker.turns is not None
    find_lost = worker.turns.eager.find_lost

    async def late(replayed: Any) -> None:
        go_on.set()

        async def answered() -> bool:
            return "ACT_DONE" in (await handle.history()).kinds

        await eventually(answered)
        await find_lost(replayed)

    worker.turns.eager.find_lost = late  # type: ignore[method-assign]
    await durable.client.workflow.signal(f"go-{handle.workflow_id}", "go")
    assert await handle.result(timeout="20s") == ["go", "done"]
    assert attempts == [1]


async def test_a_local_activity_goes_on_in_another_memory(durable: Durable) -> None:
    """It is asked for together with a timer, so that history holds it before it has ended."""
    began: list[int] = []

    async def slow() -> str:
        began.append(1)
        if len(began) == 1:
            await asyncio.Event().wait()
        return "local"

    async def example() -> list[Any]:
        return list(
            await asyncio.gather(workflow.execute_local_activity(slow), workflow.sleep_for("10ms"))
        )

    worker = await durable.worker(example)
    handle = await durable.start(example)
    await eventually(lambda: began)

    async def asked() -> bool:
        return "TIMER" in (await handle.history()).kinds

    await eventually(asked)
    assert worker.turns is not None
    (active,) = worker.turns.active.values()
    worker.turns._reload(active)
    assert await handle.result(timeout="20s") == ["local", 0.01]
    assert len(began) == 2
