"""What a run that waits takes of memory: in the worker that keeps it, and in the server.

10,000 runs wait for a signal. The worker's memory is what the kernel counts as its own
(proportional set size), with all runs kept in memory; the server's is `used_memory` without
buffers. A worker that keeps no run takes nothing for one.
"""

from __future__ import annotations

import asyncio

from benchmarks.cases.durable_steps import FUSED, OURS
from benchmarks.cases.memory import used
from benchmarks.durable import CACHED
from benchmarks.figures import Figure, alone
from benchmarks.harness import Bench, BenchError, Load, Side
from benchmarks.machine import memory_bytes

WARM = 500
WITHIN_S = 60.0


async def run(bench: Bench) -> list[Figure]:
    """KiB a run, by process."""
    runs = 2_000 if bench.quick else 10_000
    side = await bench.side(module=OURS, roles=FUSED, env={CACHED: str(WARM + runs)})
    await _suspend(side, WARM, WARM)
    worker, server = memory_bytes(side.children["worker"].pid), await used(side.server)
    bench.say(f"{runs:,} runs that wait")
    await _suspend(side, runs, WARM + runs)
    worker = memory_bytes(side.children["worker"].pid) - worker
    server = await used(side.server) - server
    bench.rounds.append({"runs": runs, "worker": worker, "server": server})
    return [
        alone(f"worker, each of {runs:,} runs kept", "KiB/run", [worker / runs / 1024]),
        alone("server, history included", "KiB/run", [server / runs / 1024]),
    ]


async def _suspend(side: Side, runs: int, kept: int) -> None:
    """Start runs, and wait until the worker keeps so many."""
    await side.run(Load(topic="word", action="suspend", in_flight=100, jobs=runs))
    for _ in range(round(WITHIN_S / 0.1)):
        if await side.children["worker"].do("kept") == kept:
            return
        await asyncio.sleep(0.1)
    raise BenchError(f"the worker did not keep {kept:,} runs within {WITHIN_S:g} s")
