"""Workers that are killed, stopped and replaced: nothing is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as client_library
from conftest import Durable
from crash_worker import long_step, mixed, poison, steps, timers
from support import eventually

HERE = Path(__file__).parent


class Fleet:
    """Workers in processes of their own."""

    def __init__(self, durable: Durable) -> None:
        self.durable = durable
        self.processes: list[asyncio.subprocess.Process] = []

    async def worker(self, fault: dict[str, Any] | None = None, **options: Any) -> Any:
        given = {
            "url": self.durable.redis_url,
            "namespace": self.durable.namespace,
            "fault": fault,
            "options": {**self.durable.options, **options},
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / "crash_worker.py"),
            json.dumps(given),
            stdout=asyncio.subprocess.PIPE,
        )
        self.processes.append(process)
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readline(), 30)
        return process

    async def effects(self) -> list[str]:
        """What activities did outside, in order: `key/attempt/what`."""
        async with client_library.from_url(self.durable.redis_url) as client:
            rows = await client.lrange(f"effects:{self.durable.namespace}", 0, -1)
        return [row.decode() for row in rows]

    async def close(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            await process.wait()


@pytest.fixture
async def fleet(durable: Durable) -> AsyncIterator[Fleet]:
    fleet = Fleet(durable)
    yield fleet
    await fleet.close()


FAULTS = [
    ("claim", "before", 1),
    ("claim", "before", 3),
    ("commit", "before", 1),
    ("commit", "after", 1),
    ("commit", "before", 3),
    ("commit", "after", 3),
    ("commit", "after", 5),
    ("complete", "before", 1),
    ("complete", "after", 1),
    ("deliver", "before", 1),
    ("deliver", "after", 2),
    ("fire", "after", 4),
]


@pytest.mark.parametrize(("point", "when", "n"), FAULTS)
async def test_a_run_survives_the_death_of_its_worker(
    durable: Durable, fleet: Fleet, point: str, when: str, n: int
) -> None:
    dying = await fleet.worker({"point": point, "when": when, "n": n})
    handle = await durable.start(mixed, 21)
    await handle.signal("go", "said")
    try:
        await asyncio.wait_for(dying.wait(), 4)
    except TimeoutError:
        dying.kill()  # the run never came to that point
    await fleet.worker()

    assert await handle.result(timeout="25s") == ["first", "left", "right", 10, 42, "said", "last"]
    assert (await handle.fields())["count"] == 10
    await _each_effect_counts_once(fleet)


async def _each_effect_counts_once(fleet: Fleet) -> None:
    """Every attempt ran at most once; a step that ran again did so under the next number."""
    attempts = Counter(await fleet.effects())
    assert max(attempts.values()) == 1, attempts


async def test_activities_without_faults_run_once(durable: Durable, fleet: Fleet) -> None:
    await fleet.worker()
    handle = await durable.start(steps, 20)
    assert await handle.result(timeout="25s") == 20
    assert len(await fleet.effects()) == 20


async def test_a_long_activity_of_a_killed_worker_is_tried_again(
    durable: Durable, fleet: Fleet
) -> None:
    first = await fleet.worker()
    handle = await durable.start(long_step, 0.6)
    await eventually(lambda: _began(fleet, 1))
    first.kill()
    await fleet.worker()
    assert await handle.result(timeout="25s") == "long"
    lines = [line.split("/") for line in await fleet.effects()]
    assert [(attempt, what) for _, attempt, what in lines] == [
        ("1", "long.began"),
        ("2", "long.began"),
        ("2", "long"),
    ]
    assert len({key for key, *_ in lines}) == 1


async def _began(fleet: Fleet, times: int) -> bool:
    return sum("began" in line for line in await fleet.effects()) >= times


async def test_a_frozen_worker_is_replaced_and_then_ignored(durable: Durable, fleet: Fleet) -> None:
    first = await fleet.worker()
    handle = await durable.start(long_step, 0.5)
    await eventually(lambda: _began(fleet, 1))
    first.send_signal(signal.SIGSTOP)
    await fleet.worker()
    await eventually(lambda: _began(fleet, 2), within_s=20)
    first.send_signal(signal.SIGCONT)
    assert await handle.result(timeout="25s") == "long"
    record = await handle.history()
    answers = [e for e in record if e.kind == "ACT_DONE"]
    assert len(answers) == 1


async def test_an_activity_that_kills_its_worker_is_counted(durable: Durable, fleet: Fleet) -> None:
    handle = await durable.start(poison)
    other = await durable.start(steps, 3)
    for _ in range(3):
        process = await fleet.worker()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            break
    assert await handle.result(timeout="25s") == "survived"
    assert await other.result(timeout="25s") == 3


async def test_timers_that_fall_due_while_nobody_is_there_fire_once(
    durable: Durable, fleet: Fleet
) -> None:
    first = await fleet.worker()
    runs = [await durable.start(timers) for _ in range(5)]
    await asyncio.sleep(0)
    first.kill()
    await first.wait()
    await fleet.worker()
    for handle in runs:
        assert await handle.result(timeout="25s") == [0.05, 0.1, 0.15]


async def test_a_stopped_worker_hands_its_activity_on(durable: Durable, fleet: Fleet) -> None:
    first = await fleet.worker(grace="100ms")
    handle = await durable.start(long_step, 1.0)
    await eventually(lambda: _began(fleet, 1))
    first.terminate()
    await asyncio.wait_for(first.wait(), 15)
    assert first.returncode == 0
    await fleet.worker()
    assert await handle.result(timeout="25s") == "long"
    attempts = {line.split("/")[1] for line in await fleet.effects()}
    assert attempts == {"1"}, "handing back is no attempt"


async def test_a_result_is_kept_when_the_worker_stops(durable: Durable, fleet: Fleet) -> None:
    first = await fleet.worker(grace="5s")
    handle = await durable.start(long_step, 0.3)
    await eventually(lambda: _began(fleet, 1))
    first.terminate()
    await asyncio.wait_for(first.wait(), 15)
    await fleet.worker()
    assert await handle.result(timeout="25s") == "long"
    assert sum(line.endswith("/long") for line in await fleet.effects()) == 1


async def test_a_flushed_script_cache_is_not_noticed(durable: Durable, fleet: Fleet) -> None:
    await fleet.worker()
    handle = await durable.start(steps, 200)
    async with client_library.from_url(durable.redis_url) as client:
        for _ in range(20):
            await client.script_flush()
            await asyncio.sleep(0.01)
    assert await handle.result(timeout="25s") == 200
    assert len(await fleet.effects()) == 200
