"""Agents and workflows: started, woken and awaited once per event; one trace through both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support import eventually

import hotmesh
from hotmesh import HotMesh, RetryPolicy, Worker
from hotmesh.streams.bridge import workflows_of

NewApp = Callable[..., hotmesh.App]
MeshFactory = Callable[..., Awaitable[HotMesh]]

MODEL = """
app:
  id: {app_id}
  version: '1'
  graphs:
    - subscribes: greet
      activities:
        t: {{type: trigger}}
        w:
          type: worker
          topic: work.greet
          input: {{maps: {{name: '{{t.output.data.name}}'}}}}
          job: {{maps: {{said: '{{$self.output.data.said}}'}}}}
      transitions: {{t: [{{to: w}}]}}
"""


async def test_an_event_starts_a_workflow_once_and_awaits_it(
    new_app: NewApp, mesh_factory: MeshFactory, app_id: str
) -> None:
    started: list[str] = []

    async def greet(data: dict[str, Any]) -> dict[str, Any]:
        started.append(data["name"])
        return {"said": f"hello {data['name']}"}

    mesh = await mesh_factory(workers=[Worker("work.greet", greet)])
    await mesh.deploy(MODEL.format(app_id=app_id))
    await mesh.activate("1")
    app = new_app(partitions=2)
    names = app.topic("names", value_type=str)
    said = app.table("said", value_type=str)
    tries: list[str] = []
    app.workflows = mesh

    @app.agent(names, retry=RetryPolicy(maximum_attempts=3, initial_interval="10ms"))
    async def welcome(stream: Any) -> Any:
        async for name in stream:
            result = await stream.execute("greet", {"name": name})
            tries.append(name)
            if tries.count(name) < 2:
                raise RuntimeError("after the workflow was started")
            said["to"] = result["said"]  # lies elsewhere than half of the names: the event moves
            yield result["said"]

    async with app.running():
        assert await welcome.ask("Ada") == "hello Ada"
        assert await welcome.ask("Bob") == "hello Bob"
    assert sorted(started) == ["Ada", "Bob"]
    assert len(tries) >= 4


async def test_without_workflows_the_event_says_what_to_do(new_app: NewApp) -> None:
    app = new_app()
    told: list[str] = []

    @app.agent()
    async def start(stream: Any) -> None:
        async for _ in stream:
            try:
                await stream.start("greet", {})
            except hotmesh.HotMeshError as exc:
                told.append(str(exc))

    async with app.running():
        await start.cast(1)
        await eventually(lambda: told)
    assert "app.workflows = mesh" in told[0]
    with pytest.raises(hotmesh.HotMeshError, match="start, signal and result"):
        workflows_of(object())
