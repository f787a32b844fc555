"""The tree of what failed, on a server, after the children's records have gone."""

from __future__ import annotations

import pytest

from hotmesh import HotMesh, JobError, JobFailure, Worker

MODEL = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: top
      expire: 60
      activities:
        t: {type: trigger, stats: {id: '{$self.input.data.id}'}}
        down: {type: await, topic: middle, input: {maps: {id: '{t.output.data.id}'}}}
      transitions:
        t: [{to: down}]
    - subscribes: middle
      expire: 60
      activities:
        m:
          type: trigger
          stats: {id: {'@pipe': [['{$self.input.data.id}', '-m'], ['{@string.concat}']]}}
        further: {type: await, topic: bottom, input: {maps: {id: '{m.output.data.id}'}}}
      transitions:
        m: [{to: further}]
    - subscribes: bottom
      expire: 60
      activities:
        b:
          type: trigger
          stats: {id: {'@pipe': [['{$self.input.data.id}', '-b'], ['{@string.concat}']]}}
        work: {type: worker, topic: work}
      transitions:
        b: [{to: work}]
"""


class Refused(Exception):
    code = 418


def work(data: dict[str, object]) -> dict[str, object]:
    raise Refused("I am a teapot")


@pytest.mark.parametrize("partitions", [1, 4])
async def test_a_failure_is_seen_down_to_where_it_began(
    redis_url: str, app_id: str, partitions: int
) -> None:
    workers = [Worker("work", work)]
    async with HotMesh.session(app_id, redis_url, workers=workers, partitions=partitions) as mesh:
        await mesh.deploy(MODEL.replace("APP", app_id))
        await mesh.activate("1")
        with pytest.raises(JobError, match="teapot"):
            await mesh.pubsub("top", {"id": "j"}, timeout=20)
        for jid in ("j-m", "j-b"):
            await mesh.scrub(jid)
        state, run = await mesh.get_state("top", "j"), await mesh.export("j")

    here = {"code": 418, "message": "I am a teapot"}
    bottom = JobFailure(**here, job_id="j-b", activity="work", dimension=",0,0")
    middle = JobFailure(
        **here, job_id="j-m", activity="further", dimension=",0,0", children=(bottom,)
    )
    top = JobFailure(**here, job_id="j", activity="down", dimension=",0,0", children=(middle,))
    assert state.errors == run.errors == (top,)
