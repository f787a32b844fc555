"""An interrupt that descends ends everything below, over partitions and engines."""

from __future__ import annotations

import pytest
from support import eventually

from hotmesh import HotMesh
from hotmesh.messages import ChildStart, Interrupt, encode_entry
from hotmesh.payload import encode

MODEL = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: top
      expire: 60
      activities:
        t: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        all: {type: await, topic: middle, each: [a, b, c]}
      transitions:
        t: [{to: all}]
    - subscribes: middle
      expire: 60
      activities:
        m: {type: trigger}
        down: {type: await, topic: bottom}
      transitions:
        m: [{to: down}]
    - subscribes: bottom
      expire: 60
      activities:
        b: {type: trigger}
        wait: {type: hook, sleep: 1h}
      transitions:
        b: [{to: wait}]
"""


async def statuses(mesh: HotMesh, topic: str) -> list[int]:
    found = []
    for key in await mesh._store.transport.execute("KEYS", mesh._store.keys.jobs):
        jid = key.decode().rpartition(":")[2]
        job = (await mesh._store.load([(jid, None)]))[0]
        if job is not None and job.meta.topic == topic:
            found.append(job.status)
    return found


@pytest.mark.parametrize("partitions", [1, 4])
async def test_the_whole_tree_ends(redis_url: str, app_id: str, partitions: int) -> None:
    async with (
        HotMesh.session(app_id, redis_url, partitions=partitions) as mesh,
        HotMesh.session(app_id, redis_url),
    ):
        await mesh.deploy(MODEL.replace("APP", app_id))
        await mesh.activate("1")
        await mesh.pub("top", {"id": "j"})

        async def grown() -> bool:
            return await statuses(mesh, "bottom") == [1, 1, 1]

        await eventually(grown)
        await mesh.interrupt("top", "j", descend=True, expire="1m")

        async def ended() -> bool:
            below = [*await statuses(mesh, "middle"), *await statuses(mesh, "bottom")]
            return len(below) == 6 and all(status < 0 for status in below)

        await eventually(ended)
        left = [
            await mesh._store.transport.execute("ZCARD", p.timers)
            for p in mesh._store.keys.partitions
        ]
        assert not any(left)


async def test_a_child_whose_start_comes_after_the_order_ends_too(
    redis_url: str, app_id: str
) -> None:
    """Two engines may take the two entries in any order."""
    async with HotMesh.session(app_id, redis_url) as mesh:
        await mesh.deploy(MODEL.replace("APP", app_id))
        await mesh.activate("1")
        engine = mesh._store.keys.partitions[0].engine
        order = Interrupt("c1", parent="j", descend=True, expire_ms=60_000)
        start = ChildStart("c1", "bottom", "1", encode({}, what="x"), "j", "all", ",0,0")

        await mesh._store.transport.execute("XADD", engine, "*", "p", encode_entry(order))

        async def tried() -> bool:
            timers = mesh._store.keys.partitions[0].timers
            return bool(await mesh._store.transport.execute("ZCARD", timers))

        await eventually(tried)
        await mesh._store.transport.execute("XADD", engine, "*", "p", encode_entry(start))

        async def ended() -> bool:
            job = (await mesh._store.load([("c1", ())]))[0]
            return job is not None and job.status < 0

        await eventually(ended)
