"""Jobs that wait for a job that waits for a job that waits for one with the work, 50 in flight.

What composition costs: each level is a record of its own, started by an entry for the engine, and
its end is another one for its parent. The bare side has the same records and the same hops.
"""

from __future__ import annotations

from typing import Any

from benchmarks.cases.one_activity import cpu, rates
from benchmarks.figures import Figure, paired
from benchmarks.harness import Bench, Load

LEVELS = 3
TOPIC = "bench.level0"


def model() -> dict[str, Any]:
    """Three graphs that await the next one, and one with a worker."""
    graphs = [
        _graph(level, {"type": "await", "topic": f"bench.level{level + 1}"}, "b", "a")
        for level in range(LEVELS)
    ]
    graphs.append(_graph(LEVELS, {"type": "worker", "topic": "bench.greet"}, "y", "x"))
    return {"app": {"id": "bench", "version": "1", "graphs": graphs}}


def _graph(level: int, activity: dict[str, Any], gives: str, takes: str) -> dict[str, Any]:
    trigger, name = f"t{level}", f"a{level}"
    maps = {
        "input": {"maps": {takes: f"{{{trigger}.output.data.a}}"}},
        "job": {"maps": {"b": f"{{$self.output.data.{gives}}}"}},
    }
    return {
        "subscribes": f"bench.level{level}",
        "expire": 15,
        "activities": {trigger: {"type": "trigger"}, name: {**activity, **maps}},
        "transitions": {trigger: [{"to": name}]},
    }


async def run(bench: Bench) -> list[Figure]:
    """Jobs a second (each with its three descendants), and CPU by process."""
    sides = [
        await bench.side(model=model()),
        await bench.side("bare", module="benchmarks.bare_waits"),
    ]
    await sides[0].gives(TOPIC, {"b": "Hello, Ada"})
    load = Load(topic=TOPIC, action="nest", in_flight=50, steps=LEVELS)
    rounds = await bench.compare(sides, load)
    return [paired(f"{LEVELS} levels deep", "jobs/s", *rates(rounds)), *cpu(rounds)]
