"""Who hears of results: of all jobs of a topic, of one job, once, and the caller alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support import eventually

from hotmesh import HotMesh, JobOutput, Worker

MODEL = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: run
      publishes: run.done
      expire: 60
      activities:
        t: {type: trigger, stats: {id: '{$self.input.data.id}'}, emit: true}
        work: {type: worker, topic: work, job: {maps: {n: '{$self.output.data.n}'}}}
      transitions:
        t: [{to: work}]
    - subscribes: silent
      expire: 60
      activities:
        s: {type: trigger, job: {maps: {x: 1}}}
"""


class Heard:
    """A handler that remembers."""

    def __init__(self) -> None:
        self.outputs: list[JobOutput] = []

    def __call__(self, topic: str, output: JobOutput) -> None:
        assert topic == "run.done"
        self.outputs.append(output)

    @property
    def told(self) -> list[tuple[str, int]]:
        return [(o.metadata.jid, o.metadata.js) for o in self.outputs]


@pytest.fixture
async def mesh(redis_url: str, app_id: str) -> AsyncIterator[HotMesh]:
    workers = [Worker("work", lambda data: {"n": 1})]
    async with HotMesh.session(app_id, redis_url, workers=workers) as mesh:
        await mesh.deploy(MODEL.replace("APP", app_id))
        await mesh.activate("1")
        yield mesh


async def test_a_topic_a_job_and_a_pattern(mesh: HotMesh) -> None:
    topic, one, pattern = Heard(), Heard(), Heard()
    await mesh.sub("run.done", topic)
    await mesh.sub("run.done.b", one)
    await mesh.psub("run.done.*", pattern)

    for jid in ("a", "b"):
        await mesh.pubsub("run", {"id": jid}, timeout=20)

    everything = [("a", 1), ("a", 0), ("b", 1), ("b", 0)]
    await eventually(lambda: topic.told == everything and pattern.told == everything)
    assert one.told == [("b", 1), ("b", 0)]


async def test_once_ends_with_the_first_result(mesh: HotMesh) -> None:
    once, pattern_once, always = Heard(), Heard(), Heard()
    await mesh.sub("run.done", once, once=True)
    await mesh.psub("run.d*", pattern_once, once=True)
    await mesh.sub("run.done", always)

    for jid in ("a", "b"):
        await mesh.pubsub("run", {"id": jid}, timeout=20)

    await eventually(lambda: len(always.told) == 4)
    assert once.told == pattern_once.told == [("a", 1), ("a", 0)]


async def test_one_handler_leaves_and_the_other_stays(mesh: HotMesh) -> None:
    gone, stays = Heard(), Heard()
    subscription = await mesh.sub("run.done", gone)
    await mesh.sub("run.done", stays)

    await subscription.unsubscribe()
    await subscription.unsubscribe()
    await mesh.pubsub("run", {"id": "a"}, timeout=20)

    await eventually(lambda: stays.told == [("a", 1), ("a", 0)])
    assert gone.told == []


async def test_a_caller_has_its_own_result_whether_or_not_it_is_published(mesh: HotMesh) -> None:
    heard = Heard()
    await mesh.sub("run.done", heard)

    outputs = await asyncio.gather(
        *(mesh.pubsub("run", {"id": f"j{i}"}, timeout=30) for i in range(20)),
        mesh.pubsub("silent", timeout=30),
    )

    assert [o.metadata.jid for o in outputs[:20]] == [f"j{i}" for i in range(20)]
    assert outputs[20].data == {"x": 1}
    await eventually(lambda: len(heard.told) == 40)


async def test_who_comes_late_reads_the_result(mesh: HotMesh) -> None:
    await mesh.pubsub("run", {"id": "a"}, timeout=20)
    heard = Heard()
    await mesh.sub("run.done.a", heard)

    assert (await mesh.result("run", "a", timeout=20)).data == {"n": 1}
    assert heard.told == []
