"""What is logged while a handler runs leads to its job, and to its span when the run is traced."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from support import eventually

from hotmesh import HotMesh, StreamData, Worker
from hotmesh.telemetry.logs import configure_logs

MODEL = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: order
      activities:
        start: {type: trigger}
        price: {type: worker, topic: price}
      transitions:
        start: [{to: price}]
"""
CONTEXT = {"metadata": {"trc": "ab" * 16, "spn": "cd" * 8}}


@pytest.fixture(params=["json", "console"])
def logged(request: pytest.FixtureRequest) -> Iterator[tuple[str, io.StringIO]]:
    """The log of this process, configured as a service does."""
    root = logging.getLogger()
    handlers, level, stream = root.handlers[:], root.level, io.StringIO()
    configure_logs("debug", request.param, stream=stream)
    yield request.param, stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def price(message: StreamData) -> dict[str, Any]:
    span = trace.get_current_span().get_span_context()
    logging.getLogger("mine").info("looked up %s", "it")
    structlog.get_logger("mine").info("price.found", n=1)
    return {"span": f"{span.span_id:016x}"}


async def _run(redis_url: str, app_id: str, context: Any) -> str:
    async with HotMesh.session(app_id, redis_url, workers=[Worker("price", price)]) as mesh:
        await mesh.deploy(MODEL.replace("APP", app_id))
        await mesh.activate("1")
        jid = await mesh.pub("order", {}, context=context)
        await mesh.result("order", jid, timeout=20)
    return jid


@pytest.mark.parametrize("has_sdk", [True, False])
async def test_events_of_a_traced_call_have_job_activity_trace_and_span(
    logged: tuple[str, io.StringIO],
    has_sdk: bool,
    redis_url: str,
    app_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    format, stream = logged
    if has_sdk:
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", TracerProvider())

    jid = await _run(redis_url, app_id, CONTEXT)

    await eventually(lambda: "leg.ended" in stream.getvalue())
    if format == "console":
        line = next(x for x in stream.getvalue().splitlines() if "price.found" in x)
        assert all(part in line for part in (f"job={jid}", "activity=price", f"trace={'ab' * 16}"))
        return
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    mine = [e for e in events if e["event"] in ("looked up it", "price.found")]
    assert len(mine) == 2
    for event in mine:
        assert (event["job"], event["activity"], event["trace"]) == (jid, "price", "ab" * 16)
        assert len(event["span"]) == 16 and event["span"] != "cd" * 8
    ended = [e for e in events if e["event"] == "leg.ended" and e["activity"] == "price"]
    assert [(e["job"], e["trace"], len(e["span"])) for e in ended] == [(jid, "ab" * 16, 16)]


async def test_events_of_an_untraced_call_have_no_empty_ids(
    logged: tuple[str, io.StringIO], redis_url: str, app_id: str
) -> None:
    stream = logged[1]

    jid = await _run(redis_url, app_id, None)

    line = next(x for x in stream.getvalue().splitlines() if "price.found" in x)
    assert jid in line and "trace" not in line and "span" not in line
