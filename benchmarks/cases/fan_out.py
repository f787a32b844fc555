"""Fifty activities at once, four jobs in flight.

What a step costs when one job has many at a time: all answers meet at one record. Each answer is
mapped into the job's data.
"""

from __future__ import annotations

from typing import Any

from benchmarks.cases.one_activity import cpu, rates
from benchmarks.figures import Figure, Goal, paired
from benchmarks.harness import Bench, Load

STEPS = 50
TOPIC = "bench.fan_out"


def model() -> dict[str, Any]:
    """A trigger and fifty workers after it, each with a field of its own in the result."""
    workers = {
        f"a{number}": {
            "type": "worker",
            "topic": "bench.greet",
            "input": {"maps": {"x": "{t1.output.data.a}"}},
            "job": {"maps": {f"b{number}": "{$self.output.data.y}"}},
        }
        for number in range(1, STEPS + 1)
    }
    graph = {
        "subscribes": TOPIC,
        "expire": 15,
        "activities": {"t1": {"type": "trigger"}, **workers},
        "transitions": {"t1": [{"to": name} for name in workers]},
    }
    return {"app": {"id": "bench", "version": "1", "graphs": [graph]}}


async def run(bench: Bench) -> list[Figure]:
    """Steps a second, and CPU by process."""
    sides = [await bench.side(model=model()), await bench.side("bare")]
    load = Load(topic=TOPIC, in_flight=4, steps=STEPS, at_once=True)
    rounds = await bench.compare(sides, load)
    return [
        paired("throughput", "steps/s", *rates(rounds, STEPS), Goal(0.4, "at least")),
        *cpu(rounds, STEPS, "step"),
    ]
