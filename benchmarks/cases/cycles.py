"""A loop of ten turns over a remote worker, 50 jobs in flight.

A turn is what a step is in `sequence`, and the bare side makes the same two hops; ours goes back to
a pivot by a `cycle`, counts its turns with a pipe, and looks at a condition.
"""

from __future__ import annotations

from typing import Any

from benchmarks.cases.one_activity import cpu, rates
from benchmarks.figures import Figure, paired
from benchmarks.harness import Bench, Load

TURNS = 10
TOPIC = "bench.cycle"


def model() -> dict[str, Any]:
    """A pivot, a worker that counts, and a way back until there were enough."""
    count = {"@pipe": [["{$job.data.n}", 1], ["{@math.add}"]]}
    # A condition sees the job's data as it was before the activity wrote its own.
    more = {"@pipe": [["{$job.data.n}", TURNS - 1], ["{@conditional.less_than}"]]}
    graph = {
        "subscribes": TOPIC,
        "expire": 15,
        "activities": {
            "t1": {"type": "trigger", "job": {"maps": {"n": 0}}},
            "p1": {"type": "hook"},
            "a1": {
                "type": "worker",
                "topic": "bench.greet",
                "input": {"maps": {"x": "{t1.output.data.a}"}},
                "job": {"maps": {"b": "{$self.output.data.y}", "n": count}},
            },
            "c1": {"type": "cycle", "ancestor": "p1"},
        },
        "transitions": {
            "t1": [{"to": "p1"}],
            "p1": [{"to": "a1"}],
            "a1": [{"to": "c1", "conditions": {"match": [{"expected": True, "actual": more}]}}],
        },
    }
    return {"app": {"id": "bench", "version": "1", "graphs": [graph]}}


async def run(bench: Bench) -> list[Figure]:
    """Turns a second, and CPU by process."""
    sides = [await bench.side(model=model()), await bench.side("bare")]
    await sides[0].gives(TOPIC, {"b": "Hello, Ada", "n": TURNS})
    rounds = await bench.compare(sides, Load(topic=TOPIC, in_flight=50, steps=TURNS))
    return [paired("throughput", "turns/s", *rates(rounds, TURNS)), *cpu(rounds, TURNS, "turn")]
