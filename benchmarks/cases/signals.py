"""Jobs that wait for a signal, one signal at a time.

From `hook(…)` to the job's result, as it is heard on the topic that its graph publishes on: the
signal finds its job, the engine takes it and ends the job. The jobs are started, and wait, before
the clock runs; the others that still wait are in nobody's way.
"""

from __future__ import annotations

from typing import Any

from benchmarks.figures import Figure, Goal, paired
from benchmarks.harness import Bench, Load

TOPIC = "bench.signal"


def model() -> dict[str, Any]:
    """A hook that waits for the word that names its job."""
    match = {"expected": "{$job.metadata.jid}", "actual": "{$self.hook.data.id}"}
    graph = {
        "subscribes": TOPIC,
        "publishes": f"{TOPIC}.ended",
        "expire": 15,
        "activities": {
            "t1": {"type": "trigger"},
            "h1": {"type": "hook", "job": {"maps": {"b": "{$self.hook.data.x}"}}},
        },
        "transitions": {"t1": [{"to": "h1"}]},
        "hooks": {f"{TOPIC}.word": [{"to": "h1", "conditions": {"match": [match]}}]},
    }
    return {"app": {"id": "bench", "version": "1", "graphs": [graph]}}


async def run(bench: Bench) -> list[Figure]:
    """Median and p99 of the round trip."""
    sides = [
        await bench.side(model=model()),
        await bench.side("bare", module="benchmarks.bare_waits"),
    ]
    jobs = 200 if bench.quick else 500
    load = Load(topic=TOPIC, action="signal", in_flight=1, jobs=jobs)
    rounds = await bench.compare(sides, load)
    ours, bare = rounds["ours"], rounds["bare"]
    return [
        paired(
            "round trip, median",
            "ms",
            [s.median_ms for s in ours],
            [s.median_ms for s in bare],
            Goal(2.5, "at most"),
        ),
        paired("round trip, p99", "ms", [s.p99_ms for s in ours], [s.p99_ms for s in bare]),
    ]
