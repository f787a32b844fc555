"""What a job costs while 1,000, 10,000, 100,000 others lie in the server.

First they are finished jobs that are kept for a day, then running ones that sleep for a day. Each
number has a server and processes of its own, and their rounds alternate. The cost should not grow.
A server whose memory is larger takes longer for any command, so the bare side stands beside: its
commands, on a server that holds as many records. What is bound is our growth in terms of theirs.
"""

from __future__ import annotations

from typing import Any

from msgspec import structs

from benchmarks.cases.one_activity import MODEL, TOPIC
from benchmarks.figures import Figure, Goal, paired
from benchmarks.harness import Bench, Load, Rounds, Sample, Side

LEVELS = (1_000, 10_000, 100_000)
GROWTH_MAX = 1.15
"""More than this is growth. Less is within what rounds on a shared machine differ by."""

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
        *await kind(bench, "finished", levels, finished),
        *await kind(bench, "waiting", levels, waiting),
    ]


async def kind(bench: Bench, what: str, levels: tuple[int, ...], fill: Load) -> list[Figure]:
    """Figures of one kind of jobs, in each number."""
    sides: list[Side] = []
    for level in levels:
        bench.say(f"{level:,} {what} jobs: filling")
        ours = await bench.side(f"ours {level}", model=model())
        await ours.run(structs.replace(fill, jobs=level))
        bare = await bench.side(f"bare {level}")
        await bare.client.do("keep", jobs=level, expire_s=fill.expire_s)
        sides += [ours, bare]
    # What a round leaves is gone before the next: expiry after a second.
    load = Load(topic=TOPIC, in_flight=100, expire_s=1, seconds=0.7)
    rounds = await bench.compare(sides, load, rounds=4 if bench.quick else 7)
    for side in sides:
        await side.stop()
    return _figures(rounds, what, levels)


def _figures(rounds: Rounds, kind: str, levels: tuple[int, ...]) -> list[Figure]:
    least, most = levels[0], levels[-1]
    mine, theirs = ([_cost(s) for s in rounds[f"{side} {least}"]] for side in ("ours", "bare"))
    figures = [paired(f"{least:,} {kind}: CPU server + engine", "µs/job", mine, theirs)]
    for level in levels[1:]:
        mine, theirs = (
            [
                _cost(here) / _cost(there)
                for here, there in zip(
                    rounds[f"{side} {level}"], rounds[f"{side} {least}"], strict=True
                )
            ]
            for side in ("ours", "bare")
        )
        goal = Goal(GROWTH_MAX, "at most")
        figures.append(paired(f"{level:,} {kind}: the CPU grows", "×", mine, theirs, goal))
    mine, theirs = ([s.rate for s in rounds[f"{side} {most}"]] for side in ("ours", "bare"))
    return [*figures, paired(f"{most:,} {kind}: throughput", "jobs/s", mine, theirs)]


def _cost(sample: Sample) -> float:
    """What a job costs where others could be in the way."""
    return sample.cpu_us["server"] + sample.cpu_us["engine"]
