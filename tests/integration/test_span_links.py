"""What no tree can say is a link: arms of a join, long sleeps, chains that were cut."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from support import eventually

from hotmesh import HotMesh, Settings, StreamData, Worker

HOUR_MS = 3_600_000

JOIN = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: order
      expire: 600
      activities:
        start: {type: trigger}
        one: {type: worker, topic: work}
        two: {type: worker, topic: work}
        three: {type: worker, topic: work}
        all: {type: hook, join: all}
        last: {type: worker, topic: work}
      transitions:
        start: [{to: one}, {to: two}, {to: three}]
        one: [{to: all}]
        two: [{to: all}]
        three: [{to: all}]
        all: [{to: last}]
"""

SLEEP = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: order
      expire: 600
      activities:
        start: {type: trigger}
        nap: {type: hook, sleep: SECONDS}
        work: {type: worker, topic: work}
        again: {type: hook, sleep: 1}
        side: {type: hook, sleep: 1}
        child: {type: await, topic: child}
      transitions:
        start: [{to: nap}, {to: side}]
        nap: [{to: work}]
        work: [{to: again}]
        again: [{to: child}]
    - subscribes: child
      activities:
        open: {type: trigger}
        wrap: {type: worker, topic: work}
      transitions:
        open: [{to: wrap}]
"""


async def work(message: StreamData) -> dict[str, Any]:
    return {"n": 1}


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What is exported while the test runs, with a provider of the test's own."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def named(exported: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """Spans by name; legs with their number. Each name once."""
    found = {}
    for span in exported.get_finished_spans():
        attributes = span.attributes or {}
        leg = attributes.get("hotmesh.activity.leg")
        name = f"{span.name} {leg}" if leg else span.name
        if name.startswith("process"):
            name = f"process {attributes['hotmesh.activity.id']}"
        assert name not in found, name
        found[name] = span
    return found


def parent_of(spans: dict[str, ReadableSpan], name: str) -> str | None:
    parent = spans[name].parent
    if parent is None:
        return None
    return next(
        n
        for n, s in spans.items()
        if s.context.span_id == parent.span_id and s.context.trace_id == parent.trace_id
    )


def links_of(spans: dict[str, ReadableSpan], name: str, kind: str) -> set[str]:
    """Names of what a span is linked with."""
    by_id = {(s.context.trace_id, s.context.span_id): n for n, s in spans.items()}
    return {
        by_id[link.context.trace_id, link.context.span_id]
        for link in spans[name].links
        if (link.attributes or {})["hotmesh.link"] == kind
    }


async def run(mesh: HotMesh, model: str, app_id: str) -> None:
    await mesh.deploy(model.replace("APP", app_id))
    await mesh.activate("1")


async def test_a_join_is_linked_with_the_arms_that_came_earlier(
    exported: InMemorySpanExporter, redis_url: str, app_id: str
) -> None:
    async with HotMesh.session(app_id, redis_url, workers=[Worker("work", work)]) as mesh:
        await run(mesh, JOIN, app_id)
        await mesh.pubsub("order", {}, timeout=20)
        await eventually(lambda: "worker last 2" in named(exported))

    spans = named(exported)
    arms = {"worker one 2", "worker two 2", "worker three 2"}
    last = parent_of(spans, "hook all 1")
    assert last in arms
    assert links_of(spans, "hook all 1", "join") == arms - {last}
    attributes = spans["hook all 1"].attributes
    assert attributes is not None
    of = attributes["hotmesh.join.of"]
    assert isinstance(of, tuple) and {f"worker {a} 2" for a in of} == arms - {last}
    assert links_of(spans, "worker last 2", "leg") == {"worker last 1"}


async def test_a_leg_that_slept_long_begins_a_trace_of_its_own(
    exported: InMemorySpanExporter, redis_url: str, app_id: str
) -> None:
    # A sampler that would never begin a trace: the head of the run has decided for all of it.
    provider: Any = trace.get_tracer_provider()
    provider.sampler = ParentBased(ALWAYS_OFF)
    head = {"metadata": {"trc": "ab" * 16, "spn": "cd" * 8}}
    workers = [Worker("work", work)]
    async with HotMesh.session(app_id, redis_url, workers=workers) as mesh:
        await run(mesh, SLEEP.replace("SECONDS", "7200"), app_id)
        jid = await mesh.pub("order", {}, context=head)
        await eventually(lambda: "hook side 2" in named(exported))
        mesh.store.clock.skew_ms += 2 * HOUR_MS + 1
        await mesh.store.transport.execute("PUBLISH", mesh.store.keys.wake, "")
        await mesh.result("order", jid, timeout=20)
        await eventually(lambda: "await child 2" in named(exported))

    spans = named(exported)
    old, new = spans["hook nap 1"].context.trace_id, spans["hook nap 2"].context.trace_id
    assert old == int("ab" * 16, 16) != new
    assert links_of(spans, "hook nap 2", "resumes") == {"hook nap 1"}
    assert spans["hook nap 2"].parent is None
    follow = ["worker work 1", "process work", "worker work 2", "hook again 1", "hook again 2"]
    follow += ["await child 1", "run child", "worker wrap 2", "await child 2"]
    assert {spans[name].context.trace_id for name in follow} == {new}
    assert parent_of(spans, "worker work 1") == "hook nap 2"
    assert parent_of(spans, "hook again 2") == "hook again 1"
    assert parent_of(spans, "await child 2") == "worker wrap 2"
    assert spans["hook side 2"].context.trace_id == old


async def test_the_time_after_which_a_trace_is_split_is_a_setting(
    exported: InMemorySpanExporter, redis_url: str, app_id: str
) -> None:
    async with HotMesh.session(
        app_id, redis_url, workers=[Worker("work", work)], settings=Settings(trace_split=0)
    ) as mesh:
        await run(mesh, SLEEP.replace("SECONDS", "7200"), app_id)
        jid = await mesh.pub("order", {})
        await eventually(lambda: "hook side 2" in named(exported))
        mesh.store.clock.skew_ms += 2 * HOUR_MS + 1
        await mesh.store.transport.execute("PUBLISH", mesh.store.keys.wake, "")
        await mesh.result("order", jid, timeout=20)

    assert len({s.context.trace_id for s in exported.get_finished_spans()}) == 1


async def test_a_chain_that_was_cut_keeps_its_parents(
    exported: InMemorySpanExporter, redis_url: str, app_id: str
) -> None:
    count = 7
    names = [f"h{n}" for n in range(count)]
    model = f"""
app:
  id: {app_id}
  version: '1'
  graphs:
    - subscribes: order
      activities:
        start: {{type: trigger}}
{chr(10).join(f"        {n}: {{type: hook}}" for n in names)}
        side: {{type: hook}}
      transitions:
        start: [{{to: h0}}, {{to: side}}]
{chr(10).join(f"        {a}: [{{to: {b}}}]" for a, b in pairwise(names))}
"""
    settings = Settings(steps_max=2)
    async with HotMesh.session(app_id, redis_url, settings=settings) as mesh:
        await mesh.deploy(model)
        await mesh.activate("1")
        await mesh.pubsub("order", {}, timeout=20)
        await eventually(lambda: f"hook h{count - 1} 1" in named(exported))

    spans = named(exported)
    assert parent_of(spans, "hook side 1") == parent_of(spans, "hook h0 1") == "trigger start 1"
    for before, after in pairwise(names):
        assert parent_of(spans, f"hook {after} 1") == f"hook {before} 1"
    assert len({s.context.trace_id for s in spans.values()}) == 1
