"""Random programs: the deterministic loop does what asyncio's does, in the same order, and the same
in every process.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loop_host import new_loop
from loop_programs import Execution, make, on_asyncio, on_ours

HASH_SEEDS = ["0", "1", "2", "3", "17", "99", "1234", "4321", "random", "random"]


@given(st.randoms(use_true_random=False))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_random_program_runs_as_on_asyncios_loop(rng: random.Random) -> None:
    program = make(rng)

    assert on_ours(program) == on_asyncio(program)


@given(st.randoms(use_true_random=False), st.integers(0, 15))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_random_program_can_be_torn_down_at_any_turn(rng: random.Random, turns: int) -> None:
    loop, host = new_loop()
    task = loop.create_task(Execution().main(make(rng)))
    loop.run_until_quiescent()
    while turns and (due := host.next_due()) is not None and not task.done():
        turns -= 1
        loop.now_s = due.when_s
        loop.fire(due)
        loop.run_until_quiescent()
    started = len(host.started)

    assert loop.tear_down(Evicted, seconds=60) == []
    assert task.done()
    assert len(host.started) == started


class Evicted(BaseException):
    pass


def test_programs_are_not_trivial() -> None:
    """The property would hold of programs that do nothing."""
    seen = "\n".join(repr(on_ours(make(random.Random(seed)))) for seed in range(200))

    for happens in ("CancelledError", "TimeoutError", "ExceptionGroup", "is done", "closes"):
        assert happens in seen


PROGRAMS = """
import asyncio, json, random, sys
junk = [bytearray(random.randrange(1, 5000)) for _ in range(random.randrange(20000))]
from loop_host import new_loop, run_on
from loop_programs import make, on_ours

async def cancelled_by_a_group(log):
    async def step(i):
        try:
            await asyncio.sleep(i + 1)
            if i == 2:
                raise ValueError(i)
            await asyncio.sleep(99)
        except asyncio.CancelledError:
            log.append(i)
            raise
    try:
        async with asyncio.TaskGroup() as group:
            for i in range(12):
                group.create_task(step(i))
    except* ValueError:
        pass

async def waited_for(log):
    loop = asyncio.get_running_loop()
    futures = [asyncio.sleep(0, i) for i in range(30)]
    tasks = [asyncio.create_task(future, name=str(i)) for i, future in enumerate(futures)]
    done, _ = await asyncio.wait(tasks)
    log += [task.get_name() for task in done]
    bare = [loop.create_future() for _ in range(40)]
    for future in bare:
        loop.call_soon(future.set_result, None)
    done, _ = await asyncio.wait(bare)
    log += [bare.index(future) for future in done]

async def gathered_sets(log):
    outer = [asyncio.gather(asyncio.sleep(0, i)) for i in range(20)]
    done, _ = await asyncio.wait(outer)
    log += [future.result() for future in done]

async def completed(log):
    async def step(i):
        log.append(i)
        return i
    for f in asyncio.as_completed([step(i) for i in range(20)]):
        log.append(await f)

async def all_of_them(log):
    tasks = [asyncio.create_task(asyncio.sleep(1), name=str(i)) for i in range(40)]
    log += [task.get_name() for task in asyncio.all_tasks()]
    await asyncio.wait(tasks)

result = {}
for program in (cancelled_by_a_group, waited_for, gathered_sets, completed, all_of_them):
    loop, host = new_loop()
    log = result[program.__name__] = []
    run_on(loop, host, program(log))
    log.append([timer.delay_s for timer in host.started])
result["random"] = [on_ours(make(random.Random(seed))) for seed in range(40)]
print(json.dumps(result))
"""


def orders(hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAMS],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_order_is_the_same_in_every_process() -> None:
    with ThreadPoolExecutor(2) as pool:
        first, *others = pool.map(orders, HASH_SEEDS)

    shown = json.loads(first)
    assert sorted(shown["cancelled_by_a_group"][:-1]) == [0, 1, *range(3, 12)]
    assert shown["completed"][:40] == [*range(20), *range(20)]
    for other in others:
        assert json.loads(other) == shown
