"""Signals on a server: early, late, twice, expired, to all; none is lost, none is applied twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from support import eventually

from hotmesh import HotMesh

HOUR_MS = 3_600_000

MODEL = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: run
      expire: 60
      activities:
        t:
          type: trigger
          stats:
            id: '{$self.input.data.id}'
            key: '{$self.input.data.camp}'
            granularity: infinity
            measures: [{measure: index, target: '{$self.input.data.camp}'}]
        wait:
          type: hook
          pending: 1h
          job: {maps: {n: '{$self.hook.data.n}'}}
        more: {type: hook, job: {maps: {seen: '{wait.hook.data.n}'}}}
      transitions:
        t: [{to: wait}]
        wait: [{to: more, conditions: {code: 202}}]
      hooks:
        go.on:
          - to: wait
            conditions: {match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]}
"""


@pytest.fixture(params=[1, 4])
async def mesh(
    redis_url: str, app_id: str, request: pytest.FixtureRequest
) -> AsyncIterator[HotMesh]:
    async with HotMesh.session(app_id, redis_url, partitions=request.param) as mesh:
        await mesh.deploy(MODEL.replace("APP", app_id))
        await mesh.activate("1")
        yield mesh


def job(jid: str) -> dict[str, Any]:
    return {"id": jid, "camp": "north"}


async def at_rest(mesh: HotMesh) -> None:
    """All entries are settled."""
    streams = [s for p in mesh._store.keys.partitions for s in (p.engine, p.outbox)]

    async def settled() -> bool:
        lengths = await mesh._store.transport.execute_many([("XLEN", s) for s in streams])
        return not any(lengths)

    await eventually(settled)
    await eventually(settled)


async def test_an_early_signal_wakes_the_hook_that_comes(mesh: HotMesh) -> None:
    await mesh.hook("go.on", {"id": "j", "n": 1})

    output = await mesh.pubsub("run", job("j"), timeout=20)

    assert output.data == {"n": 1}


async def test_an_early_signal_waits_for_as_long_as_the_model_says(mesh: HotMesh) -> None:
    """Each for its own time: one that comes later keeps none alive that came before it."""
    clock = mesh._store.clock
    await mesh.hook("go.on", {"id": "j", "n": 1})
    clock.skew_ms = HOUR_MS // 2
    await mesh.hook("go.on", {"id": "j", "n": 2})
    clock.skew_ms = HOUR_MS + 60_000

    output = await mesh.pubsub("run", job("j"), timeout=20)

    assert output.data == {"n": 2}


async def test_an_expired_signal_wakes_nobody(mesh: HotMesh) -> None:
    await mesh.hook("go.on", {"id": "j", "n": 1})
    mesh._store.clock.skew_ms = HOUR_MS + 60_000

    await mesh.pub("run", job("j"))
    await at_rest(mesh)
    assert await mesh.get_status("j") == 1
    await mesh.hook("go.on", {"id": "j", "n": 2})

    assert (await mesh.result("run", "j", timeout=20)).data == {"n": 2}


async def test_a_late_signal_waits_for_the_next_job_of_that_key(mesh: HotMesh) -> None:
    await mesh.hook("go.on", {"id": "j", "n": 1})
    await mesh.pubsub("run", job("j"), timeout=20)
    await mesh.hook("go.on", {"id": "j", "n": 2})
    await mesh.scrub("j")

    assert (await mesh.pubsub("run", job("j"), timeout=20)).data == {"n": 2}


async def test_a_signal_that_is_sent_twice_counts_once(mesh: HotMesh) -> None:
    await mesh.pub("run", job("j"))
    for _ in range(2):
        await mesh.hook(
            "go.on", {"id": "j", "n": 1}, status="pending", code=202, idempotency_key="k"
        )
    await at_rest(mesh)
    assert await mesh.get_status("j") == 1
    await mesh.hook("go.on", {"id": "j", "n": 2}, idempotency_key="l")

    await mesh.result("run", "j", timeout=20)

    run = await mesh.export("j")
    assert [leg.activity for leg in run.legs] == ["t", "wait", "more"]
    (wait,) = [leg for leg in run.legs if leg.activity == "wait"]
    assert wait.generations == 2


async def test_all_jobs_of_an_index_are_woken_and_the_index_may_go(mesh: HotMesh) -> None:
    jids = [f"j{i}" for i in range(8)]
    for jid in jids:
        await mesh.pub("run", job(jid))
    await mesh.pub("run", {"id": "other", "camp": "south"})
    query = {"data": {"camp": "north"}}

    told = await mesh.hook_all("go.on", {"n": 5}, query, facets=["camp:north"], scrub=True)

    assert sorted(told.job_ids) == jids
    for jid in jids:
        assert (await mesh.result("run", jid, timeout=20)).data == {"n": 5}
    assert await mesh.get_status("other") == 1
    again = await mesh.hook_all("go.on", {"n": 5}, query, facets=["camp:north"])
    assert again.job_ids == ()
