"""Every component at 1, 4 and 16 partitions: engines, workers, timers, signals, children, cron,
indexes, dead letters; and what crosses partitions goes by the outbox, once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support import eventually

from hotmesh import HotMesh, JobError, StreamData, Worker
from hotmesh.ids import partition_of
from hotmesh.store import dead

MeshFactory = Callable[..., Awaitable[HotMesh]]

JOBS = 40
MODEL = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: order
      publishes: order.done
      expire: 600
      activities:
        start:
          type: trigger
          stats:
            key: all
            granularity: infinity
            measures: [{measure: index, target: '{$self.output.data.kind}'}]
        nap: {type: hook, sleep: 0.05}
        flaky:
          type: worker
          topic: flaky
          retry: {maximum_attempts: 3, initial_interval: 20ms}
          input: {maps: {n: '{start.output.data.n}'}}
        child:
          type: await
          topic: parcel
          input: {maps: {n: '{start.output.data.n}'}}
          job: {maps: {twice: '{$self.output.data.twice}'}}
        both: {type: hook, join: all}
        wait: {type: hook}
        many: {type: worker, topic: echo, each: '{start.output.data.list}', concurrency: 2}
      transitions:
        start: [{to: nap}, {to: child}]
        nap: [{to: flaky}]
        flaky: [{to: both}]
        child: [{to: both}]
        both: [{to: wait}]
        wait: [{to: many}]
      hooks:
        go:
          - to: wait
            conditions:
              match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]
    - subscribes: parcel
      expire: 600
      activities:
        open: {type: trigger}
        double:
          type: worker
          topic: double
          input: {maps: {n: '{open.output.data.n}'}}
          job: {maps: {twice: '{$self.output.data.twice}'}}
      transitions:
        open: [{to: double}]
"""


class Calls:
    """The worker functions, and how often each was called for what."""

    def __init__(self) -> None:
        self.doubled: Counter[int] = Counter()

    async def double(self, message: StreamData) -> dict[str, int]:
        self.doubled[message.data["n"]] += 1
        return {"twice": 2 * message.data["n"]}

    async def flaky(self, message: StreamData) -> dict[str, int]:
        if message.metadata.try_count == 0:
            raise RuntimeError("not yet")
        return {"n": message.data["n"]}

    async def echo(self, message: StreamData) -> Any:
        return message.data

    def workers(self) -> list[Worker]:
        return [Worker(t, getattr(self, t)) for t in ("double", "flaky", "echo")]


@pytest.mark.parametrize("partitions", [1, 4, 16])
async def test_every_component_works_and_nothing_is_done_twice_or_lost(
    mesh_factory: MeshFactory, app_id: str, partitions: int
) -> None:
    calls = Calls()
    client = await mesh_factory(engine=False, partitions=partitions)
    await mesh_factory(engine=True)
    await mesh_factory(engine=True)
    await mesh_factory(engine=False, workers=calls.workers())
    assert len(client.store.keys.partitions) == partitions
    await client.deploy(MODEL.replace("APP", app_id))
    await client.activate("1")
    heard: Counter[str] = Counter()
    sub = await client.psub("order.done.*", lambda topic, job: heard.update([job.metadata.jid]))

    jids = [f"job-{n}" for n in range(JOBS)]
    for n, jid in enumerate(jids):
        await client.pub("order", {"n": n, "kind": "x", "list": [1, 2, 3]}, job_id=jid)
    reached = await client.hook_all("go", {}, {"data": {}}, ["kind:x"])
    outputs = await asyncio.gather(*(client.result("order", j, timeout=60) for j in jids))

    assert [o.data["twice"] for o in outputs] == [2 * n for n in range(JOBS)]
    assert calls.doubled == Counter(range(JOBS))
    assert sorted(reached.job_ids) == sorted(jids)
    await eventually(lambda: heard == Counter(jids))
    await sub.unsubscribe()
    used = {partition_of(jid, partitions) for jid in jids}
    assert len(used) == min(partitions, 16)
    assert await _left(client) == 0


async def _left(mesh: HotMesh) -> int:
    """Entries and timers that are left in all partitions."""

    async def count() -> int:
        commands: list[tuple[Any, ...]] = []
        for p in mesh.store.keys.partitions:
            commands += [("XLEN", p.engine), ("XLEN", p.outbox), ("ZCARD", p.timers)]
            commands += [("XLEN", p.worker(t)) for t in ("double", "flaky", "echo")]
        return int(sum(await mesh.store.transport.execute_many(commands)))

    async def is_empty() -> bool:
        return await count() == 0

    await eventually(is_empty, within_s=20)
    return await count()


@pytest.mark.parametrize("partitions", [4, 16])
async def test_what_crosses_partitions_waits_in_the_outbox_for_an_engine(
    mesh_factory: MeshFactory, app_id: str, partitions: int
) -> None:
    calls = Calls()
    client = await mesh_factory(engine=False, partitions=partitions)
    await client.deploy(MODEL.replace("APP", app_id))
    await client.activate("1")

    jids = [f"job-{n}" for n in range(JOBS)]
    for n, jid in enumerate(jids):  # a start is a transition that needs no engine
        await client.pub("order", {"n": n, "kind": "x", "list": []}, job_id=jid)
    depths = await client.store.transport.execute_many(
        [("XLEN", p.outbox) for p in client.store.keys.partitions]
    )
    assert sum(depths) > 0
    assert sum(depths) <= JOBS  # none for children that happen to live beside their parent

    await mesh_factory(engine=True, workers=calls.workers())
    for jid in jids:
        await client.hook("go", {"id": jid})
    outputs = await asyncio.gather(*(client.result("order", j, timeout=60) for j in jids))
    assert [o.data["twice"] for o in outputs] == [2 * n for n in range(JOBS)]
    assert calls.doubled == Counter(range(JOBS))


@pytest.mark.parametrize("partitions", [1, 4, 16])
async def test_interrupts_and_dead_letters_find_their_partition(
    mesh_factory: MeshFactory, app_id: str, partitions: int
) -> None:
    mesh = await mesh_factory(partitions=partitions)
    await mesh.deploy(MODEL.replace("APP", app_id))
    await mesh.activate("1")

    for n in range(8):
        jid = await mesh.pub("order", {"n": n, "kind": "x", "list": []}, job_id=f"job-{n}")
        await mesh.interrupt("order", jid, reason="enough", descend=True, expire="60s")
        with pytest.raises(JobError, match="enough"):
            await mesh.result("order", jid, timeout=20)
    for partition in mesh.store.keys.partitions:
        await mesh.store.transport.execute("XADD", partition.engine, "*", "p", b"\xc1")

    async def buried() -> Any:
        found = await dead.find(mesh.store, limit=100)
        return found if len(found) == partitions else None

    letters = await eventually(buried, within_s=20)
    assert {d.id.partition(":")[0] for d in letters} == {str(n) for n in range(partitions)}
    for letter in letters:
        assert await dead.drop(mesh.store, letter.id)
    assert await dead.find(mesh.store) == []
