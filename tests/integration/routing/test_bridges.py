"""From topics to workflows and back, in one trace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry import trace

import hotmesh
from hotmesh import Router
from hotmesh.testing import RouterClient, eventually
from hotmesh.testing.tracing import Spans

Run = Callable[[Router], Awaitable[RouterClient]]


def model(app_id: str) -> dict[str, Any]:
    return {
        "app": {
            "id": app_id,
            "version": "1",
            "graphs": [
                {
                    "subscribes": "order.received",
                    "activities": {
                        "order": {"type": "trigger"},
                        "shipped": {
                            "type": "worker",
                            "topic": "emit.shipped",
                            "input": {
                                "maps": {
                                    "key": "{order.output.data.id}",
                                    "value": {"id": "{order.output.data.id}"},
                                    "headers": {"by": "workflow"},
                                }
                            },
                        },
                    },
                    "transitions": {"order": [{"to": "shipped"}]},
                }
            ],
        }
    }


async def test_an_entry_becomes_a_workflow_whose_activity_emits_an_entry_in_one_trace(
    redis_url: str, app_id: str, hotmesh_mesh: Any, hotmesh_router: Run, hotmesh_spans: Spans
) -> None:
    router = Router(redis_url, "g", app=app_id, namespace=f"n-{app_id}")
    seen: list[tuple[Any, str | None, str | None]] = []
    router.route("orders", to="order.received")

    @router.subscribe("shipped")
    async def handle(value: dict[str, str], ctx: hotmesh.Delivery) -> None:
        with trace.get_tracer("test").start_as_current_span("book"):
            seen.append((value, ctx.key, ctx.headers.get("by")))

    router.emit("emit.shipped", topic="shipped")
    mesh = await hotmesh_mesh(app_id=app_id, redis=redis_url, namespace=f"n-{app_id}")
    await mesh.deploy(model(app_id))
    await mesh.activate("1")
    client = await hotmesh_router(router)

    with trace.get_tracer("test").start_as_current_span("web request") as web:
        await client.feed("orders", {"id": "1"})

    await eventually(lambda: seen)
    await eventually(lambda: hotmesh_spans.named("process shipped"))
    assert seen == [({"id": "1"}, "1", "workflow")]
    edges = [
        ("send orders", "web request"),
        ("process orders", "send orders"),
        ("run order.received", "process orders"),
        ("process emit.shipped", "worker shipped"),
        ("send shipped", "process emit.shipped"),
        ("process shipped", "send shipped"),
        ("book", "process shipped"),
    ]
    assert set(edges) <= hotmesh_spans.edges(), sorted(hotmesh_spans.edges(), key=str)
    traces = {s.context.trace_id for s in hotmesh_spans.all() if s.context is not None}
    assert traces == {web.get_span_context().trace_id}
    (process,) = hotmesh_spans.named("process shipped")
    assert process.attributes is not None
    assert process.attributes["messaging.consumer.group.name"] == "g"
    assert process.attributes["hotmesh.attempt"] == 1


async def test_a_failure_shows_in_its_span(
    redis_url: str, app_id: str, hotmesh_router: Run, hotmesh_spans: Spans
) -> None:
    router = Router(redis_url, "g", namespace=app_id)

    @router.subscribe("orders", retry=None)
    async def handle(value: int) -> None:
        raise ValueError("no")

    client = await hotmesh_router(router)
    id = await router.publish("orders", 1)
    await client.failed("orders", id)

    (span,) = hotmesh_spans.named("process orders")
    assert not span.status.is_ok
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ValueError"
