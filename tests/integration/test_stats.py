"""Every measure, over slots and partitions, and at a constant cost per job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hotmesh import HotMesh
from hotmesh.core import Count
from hotmesh.core.stats import KEEP_MS
from hotmesh.errors import QueryInvalid

DAY_MS = 86_400_000

MODEL = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: sale
      expire: 0
      activities:
        t:
          type: trigger
          stats:
            key: '{$self.input.data.shop}'
            granularity: GRANULARITY
            measures:
              - {measure: count, target: '{$self.input.data.colour}'}
              - {measure: index, target: '{$self.input.data.colour}'}
              - {measure: sum, target: '{$self.input.data.price}'}
              - {measure: avg, target: '{$self.input.data.price}'}
              - {measure: mdn, target: '{$self.input.data.price}'}
              - {measure: min, target: '{$self.input.data.price}'}
              - {measure: max, target: '{$self.input.data.price}'}
"""

SALES = [("red", 10), ("red", 30), ("blue", 2), ("red", 20), ("blue", 3)]


@pytest.fixture(params=[1, 4])
async def mesh(
    redis_url: str, app_id: str, request: pytest.FixtureRequest
) -> AsyncIterator[HotMesh]:
    async with HotMesh.session(app_id, redis_url, partitions=request.param) as mesh:
        for version, granularity in (("1", "infinity"), ("2", "1d"), ("3", "7m")):
            model = MODEL.replace("APP", app_id).replace("GRANULARITY", granularity)
            await mesh.deploy(model.replace("version: '1'", f"version: '{version}'"))
        yield mesh


async def sell(mesh: HotMesh, sales: list[tuple[str, int]]) -> list[str]:
    return [
        await mesh.pub("sale", {"shop": "oslo", "colour": colour, "price": price})
        for colour, price in sales
    ]


def aggregates(result: dict[str, Any]) -> dict[str, float]:
    return {a["type"]: a["value"] for a in result["aggregates"]}


WANTED = {"sum": 65, "avg": 13, "mdn": 10, "min": 2, "max": 30}
QUERY = {"data": {"shop": "oslo"}}


async def test_every_measure_of_the_single_slot(mesh: HotMesh) -> None:
    await mesh.activate("1")
    jids = await sell(mesh, SALES)

    stats = await mesh.get_stats("sale", QUERY)
    ids = await mesh.get_ids("sale", QUERY)

    assert stats["count"] == 5
    counts = {m["target"]: m["value"] for m in stats["measures"]}
    assert counts == {"colour:red": 3, "colour:blue": 2}
    assert aggregates(stats) == WANTED
    (segment,) = ids["segments"]
    found = {m["target"]: set(m["ids"]) for m in segment["measures"]}
    assert found == {
        "colour:red": {jids[0], jids[1], jids[3]},
        "colour:blue": {jids[2], jids[4]},
    }


async def test_slots_are_added_over_a_range_and_told_one_by_one(mesh: HotMesh) -> None:
    await mesh.activate("2")
    await sell(mesh, SALES[:3])
    mesh._store.clock.skew_ms = DAY_MS
    await sell(mesh, SALES[3:])

    stats = await mesh.get_stats("sale", {**QUERY, "range": "1d", "end": "NOW"})

    assert stats["count"] == 5
    assert aggregates(stats) == WANTED
    assert [s["count"] for s in stats["segments"]] == [3, 2]
    sparse = await mesh.get_stats("sale", {**QUERY, "range": "1d", "end": "NOW", "sparse": True})
    assert "segments" not in sparse


async def test_a_slot_of_any_length_can_be_read_back(mesh: HotMesh) -> None:
    await mesh.activate("3")
    await sell(mesh, SALES)

    stats = await mesh.get_stats("sale", {**QUERY, "range": "14m", "end": "NOW"})

    assert stats["count"] == 5
    assert len(stats["segments"]) in (3, 4)


async def test_a_query_that_means_no_time_is_refused(mesh: HotMesh) -> None:
    await mesh.activate("2")

    for query in ({}, {"range": "1d"}, {"range": "1y", "end": "NOW"}, {"end": "soon"}):
        with pytest.raises(QueryInvalid):
            await mesh.get_stats("sale", {**QUERY, **query})


async def test_a_job_costs_the_same_however_many_there_are(
    mesh: HotMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mesh.activate("2")
    orders: list[Count] = []
    apply = mesh._store.apply

    async def noted(batch: Any) -> Any:
        orders.extend(e for item in batch for e in item.effects if isinstance(e, Count))
        return await apply(batch)

    monkeypatch.setattr(mesh._store, "apply", noted)
    await sell(mesh, SALES * 10)

    assert len(orders) == 50
    sizes = {(len(o.sums), len(o.values), len(o.indexes), o.keep_ms) for o in orders}
    assert sizes == {(3, 1, 1, KEEP_MS)}


async def test_slots_go_after_their_time(mesh: HotMesh) -> None:
    await mesh.activate("2")
    await sell(mesh, SALES)

    keys = await mesh._store.transport.execute("KEYS", f"hm:{{{mesh._store.keys.app_id}/*:i:*")
    times = [await mesh._store.transport.execute("PTTL", key) for key in keys]

    assert keys
    assert all(0 < left <= KEEP_MS for left in times)
