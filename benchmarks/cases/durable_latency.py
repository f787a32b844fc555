"""Durable functions of one activity, one at a time.

From `start(…)` to the result, as a caller sees it. The bare side is that of `latency`: a job of one
activity over client, engine and worker.
"""

from __future__ import annotations

from benchmarks.cases.durable_steps import FUSED, OURS
from benchmarks.figures import Figure, Goal, paired
from benchmarks.harness import Bench, Load


async def run(bench: Bench) -> list[Figure]:
    """Median and p99."""
    sides = [await bench.side(module=OURS, roles=FUSED), await bench.side("bare")]
    rounds = await bench.compare(sides, Load(topic="steps", in_flight=1))
    ours, bare = rounds["ours"], rounds["bare"]
    medians = [s.median_ms for s in ours], [s.median_ms for s in bare]
    p99s = [s.p99_ms for s in ours], [s.p99_ms for s in bare]
    return [
        paired("median", "ms", *medians, Goal(2, "at most")),
        paired("p99", "ms", *p99s),
    ]
