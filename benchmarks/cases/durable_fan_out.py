"""Fifty activities of one durable function at once, four runs in flight.

One worker has workflow and activities: all fifty are begun by one script, and the answers of a
moment are written by one. The bare side runs them in one process too, a script each.
"""

from __future__ import annotations

from benchmarks.cases.durable_steps import fused
from benchmarks.cases.one_activity import cpu, rates
from benchmarks.figures import Figure, Goal, paired
from benchmarks.harness import Bench, Load

STEPS = 50


async def run(bench: Bench) -> list[Figure]:
    """Steps a second; CPU of a step by process."""
    load = Load(topic="at_once", in_flight=4, steps=STEPS, at_once=True)
    rounds = await bench.compare(await fused(bench), load)
    # 20,000/s where bare local steps make 59,000/s.
    goal = Goal(0.34, "at least")
    return [
        paired("throughput", "steps/s", *rates(rounds, STEPS), goal),
        *cpu(rounds, STEPS, "step"),
    ]
