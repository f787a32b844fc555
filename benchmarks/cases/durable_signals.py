"""Durable functions that wait for a signal, one signal at a time.

From `handle.signal(…)` to the result. The runs are started, and wait, before the clock runs.
"""

from __future__ import annotations

from benchmarks.cases.durable_steps import FUSED, OURS
from benchmarks.figures import Figure, Goal, paired
from benchmarks.harness import Bench, Load


async def run(bench: Bench) -> list[Figure]:
    """Median and p99 of the round trip."""
    sides = [
        await bench.side(module=OURS, roles=FUSED),
        await bench.side("bare", module="benchmarks.bare_waits"),
    ]
    jobs = 200 if bench.quick else 500
    load = Load(topic="word", action="signal", in_flight=1, jobs=jobs)
    rounds = await bench.compare(sides, load)
    ours, bare = rounds["ours"], rounds["bare"]
    medians = [s.median_ms for s in ours], [s.median_ms for s in bare]
    p99s = [s.p99_ms for s in ours], [s.p99_ms for s in bare]
    return [
        paired("round trip, median", "ms", *medians, Goal(1.2, "at most", "ours")),
        paired("round trip, p99", "ms", *p99s),
    ]
