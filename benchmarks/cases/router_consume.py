"""Records consumed with a handler each: our router beside a bare consumer loop.

One process reads a topic of a group that is new each round, with a typed handler per record, and
acknowledges. The bare side does by hand what must be done: XREADGROUP through redis-py, msgspec,
one call per record, one XACK per read. FastStream reads the same number of records of its own
format, when it is installed.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import redis.asyncio as redis_asyncio

import hotmesh
from benchmarks import child
from benchmarks.figures import Figure, Goal, paired
from benchmarks.harness import Bench
from hotmesh.streams.client import Client

TOPIC, STREAM = "bench", "hm:{hm~0}:e:bench"
PEER_STREAM = "faststream"
CONCURRENCY = 500
BATCH = 500
PAYLOAD = b'{"id":"o-1","price":9.5,"customer":"ada"}'
ENTRY = ("p", PAYLOAD, "t", "j:Order", "k", "ada")

Round = Callable[[int, int, int], Awaitable[None]]


class Order(hotmesh.Record):
    """What a record is."""

    id: str
    price: float
    customer: str


async def run(bench: Bench) -> list[Figure]:
    """Rate and CPU per record."""
    count, rounds = (10_000, 4) if bench.quick else (40_000, 9)
    server = await bench.server()
    process = await bench.child("router", "benchmarks.cases.router_consume", str(server.port))
    sides = ["ours", "bare"]
    if importlib.util.find_spec("faststream"):
        sides.append("faststream")
    await process.do("fill", count=count)
    for side in sides:
        await process.do("round", side=side, count=count)
    rates: dict[str, list[float]] = {side: [] for side in sides}
    cpu: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds):
        turn = number % len(sides)
        for side in [*sides[turn:], *sides[:turn]]:
            rate, used = await process.do("round", side=side, count=count)
            rates[side].append(rate)
            cpu[side].append(used)
        bench.say(", ".join(f"{side} {rates[side][-1]:,.0f}/s" for side in sides))
    bench.rounds.append({"rates": rates, "cpu_us": cpu})
    figures = [
        # 60,000 where a bare loop does 220,000 to 290,000.
        paired("consumed", "records/s", rates["ours"], rates["bare"], Goal(0.22, "at least")),
        paired("CPU", "µs/record", cpu["ours"], cpu["bare"]),
    ]
    if "faststream" in sides:
        peer = rates["faststream"]
        figures.append(paired("consumed", "records/s", rates["ours"], peer, against="FastStream"))
    return figures


async def _ours(port: int, number: int, count: int) -> None:
    router = hotmesh.Router(f"redis://127.0.0.1:{port}", f"ours-{number}")
    left, done = count, asyncio.Event()

    @router.subscribe(TOPIC, concurrency=CONCURRENCY)
    async def handle(order: Order) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    async with router:
        await done.wait()


async def _bare(port: int, number: int, count: int) -> None:
    decode = msgspec.json.Decoder(Order).decode
    group, left = f"bare-{number}", count

    async def handle(order: Order) -> None:
        nonlocal left
        left -= 1

    async with redis_asyncio.Redis(port=port) as client:
        await client.xgroup_create(STREAM, group, "0")
        while left:
            reply: Any = await client.xreadgroup(group, "c", {STREAM: ">"}, count=BATCH, block=1000)
            for _, entries in reply:
                for _, fields in entries:
                    await handle(decode(fields[b"p"]))
                await client.xack(STREAM, group, *[id for id, _ in entries])


async def _faststream(port: int, number: int, count: int) -> None:
    from faststream.redis import RedisBroker, StreamSub  # type: ignore[import-not-found,unused-ignore]

    group, left, done = f"faststream-{number}", count, asyncio.Event()
    quiet: Any = None
    broker = RedisBroker(f"redis://127.0.0.1:{port}", logger=quiet)
    async with redis_asyncio.Redis(port=port) as client:
        await client.xgroup_create(PEER_STREAM, group, "0")

    @broker.subscriber(  # type: ignore[untyped-decorator,unused-ignore]
        stream=StreamSub(PEER_STREAM, group=group, consumer="c", max_records=BATCH, last_id=">")
    )
    async def handle(order: dict[str, Any]) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    async with broker:
        await broker.start()
        await done.wait()


ROUNDS: dict[str, Round] = {
    "ours": _ours,
    "bare": _bare,
    "faststream": _faststream,
}


@asynccontextmanager
async def role(port: int) -> AsyncIterator[Mapping[str, child.Action]]:
    """The process that consumes."""
    numbers = itertools.count()

    async def fill(count: int) -> None:
        async with await Client.open(f"redis://127.0.0.1:{port}") as client:
            await client.topic(TOPIC)
            send = client.store.transport.execute_many
            for first in range(0, count, BATCH):
                size = min(BATCH, count - first)
                await send([("XADD", STREAM, "*", *ENTRY)] * size)
            if importlib.util.find_spec("faststream"):
                await _fill_peer(port, count)

    async def one(side: str, count: int) -> tuple[float, float]:
        used, began = time.process_time(), time.perf_counter()
        async with asyncio.timeout(120):
            await ROUNDS[side](port, next(numbers), count)
        elapsed = time.perf_counter() - began
        return count / elapsed, 1e6 * (time.process_time() - used) / count

    yield {"fill": fill, "round": one}


async def _fill_peer(port: int, count: int) -> None:
    """One entry in the form of its broker, as often as needed."""
    from faststream.redis import RedisBroker

    order = msgspec.json.decode(PAYLOAD)
    quiet: Any = None
    async with RedisBroker(f"redis://127.0.0.1:{port}", logger=quiet) as broker:
        await broker.publish(order, stream=PEER_STREAM)
    async with redis_asyncio.Redis(port=port) as client:
        rows: Any = await client.xrange(PEER_STREAM)
        fields = rows[0][1]
        for first in range(1, count, BATCH):
            pipeline = client.pipeline(transaction=False)
            for _ in range(min(BATCH, count - first)):
                pipeline.xadd(PEER_STREAM, fields)
            await pipeline.execute()


if __name__ == "__main__":
    child.main(role(int(sys.argv[1])), "router")
