"""Fifty activities at once that meet again, 4 jobs in flight: by `join: all`, and by `each`.

As in `fan_out`, but one activity waits for all of them and has what they gave: fifty activities of
the model with a hook after them, and one activity for the fifty items of a list. The bare side
counts down in the job's record, and so ends the job with the last answer.
"""

from __future__ import annotations

from typing import Any

from msgspec import structs

from benchmarks.cases.one_activity import cpu, rates
from benchmarks.figures import Figure, paired
from benchmarks.harness import Bench, Load, Rounds

STEPS = 50
JOIN, EACH = "bench.join", "bench.each"
GREETING = "Hello, Ada"


def model() -> dict[str, Any]:
    """A graph that joins fifty workers, and one with a worker for each of fifty items."""
    return {"app": {"id": "bench", "version": "1", "graphs": [_join(), _each()]}}


def _join() -> dict[str, Any]:
    workers = {
        f"a{number}": {
            "type": "worker",
            "topic": "bench.greet",
            "input": {"maps": {"x": "{t1.output.data.a}"}},
        }
        for number in range(1, STEPS + 1)
    }
    gathered = {f"b{number}": f"{{a{number}.output.data.y}}" for number in range(1, STEPS + 1)}
    return {
        "subscribes": JOIN,
        "expire": 15,
        "activities": {
            "t1": {"type": "trigger"},
            **workers,
            "j1": {"type": "hook", "join": "all", "job": {"maps": gathered}},
        },
        "transitions": {
            "t1": [{"to": name} for name in workers],
            **{name: [{"to": "j1"}] for name in workers},
        },
    }


def _each() -> dict[str, Any]:
    worker = {
        "type": "worker",
        "topic": "bench.greet",
        "each": "{t2.output.data.items}",
        "input": {"maps": {"x": "{$self.input.data.item}"}},
        "job": {"maps": {"b": "{$self.output.data}"}},
    }
    return {
        "subscribes": EACH,
        "expire": 15,
        "activities": {"t2": {"type": "trigger"}, "e2": worker},
        "transitions": {"t2": [{"to": "e2"}]},
    }


async def run(bench: Bench) -> list[Figure]:
    """Steps a second, and CPU, for both ways."""
    sides = [await bench.side(model=model()), await bench.side("bare")]
    joined: dict[str, Any] = {f"b{number}": GREETING for number in range(1, STEPS + 1)}
    items = {"items": ["Ada"] * STEPS}
    await sides[0].gives(JOIN, joined)
    await sides[0].gives(EACH, {"b": [{"y": GREETING}] * STEPS}, items)
    load = Load(topic=JOIN, in_flight=4, steps=STEPS, at_once=True)
    rounds = await bench.compare(sides, load)
    figures = _figures("join: all", rounds)
    rounds = await bench.compare(sides, structs.replace(load, topic=EACH, data=items))
    return [*figures, *_figures("each", rounds)]


def _figures(name: str, rounds: Rounds) -> list[Figure]:
    in_all = cpu(rounds, STEPS, "step")[-1]
    return [
        paired(f"{name}: throughput", "steps/s", *rates(rounds, STEPS)),
        structs.replace(in_all, name=f"{name}: {in_all.name}"),
    ]
