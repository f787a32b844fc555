"""Ten partitions over three processes: how far they are behind a steady producer, and their memory.

One process sends records of 1,000 keys at a steady rate; three run the agent, which counts in a
table and by window. Twice a second it is asked how many records nobody has handled yet. Memory is
what the workers hold resident after a tenth of the records and at the end: it must not grow.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hotmesh
from benchmarks import child
from benchmarks.figures import Figure, Goal, alone
from benchmarks.harness import Bench, Child
from benchmarks.streams_side import Hit

PARTITIONS, WORKERS, KEYS = 10, 3, 1_000
RATE = 10_000
"""Records a second: a third of what one quiet process handles, since all share two cores."""


async def run(bench: Bench) -> list[Figure]:
    """Lag and memory."""
    count = 100_000 if bench.quick else 1_000_000
    server = await bench.server()
    argv = ("benchmarks.cases.streams_fleet", str(server.port))
    sender = await bench.child("sender", *argv)
    await sender.do("declare")
    workers = [await bench.child(f"worker-{n}", *argv) for n in range(WORKERS)]
    for worker in workers:
        await worker.do("work")
    await sender.do("send", count=count // 10, rate=RATE)
    before = [_resident_mib(w) for w in workers]
    lags: list[float] = []
    sending = asyncio.ensure_future(sender.do("send", count=count - count // 10, rate=RATE))
    while not sending.done():
        lags.append(await workers[0].do("lag"))
        bench.say(f"{lags[-1]:,.0f} records behind")
        await asyncio.sleep(0.5)
    await sending
    began = time.monotonic()
    await _caught_up(workers[0])
    caught_up_s = time.monotonic() - began
    counted = await sender.do("counted", count=count)
    after = [_resident_mib(w) for w in workers]
    bench.rounds.append({"lags": lags, "before": before, "after": after})
    growth = sum(after) / WORKERS - sum(before) / WORKERS
    return [
        alone("records behind, median", "records", [statistics.median(lags)]),
        alone("caught up after the last record", "s", [caught_up_s]),
        alone("counted", "records", [counted], Goal(count, "exactly", "ours")),
        alone(f"a worker after {count // 10:,} records", "MiB", before),
        alone(
            f"growth over {count - count // 10:,} more",
            "MiB",
            [growth],
            Goal(8, "at most", "ours"),
        ),
    ]


async def _caught_up(worker: Child) -> None:
    while True:
        if not await worker.do("lag"):
            return
        await asyncio.sleep(0.05)


def _resident_mib(process: Child) -> float:
    """PSS, shared pages by their share."""
    for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


@asynccontextmanager
async def role(port: int) -> AsyncIterator[Mapping[str, child.Action]]:
    """A worker, or the sender."""
    app = hotmesh.App("fleet", f"redis://127.0.0.1:{port}", partitions=PARTITIONS)
    hits = app.topic("hits", value_type=Hit, maxlen=200_000)
    totals = app.table("totals", default=int)
    views = app.table("views", default=int).tumbling("10s", expires="10s")
    running: list[Any] = []

    @app.agent(hits)
    async def count(stream: Any) -> None:
        async for hit in stream:
            totals[hit.user] += 1
            views[hit.user] += 1

    async def declare() -> None:
        await app.open()

    async def work() -> None:
        context = app.running()
        await context.__aenter__()
        running.append(context)

    async def send(count: int, rate: int) -> None:
        chunk = rate // 50
        due = time.monotonic()
        for first in range(0, count, chunk):
            records = [
                (f"u{n % KEYS}", Hit(n, f"u{n % KEYS}", n % 97, ["a"]))
                for n in range(first, min(count, first + chunk))
            ]
            await hits.send_many(records, keyed=True)
            due += chunk / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def lag() -> int:
        from hotmesh.streams import admin

        client = app.opened()
        found = await admin.lags(client, "hits", await hits.declare(), "fleet.count")
        return sum(one.behind + one.pending for one in found)

    async def counted(count: int) -> int:
        total = 0
        for _ in range(200):
            total = sum(await totals.values())
            if total >= count:
                break
            await asyncio.sleep(0.05)
        return total

    yield {"declare": declare, "work": work, "send": send, "lag": lag, "counted": counted}
    for context in running:
        await context.__aexit__(None, None, None)
    if not running:
        await app.close()


if __name__ == "__main__":
    child.main(role(int(sys.argv[1])), "fleet")
