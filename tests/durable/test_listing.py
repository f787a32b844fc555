"""Workflows are described, found and deleted, and leave nothing behind."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import Durable
from support import eventually

from hotmesh.durable import (
    ApplicationError,
    RetryPolicy,
    WorkflowFailed,
    WorkflowNotFound,
    activity,
    workflow,
)
from hotmesh.durable.errors import SearchQueryError
from hotmesh.durable.listing import PAGE
from hotmesh.errors import HotMeshError, SettingsInvalid


async def waits() -> str:
    name = f"go-{workflow.info().workflow_id}"  # one run at a time waits for a name
    await workflow.wait_for_signal(name)
    return "gone"


async def ends(value: int = 0) -> int:
    return value


async def ids(durable: Durable, query: str, **options: Any) -> list[str]:
    return [d.workflow_id for d in await durable.client.workflow.list(query, **options)]


async def keys_of(durable: Durable) -> set[str]:
    """Every key of the namespace but the streams and what all runs share."""
    point = await durable.client.open()
    keys: set[str] = set()
    cursor = b"0"
    while True:
        pattern = f"hm:{{{durable.namespace}*"
        cursor, page = (
            await point.runs.execute([("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)])
        )[0]
        keys |= {k.decode() for k in page}
        if cursor == b"0":
            return keys


async def test_a_running_workflow_is_described(durable: Durable) -> None:
    @activity.defn(retry=RetryPolicy(initial_interval="1h"))
    async def broken() -> None:
        raise ApplicationError("not today")

    async def example() -> None:
        await broken()

    await durable.worker(example, activities=[broken])
    handle = await durable.start(
        example,
        workflow_id="w",
        memo={"note": "n"},
        search_attributes={"customer": "x", "tags": ["a", "b"]},
    )

    async def failed_once() -> Any:
        described = await handle.describe()
        pending = described.pending_activities
        return described if pending and pending[0].attempt == 2 else None

    found = await eventually(failed_once)

    assert (found.workflow_id, found.run_id) == ("w", handle.run_id)
    assert (found.workflow, found.status, found.task_queue) == ("example", "running", "default")
    assert abs(found.started_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert found.closed_at is None
    assert found.attempt == 1
    assert found.memo == {"note": "n"}
    assert found.search_attributes == {"customer": "x", "tags": ["a", "b"]}
    (pending,) = found.pending_activities
    assert (pending.seq, pending.name) == (1, "broken")
    assert pending.last_failure == "not today"


async def test_an_ended_workflow_is_described(durable: Durable) -> None:
    await durable.worker(ends)
    handle = await durable.start(ends, 5)
    await handle.result(timeout="20s")

    found = await handle.describe()

    assert found.status == "completed"
    assert found.closed_at is not None
    assert found.closed_at >= found.started_at
    assert found.pending_activities == ()


async def test_code_that_cannot_go_on_is_described(durable: Durable) -> None:
    async def example() -> None:
        raise ValueError("a fault of the code")

    definition = workflow.defn(suspend_on=(ValueError,))(example)
    await durable.worker(definition)
    handle = await durable.start(definition)

    found = await eventually(lambda: _with_failures(handle))

    assert found.status == "running"
    assert "a fault of the code" in found.last_error


async def _with_failures(handle: Any) -> Any:
    found = await handle.describe()
    return found if found.task_failures else None


async def test_what_is_not_there_is_not_described(durable: Durable) -> None:
    with pytest.raises(WorkflowNotFound):
        await durable.client.workflow.get_handle("none").describe()


async def test_workflows_are_found(durable: Durable) -> None:
    await durable.worker(ends, waits)
    for n in range(4):
        await durable.start(
            waits,
            workflow_id=f"w{n}",
            search_attributes={"customer": "with space-and-dash" if n % 2 else "y", "n": n},
        )
        await asyncio.sleep(0.002)  # starts of one millisecond have no order
    for n in range(3):
        await durable.run(ends, n, workflow_id=f"e{n}", search_attributes={"n": n + 10})

    assert await ids(durable, "") == ["e2", "e1", "e0", "w3", "w2", "w1", "w0"]
    assert await ids(durable, "status = 'running'") == ["w3", "w2", "w1", "w0"]
    assert await ids(durable, "status = 'completed'") == ["e2", "e1", "e0"]
    assert await ids(durable, "customer = 'with space-and-dash'") == ["w3", "w1"]
    assert await ids(durable, "customer = 'y' and status = 'running' and n > 0") == ["w2"]
    assert await ids(durable, "n between 2 and 11") == ["e1", "e0", "w3", "w2"]
    assert await ids(durable, "n = 1 or n = 11 or n = 99") == ["e1", "w1"]
    assert await ids(durable, "workflow = 'ends'", limit=2) == ["e2", "e1"]
    assert await ids(durable, "workflow_id in ('e1', 'w0', 'none')") == ["e1", "w0"]
    assert await durable.client.workflow.count("status = 'running'") == 4
    assert await durable.client.workflow.count() == 7

    await durable.client.workflow.get_handle("w1").signal("go-w1")
    await durable.client.workflow.get_handle("w1").result(timeout="20s")
    assert await ids(durable, "customer = 'with space-and-dash'") == ["w3", "w1"]
    assert await ids(durable, "status = 'completed' and n = 1") == ["w1"]


async def test_changed_attributes_are_found(durable: Durable) -> None:
    async def example() -> None:
        await workflow.upsert_search_attributes(stage="two", gone=None)
        await workflow.wait_for_signal("go")

    await durable.worker(example)
    await durable.start(
        example, workflow_id="w", search_attributes={"stage": "one", "gone": "x", "kept": 1}
    )

    await eventually(lambda: ids(durable, "stage = 'two'"))

    assert await ids(durable, "stage = 'one'") == []
    assert await ids(durable, "gone = 'x'") == []
    assert await ids(durable, "kept = 1 and gone = null") == ["w"]


async def test_pages_are_put_together(durable: Durable) -> None:
    number = PAGE * 2 + 7
    started = [
        durable.start(waits, workflow_id=f"w{n}", search_attributes={"half": n % 2})
        for n in range(number)
    ]
    await asyncio.gather(*started)

    assert await durable.client.workflow.count("status = 'running'") == number
    found = await durable.client.workflow.list("half = 1", limit=5_000)
    assert len(found) == number // 2
    times = [d.started_at for d in found]
    assert times == sorted(times, reverse=True)


async def test_a_query_that_makes_no_sense_is_refused(durable: Durable) -> None:
    with pytest.raises(SearchQueryError, match="column 10"):
        await durable.client.workflow.list("status = running")
    with pytest.raises(SettingsInvalid, match="limit"):
        await durable.client.workflow.list("", limit=0)


async def test_an_ended_workflow_is_deleted(durable: Durable) -> None:
    await durable.worker(ends, waits)
    before = await keys_of(durable)
    handle = await durable.start(ends, 1, workflow_id="w", search_attributes={"customer": "x"})
    await handle.result(timeout="20s")

    await durable.client.workflow.delete("w")

    assert await ids(durable, "") == []
    with pytest.raises(WorkflowNotFound):
        await handle.describe()
    with pytest.raises(WorkflowNotFound):
        await durable.client.workflow.delete("w")
    await eventually(lambda: _left(durable, before))


async def _left(durable: Durable, before: set[str]) -> bool:
    return not {k for k in await keys_of(durable) - before if not _is_of_the_process(k)}


def _is_of_the_process(key: str) -> bool:
    """Streams, the lives of workers, and members: they belong to no run."""
    rest = key.partition("}")[2].lstrip(":")
    return rest.startswith(("s", "a:", "k:", "members", "t", "o", "wake"))


async def test_a_running_workflow_is_not_deleted(durable: Durable) -> None:
    await durable.start(waits, workflow_id="w")
    with pytest.raises(HotMeshError, match="is running"):
        await durable.client.workflow.delete("w")
    assert await ids(durable, "") == ["w"]


async def test_a_new_run_sees_nothing_of_a_deleted_one(durable: Durable) -> None:
    calls: list[str] = []

    @activity.defn
    async def act() -> int:
        calls.append("x")
        return len(calls)

    async def example() -> list[Any]:
        field = await workflow.search().get("color")
        await workflow.search().set(color="red")
        return [field, await act()]

    await durable.worker(example, activities=[act])
    assert await durable.run(example, workflow_id="w") == [None, 1]
    await durable.client.workflow.delete("w")
    assert await durable.run(example, workflow_id="w") == [None, 2]


async def test_an_expired_workflow_leaves_nothing(durable: Durable) -> None:
    await durable.worker(ends)
    await durable.run(ends, workflow_id="first", expire="1h")
    before = await keys_of(durable)
    handle = await durable.start(
        ends, 1, workflow_id="w", expire="300ms", search_attributes={"customer": "x", "n": [1, 2]}
    )
    await handle.result(timeout="20s")
    assert await ids(durable, "customer = 'x'") == ["w"]

    await eventually(lambda: _left(durable, before), within_s=20)

    assert await ids(durable, "") == ["first"]


async def test_a_reused_id_keeps_its_own_index_entries(durable: Durable) -> None:
    await durable.worker(ends, waits)
    old = await durable.start(
        ends, workflow_id="w", expire="300ms", search_attributes={"old": 1, "both": 1}
    )
    await old.result(timeout="20s")
    new = await durable.start(waits, workflow_id="w", search_attributes={"new": 1, "both": 1})
    point = await durable.client.open()
    partition = point.store.keys.of("w")

    async def swept() -> bool:
        keys = [partition.runs("a:old=1"), partition.runs("expiring"), partition.runs("closed")]
        return await point.runs.execute([("EXISTS", *keys)]) == [0]

    await eventually(swept, within_s=20)

    assert await ids(durable, "both = 1") == ["w"]
    assert await ids(durable, "new = 1") == ["w"]
    assert await ids(durable, "old = 1") == []
    await new.signal("go-w")
    assert await new.result(timeout="20s") == "gone"


async def test_a_failed_run_is_found_by_its_status(durable: Durable) -> None:
    async def example() -> None:
        raise ApplicationError("no")

    await durable.worker(example)
    with pytest.raises(WorkflowFailed):
        await durable.run(example, workflow_id="w")
    assert await ids(durable, "status = 'failed'") == ["w"]
    await durable.start(waits, workflow_id="t")
    await durable.client.workflow.get_handle("t").terminate("enough")
    assert await ids(durable, "status in ('terminated', 'failed')") == ["t", "w"]
