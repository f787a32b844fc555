"""Fleets of 1, 2 and 4 engines and as many workers, on one server.

The job of `one_activity`, 200 in flight. What stands beside is the fleet of one. On a machine with
fewer cores than processes the throughput can't grow; what is to be seen there is the CPU per job:
that of more processes is what sharing the streams costs.
"""

from __future__ import annotations

from benchmarks.cases.one_activity import MODEL, TOPIC
from benchmarks.figures import Figure, alone, paired
from benchmarks.harness import Bench, Load, Sample

SIZES = (1, 2, 4)


async def run(bench: Bench) -> list[Figure]:
    """Throughput and CPU of each fleet, as ratios to that of one."""
    sides = []
    for size in SIZES:
        counts = {"engine": size, "worker": size}
        sides.append(await bench.side(f"ours {size}", model=MODEL, counts=counts))
    rounds = await bench.compare(sides, Load(topic=TOPIC, in_flight=200))
    return against_first({f"{n}+{n}": rounds[f"ours {n}"] for n in SIZES})


def against_first(samples: dict[str, list[Sample]]) -> list[Figure]:
    """Throughput and CPU of each, as ratios to the first."""
    (first, base), *others = samples.items()
    figures = [
        alone(f"{first}: throughput", "jobs/s", [s.rate for s in base]),
        alone(f"{first}: CPU in all", "µs/job", [_cpu(s) for s in base]),
    ]
    for name, mine in others:
        rates = [s.rate for s in mine], [s.rate for s in base]
        used = [_cpu(s) for s in mine], [_cpu(s) for s in base]
        figures += [
            paired(f"{name}: throughput", "jobs/s", *rates, against=first),
            paired(f"{name}: CPU in all", "µs/job", *used, against=first),
        ]
    return figures


def _cpu(sample: Sample) -> float:
    return sum(sample.cpu_us.values())
