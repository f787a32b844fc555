"""An app of 1, 4 and 16 partitions, on one server with one engine and one worker.

The job of `one_activity`, 100 in flight. What stands beside is one partition. On one server
partitions give nothing and cost something: each read asks for more streams, each batch is made of
smaller ones. They are there for a cluster, where each may lie on a node of its own.
"""

from __future__ import annotations

from benchmarks.cases.fleet import against_first
from benchmarks.cases.one_activity import MODEL, TOPIC
from benchmarks.figures import Figure
from benchmarks.harness import Bench, Load
from benchmarks.ours import PARTITIONS

COUNTS = (1, 4, 16)


async def run(bench: Bench) -> list[Figure]:
    """Throughput and CPU of each, as ratios to one partition."""
    sides = []
    for count in COUNTS:
        env = {PARTITIONS: str(count)}
        sides.append(await bench.side(f"ours {count}", model=MODEL, env=env))
    rounds = await bench.compare(sides, Load(topic=TOPIC, in_flight=100))
    return against_first({f"{n} partitions": rounds[f"ours {n}"] for n in COUNTS})
