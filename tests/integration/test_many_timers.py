"""A hundred thousand timers that wait cost nothing; ten thousand that are due at once are fired."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support import eventually

from hotmesh import HotMesh
from hotmesh.core import TimerSet
from hotmesh.engine.timers import POP_MAX
from hotmesh.messages import Wake, encode_entry
from hotmesh.store import Apply

WAITING, DUE, BATCH = 100_000, 10_000, 500
DAY_MS, HOUR_MS = 86_400_000, 3_600_000

MODEL = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: nap
      expire: 0
      activities:
        t: {type: trigger}
        sleep: {type: hook, sleep: 30m}
      transitions:
        t: [{to: sleep}]
"""


@pytest.fixture
async def mesh(redis_url: str, app_id: str) -> AsyncIterator[HotMesh]:
    async with HotMesh.session(app_id, redis_url) as mesh:
        await mesh.deploy(MODEL.replace("APP", app_id))
        await mesh.activate("1")
        yield mesh
        keys = await mesh._store.transport.execute("KEYS", f"hm:{{{app_id}*")
        for first in range(0, len(keys), 1_000):
            await mesh._store.transport.execute("UNLINK", *keys[first : first + 1_000])


async def wait_for_ever(mesh: HotMesh) -> None:
    """Timers of a day and more, set as a transition sets them."""
    for first in range(0, WAITING, BATCH):
        timers = [
            TimerSet(encode_entry(Wake(f"j{i}", "a", ",0,0", "1", "sleep")), DAY_MS + i)
            for i in range(first, first + BATCH)
        ]
        await mesh._store.apply([Apply(jid="nobody", rev=0, effects=timers)])


async def calls(mesh: HotMesh, *names: str) -> int:
    """How often the server has been asked for these commands so far; for any, without names."""
    text = (await mesh._store.transport.execute("INFO", "commandstats")).decode()
    rows = [line.split(":") for line in text.splitlines() if line.startswith("cmdstat_")]
    counts = {n.removeprefix("cmdstat_"): int(v.split(",")[0][6:]) for n, v in rows}
    return sum(n for name, n in counts.items() if not names or name in names)


async def used_in(mesh: HotMesh, seconds: float) -> tuple[int, int, float]:
    """Commands, looks at timers, and the seconds that it took at last."""
    loop = asyncio.get_running_loop()
    began, all_before = loop.time(), await calls(mesh)
    looks_before = await calls(mesh, "zrangebyscore")
    await asyncio.sleep(seconds)
    looks = await calls(mesh, "zrangebyscore") - looks_before
    return await calls(mesh) - all_before, looks, loop.time() - began


async def test_timers_that_wait_cost_no_command(mesh: HotMesh) -> None:
    """What an idle engine asks of its server is the same with and without them."""
    without, idle_looks, idle_s = await used_in(mesh, 6)

    await wait_for_ever(mesh)
    timers = mesh._store.keys.partitions[0].timers
    assert await mesh._store.transport.execute("ZCARD", timers) == WAITING
    with_them, looks, waited_s = await used_in(mesh, 6)

    assert looks <= idle_looks * waited_s / idle_s + 1
    assert with_them / waited_s <= 1.5 * without / idle_s + 2


async def test_ten_thousand_that_are_due_at_once_are_fired_among_them(mesh: HotMesh) -> None:
    await wait_for_ever(mesh)
    jobs: list[str] = []
    for _ in range(DUE // BATCH):
        jobs += await asyncio.gather(*(mesh.pub("nap") for _ in range(BATCH)))
    timers = mesh._store.keys.partitions[0].timers
    assert await mesh._store.transport.execute("ZCARD", timers) == WAITING + DUE
    looks = await calls(mesh, "zrangebyscore")

    mesh._store.clock.skew_ms = HOUR_MS
    await mesh._store.transport.execute("PUBLISH", mesh._store.keys.wake, "0")

    async def all_fired() -> bool:
        return bool(await mesh._store.transport.execute("ZCARD", timers) == WAITING)

    await eventually(all_fired, within_s=60)
    assert await calls(mesh, "zrangebyscore") - looks <= DUE / POP_MAX + 30

    async def all_done() -> bool:
        for first in range(0, DUE, BATCH):
            found = await mesh._store.load([(jid, ()) for jid in jobs[first : first + BATCH]])
            if any(job is None or job.status for job in found):
                await asyncio.sleep(0.5)
                return False
        return True

    await eventually(all_done, within_s=90)
