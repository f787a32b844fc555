"""Tables on a real server: like a dict inside, read from anywhere, windows by event time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support import eventually

import hotmesh
from hotmesh import RetryPolicy
from hotmesh.streams.table import NoEvent
from hotmesh.streams.window import Span

NewApp = Callable[..., hotmesh.App]
QUICK = RetryPolicy(maximum_attempts=1)


class Hit(hotmesh.Record):
    page: str
    n: int = 1


async def items_are(table: Any, expected: dict[Any, Any], at: Any = None) -> bool:
    return dict(await table.items(at=at)) == expected


async def test_a_table_is_like_a_dict_and_read_from_another_process(new_app: NewApp) -> None:
    app = new_app(partitions=2)
    steps = app.topic("steps", value_type=list)
    names = app.table("names", value_type=list[int], default=list)
    plain = app.table("plain", value_type=int)
    found: list[Any] = []

    @app.agent(steps)
    async def do(stream: Any) -> None:
        async for what, key, value in stream:
            if what == "append":
                names[key].append(value)  # changed in place
            elif what == "set":
                plain[key] = value
            elif what == "pop":
                found.append((key in plain, plain.pop(key), key in plain))
            elif what == "missing":
                with pytest.raises(KeyError):
                    plain[key]
                with pytest.raises(KeyError):
                    del plain[key]
                found.append(plain.setdefault(key, value))

    async with app.running():
        for step in (
            ["append", "a", 1], ["append", "a", 2], ["set", "x", 5], ["set", "y", 6],
            ["pop", "x", 0], ["missing", "z", 7],
        ):  # fmt: skip
            await steps.send(step, key=step[1])
        await eventually(lambda: items_are(plain, {"y": 6, "z": 7}))
        await eventually(lambda: items_are(names, {"a": [1, 2]}))

    assert sorted(found, key=str) == [(True, 5, False), 7]
    reader = new_app(partitions=2)
    table = reader.table("names", value_type=list[int], default=list)
    async with reader:
        assert await table.get("a") == [1, 2]
        assert await table.get("nobody") == []
        assert await table.get("nobody", [9]) == [9]
        assert await table.keys() == ["a"]
        assert await table.values() == [[1, 2]]
        with pytest.raises(NoEvent, match=r"await table\.get"):
            table["a"]


async def test_a_failed_event_leaves_no_trace_in_tables(new_app: NewApp) -> None:
    app = new_app()
    numbers = app.topic("numbers", value_type=int)
    log = app.table("log", value_type=list[int], default=list)

    @app.agent(numbers, retry=QUICK)
    async def add(stream: Any) -> None:
        async for n in stream:
            log["all"].append(n)
            log["sum"] = [*log["sum"], n]
            if n == 2:
                raise ValueError

    async with app.running():
        await numbers.send_many(range(5))
        await eventually(lambda: items_are(log, {"all": [0, 1, 3, 4], "sum": [0, 1, 3, 4]}))


async def test_events_that_touch_the_same_value_while_they_wait_are_handled_again(
    new_app: NewApp,
) -> None:
    app = new_app()
    numbers = app.topic("numbers", value_type=int)
    total = app.table("total", default=int)

    @app.agent(numbers, concurrency=8)
    async def add(stream: Any) -> None:
        async for n in stream:
            before = total["sum"]
            await asyncio.sleep(0.001)
            total["sum"] = before + n

    async with app.running():
        await numbers.send_many([(str(i), 1) for i in range(100)], keyed=True)
        await eventually(lambda: items_are(total, {"sum": 100}), within_s=30)


async def test_one_event_may_add_to_values_of_several_partitions(new_app: NewApp) -> None:
    app = new_app()
    lines = app.topic("lines", value_type=str, partitions=4)
    counts = app.table("counts", default=int)
    words = [f"w{i}" for i in range(20)]

    @app.agent(lines)
    async def count(stream: Any) -> None:
        async for line in stream:
            for word in line.split():
                counts[word] += 1

    async with app.running():
        await lines.send_many([" ".join(words)] * 50)
        await eventually(lambda: items_are(counts, dict.fromkeys(words, 50)))


async def test_other_changes_in_several_partitions_are_refused(new_app: NewApp) -> None:
    app = new_app()
    lines = app.topic("lines", value_type=str, partitions=4)
    marks = app.table("marks", value_type=str)

    @app.agent(lines)
    async def mark(stream: Any) -> None:
        async for line in stream:
            for word in line.split():
                marks[word] = "seen"

    async with app.running():
        await lines.send("one word here a b c d e f")
        await lines.send("alone")
        await eventually(lambda: items_are(marks, {"alone": "seen"}))
        client = app.opened()
        letters = []
        for p in range(4):
            letters += await client.connection.transport.execute(
                "XRANGE", client.space.slot(p).dead("lines"), "-", "+"
            )
        assert len(letters) == 1 and b"group_by" in b" ".join(letters[0][1])


async def test_tumbling_windows_by_event_time(new_app: NewApp) -> None:
    app = new_app()
    hits = app.topic("hits", value_type=Hit)
    views = app.table("views", default=int).tumbling("10s", expires="1h")
    seen: list[tuple[int, int]] = []

    @app.agent(hits)
    async def count(stream: Any) -> None:
        async for hit in stream:
            views[hit.page] += hit.n
            seen.append((views[hit.page].current(), views[hit.page].delta("10s")))

    async with app.running():
        for at in (100.0, 101.0, 109.999, 110.0, 111.0, 105.0):
            await hits.send(Hit("a"), key="a", timestamp=at)
        await eventually(lambda: len(seen) == 6)
        await eventually(lambda: items_are(views, {"a": 4}, 100))

        assert seen == [(1, 1), (2, 2), (3, 3), (1, -2), (2, -1), (4, 4)]
        assert await views.get("a", at=112) == 2
        assert await views.get("a") == 2  # at the latest event
        assert await views.get("a", at=500) == 0
        assert await views.windows_of("a") == {Span(100_000, 110_000): 4, Span(110_000, 120_000): 2}


async def test_hopping_and_sliding_windows(new_app: NewApp) -> None:
    app = new_app()
    hits = app.topic("hits", value_type=Hit)
    hops = app.table("hops", default=int).hopping("10s", "5s", expires="1h")
    last = app.table("last", default=int).sliding("10s", "1s", expires="1h")
    seen: list[tuple[int, int]] = []

    @app.agent(hits)
    async def count(stream: Any) -> None:
        async for hit in stream:
            hops[hit.page] += 1
            last[hit.page] += 1
            seen.append((hops[hit.page].current(), last[hit.page].current()))

    async with app.running():
        for at in (100, 104, 107, 112, 130):
            await hits.send(Hit("a"), key="a", timestamp=at)
        await eventually(lambda: len(seen) == 5)
        await eventually(lambda: items_are(last, {"a": 1}, 130))

        # Hopping windows begin at 95, 100, 105, …; the oldest that holds the event is looked at.
        assert seen == [(1, 1), (2, 2), (3, 3), (2, 3), (1, 1)]
        windows = await hops.windows_of("a")
        assert windows[Span(100_000, 110_000)] == 3
        assert windows[Span(105_000, 115_000)] == 2


async def test_sessions_grow_together(new_app: NewApp) -> None:
    app = new_app()
    hits = app.topic("hits", value_type=Hit)
    visits = app.table("visits", default=int).session("10s", expires="1h")

    @app.agent(hits)
    async def count(stream: Any) -> None:
        async for hit in stream:
            visits[hit.page] += 1

    async with app.running():
        for at in (100, 105, 130, 121, 113):  # the last one joins all three
            await hits.send(Hit("a"), key="a", timestamp=at)
        await hits.send(Hit("a"), key="a", timestamp=200)

        async def are_two() -> bool:
            return len(await visits.windows_of("a")) == 2

        await eventually(are_two)
        assert await visits.windows_of("a") == {
            Span(100_000, 140_000): 5,
            Span(200_000, 210_000): 1,
        }
        assert await visits.get("a", at=119) == 5
        assert await visits.get("a") == 1


@pytest.mark.parametrize("late", ["drop", "dead_letter"])
async def test_windows_expire_and_late_events_are_dropped_or_kept(
    new_app: NewApp, late: str
) -> None:
    app = new_app()
    hits = app.topic("hits", value_type=Hit)
    views = app.table("views", default=int).tumbling("10s", expires="20s", late=late)
    seen: list[float] = []

    @app.agent(hits, retry=QUICK)
    async def count(stream: Any) -> None:
        async for event in stream.events():
            views[event.value.page] += 1
            seen.append(event.timestamp_ms / 1000)

    async with app.running():
        for at in (100, 125, 101, 131, 102):  # at 131 the first window has expired
            await hits.send(Hit("a"), key="a", timestamp=at)
        await hits.send(Hit("b"), key="b", timestamp=131)

        async def are_left() -> bool:
            return set(await views.windows_of("a")) == {
                Span(120_000, 130_000), Span(130_000, 140_000)
            }  # fmt: skip

        await eventually(are_left)
        client = app.opened()
        execute, slot = client.connection.transport.execute, client.space.slot(0)
        await eventually(lambda: 131 in seen)
        assert await execute("EXISTS", slot.table("shop", "views", "100000")) == 0

        async def is_buried() -> bool:
            return bool(await execute("XLEN", slot.dead("hits")) == (late == "dead_letter"))

        await eventually(is_buried)


async def test_closed_windows_are_reported_once_with_what_they_send(new_app: NewApp) -> None:
    def make() -> tuple[hotmesh.App, Any, Any]:
        app = new_app()
        hits = app.topic("hits", value_type=Hit)
        out = app.topic("out", value_type=dict)
        views = app.table("views", default=int).tumbling("10s", expires="1h", grace="5s")

        @app.agent(hits)
        async def count(stream: Any) -> None:
            async for hit in stream:
                views[hit.page] += 1

        @views.on_close
        async def closed(key: Any, value: int, window: Span) -> None:
            await out.send({"page": key, "count": value, "from": window.start_ms})

        return app, hits, out

    app, hits, _ = make()
    async with app.running():
        for at, page in ((100, "a"), (101, "b"), (102, "a"), (114, "a")):
            await hits.send(Hit(page), key=page, timestamp=at)
        await hits.send(Hit("c"), key="c", timestamp=115)  # the first window closes
        await eventually(lambda: length_is(app, "out", 2))
    app, hits, out = make()
    async with app.running():
        await hits.send(Hit("c"), key="c", timestamp=126)
        await eventually(lambda: length_is(app, "out", 4))
        rows = await app.opened().connection.transport.execute(
            "XRANGE", app.opened().space.slot(0).entries("out"), "-", "+"
        )
        told = [out.codec.decode(row[1][1], row[1][3]) for row in rows]
    assert sorted((t["page"], t["count"], t["from"]) for t in told) == [
        ("a", 1, 110_000), ("a", 2, 100_000), ("b", 1, 100_000), ("c", 1, 110_000),
    ]  # fmt: skip


async def length_is(app: hotmesh.App, topic: str, count: int) -> bool:
    client = app.opened()
    found = await client.connection.transport.execute("XLEN", client.space.slot(0).entries(topic))
    return bool(found == count)


async def test_tables_survive_a_restart_and_sit_beside_a_stream(new_app: NewApp) -> None:
    def make() -> tuple[hotmesh.App, Any, Any, list[Any]]:
        app = new_app(partitions=2)
        people = app.topic("people", value_type=dict)
        orders = app.topic("orders", value_type=dict)
        names = app.table("names", value_type=str)
        seen: list[Any] = []

        @app.agent(people)
        async def learn(stream: Any) -> None:
            async for person in stream:
                names[person["id"]] = person["name"]

        @app.agent(orders)
        async def enrich(stream: Any) -> None:
            async for order, name in stream.join(names, on=lambda o: o["who"], missing="?"):
                seen.append((order["n"], name))

        return app, people, orders, seen

    app, people, _, _ = make()
    async with app.running():
        await people.send({"id": "7", "name": "Ada"}, key="7")
        await eventually(lambda: items_are(app.tables["names"], {"7": "Ada"}))
    app, _, orders, seen = make()
    async with app.running():
        await orders.send({"n": 1, "who": "7"}, key="7")
        await orders.send({"n": 2, "who": "8"}, key="8")
        await eventually(lambda: sorted(seen) == [(1, "Ada"), (2, "?")])


async def test_changes_are_told_as_they_are_committed(new_app: NewApp) -> None:
    app = new_app()
    numbers = app.topic("numbers", value_type=int)
    last = app.table("last", value_type=int, changes=True)

    @app.agent(numbers)
    async def note(stream: Any) -> None:
        async for event in stream.events():
            last[event.key] = event.value

    async with app.running():
        await numbers.send(1, key="a")
        await eventually(lambda: items_are(last, {"a": 1}))
        changes = last.changes(last="0")
        await numbers.send(2, key="b")
        told = [await anext(changes), await anext(changes)]
        await changes.aclose()  # type: ignore[attr-defined]
    assert told == [("a", 1, None), ("b", 2, None)]


async def test_a_global_table_is_read_in_every_partition(new_app: NewApp) -> None:
    app = new_app(partitions=4)
    rates = app.topic("rates", value_type=float)
    orders = app.topic("orders", value_type=str)
    known = app.global_table("known", value_type=float)
    seen: list[Any] = []

    @app.agent(rates)
    async def learn(stream: Any) -> Any:
        async for event in stream.events():
            known[event.key] = event.value
            yield True

    @app.agent(orders)
    async def convert(stream: Any) -> None:
        async for currency in stream:
            rate = 0.0
            if currency in known:
                rate = known[currency]
            seen.append((stream.partition, rate))

    async with app.running() as worker:
        await learn.ask(1.5, key="EUR")
        await learn.ask(0.9, key="USD")
        await eventually(lambda: copied(worker, known) == 2)
        peeks = worker._peek.count
        await orders.send_many(["EUR", "USD", "GBP"] * 8)
        await eventually(lambda: len(seen) == 24)

    assert {p for p, _ in seen} == {0, 1, 2, 3}
    assert sorted(rate for _, rate in seen) == [0] * 8 + [0.9] * 8 + [1.5] * 8
    assert worker._peek.count == peeks  # from the copy, without asking the server


def copied(worker: Any, table: Any) -> int:
    return len(worker._replicas._values.get(table, ()))


async def test_two_topics_are_joined_within_a_time(new_app: NewApp) -> None:
    app = new_app(partitions=3)

    class Order(hotmesh.Record):
        id: str

    class Payment(hotmesh.Record):
        order: str
        amount: float

    orders = app.topic("orders", value_type=Order)
    payments = app.topic("payments", value_type=Payment)
    both = app.join(orders, payments, on=(Order.id, Payment.order), within="10s")
    paid: list[tuple[str, float]] = []
    totals = app.table("totals", default=float)

    @app.agent(both)
    async def match(stream: Any) -> None:
        async for order, payment in stream:
            totals[order.id] += payment.amount
            paid.append((order.id, payment.amount))

    async with app.running():
        await orders.send(Order("a"), timestamp=100)
        await payments.send(Payment("a", 1.0), timestamp=105)
        await payments.send(Payment("b", 2.0), timestamp=109)  # comes before its order
        await orders.send(Order("b"), timestamp=111)
        await payments.send(Payment("a", 3.0), timestamp=110)
        await payments.send(Payment("a", 9.0), timestamp=110.001)  # too late for its order
        await payments.send(Payment("c", 9.0), timestamp=110)  # has none
        await eventually(lambda: items_are(totals, {"a": 4.0, "b": 2.0}))
    assert sorted(paid) == [("a", 1.0), ("a", 3.0), ("b", 2.0)]
    with pytest.raises(hotmesh.HotMeshError, match="differ"):
        app.join(orders, orders, on=(Order.id, Order.id), within=1)
