"""Agents and workflows: started, woken and awaited once per event; one trace through both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
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


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """An SDK for this test alone."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


async def test_the_trace_of_a_sender_goes_on_through_agents(
    new_app: NewApp, exporter: InMemorySpanExporter
) -> None:
    app = new_app()
    first, second = app.topic("first", value_type=int), app.topic("second", value_type=int)
    seen: list[int] = []

    @app.agent(first)
    async def forward(stream: Any) -> None:
        async for value in stream:
            await second.send(value)

    @app.agent(second)
    async def last(stream: Any) -> None:
        async for value in stream:
            seen.append(value)

    async with app.running():
        with trace.get_tracer("test").start_as_current_span("request") as root:
            await first.send(1)
        await first.send(2)
        await eventually(lambda: len(exporter.get_finished_spans()) >= 3 and len(seen) == 2)
    told = {s.name: s for s in exporter.get_finished_spans()}
    ids = {s.context.trace_id for s in told.values() if s.context is not None}
    assert set(told) == {"request", "process first", "process second"}
    assert ids == {root.get_span_context().trace_id}
