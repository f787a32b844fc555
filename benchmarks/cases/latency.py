"""Jobs of one activity, one at a time.

What a caller waits for when nothing else happens: three hops over the server, and the way back.
The p99 says how steady that is, so it is given as a multiple of its own median.
"""

from __future__ import annotations

from benchmarks.cases.one_activity import MODEL, TOPIC
from benchmarks.figures import Figure, Goal, paired
from benchmarks.harness import Bench, Load


async def run(bench: Bench) -> list[Figure]:
    """Median, p99, and their quotient."""
    sides = [await bench.side(model=MODEL), await bench.side("bare")]
    rounds = await bench.compare(sides, Load(topic=TOPIC, in_flight=1))
    ours, bare = rounds["ours"], rounds["bare"]
    return [
        paired(
            "median",
            "ms",
            [s.median_ms for s in ours],
            [s.median_ms for s in bare],
            Goal(2, "at most"),
        ),
        paired("p99", "ms", [s.p99_ms for s in ours], [s.p99_ms for s in bare]),
        paired(
            "p99 / median",
            "×",
            [s.p99_ms / s.median_ms for s in ours],
            [s.p99_ms / s.median_ms for s in bare],
            Goal(6, "at most", "ours"),
        ),
    ]
