"""Jobs that sleep: how late they wake, many at a time, alone, and all at one moment.

Lateness is what a user sees: from the call that starts a job, plus the time that it sleeps, to the
moment at which its result is heard; so a job's start and end are in it. 2,000 jobs of 2 seconds are
started as fast as 100 calls at a time allow. A lone timer has the machine to itself. 10,000 that
are due at one moment show how fast timers fire: the seconds until the last result is heard. The
bare commands are ZADD, and a process that looks at the first timer and moves what is due.
"""

from __future__ import annotations

from typing import Any

from msgspec import structs

from benchmarks.figures import Figure, Goal, paired
from benchmarks.harness import Bench, Load, Side

TOPIC = "bench.timer"
SLEEP_S, LONE_SLEEP_S = 2.0, 0.1
LOAD = Load(topic=TOPIC, action="sleep", in_flight=100, wait=False)
STARTS_A_S = 1_200
"""What any machine manages: jobs that are due together are started at least so fast."""


def model() -> dict[str, Any]:
    """A hook that sleeps as long as the payload says."""
    graph = {
        "subscribes": TOPIC,
        "publishes": f"{TOPIC}.ended",
        "expire": 15,
        "activities": {
            "t1": {"type": "trigger"},
            "h1": {"type": "hook", "sleep": "{t1.output.data.s}"},
        },
        "transitions": {"t1": [{"to": "h1"}]},
    }
    return {"app": {"id": "bench", "version": "1", "graphs": [graph]}}


async def run(bench: Bench) -> list[Figure]:
    """Lateness of many and of one; seconds until all of one moment have fired."""
    sides = [
        await bench.side(model=model()),
        await bench.side("bare", module="benchmarks.bare_waits"),
    ]
    return [
        *await many(bench, sides, 500 if bench.quick else 2_000),
        await lone(bench, sides),
        await _together(bench, sides, 2_000 if bench.quick else 10_000),
    ]


async def many(bench: Bench, sides: list[Side], jobs: int) -> list[Figure]:
    load = structs.replace(LOAD, jobs=jobs, sleep_s=SLEEP_S)
    rounds = await bench.compare(sides, load, rounds=2 if bench.quick else 5)
    ours, bare = rounds["ours"], rounds["bare"]
    medians = [s.median_ms for s in ours], [s.median_ms for s in bare]
    p99s = [s.p99_ms for s in ours], [s.p99_ms for s in bare]
    name = f"{jobs:,} of {SLEEP_S:g} s: late"
    return [
        paired(f"{name}, median", "ms", *medians, Goal(150, "at most", "ours")),
        paired(f"{name}, p99", "ms", *p99s, Goal(350, "at most", "ours")),
    ]


async def lone(bench: Bench, sides: list[Side]) -> Figure:
    load = structs.replace(LOAD, in_flight=1, jobs=10, sleep_s=LONE_SLEEP_S, wait=True)
    rounds = await bench.compare(sides, load)
    ours, bare = ([s.median_ms for s in rounds[side]] for side in ("ours", "bare"))
    return paired("a lone one: late, median", "ms", ours, bare, Goal(5, "at most", "ours"))


async def _together(bench: Bench, sides: list[Side], jobs: int) -> Figure:
    lead_s = 1 + jobs / STARTS_A_S
    load = structs.replace(LOAD, jobs=jobs, sleep_s=lead_s, together=True)
    rounds = await bench.compare(sides, load, rounds=2 if bench.quick else 3)
    ours, bare = ([s.elapsed_s for s in rounds[side]] for side in ("ours", "bare"))
    return paired(f"{jobs:,} due together: until all fired", "s", ours, bare)
