"""Ten activities in a row over a remote worker, 50 jobs in flight.

What a step costs when a job goes on from one activity to the next: each takes what the one before
gave. A step is two hops, engine to worker and back; the bare side makes the same two.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from benchmarks.cases.one_activity import cpu, rates
from benchmarks.figures import Figure, Goal, paired
from benchmarks.harness import Bench, Load

STEPS = 10
TOPIC = "bench.sequence"


def model() -> dict[str, Any]:
    """A trigger and ten workers in a row; the last one's answer is the result."""
    activities: dict[str, Any] = {"t1": {"type": "trigger"}}
    before, field = "t1", "a"
    for number in range(1, STEPS + 1):
        activities[f"a{number}"] = {
            "type": "worker",
            "topic": "bench.greet",
            "input": {"maps": {"x": f"{{{before}.output.data.{field}}}"}},
        }
        before, field = f"a{number}", "y"
    activities[before]["job"] = {"maps": {"b": "{$self.output.data.y}"}}
    graph = {
        "subscribes": TOPIC,
        "expire": 15,
        "activities": activities,
        "transitions": {a: [{"to": b}] for a, b in pairwise(activities)},
    }
    return {"app": {"id": "bench", "version": "1", "graphs": [graph]}}


async def run(bench: Bench) -> list[Figure]:
    """Steps a second, and CPU by process."""
    sides = [await bench.side(model=model()), await bench.side("bare")]
    rounds = await bench.compare(sides, Load(topic=TOPIC, in_flight=50, steps=STEPS))
    return [
        paired("throughput", "steps/s", *rates(rounds, STEPS), Goal(0.4, "at least")),
        *cpu(rounds, STEPS, "step"),
    ]
