"""A traced run is drawn as its own graph: a span per leg of a step, one trace over parent, children
and what activities open themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from conftest import Durable
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support import eventually

from hotmesh.durable import activity, workflow

EDGES = {
    ("send order", "web request"),
    ("run order", "send order"),
    ("activity price 1", "run order"),
    ("process price", "activity price 1"),
    ("look up", "process price"),
    ("activity price 2", "activity price 1"),
    ("sleep sleep 1", "activity price 2"),
    ("sleep sleep 2", "sleep sleep 1"),
    ("child pack 1", "sleep sleep 2"),
    ("run pack", "child pack 1"),
    ("activity wrap 1", "run pack"),
    ("process wrap", "activity wrap 1"),
    ("activity wrap 2", "activity wrap 1"),
    ("child pack 2", "child pack 1"),
}


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def _name(span: ReadableSpan) -> str:
    leg = (span.attributes or {}).get("hotmesh.activity.leg")
    return f"{span.name} {leg}" if leg else span.name


async def test_a_run_is_one_graph(durable: Durable, spans: InMemorySpanExporter) -> None:
    @activity.defn
    async def price() -> int:
        with trace.get_tracer("shop").start_as_current_span("look up"):
            await asyncio.sleep(0)
        return 7

    @activity.defn
    def wrap() -> str:
        return "paper"

    async def pack() -> str:
        return await wrap()

    async def order() -> list[object]:
        found = [await price()]
        await workflow.sleep_for("10ms")
        return [*found, await workflow.execute_child(pack)]

    await durable.worker(order, pack, activities=[price, wrap])
    with trace.get_tracer("web").start_as_current_span("web request"):
        assert await durable.run(order) == [7, "paper"]

    def edges() -> set[tuple[str, str]]:
        found = spans.get_finished_spans()
        by_id = {s.context.span_id: s for s in found}
        assert len(by_id) == len(found), "a span was drawn twice"
        return {(_name(s), _name(by_id[s.parent.span_id])) for s in found if s.parent}

    await eventually(lambda: len(edges()) >= len(EDGES))
    assert edges() == EDGES
    assert len({s.context.trace_id for s in spans.get_finished_spans()}) == 1
