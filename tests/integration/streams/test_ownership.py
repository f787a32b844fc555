"""Partitions over processes: one owner each, moved one by one; a stale owner changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support import eventually

import hotmesh
from hotmesh.router.member import consumer_name
from hotmesh.streams import commit as commits
from hotmesh.streams.client import Client
from hotmesh.streams.commit import APPLIED, DUPLICATE, LOST, Commit
from hotmesh.streams.lease import disown, own, quota_of

NewApp = Callable[..., hotmesh.App]


@pytest.mark.parametrize("count", [1, 4, 7, 10])
@pytest.mark.parametrize("members", [1, 2, 3, 12])
def test_quotas_share_out_all_partitions_evenly(count: int, members: int) -> None:
    names = [f"m{i}" for i in range(members)]

    quotas = [quota_of(name, names, count) for name in names]

    assert sum(quotas) == count
    assert max(quotas) - min(quotas) <= 1
    assert quota_of("new", names, count) <= max(quotas)


async def test_a_partition_has_one_owner_until_it_lets_go_or_its_lease_ends(client: Client) -> None:
    store = client.store

    taken = await own(store, "a", 0, "me", 10_000)
    refused = await own(store, "a", 0, "you", 10_000)
    renewed = await own(store, "a", 0, "me", 10_000)
    assert (taken, renewed) == ([1, 1, 0, b"1", b"1"], [1, 1, 0, b"0", b"0"])
    assert refused[:2] == [0, b"me"] and 0 < refused[2] <= 10_000

    assert not await disown(store, "a", 0, "you", 1)
    assert await disown(store, "a", 0, "me", 1)
    assert (await own(store, "a", 0, "you", 10_000)) == [1, 2, 0, b"1", b"1"]
    store.clock.skew_ms = 20_000  # its lease ends: nobody knows what it has died of
    assert (await own(store, "a", 0, "me", 10_000)) == [1, 3, 0, b"1", b"0"]
    assert (await own(store, "a", 0, "next", 10_000, dead="me"))[:2] == [1, 4]


async def test_a_commit_is_applied_once_and_only_by_the_owner(client: Client) -> None:
    store, slot = client.store, client.space.slot(0)
    execute = client.connection.transport.execute
    await own(store, "a", 0, "me", 10_000)

    def commit() -> Commit:
        made = Commit(slot.owner("a"))
        made.append(slot.entries("t"), ("p", "1"))
        made.add("HSET", made.key(slot.table("a", "n"), "h"), "k", "1")
        return made

    assert await commits.apply(store, commit(), 1, 1) == APPLIED
    assert await commits.apply(store, commit(), 1, 1) == DUPLICATE  # its reply was lost
    await own(store, "a", 0, "you", 10_000, dead="me")
    assert await commits.apply(store, commit(), 1, 2) == LOST  # a process that was frozen
    assert await commits.apply(store, commit(), 2, 1) == APPLIED
    assert await execute("XLEN", slot.entries("t")) == 2


async def test_a_commit_on_a_key_of_another_type_writes_nothing(client: Client) -> None:
    store, slot = client.store, client.space.slot(0)
    execute = client.connection.transport.execute
    await own(store, "a", 0, "me", 10_000)
    await execute("SET", slot.table("a", "n"), "not a hash")
    made = Commit(slot.owner("a"))
    made.append(slot.entries("t"), ("p", "1"))
    made.add("HSET", made.key(slot.table("a", "n"), "h"), "k", "1")

    with pytest.raises(hotmesh.HotMeshError, match="WRONGTYPE"):
        await commits.apply(store, made, 1, 1)

    assert await execute("EXISTS", slot.entries("t")) == 0


def counting(new_app: NewApp, seen: list[tuple[str, int]], name: str) -> hotmesh.App:
    app = new_app(partitions=6)
    numbers = app.topic("numbers", value_type=int)
    counts = app.table("counts", default=int)

    @app.agent(numbers)
    async def count(stream: Any) -> None:
        async for event in stream.events():
            await asyncio.sleep(0)
            counts[event.key] += 1
            seen.append((name, event.value))

    return app


async def test_partitions_are_shared_out_as_processes_come_and_go(new_app: NewApp) -> None:
    seen: list[tuple[str, int]] = []
    first, second = counting(new_app, seen, "first"), counting(new_app, seen, "second")
    sending = True

    async def send() -> int:
        sent = 0
        while sending:
            await first.topics["numbers"].send_many(
                [(f"k{i % 30}", sent + i) for i in range(30)], keyed=True
            )
            sent += 30
            await asyncio.sleep(0.01)
        return sent

    async with first.running() as one:
        await eventually(lambda: one.partitions == [0, 1, 2, 3, 4, 5])
        producing = asyncio.ensure_future(send())
        async with second.running() as two:
            await eventually(lambda: len(one.partitions) == len(two.partitions) == 3)
            assert not set(one.partitions) & set(two.partitions)
            await eventually(lambda: any(who == "second" for who, _ in seen))
        await eventually(lambda: one.partitions == [0, 1, 2, 3, 4, 5])
        sending = False
        sent = await producing

        async def are_counted() -> bool:
            return dict(await first.tables["counts"].items()) == {
                f"k{i}": sent // 30 for i in range(30)
            }

        await eventually(are_counted)
    values = [value for _, value in seen]
    assert len(values) == len(set(values)) == sent  # a clean hand-over repeats nothing


async def test_a_lost_lease_stops_what_runs_and_its_effects_come_once(new_app: NewApp) -> None:
    seen: list[tuple[str, int]] = []
    app = counting(new_app, seen, "it")
    async with app.running() as worker:
        await eventually(lambda: len(worker.partitions) == 6)
        client = app.opened()
        for number in range(6):  # as if another had taken all of them, and died
            await own(client.store, "shop", number, "somebody", 600, dead=worker.ownership.me)
        await app.topics["numbers"].send_many([(f"k{i}", i) for i in range(60)], keyed=True)

        async def are_counted() -> bool:
            found = dict(await app.tables["counts"].items())
            return found == {f"k{i}": 1 for i in range(60)}

        await eventually(are_counted, 20)
        epochs = [worker.ownership.held[n].epoch for n in range(6)]
    assert min(epochs) >= 3
    assert consumer_name() != worker.ownership.me
