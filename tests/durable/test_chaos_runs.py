"""Workers that are killed, stopped, frozen and replaced at random, over workflows of mixed shape.

Every run ends with the right value, no attempt has its effect twice, and all replay elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from typing import Any

import pytest
from crash_worker import WORKFLOWS, long_step, mixed, steps, timers
from durable_env import Durable
from test_crashes import Fleet, _each_effect_counts_once

from hotmesh.testing.durable import Replayer

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

SECONDS = float(os.environ.get("HOTMESH_CHAOS_S", "60"))
FLEET = 3
RUNS_AT_ONCE = 8

EXPECTED: dict[Any, tuple[tuple[Any, ...], Any]] = {
    mixed: ((21,), ["first", "left", "right", 10, 42, "said", "last"]),
    steps: ((12,), 12),
    long_step: ((0.2,), "long"),
    timers: ((), [0.05, 0.1, 0.15]),
}


async def _one(durable: Durable, draw: random.Random) -> Any:
    workflow = draw.choice(list(EXPECTED))
    args, expected = EXPECTED[workflow]
    handle = await durable.start(workflow, *args)
    if workflow is mixed:
        # Rendezvous names are of the whole namespace, so this one is sent as a run's own signal.
        await handle.signal("go", "said")
    assert await handle.result(timeout="120s") == expected, workflow.__name__
    return handle


async def _load(durable: Durable, draw: random.Random, until: float) -> list[Any]:
    handles = []
    while asyncio.get_running_loop().time() < until:
        handles.append(await _one(durable, draw))
    return handles


async def _trouble(fleet: Fleet, draw: random.Random, until: float) -> dict[str, int]:
    """Something happens to a worker every half second or so, and another takes its place."""
    done = dict.fromkeys(("kill", "stop", "freeze"), 0)
    alive = [await fleet.worker() for _ in range(FLEET)]
    while asyncio.get_running_loop().time() < until:
        await asyncio.sleep(draw.uniform(0.1, 0.6))
        victim = alive.pop(draw.randrange(len(alive)))
        how = draw.choice(list(done))
        done[how] += 1
        if how == "kill":
            victim.kill()
        elif how == "stop":
            victim.terminate()
        else:
            victim.send_signal(signal.SIGSTOP)
            asyncio.get_running_loop().call_later(draw.uniform(0.5, 3), _thaw, victim)
        alive.append(await fleet.worker())
        if how == "freeze":
            alive.append(victim)
        while len(alive) > FLEET:
            gone = alive.pop(0)
            gone.send_signal(signal.SIGCONT)
            gone.terminate()
    return done


def _thaw(process: Any) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGCONT)


async def test_a_fleet_in_trouble_loses_nothing(durable: Durable) -> None:
    seed = int(os.environ.get("HOTMESH_CHAOS_SEED", "0")) or random.randrange(1, 10**6)
    draw = random.Random(seed)
    fleet = Fleet(durable)
    try:
        until = asyncio.get_running_loop().time() + SECONDS / 2
        trouble = asyncio.ensure_future(_trouble(fleet, draw, until))
        loads = [_load(durable, random.Random(seed + i), until) for i in range(RUNS_AT_ONCE)]
        found = await asyncio.gather(*loads)
        done = await trouble
        handles = [handle for part in found for handle in part]
        print(f"seed {seed}: {len(handles)} runs over {done}")
        assert len(handles) >= RUNS_AT_ONCE
        assert all(done.values())
        await _each_effect_counts_once(fleet)
        histories = [await handle.history() for handle in handles]
    finally:
        await fleet.close()
    Replayer(WORKFLOWS).replay(histories).check()
