"""Handlers of topics and of plain streams, on a real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest

import hotmesh
from hotmesh import Delivery, RetryPolicy, Router
from hotmesh.errors import SettingsInvalid
from hotmesh.streams.client import Client
from hotmesh.streams.topic import Topic
from hotmesh.testing import RouterClient, eventually

FAST = RetryPolicy(maximum_attempts=3, initial_interval="20ms", maximum_interval="50ms")
Run = Callable[[Router], Awaitable[RouterClient]]


class Order(hotmesh.Record):
    id: str
    price: float


@dataclass
class Parcel:
    id: str
    weight: float


class Note(TypedDict):
    text: str


@pytest.fixture
def router(redis_url: str, app_id: str) -> Router:
    return Router(redis_url, "billing", namespace=app_id, lease="600ms", grace="1s")


async def test_a_handler_gets_the_value_as_its_type_and_what_the_producer_said(
    router: Router, hotmesh_router: Run
) -> None:
    seen: list[tuple[Order, Delivery]] = []

    @router.subscribe("orders", concurrency=5)
    async def handle(order: Order, ctx: Delivery) -> None:
        seen.append((order, ctx))

    client = await hotmesh_router(router)
    id = await client.feed("orders", Order("1", 9.5), key="eu-1", headers={"source": "web"})

    (order, ctx), *rest = seen
    assert order == Order("1", 9.5)
    assert (ctx.id, ctx.topic, ctx.key, ctx.attempt) == (id, "orders", "eu-1", 1)
    assert ctx.headers == {"source": "web"}
    assert rest == []


@pytest.mark.parametrize(
    ("wanted", "sent", "expected"),
    [
        (Parcel, {"id": "p", "weight": 2}, Parcel("p", 2.0)),
        (Note, {"text": "hi"}, {"text": "hi"}),
        (dict, {"any": [1, 2]}, {"any": [1, 2]}),
        (list[int], [1, 2], [1, 2]),
        (str, "plain", "plain"),
        (bytes, b"\x00\xff", b"\x00\xff"),
        (Any, None, None),
        (Any, "text", "text"),
        (dict, Order("1", 2), {"id": "1", "price": 2}),
        (Any, Order("1", 2), {"id": "1", "price": 2}),
        (Order, {"id": "1", "price": 2}, Order("1", 2)),
    ],
)
async def test_values_of_many_types(
    router: Router, hotmesh_router: Run, wanted: Any, sent: Any, expected: Any
) -> None:
    seen: list[Any] = []

    async def handle(value: Any) -> None:
        seen.append(value)

    handle.__annotations__["value"] = wanted
    router.subscribe("things")(handle)
    client = await hotmesh_router(router)

    await client.feed("things", sent)

    assert seen == [expected]


async def test_a_pydantic_model_is_validated(router: Router, hotmesh_router: Run) -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Invoice", id=(str, ...), total=(float, ...))
    seen: list[Any] = []

    async def handle(invoice: Any) -> None:
        seen.append(invoice)

    handle.__annotations__["invoice"] = model
    router.subscribe("invoices")(handle)
    client = await hotmesh_router(router)

    await client.feed("invoices", model(id="1", total=2))
    bad = await router.publish("invoices", {"id": "2"})

    assert seen == [model(id="1", total=2.0)]
    assert "total" in (await client.dead("invoices", bad)).reason


async def test_a_plain_stream_is_read_with_its_fields_as_a_dict_or_as_a_type(
    router: Router, hotmesh_router: Run, app_id: str
) -> None:
    seen: list[Any] = []
    legacy = f"legacy:{app_id}"

    @router.subscribe(stream=legacy)
    async def fields(fields: dict[str, str]) -> None:
        seen.append(fields)

    @router.subscribe(stream=legacy, group="typed")
    async def typed(order: Order) -> None:
        seen.append(order)

    client = await hotmesh_router(router)
    id = await client.feed(stream=legacy, value={"id": "1", "price": "2.5"})

    await eventually(lambda: len(seen) == 2)
    assert {"id": "1", "price": "2.5"} in seen
    assert Order("1", 2.5) in seen
    rows = await router.store.transport.execute("XRANGE", legacy, "-", "+")
    assert [row[0].decode() for row in rows] == [id]  # it is not ours to delete


async def test_a_field_of_a_plain_stream_is_read_as_json(
    router: Router, hotmesh_router: Run, app_id: str
) -> None:
    seen: list[Order] = []
    legacy = f"{{{app_id}}}:json"

    @router.subscribe(stream=legacy, field="data")
    async def handle(order: Order) -> None:
        seen.append(order)

    client = await hotmesh_router(router)
    await client.feed(stream=legacy, value={"data": '{"id": "1", "price": 3}', "x": "y"})
    lacking = await router.append(legacy, {"x": "y"})

    assert seen == [Order("1", 3.0)]
    assert "'data'" in (await client.dead(legacy, lacking)).reason


async def test_an_entry_of_a_topic_that_somebody_appended_by_hand_is_read_as_its_fields(
    router: Router, hotmesh_router: Run, app_id: str
) -> None:
    seen: list[Order] = []

    @router.subscribe("orders")
    async def handle(order: Order) -> None:
        seen.append(order)

    client = await hotmesh_router(router)
    await client.feed("orders", Order("6", 1))
    await router.append(f"{app_id}:{{{app_id}~0}}:e:orders", {"id": "7", "price": "1.5"})

    await eventually(lambda: seen == [Order("6", 1), Order("7", 1.5)])


async def test_a_plain_function_runs_in_a_thread(router: Router, hotmesh_router: Run) -> None:
    threads: list[str] = []

    @router.subscribe("orders", concurrency=2)
    def handle(order: Order) -> None:
        threads.append(threading.current_thread().name)

    client = await hotmesh_router(router)
    await client.feed("orders", Order("1", 1))

    assert threads[0] != threading.current_thread().name


async def test_no_more_handlers_run_at_once_than_the_concurrency_says(
    router: Router, hotmesh_router: Run
) -> None:
    running, most, done = 0, 0, 0

    @router.subscribe("orders", concurrency=3)
    async def handle(value: int) -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        done += 1

    await hotmesh_router(router)
    await asyncio.gather(*(router.publish("orders", n) for n in range(40)))

    await eventually(lambda: done == 40)
    assert most == 3


async def test_a_failure_is_tried_again_by_a_timer_and_nobody_holds_the_entry_meanwhile(
    router: Router, hotmesh_router: Run, skip_time: Any
) -> None:
    attempts: list[int] = []
    slow = RetryPolicy(maximum_attempts=3, initial_interval="1h", jitter=0)

    @router.subscribe("orders", retry=slow)
    async def handle(order: Order, ctx: Delivery) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise RuntimeError("not yet")

    client = await hotmesh_router(router)
    id = await router.publish("orders", Order("1", 1))
    await client.failed("orders", id)
    (loop,) = [c.loop for c in router.consumers]
    await eventually(lambda: not loop.held)

    skip_time("61 minutes")
    await client.failed("orders", id, attempt=2)
    skip_time("3 hours")
    await client.handled("orders", id)

    assert attempts == [1, 2, 3]


async def test_after_the_last_attempt_an_entry_is_a_dead_letter_and_may_live_again(
    router: Router, hotmesh_router: Run
) -> None:
    broken = True

    @router.subscribe("orders", retry=FAST)
    async def handle(order: Order) -> None:
        if broken:
            raise ValueError("no such customer")

    client = await hotmesh_router(router)
    id = await router.publish("orders", Order("1", 1), key="k")
    letter = await client.dead("orders", id)
    assert letter.reason == "ValueError: no such customer"
    assert (letter.deliveries, letter.group, letter.source) == (3, "billing", "orders")

    broken = False
    assert await router.retry(letter.id)

    await client.handled("orders", id)
    assert await router.dead_letters() == []
    assert not await router.retry(letter.id)


async def test_a_rejected_entry_and_one_that_does_not_fit_are_not_tried_again(
    router: Router, hotmesh_router: Run
) -> None:
    attempts: list[int] = []

    @router.subscribe("orders", retry=FAST)
    async def handle(order: Order, ctx: Delivery) -> None:
        attempts.append(ctx.attempt)
        raise hotmesh.Reject("sold out")

    client = await hotmesh_router(router)
    rejected = await router.publish("orders", Order("1", 1))
    wrong = await router.publish("orders", {"id": 1})

    assert (await client.dead("orders", rejected)).reason == "Reject: sold out"
    assert "$.id" in (await client.dead("orders", wrong)).reason
    assert attempts == [1]


async def test_a_poison_entry_blocks_nobody(router: Router, hotmesh_router: Run) -> None:
    seen: set[int] = set()

    @router.subscribe("orders", concurrency=2, retry=FAST)
    async def handle(value: int) -> None:
        if value == 0:
            raise ValueError("poison")
        seen.add(value)

    client = await hotmesh_router(router)
    poison = [await router.publish("orders", 0) for _ in range(5)]
    for n in range(1, 30):
        await router.publish("orders", n)

    await eventually(lambda: seen == set(range(1, 30)))
    for id in poison:
        await client.dead("orders", id)


async def test_without_dead_letters_a_failure_is_logged_and_forgotten(
    router: Router, hotmesh_router: Run
) -> None:
    @router.subscribe("orders", retry=None, dead_letter=False)
    async def handle(value: int) -> None:
        raise ValueError("no")

    client = await hotmesh_router(router)
    id = await router.publish("orders", 1)

    await client.failed("orders", id)
    (loop,) = [c.loop for c in router.consumers]
    await eventually(lambda: not loop.held)
    assert await router.dead_letters() == []


async def test_a_handler_that_takes_too_long_fails_with_504(
    router: Router, hotmesh_router: Run
) -> None:
    @router.subscribe("orders", retry=None, timeout="30ms")
    async def handle(value: int) -> None:
        await asyncio.sleep(60)

    client = await hotmesh_router(router)
    id = await router.publish("orders", 1)

    attempt = await client.failed("orders", id)
    assert getattr(attempt.error, "code", 0) == 504
    assert "30 ms" in (await client.dead("orders", id)).reason


async def test_the_lease_of_a_long_handler_is_kept_and_can_be_extended(
    router: Router, hotmesh_router: Run, redis_url: str
) -> None:
    calls, ended = 0, False

    @router.subscribe("orders")
    async def handle(value: int, ctx: Delivery) -> None:
        nonlocal calls, ended
        calls += 1
        await asyncio.sleep(1.5)  # more than two leases
        await ctx.extend()
        ended = True

    await hotmesh_router(router)
    sibling = Router(redis_url, "billing", namespace=router.namespace, lease="600ms")
    sibling.subscribe("orders")(handle)
    async with sibling:
        await router.publish("orders", 1)
        await eventually(lambda: ended)
    assert calls == 1


async def test_extending_a_lost_entry_says_so(router: Router, hotmesh_router: Run) -> None:
    raised: list[BaseException] = []

    @router.subscribe("orders", lease="60s")
    async def handle(value: int, ctx: Delivery) -> None:
        (loop,) = [c.loop for c in router.consumers]
        stream = loop.streams[0]
        await router.store.transport.execute(
            "XCLAIM", stream, "billing", "another", 0, ctx.id, "JUSTID"
        )
        try:
            await ctx.extend()
        except hotmesh.DeliveryLost as exc:
            raised.append(exc)

    client = await hotmesh_router(router)
    await client.feed("orders", 1)

    assert "another consumer" in str(raised[0])


async def test_middleware_goes_around_handlers_from_the_outermost_in(
    redis_url: str, app_id: str, hotmesh_router: Run
) -> None:
    said: list[str] = []

    async def outer(ctx: Delivery, call_next: Any) -> Any:
        said.append(f"outer {ctx.topic}")
        try:
            return await call_next()
        finally:
            said.append("outer end")

    router = Router(redis_url, "billing", namespace=app_id, middleware=[outer])

    @router.middleware
    async def inner(ctx: Delivery, call_next: Any) -> Any:
        said.append("inner")
        return await call_next()

    @router.subscribe("orders")
    async def handle(value: int) -> None:
        said.append(f"handle {value}")

    client = await hotmesh_router(router)
    await client.feed("orders", 1)

    assert said == ["outer orders", "inner", "handle 1", "outer end"]


async def test_two_groups_get_all_entries_and_two_processes_of_a_group_share_them(
    redis_url: str, app_id: str
) -> None:
    got: dict[str, list[int]] = {"a1": [], "a2": [], "b": []}

    def router_of(name: str, group: str) -> Router:
        router = Router(redis_url, group, namespace=app_id)

        @router.subscribe("orders", concurrency=2)
        async def handle(value: int) -> None:
            got[name].append(value)
            await asyncio.sleep(0.002)

        return router

    async with Router(redis_url, namespace=app_id) as declaring:
        await declaring.publish("orders", 0)
    async with router_of("a1", "a") as one, router_of("a2", "a"), router_of("b", "b"):
        for n in range(1, 60):
            await one.publish("orders", n)
        await eventually(lambda: len(got["a1"]) + len(got["a2"]) == 60 and len(got["b"]) == 60)

    assert sorted(got["a1"] + got["a2"]) == list(range(60))
    assert got["a1"]
    assert got["a2"]


async def test_a_rate_is_kept(router: Router, hotmesh_router: Run) -> None:
    times: list[float] = []

    @router.subscribe("orders", rate="50/s")
    async def handle(value: int) -> None:
        times.append(asyncio.get_running_loop().time())

    await hotmesh_router(router)
    await asyncio.gather(*(router.publish("orders", n) for n in range(30)))

    await eventually(lambda: len(times) == 30)
    assert max(times) - min(times) >= 0.3  # 30 at 50 a second, less a burst of 100 ms


async def test_where_a_new_group_begins(redis_url: str, app_id: str) -> None:
    first = Router(redis_url, "first", namespace=app_id)
    async with first:
        ids = [await first.publish("orders", n) for n in range(4)]
    got: dict[str, list[int]] = {}

    def router_of(name: str, start: Any) -> Router:
        router, got[name] = Router(redis_url, name, namespace=app_id), []

        @router.subscribe("orders", start=start)
        async def handle(value: int) -> None:
            got[name].append(value)

        return router

    routers = [
        router_of("all", "earliest"),
        router_of("new", "latest"),
        router_of("id", ids[2]),
        router_of("hour", "1h"),
        router_of("future", "2999-01-01T00:00:00Z"),
    ]
    async with routers[0], routers[1], routers[2], routers[3], routers[4]:
        await routers[0].publish("orders", 4)
        await eventually(lambda: 4 in got["new"] and 4 in got["all"])
        await eventually(lambda: 4 in got["id"] and 4 in got["hour"])

    assert sorted(got["all"]) == sorted(got["hour"]) == [0, 1, 2, 3, 4]
    assert got["new"] == [4]
    assert sorted(got["id"]) == [2, 3, 4]
    assert got["future"] == []


async def test_a_group_can_be_moved_back_to_replay(router: Router, hotmesh_router: Run) -> None:
    got: list[int] = []

    @router.subscribe("orders")
    async def handle(value: int) -> None:
        got.append(value)

    client = await hotmesh_router(router)
    ids = [await client.feed("orders", n) for n in range(4)]
    (loop,) = [c.loop for c in router.consumers]
    await eventually(lambda: not loop.held)

    await router.seek("orders", ids[2])

    await eventually(lambda: len(got) == 6)
    assert sorted(got[4:]) == [2, 3]


async def test_it_starts_and_stops_many_times_and_keeps_its_place(
    router: Router, app_id: str
) -> None:
    got: list[int] = []

    @router.subscribe("orders")
    async def handle(value: int) -> None:
        got.append(value)

    await router.stop()  # before it has started
    for n in range(5):
        async with router:
            assert router.is_healthy
            await router.publish("orders", n)
            if n % 2:
                await eventually(lambda n=n: n in got)
        await router.stop()
        assert not router.is_healthy
    async with router:
        await eventually(lambda: sorted(set(got)) == [0, 1, 2, 3, 4])
    assert sorted(got) == [0, 1, 2, 3, 4]


async def test_stopping_hands_back_what_outlives_the_grace(redis_url: str, app_id: str) -> None:
    ended: list[str] = []
    started = asyncio.Event()

    def router_of(name: str, seconds: float) -> Router:
        router = Router(redis_url, "g", namespace=app_id, lease="60s", grace="50ms")

        @router.subscribe("orders")
        async def handle(value: int) -> None:
            started.set()
            await asyncio.sleep(seconds)
            ended.append(name)

        return router

    async with router_of("slow", 60) as slow:
        await slow.publish("orders", 1)
        await started.wait()

    async with router_of("quick", 0):  # at once, not after the lease of a minute
        await eventually(lambda: ended == ["quick"])


async def test_run_serves_until_it_is_cancelled_and_then_stops_cleanly(router: Router) -> None:
    got: list[int] = []
    started = asyncio.Event()

    @router.subscribe("orders")
    async def handle(value: int) -> None:
        started.set()
        await asyncio.sleep(0.05)
        got.append(value)

    running = asyncio.create_task(router.run())
    await eventually(lambda: router.is_healthy)
    await router.publish("orders", 1)
    await started.wait()

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert got == [1]  # what ran had the grace to end
    assert not router.is_healthy


async def test_run_ends_when_it_is_told_to_stop(router: Router) -> None:
    running = asyncio.create_task(router.run())
    await eventually(lambda: router.is_healthy)

    await router.stop()

    await asyncio.wait_for(running, 5)


def test_what_can_not_work_is_refused_at_once(app_id: str) -> None:
    router = Router(group="g")

    async def good(value: int) -> None: ...

    async def too_many(a: int, b: int, c: int) -> None: ...

    router.subscribe("orders")(good)
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: router.subscribe("orders")(good), "share the entries"),
        (lambda: router.subscribe("other")(too_many), "too_many takes (a, b, c)"),
        (lambda: router.subscribe("other", concurrency=0), "concurrency lies between"),
        (lambda: router.subscribe("other", rate="fast"), "is not a rate"),
        (lambda: router.subscribe("other", start="whenever"), "no position in a stream"),
        (lambda: router.subscribe(), "name a topic"),
        (lambda: router.subscribe("a", stream="b"), "name a topic"),
        (lambda: router.subscribe("a", field="b"), "plain stream"),
        (lambda: router.subscribe("other", lease="1ms"), "lease is at least"),
        (lambda: router.route("orders"), "one of to="),
        (lambda: router.route("orders", to="a", signal="b"), "one of to="),
        (lambda: router.route("orders", to="a"), "app='shop'"),
        (lambda: router.route("orders", topic="a", map={"x": "{order.id}"}), "refers to nothing"),
        (lambda: router.route("orders", topic="a", match={"kind": "x"}), "kind"),
    ]
    for call, said in cases:
        with pytest.raises(hotmesh.HotMeshError) as caught:
            call()
        assert said in str(caught.value), said


async def test_publishing_needs_a_running_router(router: Router) -> None:
    with pytest.raises(hotmesh.ServerUnavailable, match="async with router"):
        await router.publish("orders", 1)


async def test_it_can_not_run_twice_at_once_nor_change_while_it_runs(router: Router) -> None:
    async with router:
        with pytest.raises(SettingsInvalid, match="runs already"):
            await router.start()
        with pytest.raises(SettingsInvalid, match="before it starts"):
            router.subscribe("orders")(lambda value: None)


async def test_a_topic_that_nobody_has_declared_is_read_once_somebody_does(
    router: Router, hotmesh_router: Run, redis_url: str, app_id: str
) -> None:
    got: list[int] = []

    @router.subscribe("orders")
    async def handle(value: int) -> None:
        got.append(value)

    await hotmesh_router(router)
    assert router.consumers == []
    async with await Client.open(redis_url, namespace=app_id) as client:
        topic: Topic[int] = Topic("orders", lambda: client, value_type=int, partitions_default=3)
        for n in range(30):
            await topic.send(n, key=str(n))

    await eventually(lambda: sorted(got) == list(range(30)))
    (consumer,) = router.consumers
    assert len(consumer.loop.streams) == 6  # three partitions, each with its further attempts


async def test_cut_connections_lose_nothing_and_make_no_dead_letters(
    router: Router, hotmesh_router: Run
) -> None:
    got: set[int] = set()

    @router.subscribe("orders", concurrency=20, retry=FAST)
    async def handle(value: int, ctx: Delivery) -> None:
        await asyncio.sleep(0.002)
        got.add(value)

    await hotmesh_router(router)
    for n in range(10):
        await asyncio.gather(*(router.publish("orders", 50 * n + i) for i in range(50)))
        await router.store.transport.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    await eventually(lambda: got == set(range(500)), within_s=30)
    (loop,) = [c.loop for c in router.consumers]
    await eventually(lambda: not loop.held)
    assert await router.dead_letters() == []


async def test_a_handler_whose_own_task_was_cancelled_has_failed(
    router: Router, hotmesh_router: Run
) -> None:
    @router.subscribe("orders", retry=FAST, concurrency=1)
    async def handle(value: int, ctx: Delivery) -> None:
        if ctx.attempt == 1:
            inner = asyncio.create_task(asyncio.sleep(60))
            inner.cancel()
            await inner

    client = await hotmesh_router(router)
    id = await router.publish("orders", 1)

    await client.failed("orders", id)
    await client.handled("orders", id)
    await client.feed("orders", 2)  # its slot is free again
