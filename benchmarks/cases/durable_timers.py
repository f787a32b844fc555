"""Durable functions that sleep: how late they wake, many at a time and alone.

As in `timers`: from the call that starts a run, plus the time that it sleeps, to its result.
"""

from __future__ import annotations

from benchmarks.cases.durable_steps import FUSED, OURS
from benchmarks.cases.timers import lone, many
from benchmarks.figures import Figure
from benchmarks.harness import Bench


async def run(bench: Bench) -> list[Figure]:
    """Lateness of many and of one."""
    sides = [
        await bench.side(module=OURS, roles=FUSED),
        await bench.side("bare", module="benchmarks.bare_waits"),
    ]
    return [
        *await many(bench, sides, 500 if bench.quick else 2_000),
        await lone(bench, sides),
    ]
