"""Scenario 119, and that every point where an interceptor may stand is passed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from typing import Any

import pytest
from conftest import Durable

from hotmesh.core.durable import records as r
from hotmesh.durable import (
    ActivityInterceptor,
    Call,
    Client,
    ClientInterceptor,
    WorkflowInterceptor,
    WorkflowInterrupted,
    activity,
    workflow,
)
from hotmesh.durable.errors import RegistrationError, UpdateFailedError, WorkflowFailed


@activity.defn
async def tenant(where: str) -> str:
    return f"{where}={activity.info().headers.get('tenant')}"


@activity.defn
async def audit(name: str) -> str:
    return name


async def child() -> str:
    return await tenant("child")


async def main(found: list[str]) -> list[str]:
    found = [*found, await tenant("run"), await workflow.execute_child(child)]
    if len(found) < 4:
        workflow.continue_as_new(found)
    return found


class Audited(WorkflowInterceptor):
    """Adds a step in front of each activity but its own."""

    async def call_activity(self, call: Call, next: Any) -> Any:
        if call.name != "audit":
            await workflow.execute_activity(audit, call.name)
        return await next(call)


async def _acts(durable: Durable, jid: str, run_id: str) -> list[str]:
    point = await durable.client.open()
    items = r.decode_items(await point.runs.history(jid, run_id))
    turns = [item for item in items if isinstance(item, r.Turn)]
    return [c.name for turn in turns for c in turn.commands if isinstance(c, r.Act)]


async def test_an_added_step_replays_and_headers_flow(durable: Durable) -> None:
    served = (main, child)
    await durable.worker(*served, activities=[tenant, audit], interceptors=[Audited()])

    handle = await durable.start(main, [], headers={"tenant": "acme"})

    one = ["run=acme", "child=acme"]
    assert await handle.result(timeout="20s") == one * 2
    assert await _acts(durable, handle.workflow_id, handle.run_id) == ["audit", "tenant"]
    assert not (await handle.describe()).task_failures


SEEN: dict[str, list[str]] = {}


class Everything(ClientInterceptor, WorkflowInterceptor, ActivityInterceptor):
    """Writes down what passes, and who it was."""

    def __init__(self, who: str, seen: list[str]) -> None:
        self.who, self.seen = who, seen

    def see(self, point: str, call: Call) -> None:
        if not workflow.in_workflow() or not workflow.is_replaying():
            self.seen.append(f"{self.who} {point} {call.name}".strip())


def _recording(name: str) -> Any:
    def around(self: Everything, call: Call, next: Any) -> Any:
        self.see(name, call)
        return next(call)

    return around


POINTS = [
    name
    for kind in (ClientInterceptor, WorkflowInterceptor, ActivityInterceptor)
    for name in vars(kind)
    if not name.startswith("_")
]
for _name in POINTS:
    setattr(Everything, _name, _recording(_name))


@activity.defn
def plain() -> str:
    activity.heartbeat("half")
    assert threading.current_thread() is not threading.main_thread()
    return activity.info().name


@workflow.defn(name="everywhere")
class Everywhere:
    def __init__(self) -> None:
        self.got: list[str] = []

    @workflow.run
    async def main(self, again: bool) -> list[str]:
        if not again:
            return [*self.got, "over"]
        await workflow.execute_activity(plain)
        await workflow.execute_local_activity(plain)
        await workflow.execute_child(silent, workflow_id=workflow.info().workflow_id + "-child")
        await workflow.sleep_for("1ms")
        await workflow.signal("news", "x", workflow_id=workflow.info().workflow_id)
        other = await workflow.start_child(lasting)
        await workflow.cancel(other.workflow_id)
        await asyncio.wait([other])
        await workflow.wait_condition(lambda: len(self.got) >= 3)
        workflow.continue_as_new(False)
        return []

    @workflow.signal
    async def news(self, what: str) -> None:
        self.got.append(what)

    @workflow.query
    def count(self) -> int:
        return len(self.got)

    @workflow.update
    async def change(self, what: str) -> str:
        self.got.append(what)
        return what

    @change.validator
    def check(self, what: str) -> None:
        if what == "bad":
            raise ValueError("no")


async def silent() -> None:
    return None


async def lasting() -> None:
    await workflow.sleep_for("1 day")


async def test_every_point_is_passed_the_first_outermost(durable: Durable) -> None:
    seen: list[str] = []
    both = [Everything("outer", seen), Everything("inner", seen)]
    client = Client(durable.redis_url, durable.namespace, interceptors=both)
    durable.clients.append(client)
    served = (Everywhere, silent, lasting)
    await durable.worker(*served, activities=[plain], interceptors=both)

    handle = await client.workflow.start(Everywhere, True)
    await handle.signal("news", "a")
    assert await handle.update("change", "b") == "b"
    with pytest.raises(UpdateFailedError):
        await handle.update("change", "bad")
    await handle.query("count")
    assert await handle.result(timeout="20s") == ["over"]
    ended = await client.workflow.start(lasting)
    await ended.cancel()
    with pytest.raises(WorkflowFailed):
        await ended.result(timeout="20s")
    ended = await client.workflow.start(lasting)
    await ended.terminate()
    with pytest.raises(WorkflowInterrupted):
        await ended.result(timeout="20s")

    passed = {line.split()[1] for line in seen}
    assert passed == set(POINTS)
    for point in POINTS:
        of_point = [line.split()[0] for line in seen if line.split()[1] == point]
        assert of_point.count("outer") == of_point.count("inner"), point
        assert of_point[0] == "outer", point


class Marking(ClientInterceptor, WorkflowInterceptor, ActivityInterceptor):
    """Changes what passes."""

    async def start_workflow(self, call: Call, next: Any) -> Any:
        call.headers["tenant"] = "set by the client"
        return await next(call)

    def call_activity(self, call: Call, next: Any) -> Awaitable[Any]:
        call.args = (f"{call.args[0]}!",)
        awaitable: Awaitable[Any] = next(call)
        return awaitable

    async def run_activity(self, call: Call, next: Any) -> Any:
        return f"<{await next(call)}>"


async def test_calls_can_be_changed(durable: Durable) -> None:
    client = Client(durable.redis_url, durable.namespace, interceptors=[Marking()])
    durable.clients.append(client)
    await durable.worker(child, activities=[tenant], interceptors=[Marking()])

    result = await client.workflow.execute(child)

    assert result == "<child!=set by the client>"


def test_what_is_none_is_refused() -> None:
    with pytest.raises(RegistrationError, match="is no interceptor"):
        Client(None, "x", interceptors=[object()])  # type: ignore[list-item]
