"""An await whose graph lives in another app, on a server."""

from __future__ import annotations

from typing import Any

import pytest
from support import eventually

from hotmesh import HotMesh, JobError, StreamData, Worker
from hotmesh.errors import JobNotFound
from hotmesh.messages import decode_engine_entry

HERE = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: run
      expire: 60
      activities:
        t: {type: trigger}
        go:
          type: await
          app: '{t.output.data.app}'
          topic: '{t.output.data.topic}'
          await: '{t.output.data.wait}'
          timeout: 1m
          input: {maps: {n: '{t.output.data.n}', id: '{t.output.data.id}'}}
          job: {maps: {got: '{$self.output.data}'}}
      transitions:
        t: [{to: go}]
    - subscribes: many
      expire: 60
      activities:
        m: {type: trigger}
        all:
          type: await
          app: APP-b
          topic: double
          each: '{m.output.data.items}'
          concurrency: 3
          input: {maps: {n: '{$self.input.data.item}'}}
          job: {maps: {got: '{$self.output.data}'}}
      transitions:
        m: [{to: all}]
"""

THERE = """
app:
  id: APP-b
  version: 'b7'
  graphs:
    - subscribes: double
      expire: 60
      activities:
        d: {type: trigger}
        work:
          type: worker
          topic: work
          input: {maps: {n: '{d.output.data.n}'}}
          job: {maps: {n: '{$self.output.data.n}'}}
      transitions:
        d: [{to: work}]
    - subscribes: named
      expire: 60
      activities:
        e: {type: trigger, stats: {id: '{$self.input.data.id}'}, job: {maps: {n: 1}}}
        rest: {type: hook}
      transitions:
        e: [{to: rest}]
      hooks:
        rest.over:
          - to: rest
            conditions: {match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]}
"""

PARTITIONS = [(1, 1), (3, 4), (1, 4), (4, 1)]


def work(message: StreamData) -> dict[str, Any]:
    if message.data["n"] < 0:
        raise ValueError("only positive numbers")
    return {"n": message.data["n"] * 2}


@pytest.fixture
async def apps(redis_url: str, app_id: str, request: pytest.FixtureRequest) -> Any:
    here_count, there_count = request.param
    here = await HotMesh.init(app_id, redis_url, partitions=here_count)
    workers = [Worker("work", work)]
    there = await HotMesh.init(f"{app_id}-b", redis_url, partitions=there_count, workers=workers)
    try:
        for mesh, model in ((here, HERE), (there, THERE)):
            await mesh.deploy(model.replace("APP", app_id))
        await here.activate("1")
        await there.activate("b7")
        yield here, there
    finally:
        await here.stop()
        await there.stop()


def payload(app_id: str, topic: str = "double", **more: Any) -> dict[str, Any]:
    return {"app": f"{app_id}-b", "topic": topic, "wait": True, "n": 4, **more}


@pytest.mark.parametrize("apps", PARTITIONS, indirect=True)
async def test_a_result_comes_back_from_another_app(apps: Any, app_id: str) -> None:
    here, _ = apps

    output = await here.pubsub("run", payload(app_id), timeout=20)

    assert output.data == {"got": {"n": 8}}


@pytest.mark.parametrize("apps", PARTITIONS, indirect=True)
async def test_an_error_comes_back_with_what_failed(apps: Any, app_id: str) -> None:
    here, _ = apps

    with pytest.raises(JobError, match="only positive") as raised:
        await here.pubsub("run", payload(app_id, n=-1), timeout=20)

    (top,) = (await here.get_state("run", raised.value.job_id)).errors
    assert (top.activity, top.children[0].activity) == ("go", "work")


@pytest.mark.parametrize("apps", [(1, 1)], indirect=True)
@pytest.mark.parametrize(
    ("what", "told"),
    [
        ({"topic": "nobody"}, "no graph of app '.*-b' version 'b7' subscribes to 'nobody'"),
        ({"topic": "named"}, "stats.id of trigger 'e' resolved to nothing"),
        ({"app": "no-such-app"}, "app 'no-such-app' has no active version"),
        ({"app": "not an app"}, "app id 'not an app' must be"),
    ],
)
async def test_what_can_not_start_there_is_an_error_here(
    apps: Any, app_id: str, what: dict[str, Any], told: str
) -> None:
    here, _ = apps

    with pytest.raises(JobError, match=told):
        await here.pubsub("run", {**payload(app_id), **what}, timeout=20)


@pytest.mark.parametrize("apps", PARTITIONS, indirect=True)
async def test_who_does_not_wait_is_told_the_id(apps: Any, app_id: str) -> None:
    here, there = apps

    output = await here.pubsub("run", payload(app_id, "named", wait=False, id="mine"), timeout=20)

    assert output.data == {"got": {"job_id": "mine"}}
    state = await there.get_state("named", "mine")
    assert (state.metadata.vrs, state.metadata.js) == ("b7", 1)
    assert state.metadata.pj == output.metadata.jid


@pytest.mark.parametrize("apps", [(1, 1), (3, 4)], indirect=True)
async def test_an_id_that_is_taken_there_is_an_error_here(apps: Any, app_id: str) -> None:
    here, there = apps
    await there.pub("named", {"id": "mine"})

    with pytest.raises(JobError, match="job 'mine' exists already") as raised:
        await here.pubsub("run", payload(app_id, "named", id="mine"), timeout=20)

    assert raised.value.code == 409


@pytest.mark.parametrize("apps", PARTITIONS, indirect=True)
async def test_an_interrupt_goes_down_into_the_other_app(apps: Any, app_id: str) -> None:
    here, there = apps
    jid = await here.pub("run", payload(app_id, "named", id="mine"))

    async def begun() -> bool:
        job = (await here._store.load([(jid, None)]))[0]
        return job is not None and job.legs["go,0,0"].key.endswith("\0mine")

    await eventually(begun)
    await here.interrupt("run", jid, descend=True, expire="1m")

    with pytest.raises(JobError) as raised:
        await there.result("named", "mine", timeout=20)
    assert raised.value.code == 410


@pytest.mark.parametrize("apps", [(1, 1), (3, 4)], indirect=True)
async def test_items_run_in_another_app(apps: Any, app_id: str) -> None:
    here, _ = apps

    output = await here.pubsub("many", {"items": list(range(20))}, timeout=60)

    assert output.data["got"] == [{"n": 2 * n} for n in range(20)]


@pytest.mark.parametrize("apps", [(1, 1), (3, 4)], indirect=True)
async def test_an_order_that_is_forwarded_twice_starts_one_job(apps: Any, app_id: str) -> None:
    """A forwarder that dies between its two steps appends again: here, each entry three times,
    also when the first child is over and gone.
    """
    here, there = apps
    seen: list[bytes] = []
    keys = there._store.keys
    execute_many = here._store.transport.execute_many

    async def thrice(commands: Any) -> Any:
        replies = await execute_many(commands)
        for command in commands:
            if command[0] == "XADD" and any(command[1] == p.engine for p in keys.partitions):
                seen.append(command[4])
                await execute_many([command, command])
        return replies

    here._store.transport.execute_many = thrice
    try:
        output = await here.pubsub("run", payload(app_id), timeout=20)
    finally:
        here._store.transport.execute_many = execute_many

    (visit,) = [decode_engine_entry(entry) for entry in seen]
    assert output.data == {"got": {"n": 8}}
    await there.scrub(visit.jid)
    await execute_many([("XADD", keys.of(visit.jid).engine, "*", "p", seen[0])])

    async def settled() -> bool:
        lengths = await execute_many([("XLEN", p.engine) for p in keys.partitions])
        return not any(lengths)

    await eventually(settled)
    with pytest.raises(JobNotFound):
        await there.get_status(visit.jid)
