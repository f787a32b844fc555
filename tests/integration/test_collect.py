"""Old plans go when nothing needs them, and not before."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from support import eventually

from hotmesh import HotMesh
from hotmesh.engine import collector
from hotmesh.errors import VersionNotFound, VersionSealed
from hotmesh.messages import ChildStart, Reply, encode_entry
from hotmesh.payload import encode
from hotmesh.store import collect as collecting
from hotmesh.store import plans
from hotmesh.store.collect import collect, versions
from hotmesh.store.dead import bury_op, drop, find

MODEL = """
app:
  id: APP
  version: 'VERSION'
  graphs:
    - subscribes: run
      expire: 60
      activities:
        t: {type: trigger}
        wait: {type: hook}
      transitions:
        t: [{to: wait}]
      hooks:
        go.on:
          - to: wait
            conditions: {match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]}
    - subscribes: nap
      expire: 60
      activities:
        n: {type: trigger}
        sleep: {type: hook, sleep: 1h}
      transitions:
        n: [{to: sleep}]
    - subscribes: hop
      expire: 0.001
      activities:
        h: {type: trigger}
        next:
          type: await
          topic: hop
          await: false
          input: {maps: {left: {'@pipe': [['{h.output.data.left}', 1], ['{@math.subtract}']]}}}
        end: {type: await, topic: run, await: false}
      transitions:
        h:
          - to: next
            conditions:
              match:
                - expected: true
                  actual: {'@pipe': [['{h.output.data.left}', 0], ['{@conditional.greater_than}']]}
          - to: end
            conditions: {match: [{expected: 0, actual: '{h.output.data.left}'}]}
"""


@pytest.fixture
async def mesh(
    redis_url: str, app_id: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[HotMesh]:
    monkeypatch.setattr(plans, "USED_EVERY_S", 0.0)  # every use is noted, so rest may be short
    partitions = getattr(request, "param", 1)
    async with HotMesh.session(app_id, redis_url, partitions=partitions) as mesh:
        yield mesh


async def activate(mesh: HotMesh, *names: str, more: str = "") -> None:
    for version in names:
        app_id = mesh._store.keys.app_id
        await mesh.deploy(MODEL.replace("APP", app_id).replace("VERSION", version) + more)
        await mesh.activate(version)


async def swept(mesh: HotMesh, **options: Any) -> list[str]:
    await asyncio.sleep(0.002)  # uses are noted in whole milliseconds
    return await collect(mesh._store, **{"kept": 1, "idle_ms": 0, **options})


async def test_all_but_the_active_and_those_kept_go(mesh: HotMesh) -> None:
    await activate(mesh, "1", "2", "3", "4")
    await mesh.deploy(
        MODEL.replace("APP", mesh._store.keys.app_id).replace("VERSION", "never-active")
    )

    assert await swept(mesh) == ["1", "2"]

    assert await mesh._plans.versions() == ["3", "4", "never-active"]
    with pytest.raises(VersionNotFound):
        await mesh.activate("1")
    assert await mesh.activate("3")
    assert await swept(mesh, kept=0) == ["4"]


async def test_a_version_at_rest_for_less_than_it_takes_is_left(mesh: HotMesh) -> None:
    await activate(mesh, "1", "2", "3")

    assert await swept(mesh, idle_ms=collecting.IDLE_MS) == []


@pytest.mark.parametrize("mesh", [1, 4], indirect=True)
@pytest.mark.parametrize("topic", ["run", "nap"])
async def test_a_job_in_flight_keeps_its_plan_until_its_record_is_gone(
    mesh: HotMesh, topic: str
) -> None:
    await activate(mesh, "1")
    jid = await mesh.pub(topic)
    await activate(mesh, "2", "3")

    assert await swept(mesh, kept=0) == ["2"]
    await mesh.interrupt(topic, jid, expire="1h")
    assert await swept(mesh, kept=0) == []
    assert (await mesh.export(jid)).version == "1"  # a finished record can still be shown
    await mesh.scrub(jid)

    assert await swept(mesh, kept=0) == ["1"]


@pytest.mark.parametrize("place", ["engine", "outbox", "dead"])
async def test_an_order_for_a_job_keeps_its_plan(
    redis_url: str, app_id: str, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(plans, "USED_EVERY_S", 0.0)
    async with HotMesh.session(app_id, redis_url, engine=False) as mesh:
        await activate(mesh, "1", "2")
        store, partition = mesh._store, mesh._store.keys.partitions[0]
        order = encode_entry(ChildStart("c1", "run", "1", encode({}, what="x"), "j1", "a", ",0,0"))
        if place == "dead":
            op = bury_op(3, order, reason="x", stream=partition.engine, job="c1", deliveries=9)
            await store.transport.execute("XADD", partition.engine, "*", "p", order)
            await store.transport.execute(
                "XADD", partition.dead, "*", "p", order, "reason", "x", "stream", partition.engine
            )
            await store.transport.execute("DEL", partition.engine)
            assert op[0] == "dead"
        else:
            stream = getattr(partition, place)
            await store.transport.execute("XADD", stream, "*", "p", order)

        assert await swept(mesh, kept=0) == []

        if place == "dead":
            (letter,) = await find(store)
            await drop(store, letter.id)
        else:
            await store.transport.execute("DEL", stream)
        assert await swept(mesh, kept=0) == ["1"]


Meanwhile = Callable[[HotMesh], Any]


async def use(mesh: HotMesh) -> None:
    await mesh._plans.program("1")


async def go_back(mesh: HotMesh) -> None:
    await mesh.activate("1")


@pytest.mark.parametrize("meanwhile", [use, go_back])
async def test_who_uses_a_version_while_it_is_looked_for_keeps_it(
    mesh: HotMesh, monkeypatch: pytest.MonkeyPatch, meanwhile: Meanwhile
) -> None:
    await activate(mesh, "1", "2", "3")
    needed = collecting.needed

    async def slowly(store: Any, wanted: Any) -> set[str]:
        found = await needed(store, wanted)
        await asyncio.sleep(0.002)
        await meanwhile(mesh)
        return found

    monkeypatch.setattr(collecting, "needed", slowly)

    assert "1" not in await swept(mesh, kept=0)
    assert "1" in await mesh._plans.versions()


async def test_a_version_that_went_comes_back_as_the_same_model_alone(mesh: HotMesh) -> None:
    await activate(mesh, "1", "2")
    model = MODEL.replace("APP", mesh._store.keys.app_id).replace("VERSION", "1")
    assert await swept(mesh, kept=0) == ["1"]

    with pytest.raises(VersionSealed):
        await mesh.deploy(model.replace("1h", "2h"))
    assert (await mesh.deploy(model)).changed
    await mesh.activate("1")

    assert (await mesh.get_state("run", await mesh.pub("run"))).metadata.vrs == "1"


async def test_an_answer_for_a_job_that_went_with_its_version_is_late(mesh: HotMesh) -> None:
    await activate(mesh, "1", "2")
    assert await swept(mesh, kept=0) == ["1"]
    engine = mesh._store.keys.partitions[0].engine
    late = Reply("gone", "wait", ",0,0", "1", "success", 200, encode({}, what="x"), "r1")

    await mesh._store.transport.execute("XADD", engine, "*", "p", encode_entry(late))

    async def settled() -> bool:
        return bool(await mesh._store.transport.execute("XLEN", engine) == 0)

    await eventually(settled)


@pytest.mark.parametrize("mesh", [1, 4], indirect=True)
async def test_a_version_lives_as_long_as_its_jobs_pass_it_on(mesh: HotMesh) -> None:
    """Each job starts the next, ends and is gone within a millisecond, while a collector runs
    all the time: it can miss every one of them, and must not miss that there were some.
    """
    await activate(mesh, "1")
    await mesh.pub("hop", {"left": 200})
    await activate(mesh, "2")

    async def arrived() -> bool:
        await collect(mesh._store, kept=0, idle_ms=0)
        pattern = mesh._store.keys.jobs
        for key in await mesh._store.transport.execute("KEYS", pattern):
            meta = await mesh._store.transport.execute("HGET", key, "m")
            if meta is not None and msgspec.msgpack.decode(meta)[2] == "run":
                return True
        return False

    await eventually(arrived, within_s=60)
    assert await mesh._plans.versions() == ["1", "2"]  # what arrived runs on it


async def test_what_is_known_of_versions_is_one_reading(mesh: HotMesh) -> None:
    await activate(mesh, "1", "2")

    known = await versions(mesh._store)

    assert known.stored == {"1", "2"}
    assert known.active == {"2"}
    assert set(known.activated) == {"1", "2"}
    assert set(known.used) >= {"2"}


async def test_an_engine_looks_by_itself(
    redis_url: str, app_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "USED_EVERY_S", 0.0)
    monkeypatch.setattr(collector, "EVERY_S", 0.1)
    monkeypatch.setattr(collector, "collect", functools.partial(collect, idle_ms=0))
    async with HotMesh.session(app_id, redis_url) as mesh:
        await activate(mesh, "1", "2", "3", "4")

        async def gone() -> bool:
            return await mesh._plans.versions() == ["3", "4"]

        await eventually(gone)


async def test_a_plan_says_that_a_version_is_taken_whether_or_not_it_is_active(
    mesh: HotMesh,
) -> None:
    await activate(mesh, "1", "2")
    model = MODEL.replace("APP", mesh._store.keys.app_id).replace("VERSION", "1")

    for _ in range(2):
        assert (await mesh.plan(model)).hot
        taken = await mesh.plan(model.replace("1h", "2h"))
        assert not taken.hot
        assert "give this model a new one" in taken.reason
        await swept(mesh, kept=0)  # the second time it is forgotten
