"""What traces and metrics cost: off, one run in a hundred, every run.

The job of `one_activity`, 100 in flight. With telemetry on, client, engine and worker each export
spans and metrics by OTLP over HTTP, in batches, as the SDK does by default, to a process that
throws them away. The client decides which run is traced. What stands beside is the same with no SDK
configured; all three run in turn within the same seconds.
"""

from __future__ import annotations

from benchmarks.cases.one_activity import MODEL, TOPIC
from benchmarks.figures import Figure, paired
from benchmarks.harness import Bench, BenchError, Load
from benchmarks.ours import OTLP, SAMPLE

SAMPLES = {"1 in 100": 0.01, "all": 1.0}


async def run(bench: Bench) -> list[Figure]:
    """Throughput and CPU, as ratios to no telemetry."""
    sink = await bench.child("sink", "benchmarks.sink")
    url = f"http://127.0.0.1:{await sink.do('port')}"
    off = await bench.side("ours off", model=MODEL)
    sides = [off]
    for name, share in SAMPLES.items():
        env = {OTLP: url, SAMPLE: str(share)}
        sides.append(await bench.side(f"ours {name}", model=MODEL, env=env))
    rounds = await bench.compare(sides, Load(topic=TOPIC, in_flight=100))
    if not await sink.do("taken"):
        raise BenchError("nothing was exported")
    figures = []
    base = rounds[off.name]
    for name in SAMPLES:
        on = rounds[f"ours {name}"]
        rates = [s.rate for s in on], [s.rate for s in base]
        used = [sum(s.cpu_us.values()) for s in on], [sum(s.cpu_us.values()) for s in base]
        figures += [
            paired(f"{name}: throughput", "jobs/s", *rates, against="off"),
            paired(f"{name}: CPU in all", "µs/job", *used, against="off"),
        ]
    return figures
