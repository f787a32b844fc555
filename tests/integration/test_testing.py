"""What users test with, tried on itself."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

import hotmesh
from hotmesh import HotMesh, Router
from hotmesh.testing import (
    RouterClient,
    app_id_of,
    capture_spans,
    embedded_server,
    eventually,
    restore_time,
    skip_time,
)

Make = Callable[..., Awaitable[HotMesh]]


def sleeper(app_id: str, seconds: int) -> dict[str, Any]:
    return {
        "app": {
            "id": app_id,
            "version": "1",
            "graphs": [
                {
                    "subscribes": "nap",
                    "activities": {
                        "lie": {"type": "trigger"},
                        "sleep": {"type": "hook", "sleep": seconds},
                        "wake": {"type": "hook", "job": {"maps": {"awake": True}}},
                    },
                    "transitions": {"lie": [{"to": "sleep"}], "sleep": [{"to": "wake"}]},
                }
            ],
        }
    }


async def test_a_month_passes_at_once(
    mesh_factory: Make, app_id: str, skip_time: Callable[[Any], None]
) -> None:
    mesh = await mesh_factory()
    await mesh.deploy(sleeper(app_id, 30 * 86_400))
    await mesh.activate("1")
    jid = await mesh.pub("nap")
    assert await mesh.get_status(jid) > 0

    skip_time("29 days")
    assert await mesh.get_status(jid) > 0
    skip_time("25 hours")

    assert (await mesh.result("nap", jid, timeout=10)).data == {"awake": True}


async def test_time_is_skipped_for_who_comes_later_and_restored(
    mesh_factory: Make, app_id: str
) -> None:
    skip_time("1 day")
    try:
        mesh = await mesh_factory()
        await mesh.deploy(sleeper(app_id, 3_600))
        await mesh.activate("1")
        job = await mesh.get_state("nap", await mesh.pub("nap"))
    finally:
        restore_time()
    other = await mesh_factory()
    later = await other.get_state("nap", await other.pub("nap"))

    assert _day(job.metadata.jc) > _day(later.metadata.jc)


def _day(time: str) -> str:
    return time[:8]


def test_a_server_lasts_as_long_as_its_context(tmp_path: Path) -> None:
    async def ping(url: str) -> None:
        async with Router(url, namespace="ping") as router:
            assert await router.store.transport.execute("PING") == b"PONG"

    with embedded_server(tmp_path) as url:
        asyncio.run(ping(url))
    with pytest.raises(hotmesh.HotMeshError):
        asyncio.run(ping(url))


async def test_spans_are_captured_only_within(redis_url: str, app_id: str) -> None:
    before = trace.get_tracer_provider()
    with capture_spans() as spans:
        async with Router(redis_url, namespace=app_id) as router:
            await router.publish("orders", 1)
    async with Router(redis_url, namespace=app_id) as router:
        await router.publish("orders", 2)

    assert spans.names() == ["send orders"]
    assert spans.edges() == {("send orders", None)}
    assert len(spans.named("send orders")) == 1
    assert trace.get_tracer_provider() is before


async def test_a_client_says_what_was_tried_when_an_entry_is_not_handled(
    redis_url: str, app_id: str
) -> None:
    router = Router(redis_url, namespace=app_id)

    @router.subscribe("orders", retry=None)
    async def handle(value: int) -> None:
        raise ValueError("never")

    async with RouterClient(router) as client:
        with pytest.raises(AssertionError, match="attempt 1: ValueError"):
            await client.feed("orders", 1, within_s=0.3)
        with pytest.raises(AssertionError, match="is no dead letter"):
            await client.dead("orders", "1-1", within_s=0.1)
    assert not router.is_healthy


async def test_eventually_gives_what_held_and_says_what_did_not() -> None:
    assert await eventually(lambda: 7) == 7
    with pytest.raises(AssertionError, match="lambda: False"):
        await eventually(lambda: False, within_s=0.02)


def test_names_are_usable_and_never_the_same() -> None:
    names = {app_id_of("test_what[1-ü]") for _ in range(100)}

    assert len(names) == 100
    assert all(len(n) <= 40 and n.startswith("what-1") for n in names)


def test_the_plugin_costs_nothing_before_it_is_used() -> None:
    script = """
import sys
import hotmesh.testing.plugin
heavy = {"redis", "opentelemetry", "hotmesh.connect", "hotmesh.mesh"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", script], check=True)
