"""Routes: entries start workflows, wake hooks and go on to other topics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import hotmesh
from hotmesh import HotMesh, RetryPolicy, Router, StreamData, Worker
from hotmesh.testing import RouterClient, eventually

Run = Callable[[Router], Awaitable[RouterClient]]
FAST = RetryPolicy(maximum_attempts=50, initial_interval="20ms", maximum_interval="50ms")


def model(app_id: str, *, by_order: bool = False, expire: int = 120) -> dict[str, Any]:
    stats: dict[str, Any] = {"id": "{order.output.data.id}"} if by_order else {}
    return {
        "app": {
            "id": app_id,
            "version": "1",
            "graphs": [
                {
                    "subscribes": "order.approval.requested",
                    "expire": expire,
                    "activities": {
                        "order": {"type": "trigger", **({"stats": stats} if stats else {})},
                        "check": {
                            "type": "worker",
                            "topic": "order.check",
                            "input": {"maps": {"id": "{order.output.data.id}"}},
                        },
                    },
                    "transitions": {"order": [{"to": "check"}]},
                },
                {
                    "subscribes": "order.wait",
                    "activities": {
                        "wait": {"type": "trigger", "stats": {"id": "{wait.output.data.id}"}},
                        "answer": {
                            "type": "hook",
                            "job": {"maps": {"by": "{$self.hook.data.by}"}},
                        },
                    },
                    "transitions": {"wait": [{"to": "answer"}]},
                    "hooks": {
                        "order.approved": [
                            {
                                "to": "answer",
                                "conditions": {
                                    "match": [
                                        {
                                            "expected": "{wait.output.data.id}",
                                            "actual": "{$self.hook.data.id}",
                                        }
                                    ]
                                },
                            }
                        ]
                    },
                },
            ],
        }
    }


class Checks:
    """What the worker was asked."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def check(self, msg: StreamData) -> dict[str, Any]:
        self.ids.append(msg.data["id"])
        return {"ok": True}


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
async def mesh(hotmesh_mesh: Any, redis_url: str, app_id: str, checks: Checks) -> HotMesh:
    mesh: HotMesh = await hotmesh_mesh(
        app_id=app_id,
        redis=redis_url,
        namespace=f"n-{app_id}",
        workers=[Worker("order.check", checks.check)],
    )
    return mesh


@pytest.fixture
def router(redis_url: str, app_id: str) -> Router:
    return Router(redis_url, "g", app=app_id, namespace=f"n-{app_id}", lease="600ms", grace="1s")


@pytest.fixture
async def deployed(mesh: HotMesh, app_id: str) -> AsyncIterator[HotMesh]:
    await mesh.deploy(model(app_id))
    await mesh.activate("1")
    yield mesh


async def test_an_entry_starts_a_workflow_with_what_is_mapped(
    deployed: HotMesh, router: Router, hotmesh_router: Run, checks: Checks
) -> None:
    router.route(
        "orders",
        to="order.approval.requested",
        map={"id": {"@pipe": [["{key}", "/", "{value.id}"], ["{@string.concat}"]]}},
    )
    client = await hotmesh_router(router)

    await client.feed("orders", {"id": "17"}, key="eu")

    await eventually(lambda: checks.ids == ["eu/17"])


async def test_an_entry_that_is_delivered_again_starts_nothing_even_when_the_record_is_gone(
    mesh: HotMesh, router: Router, hotmesh_router: Run, checks: Checks, app_id: str
) -> None:
    await mesh.deploy(model(app_id, expire=1))
    await mesh.activate("1")
    router.route("orders", to="order.approval.requested", name="r")
    client = await hotmesh_router(router)
    workflows = await router.workflows()
    receipts: list[str] = []
    real = workflows.receipt

    def keep(once: str, job_id: str) -> str:
        receipts.append(real(once, job_id))
        return f"{real(once, job_id)}:another"  # as if the process died before the receipt went

    workflows.receipt = keep  # type: ignore[method-assign]
    id = await client.feed("orders", {"id": "1"})
    await eventually(lambda: checks.ids == ["1"])
    transport = router.store.transport
    jobs = f"n-{app_id}:{{{app_id}/0}}:j:*"
    await eventually(lambda: _none(transport, jobs))  # the job's record has expired

    await router.seek("orders", id)  # delivered again
    await eventually(lambda: len(client.attempts) == 2)

    assert await transport.execute("EXISTS", receipts[0]) == 1
    assert checks.ids == ["1"]
    assert await _none(transport, jobs)


async def _none(transport: Any, pattern: str) -> bool:
    return not await transport.execute("KEYS", pattern)


async def test_an_acknowledged_start_leaves_no_receipt_behind(
    deployed: HotMesh, router: Router, hotmesh_router: Run, app_id: str, checks: Checks
) -> None:
    router.route("orders", to="order.approval.requested")
    client = await hotmesh_router(router)

    for n in range(5):
        await client.feed("orders", {"id": str(n)})

    pattern = f"n-{app_id}:{{{app_id}/0}}:q:*"
    await eventually(lambda: _none(router.store.transport, pattern))
    await eventually(lambda: len(checks.ids) == 5)


async def test_a_second_order_of_one_id_is_a_dead_letter_or_dropped_as_the_route_says(
    mesh: HotMesh, router: Router, hotmesh_router: Run, checks: Checks, app_id: str
) -> None:
    await mesh.deploy(model(app_id, by_order=True))
    await mesh.activate("1")
    router.route("orders", to="order.approval.requested", name="strict", match={"key": "s"})
    router.route(
        "orders",
        to="order.approval.requested",
        name="lax",
        match={"key": "l"},
        duplicates="drop",
    )
    client = await hotmesh_router(router)

    await client.feed("orders", {"id": "1"}, key="s")
    again = await router.publish("orders", {"id": "1"}, key="s")
    letter = await client.dead("orders", again)
    await client.feed("orders", {"id": "1"}, key="l")

    assert "exists already" in letter.reason
    assert len(await router.dead_letters()) == 1
    await eventually(lambda: checks.ids == ["1"])


async def test_an_app_that_is_not_active_yet_is_waited_for(
    mesh: HotMesh, router: Router, hotmesh_router: Run, checks: Checks, app_id: str
) -> None:
    router.route("orders", to="order.approval.requested", retry=FAST)
    client = await hotmesh_router(router)
    id = await router.publish("orders", {"id": "1"})
    await client.failed("orders", id)

    await mesh.deploy(model(app_id))
    await mesh.activate("1")

    await client.handled("orders", id)
    await eventually(lambda: checks.ids == ["1"])


async def test_a_signal_route_wakes_the_one_that_waits(
    deployed: HotMesh, router: Router, hotmesh_router: Run
) -> None:
    router.route(
        "approvals",
        signal="order.approved",
        map={"id": "{value.order}", "by": "{headers.user}"},
    )
    client = await hotmesh_router(router)
    waiting = asyncio.create_task(deployed.pubsub("order.wait", {"id": "o-1"}, timeout=10))

    await client.feed("approvals", {"order": "o-1"}, headers={"user": "ada"})

    assert (await waiting).data == {"by": "ada"}


async def test_a_topic_route_forwards_with_key_and_headers(
    router: Router, hotmesh_router: Run
) -> None:
    seen: list[tuple[Any, str | None, dict[str, str]]] = []
    router.route("orders", topic="copies", map={"n": "{value.id}", "was": "{id}"})

    @router.subscribe("copies")
    async def handle(value: Any, ctx: hotmesh.Delivery) -> None:
        seen.append((value, ctx.key, dict(ctx.headers)))

    client = await hotmesh_router(router)
    id = await client.feed("orders", {"id": 1}, key="k", headers={"h": "x"})

    await eventually(lambda: seen == [({"n": 1, "was": id}, "k", {"h": "x"})])


class Placed(hotmesh.Record, type_name="order.placed"):
    id: str
    price: float = 0


@pytest.mark.parametrize(
    ("match", "taken"),
    [
        ({}, ["a", "b", "c"]),
        ({"type": "order.*"}, ["a", "b"]),
        ({"type": ("x", "plain")}, ["c"]),
        ({"key": "eu-*"}, ["a"]),
        ({"when": {"@pipe": [["{value.price}", 100], ["{@conditional.greater_than}"]]}}, ["b"]),
        ({"when": {"match": [{"expected": "a", "actual": "{value.id}"}]}}, ["a"]),
        (
            {
                "when": {
                    "gate": "or",
                    "match": [
                        {"expected": "a", "actual": "{value.id}"},
                        {"expected": "c", "actual": "{value.id}"},
                    ],
                }
            },
            ["a", "c"],
        ),
        ({"key": "eu-*", "type": "plain"}, []),
    ],
)
async def test_which_entries_a_route_takes(
    router: Router, hotmesh_router: Run, match: Any, taken: list[str]
) -> None:
    seen: list[str] = []
    router.route("orders", topic="taken", match=match)

    @router.subscribe("taken")
    async def handle(value: dict[str, Any]) -> None:
        seen.append(value["id"])

    client = await hotmesh_router(router)
    await client.feed("orders", Placed("a", 1), key="eu-1")
    await client.feed("orders", Placed("b", 500), key="us-1")
    await client.feed("orders", {"id": "c"}, headers={"type": "plain"})
    await router.publish("taken", {"id": "end"})

    await eventually(lambda: "end" in seen and len(seen) == len(taken) + 1)
    assert sorted(set(seen) - {"end"}) == taken


async def test_a_plain_stream_starts_workflows_too(
    deployed: HotMesh, router: Router, hotmesh_router: Run, checks: Checks, app_id: str
) -> None:
    router.route(stream=f"legacy:{app_id}", to="order.approval.requested")
    client = await hotmesh_router(router)

    await client.feed(stream=f"legacy:{app_id}", value={"id": "1"})

    await eventually(lambda: checks.ids == ["1"])


async def test_data_that_do_not_fit_the_map_are_dead_letters_at_once(
    router: Router, hotmesh_router: Run
) -> None:
    router.route(
        "orders",
        topic="copies",
        map={"n": {"@pipe": [["{value.id}"], ["{@string.toUpperCase}"]]}},
    )
    client = await hotmesh_router(router)
    id = await router.publish("orders", {"id": {"no": "text"}})

    letter = await client.dead("orders", id)
    assert "map.n" in letter.reason or "string" in letter.reason


async def test_routes_of_one_source_do_not_wait_for_each_other(
    router: Router, hotmesh_router: Run
) -> None:
    seen: list[str] = []
    router.route("orders", to="no.such.topic", name="stuck")  # its app is not there
    router.route("orders", topic="copies", name="free")

    @router.subscribe("copies")
    async def handle(value: dict[str, Any]) -> None:
        seen.append(value["id"])

    await hotmesh_router(router)
    for n in range(20):
        await router.publish("orders", {"id": str(n)})

    await eventually(lambda: sorted(seen, key=int) == [str(n) for n in range(20)])
