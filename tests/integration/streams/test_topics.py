"""Topics and producers on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support import eventually

import hotmesh
from hotmesh.errors import Overloaded, PayloadInvalid, SettingsInvalid
from hotmesh.streams import produce
from hotmesh.streams.client import Client
from hotmesh.streams.keys import partition_of
from hotmesh.streams.topic import NotOpen, Topic
from hotmesh.streams.topics import Wanted, find
from hotmesh.streams.wire import Entry

AppFactory = Callable[..., hotmesh.App]


class Order(hotmesh.Record):
    id: str
    price: float


def topic_of(client: Client, name: str = "orders", **wanted: Any) -> Topic[Order]:
    return Topic(name, lambda: client, value_type=Order, wanted=Wanted(**wanted))


async def entries_of(client: Client, topic: str, partition: int = 0) -> list[Entry]:
    stream = client.space.slot(partition).entries(topic)
    return [
        Entry(*raw) for raw in await client.connection.transport.execute("XRANGE", stream, "-", "+")
    ]


async def test_what_was_sent_lies_in_the_partition_of_its_key(client: Client) -> None:
    topic = topic_of(client, partitions=4)

    sent = await topic.send(Order("1", 9.5), key="k", headers={"a": "b"}, timestamp=12.5)

    assert sent is not None and sent.partition == partition_of(b"k", 4)
    (entry,) = await entries_of(client, "orders", sent.partition)
    assert (entry.id.decode(), entry.key, entry.tag) == (sent.id, b"k", b"j:Order")
    assert (entry.event_ms, entry.headers) == (12_500, {"a": "b"})
    assert topic.codec.decode(entry.payload or b"", entry.tag) == Order("1", 9.5)


async def test_entries_of_one_key_keep_their_order_and_those_without_one_spread(
    client: Client,
) -> None:
    topic = topic_of(client, partitions=3)

    await asyncio.gather(*[topic.send(Order(str(i), i), key="same") for i in range(1200)])
    await topic.send_many([Order(str(i), i) for i in range(30)])

    at = partition_of(b"same", 3)
    found = [e for e in await entries_of(client, "orders", at) if e.key]
    ids = [topic.codec.decode(e.payload or b"", e.tag).id for e in found]
    assert ids == [str(i) for i in range(1200)]
    unkeyed = [
        len([e for e in await entries_of(client, "orders", p) if not e.key]) for p in range(3)
    ]
    assert unkeyed == [10, 10, 10]


async def test_partitions_are_fixed_by_the_first_and_bounds_may_change(client: Client) -> None:
    await topic_of(client, partitions=2, maxlen=100).declare()

    other = await Client.open(client.connection, namespace=client.space.namespace)
    try:
        with pytest.raises(SettingsInvalid, match="2 partitions"):
            await topic_of(other, partitions=3).declare()
        spec = await topic_of(other, maxlen=500).declare()
    finally:
        await other.close()
    assert (spec.partitions, spec.maxlen) == (2, 500)
    assert await find(client.store, "orders") == spec


async def test_a_batch_that_is_sent_again_is_not_appended_again(client: Client) -> None:
    spec = await topic_of(client).declare()
    slot = client.space.slot(0)
    keys = [slot.entries("orders"), slot.receipt("me")]
    batch = [produce.Waiting(["p", b"1"], None, 0), produce.Waiting(["p", b"2"], None, 0)]
    batch[0].number, batch[1].number = 1, 2

    first = await produce.append(client.store, keys, spec, batch)
    again = await produce.append(client.store, keys, spec, batch)

    assert first[0] == 1 and all(first[1:])
    assert again == [1, b"", b""]
    assert [e.payload for e in await entries_of(client, "orders")] == [b"1", b"2"]


async def test_sends_survive_a_cut_connection_once_each(client: Client, redis_url: str) -> None:
    topic = topic_of(client)
    await topic.declare()
    async with await Client.open(redis_url, namespace=client.space.namespace) as other:

        async def cut() -> None:
            for _ in range(10):
                await asyncio.sleep(0.01)
                found = client.connection.transport.client_id
                if found is not None:
                    await other.connection.transport.execute("CLIENT", "KILL", "ID", found)

        cutting = asyncio.ensure_future(cut())
        for first in range(0, 3000, 100):
            await asyncio.gather(*[topic.send(Order(str(i), i)) for i in range(first, first + 100)])
        await cutting
        found = await entries_of(other, "orders")
    assert [topic.codec.decode(e.payload or b"", e.tag).id for e in found] == [
        str(i) for i in range(3000)
    ]


async def test_a_full_topic_refuses_until_its_group_has_handled_the_oldest(client: Client) -> None:
    topic = topic_of(client, maxlen=10, full="reject")
    spec = await topic.declare()
    stream = client.space.slot(0).entries("orders")
    execute = client.connection.transport.execute
    await execute("XGROUP", "CREATE", stream, "g", "0", "MKSTREAM")
    await topic.send_many([Order(str(i), i) for i in range(10)])

    with pytest.raises(Overloaded, match="lag"):
        await topic.send(Order("11", 1))
    ((_, read),) = await execute(
        "XREADGROUP", "GROUP", "g", "c", "COUNT", 4, "STREAMS", stream, ">"
    )
    with pytest.raises(Overloaded):
        await topic.send(Order("11", 1))
    await execute("XACK", stream, "g", *[id for id, _ in read])

    await topic.send(Order("11", 1))
    assert spec.length_max == 10
    assert await execute("XLEN", stream) == 7


async def test_a_producer_waits_for_room_in_a_full_topic(client: Client) -> None:
    topic = topic_of(client, maxlen=5)
    await topic.declare()
    stream = client.space.slot(0).entries("orders")
    execute = client.connection.transport.execute
    await execute("XGROUP", "CREATE", stream, "g", "0", "MKSTREAM")
    await topic.send_many([Order(str(i), i) for i in range(5)])

    waiting = asyncio.ensure_future(topic.send(Order("6", 6)))
    ((_, read),) = await execute("XREADGROUP", "GROUP", "g", "c", "STREAMS", stream, ">")
    assert not waiting.done()
    await execute("XACK", stream, "g", *[id for id, _ in read])

    await eventually(waiting.done)
    assert [e.key for e in await entries_of(client, "orders")] == [None]


async def test_old_entries_go_when_a_topic_trims_or_has_a_retention(client: Client) -> None:
    trimmed = topic_of(client, "t", maxlen=1000, full="trim")
    await trimmed.send_many([Order(str(i), i) for i in range(3000)])
    kept = topic_of(client, "r", retention="1m")
    await kept.send_many([Order(str(i), i) for i in range(500)])
    client.store.clock.skew_ms = 3_600_000
    await kept.send(Order("last", 1))

    assert 900 <= len(await entries_of(client, "t")) <= 1700
    assert len(await entries_of(client, "r")) <= 101


async def test_bad_values_and_a_closed_app_are_refused_with_nothing_sent(client: Client) -> None:
    topic = topic_of(client)

    with pytest.raises(PayloadInvalid, match=r"\$\.price"):
        await topic.send(Order("1", "dear"))  # type: ignore[arg-type]
    with pytest.raises(SettingsInvalid, match="partitions 0 to 0"):
        await topic.send(Order("1", 1), partition=3)
    with pytest.raises(NotOpen, match="async with app"):
        await Topic[Any]("orders", lambda: None).send(1)
    assert await entries_of(client, "orders") == []


async def test_producers_slow_down_when_too_much_is_in_line(client: Client) -> None:
    client.producer = produce.Producer(client.store, waiting_max=50)
    topic = topic_of(client)

    futures = [await topic.send_soon(Order(str(i), i)) for i in range(500)]

    assert sum(not f.done() for f in futures) <= 50
    await topic.flush()
    assert all(f.done() for f in futures)
    assert len(await entries_of(client, "orders")) == 500


async def test_a_topic_that_agents_fill_is_bounded_and_slows_them_down(
    new_app: AppFactory,
) -> None:
    app = new_app()
    source = app.topic("source", value_type=int)
    out = app.topic("out", value_type=int, maxlen=1_000)
    seen = app.table("seen", default=int)

    @app.agent(source)
    async def copy(stream: Any) -> None:
        async for value in stream:
            await out.send(value)
            seen["all"] += 1

    async def length() -> int:
        client = app.opened()
        found = await client.connection.transport.execute(
            "XLEN", client.space.slot(0).entries("out")
        )
        return int(found)

    async with app.running() as worker:
        client = app.opened()
        execute, stream = client.connection.transport.execute, client.space.slot(0).entries("out")
        await execute("XGROUP", "CREATE", stream, "slow", "0", "MKSTREAM")
        await source.send_many(range(20_000))
        await eventually(lambda: any(r.run.crowded for r in worker._running.values()))
        stopped_at = await length()
        assert stopped_at < 20_000

        while await length() or await seen.get("all") < 20_000:
            reply = await execute(
                "XREADGROUP", "GROUP", "slow", "c", "COUNT", 1_000, "STREAMS", stream, ">"
            )
            for _, entries in reply or ():
                await execute("XACK", stream, "slow", *[id for id, _ in entries])
            await asyncio.sleep(0.01)
            if await seen.get("all") >= 20_000 and not reply:
                break
        assert await seen.get("all") == 20_000
        assert await length() < 20_000
