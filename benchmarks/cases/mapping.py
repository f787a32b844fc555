"""Rules of the mapping language, compiled, beside plain Python functions of the same meaning.

A map of five references, a pipe of three rows, and a condition with two matches, over the same
context. The Python functions know their data: no missing key, no other type. The difference is what
JavaScript's rules, and being data rather than code, cost.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from benchmarks import child
from benchmarks.figures import Figure, paired
from benchmarks.harness import Bench
from hotmesh.mapping import Env, compile_condition, compile_maps, compile_value

CONTEXT: dict[str, Any] = {
    "t1": {"output": {"data": {"first": "Ada", "last": "Lovelace", "born": 1815, "tags": ["x"]}}},
    "a1": {"output": {"data": {"total": 42.5, "ok": True, "place": {"city": "London"}}}},
}
MAP = {
    "first": "{t1.output.data.first}",
    "last": "{t1.output.data.last}",
    "born": "{t1.output.data.born}",
    "total": "{a1.output.data.total}",
    "city": "{a1.output.data.place.city}",
}
PIPE = {
    "@pipe": [
        ["{t1.output.data.first}", " ", "{t1.output.data.last}"],
        ["{@string.concat}"],
        ["{@string.toUpperCase}"],
    ]
}
CONDITION = {
    "match": [
        {"expected": True, "actual": "{a1.output.data.ok}"},
        {
            "expected": True,
            "actual": {
                "@pipe": [["{a1.output.data.total}", 40], ["{@conditional.greater_than}"]],
            },
        },
    ]
}


def python_map(context: Any) -> Any:
    """What MAP means."""
    data, more = context["t1"]["output"]["data"], context["a1"]["output"]["data"]
    return {
        "first": data["first"],
        "last": data["last"],
        "born": data["born"],
        "total": more["total"],
        "city": more["place"]["city"],
    }


def python_pipe(context: Any) -> Any:
    """What PIPE means."""
    data = context["t1"]["output"]["data"]
    return (data["first"] + " " + data["last"]).upper()


def python_condition(context: Any, code: int) -> bool:
    """What CONDITION means."""
    data = context["a1"]["output"]["data"]
    return code == 200 and data["ok"] is True and data["total"] > 40


def pairs() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """By name: the compiled rule and the Python function, on the same context."""
    env = Env(now_ms=0, random=lambda: 0.5)
    maps, pipe, condition = compile_maps(MAP), compile_value(PIPE), compile_condition(CONDITION)
    return {
        "map of 5 references": (
            lambda: maps(CONTEXT, env),
            lambda: python_map(CONTEXT),
        ),
        "pipe of 3 rows": (lambda: pipe(CONTEXT, env), lambda: python_pipe(CONTEXT)),
        "condition of 2 matches": (
            lambda: condition(CONTEXT, 200, env),
            lambda: python_condition(CONTEXT, 200),
        ),
    }


async def run(bench: Bench) -> list[Figure]:
    """Evaluations a second of each."""
    rounds = 10 if bench.quick else 30
    process = await bench.child("mapping", "benchmarks.cases.mapping")
    figures = []
    for name in pairs():
        bench.say(name)
        ours, bare = [], []
        for _ in range(rounds):
            mine, theirs = await process.do("round", name=name, seconds=0.02)
            ours.append(mine)
            bare.append(theirs)
        figures.append(paired(name, "evaluations/s", ours, bare, against="plain Python"))
        bench.rounds += [
            {"name": name, "ours": a, "bare": b} for a, b in zip(ours, bare, strict=True)
        ]
    return figures


@asynccontextmanager
async def role() -> AsyncIterator[Mapping[str, child.Action]]:
    """The process that evaluates."""
    known = pairs()
    for mine, theirs in known.values():
        assert mine() == theirs(), (mine(), theirs())

    async def one(name: str, seconds: float) -> tuple[float, float]:
        mine, theirs = known[name]
        return _rate(mine, seconds), _rate(theirs, seconds)

    yield {"round": one}


def _rate(call: Callable[[], Any], seconds: float) -> float:
    calls, began = 0, time.perf_counter()
    until = began + seconds
    while time.perf_counter() < until:
        for _ in range(500):
            call()
        calls += 500
    return calls / (time.perf_counter() - began)


if __name__ == "__main__":
    child.main(role(), "mapping")
