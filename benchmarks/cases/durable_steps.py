"""A durable function's activities: one, and ten in a row, 50 runs in flight.

Fused: one worker has workflow and activities, so that a step is one script, beside bare steps that
their process runs itself and keeps with one script each. Remote: workflow and activities are in
separate processes (`eager=False`), so that a step is two hops; the bare side makes the same two.
"""

from __future__ import annotations

from msgspec import structs

from benchmarks.cases.one_activity import cpu, rates
from benchmarks.figures import Figure, Goal, paired
from benchmarks.harness import ROLES, Bench, Load, Side

OURS, BARE_LOCAL = "benchmarks.durable", "benchmarks.bare_steps"
FUSED = ("worker", "client")
STEPS = 10


async def fused(bench: Bench) -> list[Side]:
    """One worker with everything beside bare local steps."""
    ours = await bench.side(module=OURS, roles=FUSED)
    await ours.gives("steps", "Hello, Ada", {"count": STEPS})
    await ours.gives("at_once", 50, {"count": 50})
    return [ours, await bench.side("bare", module=BARE_LOCAL, roles=FUSED)]


async def run(bench: Bench) -> list[Figure]:
    """Steps a second; CPU of a step by process."""
    figures = await _compared(bench, await fused(bench), "fused", Goal(0.3, "at least"))
    ours = await bench.side("ours", module=OURS, roles=("engine", "activities", "client"))
    ours.children["worker"] = ours.children.pop("activities")
    await ours.gives("steps", "Hello, Ada", {"count": STEPS})
    remote = [ours, await bench.side("bare", roles=ROLES)]
    return [*figures, *await _compared(bench, remote, "remote", Goal(0.4, "at least"))]


async def _compared(bench: Bench, sides: list[Side], kind: str, goal: Goal) -> list[Figure]:
    figures = []
    for steps, what in ((1, f"{kind}, one"), (STEPS, f"{kind}, {STEPS} in a row")):
        load = Load(topic=what, in_flight=50, steps=steps)
        rounds = await bench.compare(sides, load, rounds=4 if bench.quick else 7)
        bound = goal if steps == STEPS else None
        figures.append(paired(what, "steps/s", *rates(rounds, steps), bound))
        if steps == STEPS:
            figures += [
                structs.replace(figure, name=f"{figure.name}, {kind}")
                for figure in cpu(rounds, steps, "step")
            ]
    return figures
