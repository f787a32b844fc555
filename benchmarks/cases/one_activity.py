"""Jobs of one activity, 100 in flight.

The throughput of the shortest useful job: a client starts it and waits for its result, an engine
decides, a worker in a third process answers, one value is mapped in and one out. The bare side
sends the same commands with redis-py's pipelines. CPU is per job, by process, as the kernel counts
it: where the sum times the rate nears the machine's cores, CPU is the bound.
"""

from __future__ import annotations

from typing import Any

from benchmarks.figures import Figure, Goal, paired
from benchmarks.harness import Bench, Load, Rounds

TOPIC = "bench.one"
MODEL: dict[str, Any] = {
    "app": {
        "id": "bench",
        "version": "1",
        "graphs": [
            {
                "subscribes": TOPIC,
                "expire": 15,
                "activities": {
                    "t1": {"type": "trigger"},
                    "a1": {
                        "type": "worker",
                        "topic": "bench.greet",
                        "input": {"maps": {"x": "{t1.output.data.a}"}},
                        "job": {"maps": {"b": "{$self.output.data.y}"}},
                    },
                },
                "transitions": {"t1": [{"to": "a1"}]},
            }
        ],
    }
}


async def run(bench: Bench) -> list[Figure]:
    """Rate, and CPU by process."""
    sides = [await bench.side(model=MODEL), await bench.side("bare")]
    rounds = await bench.compare(sides, Load(topic=TOPIC, in_flight=100))
    return [
        paired("throughput", "jobs/s", *rates(rounds), Goal(0.6, "at least")),
        *cpu(rounds),
    ]


def rates(rounds: Rounds, per_job: int = 1) -> tuple[list[float], list[float]]:
    """Jobs (or what they are made of) a second, by round: ours, bare."""
    ours, bare = rounds["ours"], rounds["bare"]
    return [s.rate * per_job for s in ours], [s.rate * per_job for s in bare]


def cpu(rounds: Rounds, per_job: int = 1, what: str = "job") -> list[Figure]:
    """CPU by process, and in all."""
    ours, bare = rounds["ours"], rounds["bare"]
    figures = [
        paired(
            f"CPU {role}",
            f"µs/{what}",
            [s.cpu_us[role] / per_job for s in ours],
            [s.cpu_us[role] / per_job for s in bare],
        )
        for role in ours[0].cpu_us
    ]
    mine, theirs = ([sum(s.cpu_us.values()) / per_job for s in side] for side in (ours, bare))
    return [*figures, paired("CPU in all", f"µs/{what}", mine, theirs)]
