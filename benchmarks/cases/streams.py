"""Records of a topic: sent, read one by one and in batches, counted in tables and windows; asked.

A process of ours beside one that sends the bare commands with redis-py's pipelines (XADD;
XREADGROUP of 500 and one XACK for them), each with a server of its own, in turn; and one of
FastStream, where it is installed (`pip install -e '.[bench]'`). Every side decodes each record and
adds up a field. On a quiet machine the bare loop reads 220,000 to 290,000 records a second; the
goals are shares of that (60,000 with a handler per record, 150,000 in batches). What ours does
besides: commits under the epoch of its lease, retries, dead letters, order per key.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from benchmarks.figures import Figure, Goal, paired
from benchmarks.harness import Bench, Child

MODES = {
    "each": ("consumed, a handler per record", Goal(0.25, "at least")),
    "batches": ("consumed, in batches", Goal(0.55, "at least")),
    "table": ("consumed, with a change of a table", None),
    "window": ("consumed, counted by window", None),
}


PEER_SHARE = 10
"""FastStream, which is far slower with a handler per record, is given a tenth of them."""


async def run(bench: Bench) -> list[Figure]:
    """Records a second, CPU, and the latency of an answer."""
    count, rounds = (20_000, 3) if bench.quick else (100_000, 5)
    names = ["ours", "bare"]
    if importlib.util.find_spec("faststream") is not None:
        names.append("faststream")
    sides: dict[str, Child] = {}
    for name in names:
        server = await bench.server()
        argv = ("benchmarks.streams_side", name, str(server.port))
        sides[name] = await bench.child(f"streams-{name}", *argv)
    sent = await _rounds(bench, sides, "produce", rounds, count=count, topic="sent")
    for side in sides.values():
        await side.do("produce", count=count, topic="hits")
    figures = _figures("produced", sent, Goal(0.75, "at least"))
    for mode, (title, goal) in MODES.items():
        among = sides if mode in ("each", "batches") else {n: sides[n] for n in ("ours", "bare")}
        got = await _rounds(bench, among, "consume", rounds, mode=mode, count=count)
        figures += _figures(title, got, goal)
    both = {name: sides[name] for name in ("ours", "bare")}
    asked = await _rounds(bench, both, "ask", rounds, count=count // 100)
    for what in ("median_ms", "p99_ms"):
        mine, theirs = ([r[what] for r in asked[name]] for name in ("ours", "bare"))
        name = f"ask and answer, {what.removesuffix('_ms')}"
        figures.append(paired(name, "ms", mine, theirs, against="two lists"))
    return figures


async def _rounds(
    bench: Bench, sides: dict[str, Child], what: str, rounds: int, **arguments: Any
) -> dict[str, list[dict[str, float]]]:
    """Each side in turn, each going first as often as the others."""
    names = list(sides)
    got: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            given = dict(arguments)
            if name == "faststream" and arguments.get("mode") == "each":
                given["count"] //= PEER_SHARE
            got[name].append(await sides[name].do(what, **given))
        latest = ", ".join(
            f"{n} {v[-1].get('rate', v[-1].get('median_ms', 0)):,.1f}" for n, v in got.items()
        )
        bench.say(f"{what} {arguments.get('mode', '')} {number + 1}/{rounds}: {latest}")
    bench.rounds.append({"what": what, **arguments, **got})
    return got


def _figures(title: str, got: dict[str, list[dict[str, float]]], goal: Goal | None) -> list[Figure]:
    mine, theirs = ([r["rate"] for r in got[name]] for name in ("ours", "bare"))
    figures = [paired(title, "records/s", mine, theirs, goal)]
    cpu, their_cpu = ([r["cpu_us"] for r in got[name]] for name in ("ours", "bare"))
    figures.append(paired(f"CPU, {title}", "µs/record", cpu, their_cpu))
    if "faststream" in got:
        peer = [r["rate"] for r in got["faststream"]]
        figures.append(paired(title, "records/s", mine, peer, against="FastStream"))
    return figures
