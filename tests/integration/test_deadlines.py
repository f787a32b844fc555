"""Delayed interrupts on a server."""

from __future__ import annotations

import pytest
from support import eventually

from hotmesh import HotMesh
from hotmesh.errors import JobError, JobNotFound

MODEL = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: run
      expire: 60
      activities:
        t: {type: trigger}
        limit: {type: interrupt, after: '{t.output.data.limit}', reason: too slow, expire: 60}
        wait: {type: hook}
      transitions:
        t: [{to: limit}, {to: wait}]
      hooks:
        go.on:
          - to: wait
            conditions: {match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]}
    - subscribes: stop
      expire: 60
      activities:
        s: {type: trigger}
        later:
          type: interrupt
          topic: run
          target: '{s.output.data.id}'
          after: 200ms
          job: {maps: {scheduled: '{$self.output.data.scheduled}'}}
      transitions:
        s: [{to: later}]
"""


async def open_mesh(app_id: str, redis_url: str, partitions: int) -> HotMesh:
    mesh = await HotMesh.init(app_id, redis_url, partitions=partitions)
    await mesh.deploy(MODEL.replace("APP", app_id))
    await mesh.activate("1")
    return mesh


@pytest.mark.parametrize("partitions", [1, 4])
async def test_a_deadline_of_the_model(redis_url: str, app_id: str, partitions: int) -> None:
    mesh = await open_mesh(app_id, redis_url, partitions)

    with pytest.raises(JobError, match="too slow") as raised:
        await mesh.pubsub("run", {"limit": "100ms"}, timeout=20)

    assert raised.value.code == 410
    await mesh.stop()


@pytest.mark.parametrize("partitions", [1, 4])
async def test_one_job_gives_another_a_deadline(
    redis_url: str, app_id: str, partitions: int
) -> None:
    mesh = await open_mesh(app_id, redis_url, partitions)
    jid = await mesh.pub("run", {"limit": "1h"})

    output = await mesh.pubsub("stop", {"id": jid}, timeout=20)

    assert output.data == {"scheduled": True}
    with pytest.raises(JobError):
        await mesh.result("run", jid, timeout=20)
    await mesh.stop()


async def test_the_api_gives_a_deadline_and_the_end_takes_it_away(
    redis_url: str, app_id: str
) -> None:
    mesh = await open_mesh(app_id, redis_url, 1)
    slow, quick = [await mesh.pub("run", {"limit": "1h"}) for _ in range(2)]
    timers = mesh._store.keys.partitions[0].timers
    assert await mesh._store.transport.execute("ZCARD", timers) == 2

    await mesh.interrupt("run", slow, after="100ms", reason="enough", code=499, expire="1m")
    await mesh.interrupt("run", quick, after="1h")
    await mesh.hook("go.on", {"id": quick})

    with pytest.raises(JobError, match="enough") as raised:
        await mesh.result("run", slow, timeout=20)
    assert raised.value.code == 499
    assert (await mesh.result("run", quick, timeout=20)).metadata.js == 0

    async def none_left() -> bool:
        return bool(await mesh._store.transport.execute("ZCARD", timers) == 0)

    await eventually(none_left)
    await mesh.stop()


async def test_an_interrupt_asks_for_the_topic_of_the_job(redis_url: str, app_id: str) -> None:
    mesh = await open_mesh(app_id, redis_url, 1)
    jid = await mesh.pub("run", {"limit": "1h"})

    with pytest.raises(JobNotFound, match="is of topic 'run', not of 'stop'"):
        await mesh.interrupt("stop", jid)
    await mesh.interrupt("stop", jid, suppress=True)

    assert await mesh.get_status(jid) == 1
    await mesh.stop()
