"""A worker that is killed while it works: 200 jobs of three activities of 20 ms, in six bursts.

40 ms into each burst the worker gets SIGKILL and is started again at once. Nothing may be lost, few
activities may run twice, and what was held by the dead process must go on as soon as the new one is
up, long before its lease ends. "After the restart" is from the moment that the new worker is up to
the last result of its burst; the interpreter's own start is given beside it.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

from benchmarks.figures import Figure, Goal, alone
from benchmarks.harness import Bench
from benchmarks.ours import MARKS

JOBS, BURSTS, STEPS = 200, 6, 3
KILL_AFTER_S, BURST_EVERY_S = 0.04, 1.5
TOPIC = "bench.crash"


def model() -> dict[str, Any]:
    """Three slow workers in a row."""
    worker = {"type": "worker", "topic": "bench.slow"}
    names = [f"a{number}" for number in range(1, STEPS + 1)]
    activities: dict[str, Any] = {"t1": {"type": "trigger"}}
    for name in names:
        activities[name] = {**worker, "input": {"maps": {"x": "{t1.output.data.a}"}}}
    activities[names[-1]]["job"] = {"maps": {"b": "{$self.output.data.y}"}}
    graph = {
        "subscribes": TOPIC,
        "expire": 60,
        "activities": activities,
        "transitions": {a: [{"to": b}] for a, b in pairwise(["t1", *names])},
    }
    return {"app": {"id": "bench", "version": "1", "graphs": [graph]}}


async def run(bench: Bench) -> list[Figure]:
    """Jobs that finished, activities that ran, and how long it took after each restart."""
    marks = bench.folder / "marks"
    side = await bench.side(model=model(), env={MARKS: str(marks)})
    sizes = [JOBS // BURSTS + (burst < JOBS % BURSTS) for burst in range(BURSTS)]
    ups: list[float] = []
    boots: list[float] = []
    for burst, size in enumerate(sizes):
        began = await side.client.do("burst", topic=TOPIC, jobs=size)
        await asyncio.sleep(KILL_AFTER_S)
        await side.crash_worker()
        ups.append(side.children["worker"].ready_at)
        boots.append(ups[-1] - began - KILL_AFTER_S)
        bench.say(f"burst {burst + 1}/{BURSTS}: the worker was back after {boots[-1]:.2f} s")
        await asyncio.sleep(max(0.0, BURST_EVERY_S - KILL_AFTER_S - boots[-1]))
    ends = await side.client.do("ended")
    lines = marks.read_text().splitlines()
    after, at = [], 0
    for up, size in zip(ups, sizes, strict=True):
        after.append(max(ends[at : at + size]) - up)
        at += size
    bench.rounds += [{"after_s": a, "boot_s": b} for a, b in zip(after, boots, strict=True)]
    finished = sum(1 for end in ends if end)
    return [
        alone("finished", f"of {JOBS} jobs", [finished], Goal(JOBS, "exactly", "ours")),
        alone("last result after the restart", "s", after, Goal(1, "at most", "ours")),
        alone("start of the worker's process", "s", boots),
        alone("activities ended", f"of {JOBS * STEPS}", [lines.count("ended")]),
        alone("activities begun", f"of {JOBS * STEPS}", [lines.count("began")]),
    ]
