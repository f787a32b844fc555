"""Agents on a real server: iterating, operators, answers, failures."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from support import eventually

import hotmesh
from hotmesh import RetryPolicy
from hotmesh.connect import ReplyError
from hotmesh.streams.agent import AgentError
from hotmesh.streams.replies import AgentTimeout
from hotmesh.streams.wire import Entry

NewApp = Callable[..., hotmesh.App]
QUICK = RetryPolicy(maximum_attempts=3, initial_interval="10ms", jitter=0)


class Order(hotmesh.Record):
    id: str
    price: float = 1.0


async def dead_of(app: hotmesh.App, topic: str) -> list[dict[bytes, bytes]]:
    client = app.opened()
    found = []
    for p in range(app.count):
        rows = await client.connection.transport.execute(
            "XRANGE", client.space.slot(p).dead(topic), "-", "+"
        )
        found += [dict(zip(f[::2], f[1::2], strict=True)) for _, f in rows]
    return found


async def pending_of(app: hotmesh.App, topic: str, group: str) -> int:
    client, total = app.opened(), 0
    for p in range((await app.topics[topic].declare()).partitions):
        stream = client.space.slot(p).entries(topic)
        command = ("XPENDING", stream, group)
        (reply,) = await client.connection.transport.execute_many([command])
        if isinstance(reply, ReplyError):
            return -1  # no group yet
        total += reply[0]
    return total


async def test_an_agent_sees_every_value_in_the_order_of_its_key(new_app: NewApp) -> None:
    app = new_app()
    orders = app.topic("orders", value_type=Order, partitions=3)
    seen: dict[Any, list[float]] = defaultdict(list)

    @app.agent(orders, concurrency=4)
    async def watch(stream: Any) -> None:
        async for event in stream.events():
            await asyncio.sleep(0)
            seen[event.key].append(event.value.price)

    async with app.running():
        await orders.send_many(
            [(f"k{i % 10}", Order(str(i), float(i))) for i in range(1000)], keyed=True
        )
        await eventually(lambda: sum(map(len, seen.values())) == 1000)

        assert all(values == sorted(values) for values in seen.values())
        await eventually(lambda: pending_is(app, "orders", "shop.watch", 0))


async def pending_is(app: hotmesh.App, topic: str, group: str, count: int) -> bool:
    return await pending_of(app, topic, group) == count


async def test_take_gives_batches_by_number_and_by_time(new_app: NewApp) -> None:
    app = new_app()
    numbers = app.topic("numbers", value_type=int)
    batches: list[list[int]] = []

    @app.agent(numbers)
    async def collect(stream: Any) -> None:
        async for batch in stream.take(10, within="50ms"):
            batches.append(batch)

    async with app.running():
        await numbers.send_many(range(25))
        await eventually(lambda: sum(map(len, batches)) == 25)

    assert [x for batch in batches for x in batch] == list(range(25))
    assert max(map(len, batches)) == 10
    assert len(batches[-1]) == 5


async def test_operators_filter_map_enumerate_and_items(new_app: NewApp) -> None:
    app = new_app()
    numbers = app.topic("numbers", value_type=int, key_type=int)
    even: list[int] = []
    counted: list[tuple[int, int]] = []
    pairs: list[tuple[int, int]] = []

    async def is_even(n: int) -> bool:
        return n % 2 == 0

    @app.agent(numbers)
    async def evens(stream: Any) -> None:
        async for value in stream.filter(is_even).map(lambda n: n * 10):
            even.append(value)

    @app.agent(numbers)
    async def count(stream: Any) -> None:
        async for pair in stream.enumerate(1):
            counted.append(pair)

    @app.agent(numbers)
    async def both(stream: Any) -> None:
        async for pair in stream.items():
            pairs.append(pair)

    async with app.running():
        await numbers.send_many([(i, i) for i in range(4)], keyed=True)
        await eventually(lambda: (len(even), len(counted), len(pairs)) == (2, 4, 4))

        assert even == [0, 20]
        assert counted == [(1, 0), (2, 1), (3, 2), (4, 3)]
        assert pairs == [(i, i) for i in range(4)]
        for group in ("evens", "count", "both"):
            await eventually(lambda g=group: pending_is(app, "numbers", f"shop.{g}", 0))


async def test_group_by_brings_each_key_to_one_place(new_app: NewApp) -> None:
    app = new_app()
    orders = app.topic("orders", value_type=Order, partitions=4)
    places: dict[str, set[int]] = defaultdict(set)
    totals = app.table("totals", default=int)

    @app.agent(orders)
    async def tally(stream: Any) -> None:
        async for order in stream.group_by(Order.id):
            places[order.id].add(stream.partition)
            totals[order.id] += 1

    async with app.running():
        await orders.send_many([Order(f"c{i % 7}") for i in range(700)])
        await eventually(lambda: totals_are(totals, {f"c{i}": 100 for i in range(7)}))

    assert all(len(found) == 1 for found in places.values())


async def totals_are(table: Any, expected: dict[str, Any]) -> bool:
    return dict(await table.items()) == expected


async def test_through_and_echo_send_on_and_merge_reads_several_topics(new_app: NewApp) -> None:
    app = new_app()
    first = app.topic("first", value_type=int)
    second = app.topic("second", value_type=int)
    middle = app.topic("middle", value_type=int)
    copy = app.topic("copy", value_type=int)
    seen: list[int] = []
    echoed: list[int] = []

    @app.agent([first, second])
    async def both(stream: Any) -> None:
        async for value in stream.through(middle).echo(copy):
            seen.append(value)

    @app.agent(copy)
    async def copies(stream: Any) -> None:
        async for value in stream:
            echoed.append(value)

    async with app.running():
        await first.send(1)
        await second.send(2)
        await eventually(lambda: sorted(seen) == [1, 2] and sorted(echoed) == [1, 2])
        length = await app.opened().connection.transport.execute(
            "XLEN", app.opened().space.slot(0).entries("middle")
        )
    assert length == 2


async def test_ask_cast_map_join_and_sinks(new_app: NewApp) -> None:
    app = new_app(partitions=2)
    results = app.topic("results", value_type=int)
    told: list[int] = []
    forwarded: list[int] = []

    @app.agent()
    async def log(stream: Any) -> None:
        async for value in stream:
            forwarded.append(value)

    @app.agent(sink=[results, told.append, log])
    async def square(stream: Any) -> Any:
        async for value in stream:
            yield value * value

    @app.agent()
    async def silent(stream: Any) -> None:
        async for _ in stream:
            pass

    async with app.running():
        assert await square.ask(3) == 9
        assert await square.join([1, 2, 3, 4]) == [1, 4, 9, 16]
        assert sorted([x async for x in square.map(range(5))]) == [0, 1, 4, 9, 16]
        assert dict([p async for p in square.kvmap([("a", 2), ("b", 3)])]) == {"a": 4, "b": 9}
        assert await square.kvjoin([("a", 2), ("b", 3)]) == [4, 9]
        assert sorted(await square.map([1, 2])) == [1, 4]
        assert await silent.ask(1) is None
        await square.cast(7)
        await eventually(lambda: 49 in forwarded and len(forwarded) == len(told) == 17)


async def test_a_client_asks_agents_of_another_process(new_app: NewApp) -> None:
    def make() -> tuple[hotmesh.App, Any]:
        app = new_app()

        @app.agent(app.topic("orders", value_type=Order))
        async def priced(stream: Any) -> Any:
            async for order in stream:
                yield Order(order.id, order.price * 2)

        return app, priced

    (service, _), (client, agent) = make(), make()
    async with client:
        with pytest.raises(AgentTimeout, match="worker"):
            await agent.ask(Order("a"), timeout="50ms")
        async with service.running():
            assert await agent.ask(Order("1", 2.0)) == Order("1", 4.0)


async def test_a_poison_event_ends_in_the_dead_letters_and_blocks_nobody(new_app: NewApp) -> None:
    app = new_app()
    orders = app.topic("orders", value_type=Order)
    seen: list[str] = []
    tries: list[int] = []
    at_last: list[str] = []
    totals = app.table("totals", default=float)

    @app.agent(orders, retry=RetryPolicy(maximum_attempts=3, initial_interval="300ms"))
    async def handle(stream: Any) -> Any:
        async for event in stream.events():
            totals["all"] += 1
            if event.value.id == "bad":
                tries.append(event.attempt)
                at_last[:] = seen
                raise ValueError("no such thing")
            seen.append(event.value.id)
            yield event.value.id

    async with app.running():
        asking = asyncio.ensure_future(handle.ask(Order("bad"), key="a"))
        await eventually(lambda: tries)
        await orders.send(Order("after"), key="a")
        await orders.send(Order("other"), key="b")
        with pytest.raises(AgentError, match="no such thing"):
            await asking
        await eventually(lambda: "after" in seen)

        assert at_last == ["other"]
        assert seen == ["other", "after"]
        assert tries == [0, 1, 2]
        (letter,) = await dead_of(app, "orders")
        assert letter[b"reason"] == b"ValueError: no such thing"
        assert (letter[b"k"], letter[b"group"], letter[b"attempts"]) == (b"a", b"shop.handle", b"3")
        await eventually(lambda: totals_are(totals, {"all": 2.0}))
        await eventually(lambda: pending_is(app, "orders", "shop.handle", 0))
        left = await app.opened().connection.transport.execute(
            "HLEN", app.opened().space.slot(0).attempts("shop.handle")
        )
        assert left == 0


async def test_one_bad_event_of_a_batch_is_found(new_app: NewApp) -> None:
    app = new_app()
    numbers = app.topic("numbers", value_type=int)
    seen: set[int] = set()
    total = app.table("total", default=int)

    @app.agent(numbers, retry=QUICK)
    async def add(stream: Any) -> None:
        async for batch in stream.take(50, within="20ms"):
            total["sum"] += sum(batch)
            if 13 in batch:
                raise ValueError("unlucky")
            seen.update(batch)

    async with app.running():
        await numbers.send_many(range(40))
        await eventually(lambda: totals_are(total, {"sum": sum(range(40)) - 13}))
        await eventually(lambda: dead_count(app, "numbers", 1))
    assert seen == set(range(40)) - {13}


async def dead_count(app: hotmesh.App, topic: str, count: int) -> bool:
    return len(await dead_of(app, topic)) == count


async def test_what_can_not_be_read_goes_to_the_dead_letters_unseen(new_app: NewApp) -> None:
    app = new_app()
    orders = app.topic("orders", value_type=Order)
    seen: list[Order] = []

    @app.agent(orders)
    async def handle(stream: Any) -> None:
        async for order in stream:
            seen.append(order)

    async with app.running():
        stream = app.opened().space.slot(0).entries("orders")
        execute = app.opened().connection.transport.execute
        await execute("XADD", stream, "*", "p", '{"id":1}', "t", "j:Order")
        await execute("XADD", stream, "*", "p", '{"amount":1}', "t", "j:Payment")
        await execute("XADD", stream, "*", "p", "\\xff", "t", "j:Order")
        await execute("XADD", stream, "*", "id", "plain", "price", "2.5")
        await orders.send(Order("ok"))
        await eventually(lambda: len(seen) == 2)

        assert seen == [Order("plain", 2.5), Order("ok")]
        reasons = [letter[b"reason"].decode() for letter in await dead_of(app, "orders")]
        assert len(reasons) == 3
        assert "$.id" in reasons[0] and "j:Payment" in reasons[1]


async def test_a_body_that_ends_or_fails_at_once_is_started_again(new_app: NewApp) -> None:
    app = new_app()
    numbers = app.topic("numbers", value_type=int)
    starts: list[int] = []
    seen: list[int] = []

    @app.agent(numbers)
    async def one_at_a_time(stream: Any) -> None:
        starts.append(1)
        if len(starts) == 1:
            raise RuntimeError("not yet")
        async for value in stream:
            seen.append(value)
            break

    async with app.running():
        await numbers.send_many(range(5))
        await eventually(lambda: seen == [0, 1, 2, 3, 4])
    assert len(starts) >= 6


async def test_a_stopped_agent_leaves_its_events_to_others(new_app: NewApp) -> None:
    app = new_app()
    numbers = app.topic("numbers", value_type=int)

    @app.agent(numbers, supervise="stop", retry=RetryPolicy(maximum_attempts=1))
    async def fragile(stream: Any) -> None:
        async for value in stream:
            if value == 1:
                raise RuntimeError("stop here")

    async with app.running():
        await numbers.send_many(range(4))
        await eventually(lambda: pending_is(app, "numbers", "shop.fragile", 2))
        assert await dead_count(app, "numbers", 1)


async def test_what_an_agent_sends_is_sent_once_and_only_if_its_event_succeeds(
    new_app: NewApp,
) -> None:
    app = new_app()
    source = app.topic("source", value_type=int, partitions=2)
    out = app.topic("out", value_type=int, partitions=3)
    fails: dict[int, int] = defaultdict(int)

    @app.agent(source, retry=QUICK)
    async def copy(stream: Any) -> None:
        async for value in stream:
            await out.send(value, key=str(value))
            fails[value] += 1
            if value % 10 == 0 and fails[value] < 3:
                raise ValueError("again")

    async def values() -> list[int]:
        client, found = app.opened(), []
        for p in range(3):
            rows = await client.connection.transport.execute(
                "XRANGE", client.space.slot(p).entries("out"), "-", "+"
            )
            found += [int(Entry(*r).payload or b"-1") for r in rows]
        return sorted(found)

    async def are_all_there() -> bool:
        return await values() == list(range(200))

    async with app.running():
        await source.send_many(range(200))
        await eventually(are_all_there)
        await eventually(lambda: pending_is(app, "source", "shop.copy", 0))
        assert await values() == list(range(200))


async def test_declaring_nonsense_is_refused(new_app: NewApp) -> None:
    app = new_app()

    @app.agent()
    async def one(stream: Any) -> None: ...

    with pytest.raises(hotmesh.HotMeshError, match="already"):
        app.agent(name="one")(one.function)
    with pytest.raises(hotmesh.HotMeshError, match="concurrency"):
        app.agent(name="two", concurrency=0)(one.function)
    with pytest.raises(hotmesh.HotMeshError, match="partitions"):
        app.topic("t", partitions=1000)
    with pytest.raises(hotmesh.HotMeshError, match="lease"):
        new_app(lease="1ms")
    with pytest.raises(hotmesh.HotMeshError, match="connected"):
        await one.ask(1)
