"""What a job costs while many others lie in the server: 1,000, 10,000, 100,000 of them.

First they are finished jobs that are kept for a day, then running ones that sleep for a day. Each
number has a server and processes of its own, and their rounds alternate. The cost should not grow:
every figure is given beside that of 1,000.
"""

from __future__ import annotations

from typing import Any

from msgspec import structs

from benchmarks.cases.one_activity import MODEL, TOPIC
from benchmarks.figures import Figure, Goal, paired
from benchmarks.harness import Bench, Load, Rounds, Side

LEVELS = (1_000, 10_000, 100_000)
GROWTH_MAX = 1.15
"""More than this from 1,000 to 100,000 is growth. Less can't be told from what a larger memory
costs any program: the processor's cache holds less of it."""

DAY_S = 86_400
SLEEP_TOPIC = "bench.sleep"


def model() -> dict[str, Any]:
    """The one-activity graph, and one whose jobs sleep for a day."""
    sleeping = {
        "subscribes": SLEEP_TOPIC,
        "activities": {"t2": {"type": "trigger"}, "h2": {"type": "hook", "sleep": DAY_S}},
        "transitions": {"t2": [{"to": "h2"}]},
    }
    app = MODEL["app"]
    return {"app": {**app, "graphs": [*app["graphs"], sleeping]}}


async def run(bench: Bench) -> list[Figure]:
    """CPU of server and engine, and the rate, for each number and kind."""
    levels = LEVELS[:2] if bench.quick else LEVELS
    finished = Load(topic=TOPIC, in_flight=300, expire_s=DAY_S)
    waiting = Load(topic=SLEEP_TOPIC, in_flight=300, wait=False)
    return [
        *await _kind(bench, "finished", levels, finished),
        *await _kind(bench, "waiting", levels, waiting),
    ]


async def _kind(bench: Bench, kind: str, levels: tuple[int, ...], fill: Load) -> list[Figure]:
    sides: list[Side] = []
    for level in levels:
        side = await bench.side(f"{level:,} {kind}", model=model())
        bench.say(f"{level:,} {kind} jobs: filling")
        await side.run(structs.replace(fill, jobs=level))
        sides.append(side)
    # What a round leaves is gone before the next: expiry after a second.
    rounds = await bench.compare(sides, Load(topic=TOPIC, in_flight=100, expire_s=1))
    for side in sides:
        await side.stop()
    return _figures(rounds, levels)


def _figures(rounds: Rounds, levels: tuple[int, ...]) -> list[Figure]:
    least, *others = rounds
    against = f"{levels[0]:,}"
    figures: list[Figure] = []
    for name in others:
        for role in ("server", "engine"):  # client and worker have nothing to look for
            here, there = ([s.cpu_us[role] for s in side] for side in (rounds[name], rounds[least]))
            goal = Goal(GROWTH_MAX, "at most")
            figures.append(paired(f"{name}: CPU {role}", "µs/job", here, there, goal, against))
        here, there = ([s.rate for s in side] for side in (rounds[name], rounds[least]))
        figures.append(paired(f"{name}: throughput", "jobs/s", here, there, against=against))
    return figures
