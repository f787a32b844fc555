"""A result before the end, on a server: who waits has it; what goes on leaves nothing behind."""

from __future__ import annotations

import asyncio

from support import eventually

from hotmesh import HotMesh, JobOutput, Worker
from hotmesh.errors import JobNotFound

MODEL = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: run
      publishes: run.done
      expire: 1
      persistent: '{t.output.data.keep}'
      activities:
        t: {type: trigger}
        quick: {type: worker, topic: quick, persist: true, job: {maps: {quick: true}}}
        slow: {type: hook, job: {maps: {slow: true}}}
      transitions:
        t: [{to: quick}, {to: slow}]
      hooks:
        go.on:
          - to: slow
            conditions: {match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]}
    - subscribes: outer
      expire: 60
      activities:
        o: {type: trigger}
        inner:
          type: await
          topic: run
          input: {maps: {keep: true}}
          job: {maps: {got: '{$self.output.data}'}}
      transitions:
        o: [{to: inner}]
"""


def quick(data: dict[str, object]) -> dict[str, object]:
    return {}


async def open_mesh(app_id: str, redis_url: str) -> HotMesh:
    mesh = await HotMesh.init(app_id, redis_url, workers=[Worker("quick", quick)])
    await mesh.deploy(MODEL.replace("APP", app_id))
    await mesh.activate("1")
    return mesh


async def test_who_waits_has_the_result_and_the_rest_goes_on(redis_url: str, app_id: str) -> None:
    mesh = await open_mesh(app_id, redis_url)
    heard: list[JobOutput] = []
    await mesh.sub("run.done", lambda topic, output: heard.append(output))

    output = await mesh.pubsub("run", {"keep": True}, timeout=20)

    jid = output.metadata.jid
    assert (output.data, output.metadata.js) == ({"quick": True}, 1)
    await mesh.hook("go.on", {"id": jid})
    await eventually(lambda: [o.metadata.js for o in heard] == [1, 0])
    assert (await mesh.get_state("run", jid)).data == {"quick": True, "slow": True}
    assert (await mesh.result("run", jid)).data == {"quick": True}  # what was given stays given
    await mesh.stop()


async def test_a_parent_goes_on_with_the_result(redis_url: str, app_id: str) -> None:
    mesh = await open_mesh(app_id, redis_url)

    output = await mesh.pubsub("outer", timeout=20)

    assert output.data == {"got": {"quick": True}}
    await mesh.stop()


async def test_the_record_goes_with_its_time_and_leaves_no_key(redis_url: str, app_id: str) -> None:
    mesh = await open_mesh(app_id, redis_url)
    jid = (await mesh.pubsub("run", {"keep": False}, timeout=20)).metadata.jid

    async def gone() -> bool:
        try:
            await mesh.get_state("run", jid)
        except JobNotFound:
            return True
        return False

    await eventually(gone, within_s=20)
    keys = await mesh._store.transport.execute("KEYS", f"hm:{{{app_id}/0}}:[jhet]*")
    assert keys == []
    await mesh.stop()


MODEL_WATCH = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: run
      expire: 60
      activities:
        t: {type: trigger}
        work: {type: worker, topic: work}
        watch: {type: hook}
        pause: {type: hook, sleep: 100ms}
        look: {type: hook, statusThreshold: 1, job: {maps: {looked: '{watch.output.data.n}'}}}
        again: {type: cycle, ancestor: watch, input: {maps: {n: 1}}}
      transitions:
        t: [{to: work}, {to: watch}]
        watch: [{to: pause}]
        pause: [{to: look}]
        look: [{to: again}]
"""


async def test_a_loop_that_watches_ends_with_the_work(redis_url: str, app_id: str) -> None:
    ready = asyncio.Event()

    async def work(data: dict[str, object]) -> dict[str, object]:
        await ready.wait()
        return {}

    async with HotMesh.session(app_id, redis_url, workers=[Worker("work", work)]) as mesh:
        await mesh.deploy(MODEL_WATCH.replace("APP", app_id))
        await mesh.activate("1")
        jid = await mesh.pub("run")

        async def looked() -> bool:
            return (await mesh.get_state("run", jid)).data.get("looked") == 1

        await eventually(looked)
        ready.set()
        output = await mesh.result("run", jid, timeout=20)

    assert output.metadata.js == 0
