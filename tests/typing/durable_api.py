"""What users' type checkers see. Checked by mypy, never run."""

from __future__ import annotations

from typing import Any, assert_type

from hotmesh import durable
from hotmesh.durable import Client, RetryPolicy, WorkflowHandle, activity, workflow
from hotmesh.durable.search import Search
from hotmesh.durable.steps import ChildHandle, Step


@durable.activity
async def bare(name: str) -> int:
    return len(name)


@durable.activity(retry=RetryPolicy(maximum_attempts=5), start_to_close_timeout="30s")
async def optioned(name: str) -> int:
    return len(name)


@activity.defn
def threaded(name: str) -> int:
    return len(name)


@activity.defn(name="other")
def threaded_optioned(name: str) -> int:
    return len(name)


@durable.workflow(name="typed", task_queue="q")
async def called(name: str) -> float:
    return 1.0


@workflow.defn
async def marked(name: str) -> float:
    return 1.0


@workflow.defn(name="class")
class Marked:
    @workflow.run
    async def main(self, name: str) -> str:
        return name


async def plain(name: str) -> bytes:
    return b""


def compute(x: int) -> complex:
    return complex(x)


def info_of(info: activity.ActivityInfo, run: workflow.WorkflowInfo) -> str:
    return info.name + run.workflow


async def inside() -> None:
    assert_type(await bare("x"), int)
    assert_type(await optioned("x"), int)
    assert_type(await threaded("x"), int)
    assert_type(await threaded_optioned("x"), int)
    await bare(1)  # type: ignore[arg-type]
    await optioned()  # type: ignore[call-arg]

    one = workflow.proxy_activities(optioned, start_to_close_timeout="1s")
    assert_type(await one("x"), int)
    first, second = workflow.proxy_activities((bare, threaded))
    assert_type(await first("x"), int)
    assert_type(await second("x"), int)

    assert_type(await workflow.execute_child(plain, "x"), bytes)
    assert_type(await workflow.execute_child(called, "x", workflow_id="w"), float)
    assert_type(await workflow.execute_child("by name"), Any)
    child = await workflow.start_child(plain, args=["x"], parent_close_policy="abandon")
    assert_type(child, ChildHandle[bytes])
    assert_type(await child, bytes)
    assert_type(await workflow.wait_for_signal("a", "b"), list[Any])
    assert_type(workflow.once(compute, 1), Step[complex])
    assert_type(await workflow.once(plain, "x"), bytes)
    assert_type(workflow.search(), Search)
    assert_type(await workflow.search().delete("x"), int)
    assert_type(workflow.patched("x"), bool)
    await workflow.execute_child(plain, nonsense=1)  # type: ignore[call-overload]


async def outside(client: Client) -> None:
    handle = await client.workflow.start(plain, "x", task_queue="q")
    assert_type(handle, WorkflowHandle[bytes])
    assert_type(await handle.result(), bytes)
    assert_type(await client.workflow.start(called, args=["x"]), WorkflowHandle[float])
    assert_type(await client.workflow.start(marked), WorkflowHandle[float])
    assert_type(await client.workflow.start(Marked, "x"), WorkflowHandle[Any])
    assert_type(await client.workflow.start("name"), WorkflowHandle[Any])
    assert_type(await client.workflow.execute(plain, "x"), bytes)
