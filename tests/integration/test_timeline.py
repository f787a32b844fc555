"""`export`: the legs of a run, and the transitions between them."""

from __future__ import annotations

from typing import Any

from hotmesh import HotMesh, Worker
from hotmesh.mesh import Timeline

MODEL = """
app:
  id: timeline
  version: '1'
  graphs:
    - subscribes: run
      expire: 60
      activities:
        start: {type: trigger}
        left: {type: hook}
        right: {type: worker, topic: work}
        other: {type: hook}
        shy: {type: hook}
        meet: {type: hook, join: '{JOIN}'}
        after: {type: hook}
      transitions:
        start:
          - to: left
          - to: right
          - to: shy
          - to: other
            conditions: {match: [{expected: true, actual: '{$self.output.data.other}'}]}
        left: [{to: meet}]
        right: [{to: meet}]
        other: [{to: meet}]
        shy:
          - to: meet
            conditions: {match: [{expected: true, actual: '{start.output.data.shy}'}]}
        meet: [{to: after}]
"""


async def run_of(redis_url: str, app_id: str, join: str, data: dict[str, Any]) -> Timeline:
    workers = [Worker("work", lambda data: {})]
    async with HotMesh.session(app_id, redis_url, workers=workers) as mesh:
        model = MODEL.replace("id: timeline", f"id: {app_id}").replace("'{JOIN}'", join)
        await mesh.deploy(model)
        await mesh.activate("1")
        output = await mesh.pubsub("run", data, timeout=20)
        return await mesh.export(output.metadata.jid)


def edges_of(run: Timeline) -> list[tuple[str, str, str, str]]:
    return sorted((e.source, e.source_dimension, e.target, e.dimension) for e in run.edges)


ALWAYS = [
    ("meet", ",0,0", "after", ",0,0,0"),
    ("start", ",0", "left", ",0,0"),
    ("start", ",0", "right", ",0,0"),
    ("start", ",0", "shy", ",0,0"),
]


async def test_a_run_has_the_edges_that_it_took(redis_url: str, app_id: str) -> None:
    """`other` was not entered; `shy` was, and did not lead to the join."""
    run = await run_of(redis_url, app_id, "all", {"other": False, "shy": False})

    joined = [("left", ",0,0", "meet", ",0,0"), ("right", ",0,0", "meet", ",0,0")]
    assert edges_of(run) == sorted([*ALWAYS, *joined])
    assert run.legs[0].activity == "start"
    entered = {leg.activity for leg in run.legs}
    assert entered == {"start", "left", "right", "shy", "meet", "after"}


async def test_a_transition_that_came_too_late_for_a_join_was_taken(
    redis_url: str, app_id: str
) -> None:
    run = await run_of(redis_url, app_id, "any", {"other": False, "shy": True})

    joined = [(name, ",0,0", "meet", ",0,0") for name in ("left", "right", "shy")]
    assert edges_of(run) == sorted([*ALWAYS, *joined])
