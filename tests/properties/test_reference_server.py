"""Random models on a real server, with real engines and workers: what comes out is what the
reference gives in some order of its steps.
"""

from __future__ import annotations

import os
import random
import secrets
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from random_models import CALM, RandomModel, seeded_model
from reference import Impossible, Job, World
from support import eventually

from hotmesh import HotMesh, JobOutput, StreamData, StreamResult, Worker

MODELS = int(os.environ.get("HOTMESH_PROPERTY_EXAMPLES", "0")) // 100 or 10
ORDERS_MAX = 400
pytestmark = pytest.mark.timeout(60 + MODELS * 10)


def alone(model: RandomModel, seed: int) -> World:
    """The reference by itself, in one order of its steps."""
    world, rnd = World(model.model, model.script), random.Random(seed)
    for jid, topic, data in model.starts:
        world.start(jid, topic, data)
    while True:
        steps = [s for job in world.jobs.values() if not job.ended for s in possible(job)]
        steps += [(j, "child", g, i) for j in world.jobs.values() for g in j.legs for i in g.starts]
        if not steps:
            return world
        job, what, leg, with_ = rnd.choice(steps)
        if what == "enter":
            world.enter(job, leg.aid, leg.dad)
        elif what == "child":
            dad = f"{leg.above},{max(with_, 0)}"
            world.begin_child(f"{job.jid}/{leg.aid}{dad}", job, leg.aid, dad)
        elif what == "answer":
            try:
                world.answer(job, leg.aid, leg.dad, with_)
            except Impossible:  # of an item of `each`, while others have no result
                assert leg.items > 0
        else:
            world.now_ms = max(world.now_ms, leg.began_ms + leg.sleep_ms)
            world.timer(job, leg.aid, leg.dad, "sleep", leg.turn)


def possible(job: Job) -> list[tuple[Job, str, Any, Any]]:
    steps: list[tuple[Job, str, Any, Any]] = [(job, "enter", e.leg, None) for e in job.queue]
    for leg in job.legs:
        if leg.waiting:
            said = [a for a in leg.mail if leg.items < 0 or a.status != "pending"]
            complete = len(said) == leg.items and all(a.status == "success" for a in said)
            if leg.items >= 0 and not complete:
                said = [a for a in said if a.status == "error"]
            steps += [(job, "answer", leg, a) for a in said]
            steps += [(job, "timer", leg, None)] if leg.sleep_ms else []
    return steps


def result_of(model: RandomModel, world: World) -> Any:
    jobs = {jid: (world.jobs[jid].data, world.jobs[jid].error) for jid, _, _ in model.starts}
    return jobs, Counter((aid, attempt) for _, aid, _, attempt in world.calls)


@pytest.mark.parametrize("seed", range(20))
def test_a_calm_tree_has_one_result_whatever_the_order(seed: int) -> None:
    """So the comparison below is a strict one where nothing joins."""
    drawn = seeded_model(seed, ("work", "pass", "sleep", "retry", "each"), calm=True)
    tree = [replace(p, after=p.after[:1]) for p in drawn.pieces]
    model = RandomModel(tree, payloads=drawn.payloads, calm=True)

    results = [result_of(model, alone(model, order)) for order in range(10)]

    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("seed", range(MODELS))
async def test_a_model_on_a_server_gives_what_the_reference_gives_in_some_order(
    seed: int, mesh_factory: Any
) -> None:
    model = seeded_model(seed, CALM, calm=True)
    calls: Counter[tuple[str, int]] = Counter()
    heard: Counter[str] = Counter()

    async def answer(call: StreamData) -> StreamResult:
        said = model.script(call.metadata.aid, call.data, call.metadata.try_count)[0]
        calls[call.metadata.aid, call.metadata.try_count] += 1
        return StreamResult(data=said.data, status=said.status, code=said.code)

    def hear(topic: str, output: JobOutput) -> None:
        if output.metadata.js == 0:
            heard[output.metadata.jid] += 1

    where = {"app_id": "props", "namespace": f"p{secrets.token_hex(6)}"}
    meshes = [await mesh_factory(**where, workers=[Worker("w", answer)]) for _ in range(2)]
    mesh: HotMesh = meshes[seed % 2]
    await mesh.deploy(model.model)
    await mesh.activate("1")
    await mesh.sub("g0.done", hear)
    for jid, topic, data in model.starts:
        await mesh.pub(topic, data, job_id=jid)
    found: dict[str, Any] = {}
    for jid, topic, _ in model.starts:

        async def ended(jid: str = jid) -> bool:
            return await mesh.get_status(jid) <= 0

        await eventually(ended)
        output = await mesh.get_state(topic, jid)
        found[jid] = (output.data, _plain(output.metadata.err))
    await eventually(lambda: len(heard) == len(found))

    for order in range(ORDERS_MAX):
        wanted, made = result_of(model, alone(model, order))
        if found == {jid: (data, _plain(error)) for jid, (data, error) in wanted.items()}:
            break
    else:
        pytest.fail(f"seed {seed}: no order of {model!r} gives {found}; one gives {wanted}")
    assert set(heard.values()) == {1}
    assert not calls - made


def _plain(error: Any) -> Any:
    if isinstance(error, dict) and error.get("code") in (424, 504):
        return {k: v for k, v in error.items() if k != "message"}
    return error
