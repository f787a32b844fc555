"""`export`: the legs of a run, and the transitions between them."""

from __future__ import annotations

from hotmesh import HotMesh

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
        right: {type: hook}
        other: {type: hook}
        meet: {type: hook, join: all}
        after: {type: hook}
      transitions:
        start:
          - to: left
          - to: right
          - to: other
            conditions: {match: [{expected: true, actual: '{$self.output.data.other}'}]}
        left: [{to: meet}]
        right: [{to: meet}]
        other: [{to: meet}]
        meet: [{to: after}]
"""


async def test_a_run_has_the_edges_that_it_took(redis_url: str, app_id: str) -> None:
    async with HotMesh.session(app_id, redis_url) as mesh:
        await mesh.deploy(MODEL.replace("id: timeline", f"id: {app_id}"))
        await mesh.activate("1")
        output = await mesh.pubsub("run", {"other": False}, timeout=20)
        run = await mesh.export(output.metadata.jid)

    assert sorted((edge.source, edge.target, edge.dimension) for edge in run.edges) == [
        ("left", "meet", ",0,0"),
        ("meet", "after", ",0,0,0"),
        ("right", "meet", ",0,0"),
        ("start", "left", ",0,0"),
        ("start", "right", ",0,0"),
    ]
    assert run.legs[0].activity == "start"
    assert {leg.activity for leg in run.legs} == {"start", "left", "right", "meet", "after"}
