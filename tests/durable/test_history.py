"""Histories: what they say, that they can be kept and read again, and how they are drawn."""

from __future__ import annotations

import asyncio
import json
from xml.etree import ElementTree

import pytest
from conftest import Durable
from support import eventually

from hotmesh import HotMesh
from hotmesh.durable import ActivityError, ApplicationError, RetryPolicy, activity, workflow
from hotmesh.durable.errors import UpdateFailedError
from hotmesh.durable.history import History
from hotmesh.errors import FormatUnknown, PayloadInvalid


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


async def hello(name: str) -> str:
    return await greet(name)


async def test_one_activity_gives_the_events_of_the_book(durable: Durable) -> None:
    await durable.worker(hello, activities=[greet])
    handle = await durable.start(hello, "you")
    await handle.result(timeout="20s")

    history = await handle.history()

    assert history.kinds == ["START", "TASK", "ACT", "ACT_DONE", "TASK", "COMPLETE"]
    assert [event.id for event in history] == [1, 2, 3, 4, 5, 6]
    start, first, act, done, second, complete = history
    assert start.fields["type"] == "hello"
    assert start.fields["args"] == ["you"]
    assert first.fields["ins"] == [1]
    assert second.fields["ins"] == [4]
    assert (act.seq, act.fields["name"], act.fields["args"]) == (1, "greet", ["you"])
    assert (done.seq, done.fields["result"]) == (1, "Hello, you!")
    assert complete.fields == {"result": "Hello, you!"}
    assert [event.ts for event in history] == sorted(event.ts for event in history)
    assert start.ts > 1_600_000_000_000


async def test_a_history_survives_its_json(durable: Durable) -> None:
    await durable.worker(hello, activities=[greet])
    handle = await durable.start(hello, "you")
    await handle.result(timeout="20s")
    history = await handle.history()

    text = history.to_json()
    again = History.from_json(text)

    assert again == history
    assert again.events == history.events
    assert again.items == history.items
    assert again.to_json() == text
    assert [e["kind"] for e in json.loads(text)["events"]] == history.kinds


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": "x"}', "\x00"])
def test_what_is_no_history_is_refused(text: str) -> None:
    with pytest.raises(PayloadInvalid, match="not the JSON of a history"):
        History.from_json(text)


def test_a_later_format_is_refused() -> None:
    text = '{"format": 99, "workflow_id": "a", "run_id": "b", "items": []}'
    with pytest.raises(FormatUnknown, match="99"):
        History.from_json(text)


async def test_every_kind_of_step_is_told(durable: Durable) -> None:
    async def child(n: int) -> int:
        return n + 1

    @activity.defn(retry=RetryPolicy(maximum_attempts=1))
    async def broken() -> None:
        raise ApplicationError("nope", 7)

    async def example() -> list[int]:
        await asyncio.sleep(0.01)
        with pytest.raises(ActivityError):
            await broken()
        first = await workflow.execute_child(child, 1)
        await workflow.search().set(color="red")
        assert await workflow.search().get("color") == "red"
        workflow.upsert_search_attributes(customer="x")
        got = await workflow.wait_for_signal("go")
        return [first, *got]

    await durable.worker(example, child, activities=[broken])
    handle = await durable.start(example)
    await eventually(lambda: _has(handle, "WAIT"))
    await handle.signal("go", 3)
    assert await handle.result(timeout="20s") == [2, 3]

    kinds = (await handle.history()).kinds
    for kind in (
        "TIMER",
        "TIMER_FIRED",
        "ACT",
        "ACT_FAIL",
        "CHILD",
        "CHILD_STARTED",
        "CHILD_DONE",
        "SEARCH",
        "SEARCH_DONE",
        "ATTRS",
        "WAIT",
        "SIGNAL",
        "COMPLETE",
    ):
        assert kind in kinds, kind
    assert kinds.index("CHILD") < kinds.index("CHILD_STARTED") < kinds.index("CHILD_DONE")


async def _has(handle: object, kind: str) -> bool:
    return kind in (await handle.history()).kinds  # type: ignore[attr-defined]


async def test_a_rejected_update_leaves_nothing(durable: Durable) -> None:
    @workflow.defn
    class Counter:
        def __init__(self) -> None:
            self.total = 0

        @workflow.run
        async def main(self) -> int:
            await workflow.wait_for_signal("stop")
            return self.total

        @workflow.update
        async def add(self, n: int) -> int:
            self.total += n
            return self.total

        @add.validator
        def check(self, n: int) -> None:
            if n < 0:
                raise ValueError("negative")

    await durable.worker(Counter)
    handle = await durable.start(Counter)
    assert await handle.update("add", 2) == 2
    before = (await handle.history()).events

    with pytest.raises(UpdateFailedError, match="negative"):
        await handle.update("add", -1)

    assert (await handle.history()).events == before
    assert [e.kind for e in before if e.kind.startswith("UPD")] == ["UPD_ACCEPT", "UPD_DONE"]


async def test_an_end_from_outside_is_the_last_event(durable: Durable) -> None:
    async def example() -> None:
        await asyncio.sleep(3600)

    await durable.worker(example)
    handle = await durable.start(example)
    await eventually(lambda: _has(handle, "TIMER"))
    await handle.terminate("enough")

    history = await handle.history()

    assert history.kinds[-1] == "TERMINATED"
    assert history[-1].fields["reason"] == "enough"
    assert history[-1].ts >= history[0].ts
    assert [leg.state for leg in history.steps().legs] == ["done", "done"]


async def test_a_timeline_is_drawn(durable: Durable) -> None:
    await durable.worker(hello, activities=[greet])
    handle = await durable.start(hello, "you")
    await handle.result(timeout="20s")
    history = await handle.history()

    rows = history.timeline().splitlines()
    assert rows[1].startswith("hello ") and " done " in rows[1]
    assert rows[2].startswith("greet ") and " done " in rows[2]
    assert ElementTree.fromstring(history.timeline("svg")).tag.endswith("svg")
    assert "greet 1" in history.timeline("mermaid")
    with pytest.raises(ValueError, match="text, svg or mermaid"):
        history.timeline("png")  # type: ignore[arg-type]


async def test_a_failed_run_shows_as_one(durable: Durable) -> None:
    async def example() -> None:
        raise ApplicationError("no")

    await durable.worker(example)
    handle = await durable.start(example)
    with pytest.raises(Exception, match="no"):
        await handle.result(timeout="20s")

    assert "failed" in (await handle.history()).timeline()


async def test_a_mesh_exports_a_run(durable: Durable) -> None:
    await durable.worker(hello, activities=[greet])
    handle = await durable.start(hello, "you")
    await handle.result(timeout="20s")

    async with HotMesh.session(
        app_id=durable.namespace, redis=durable.redis_url, engine=False
    ) as mesh:
        timeline = await mesh.export(handle.workflow_id)

    assert (timeline.topic, timeline.status) == ("hello", 0)
    assert [leg.activity for leg in timeline.legs] == ["hello", "greet 1"]
    assert [(e.source, e.target) for e in timeline.edges] == [("hello", "greet 1")]
