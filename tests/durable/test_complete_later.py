"""Activities that are answered by a client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import Durable
from support import eventually

from hotmesh.durable import ActivityError, RetryPolicy, WorkflowFailed, activity, workflow
from hotmesh.durable.errors import ActivityGoneError
from hotmesh.errors import NameInvalid

TOKENS: dict[str, list[bytes]] = {}
DETAILS: dict[str, list[Any]] = {}


@activity.defn(retry=RetryPolicy(initial_interval="10ms", maximum_attempts=2))
async def ask(key: str) -> int:
    info = activity.info()
    TOKENS.setdefault(key, []).append(info.task_token)
    DETAILS.setdefault(key, []).append(info.heartbeat_details)
    activity.complete_later()
    return 0


async def asking() -> int:
    return await ask(workflow.info().workflow_id)


async def local() -> str:
    try:
        await workflow.execute_local_activity(ask, workflow.info().workflow_id)
    except ActivityError as exc:
        return str(exc.cause)
    return "no error"


async def stoppable() -> str:
    step = workflow.execute_activity(
        ask, workflow.info().workflow_id, cancellation="wait_completed"
    )
    try:
        await step
    except asyncio.CancelledError:
        return "stopped"
    return "done"


async def _tokens(key: str, count: int = 1) -> bytes:
    async def there() -> bool:
        return len(TOKENS.get(key, ())) >= count

    await eventually(there)
    return TOKENS[key][count - 1]


@pytest.mark.parametrize("eager", [True, False])
async def test_a_client_completes(durable: Durable, eager: bool) -> None:
    await durable.worker(asking, activities=[ask], eager=eager)
    handle = await durable.start(asking)
    answering = durable.client.activity(await _tokens(handle.workflow_id))

    await answering.complete(7)

    assert await handle.result(timeout="20s") == 7
    with pytest.raises(ActivityGoneError, match="its run has ended"):
        await answering.complete(8)


async def test_a_failure_is_tried_again_and_details_are_read(durable: Durable) -> None:
    await durable.worker(asking, activities=[ask])
    handle = await durable.start(asking)
    first = durable.client.activity(await _tokens(handle.workflow_id))
    assert not await first.heartbeat("half", 5)

    await first.fail(ValueError("no luck"))

    second = durable.client.activity(await _tokens(handle.workflow_id, 2))
    assert DETAILS[handle.workflow_id] == [(), ("half", 5)]
    for stale in (first.complete(1), first.fail(ValueError()), first.heartbeat()):
        with pytest.raises(ActivityGoneError, match="another attempt"):
            await stale
    await second.fail(ValueError("still none"))
    with pytest.raises(WorkflowFailed, match="still none"):
        await handle.result(timeout="20s")


async def test_a_cancelled_one_reports(durable: Durable) -> None:
    await durable.worker(stoppable, activities=[ask])
    handle = await durable.start(stoppable)
    answering = durable.client.activity(await _tokens(handle.workflow_id))
    await answering.heartbeat()
    await handle.cancel()
    await eventually(answering.heartbeat)

    await answering.report_cancelled()

    assert await handle.result(timeout="20s") == "stopped"


async def test_a_local_activity_refuses(durable: Durable) -> None:
    await durable.worker(local, activities=[ask])

    assert "can't be completed later" in await durable.run(local)


async def test_what_is_no_token_is_refused(durable: Durable) -> None:
    with pytest.raises(NameInvalid, match="is no task token"):
        durable.client.activity(b"garbage")
