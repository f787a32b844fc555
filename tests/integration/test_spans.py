"""A run is drawn as its own graph: one span per leg, below the leg that opened it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from support import eventually

from hotmesh import HotMesh, JobError, StreamData, StreamResult, Worker

MODEL = """
app:
  id: traced
  version: '1'
  graphs:
    - subscribes: order
      activities:
        start: {type: trigger}
        price: {type: worker, topic: price}
        stock: {type: worker, topic: stock}
        both: {type: hook, join: all}
        ask:
          type: hook
          sleep: 60
          telemetry: {who: '{$self.hook.data.id}', n: '{price.output.data.n}'}
        child: {type: await, topic: pack}
      transitions:
        start: [{to: price}, {to: stock}]
        price: [{to: both}]
        stock: [{to: both}]
        both: [{to: ask}]
        ask: [{to: child}]
      hooks:
        answered:
          - to: ask
            conditions:
              match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]
    - subscribes: pack
      activities:
        open: {type: trigger}
        loop: {type: hook, output: {maps: {n: 1}}}
        wrap: {type: worker, topic: wrap}
        again: {type: cycle, ancestor: loop}
      transitions:
        open: [{to: loop}]
        loop: [{to: wrap}]
        wrap:
          - {to: again, conditions: {code: 202}}
"""

EDGES = [
    ("web request", None),
    ("send order", "web request"),
    ("run order", "send order"),
    ("trigger start 1", "run order"),
    ("worker price 1", "trigger start 1"),
    ("process price", "worker price 1"),
    ("look up", "process price"),
    ("worker price 2", "process price"),
    ("worker stock 1", "trigger start 1"),
    ("process stock", "worker stock 1"),
    ("look up", "process stock"),
    ("worker stock 2", "process stock"),
    ("hook ask 1", "hook both 1"),
    ("web hook", None),
    ("hook ask 2", "hook ask 1"),
    ("await child 1", "hook ask 2"),
    ("run pack", "await child 1"),
    ("trigger open 1", "run pack"),
    ("hook loop 1", "trigger open 1"),
    ("worker wrap 1", "hook loop 1"),
    ("process wrap", "worker wrap 1"),
    ("in a thread", "process wrap"),
    ("worker wrap 2", "process wrap"),
    ("cycle again 1", "worker wrap 2"),
    ("hook loop 1", "cycle again 1"),
    ("worker wrap 1", "hook loop 1"),
    ("process wrap", "worker wrap 1"),
    ("in a thread", "process wrap"),
    ("worker wrap 2", "process wrap"),
    ("await child 2", "worker wrap 2"),
]
"""Every span of the run below, and what it hangs under."""


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans of this process, by a provider of the test's own."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def tree(spans: tuple[ReadableSpan, ...]) -> list[tuple[str, str | None]]:
    """Each span with what it hangs under, by their names."""
    assert all(span.context is not None for span in spans)
    names: dict[int, str] = {span.context.span_id: _name(span) for span in spans if span.context}
    edges = [(_name(s), names.get(s.parent.span_id) if s.parent else None) for s in spans]
    return sorted(edges, key=str)


def _name(span: ReadableSpan) -> str:
    leg = (span.attributes or {}).get("hotmesh.activity.leg")
    return f"{span.name} {leg}" if leg else span.name


async def test_a_run_is_one_tree_of_its_legs(
    exported: InMemorySpanExporter, redis_url: str, app_id: str
) -> None:
    tracer = trace.get_tracer("test")

    async def plain(message: StreamData) -> dict[str, Any]:
        with tracer.start_as_current_span("look up"):
            return {"n": 1}

    def in_a_thread(message: StreamData) -> StreamResult:
        with tracer.start_as_current_span("in a thread"):
            return StreamResult(data={}, code=202 if message.metadata.dad.count("1") == 0 else 200)

    workers = [Worker("price", plain), Worker("stock", plain), Worker("wrap", in_a_thread)]
    async with HotMesh.session(app_id, redis_url, workers=workers) as mesh:
        await mesh.deploy(MODEL.replace("id: traced", f"id: {app_id}"))
        await mesh.activate("1")
        with tracer.start_as_current_span("web request"):
            jid = await mesh.pub("order", {})
        await eventually(lambda: _drawn(exported, "hook ask"))
        with tracer.start_as_current_span("web hook") as sender:
            await mesh.hook("answered", {"id": jid})
        output = await mesh.result("order", jid, timeout=20)
        await eventually(lambda: _drawn(exported, "await child", 2))

    spans = exported.get_finished_spans()
    assert output.metadata.js == 0
    assert len({span.context.trace_id for span in spans if span.name != "web hook"}) == 1
    joined = next(parent for name, parent in tree(spans) if name == "hook both 1")
    assert joined in ("worker price 2", "worker stock 2")  # whichever came last
    assert [edge for edge in tree(spans) if edge[0] != "hook both 1"] == sorted(EDGES, key=str)
    ask = next(span for span in spans if _name(span) == "hook ask 2")
    assert ask.attributes is not None and ask.attributes["hotmesh.data.n"] == 1
    assert ask.attributes["hotmesh.data.who"] == ask.attributes["hotmesh.job.id"] == jid
    assert [link.context.span_id for link in ask.links] == [sender.get_span_context().span_id]
    assert all(span.status.status_code is not StatusCode.ERROR for span in spans)


async def test_a_failure_is_an_error_where_it_happened(
    exported: InMemorySpanExporter, redis_url: str, app_id: str
) -> None:
    async def broken(message: StreamData) -> dict[str, Any]:
        raise ValueError("no price")

    workers = [Worker("wrap", broken)]
    async with HotMesh.session(app_id, redis_url, workers=workers) as mesh:
        await mesh.deploy(MODEL.replace("id: traced", f"id: {app_id}"))
        await mesh.activate("1")
        with pytest.raises(JobError):
            await mesh.pubsub("pack", {}, timeout=20)

    spans = exported.get_finished_spans()
    failed = {_name(s) for s in spans if s.status.status_code is StatusCode.ERROR}
    assert failed == {"process wrap", "worker wrap 2"}
    assert "no price" in str([event.attributes for s in spans for event in s.events])


async def test_a_run_that_nobody_traces_draws_nothing(
    exported: InMemorySpanExporter, redis_url: str, app_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def plain(message: StreamData) -> dict[str, Any]:
        return {"n": 1, "trace": message.metadata.trace}

    workers = [Worker(topic, plain) for topic in ("price", "stock", "wrap")]
    async with HotMesh.session(app_id, redis_url, workers=workers) as mesh:
        await mesh.deploy(MODEL.replace("id: traced", f"id: {app_id}"))
        await mesh.activate("1")
        unsampled = {"metadata": {"trc": "0" * 31 + "1", "spn": "0" * 15 + "1", "flags": "00"}}
        await mesh.pubsub("pack", {}, context=unsampled, timeout=20)

    assert exported.get_finished_spans() == ()


def _drawn(exported: InMemorySpanExporter, name: str, times: int = 1) -> bool:
    return [span.name for span in exported.get_finished_spans()].count(name) >= times
