"""The client's CPU for one EVALSHA: our transport beside redis-py's asyncio pipeline.

Commands of the size that a transition sends, whose script does nothing. In batches of 100 that are
written at once; as 100 calls of 100 tasks that each wait for their own reply (redis-py: the same
queue in front of its pipeline that the bare side has); and one at a time.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio as redis_asyncio

from benchmarks import child
from benchmarks.figures import Figure, paired
from benchmarks.harness import Bench
from hotmesh import connect

BATCH = 100
PAYLOAD = b"x" * 200
MODES = {"batches": "in batches of 100", "tasks": "100 at a time", "single": "one at a time"}


async def run(bench: Bench) -> list[Figure]:
    """CPU by way of sending."""
    commands, rounds = (5_000, 5) if bench.quick else (20_000, 9)
    server = await bench.server()
    process = await bench.child("transport", "benchmarks.cases.transport", str(server.port))
    figures = []
    for mode, name in MODES.items():
        count = commands // (10 if mode == "single" else 1)
        both: dict[str, list[float]] = {"ours": [], "bare": []}
        await process.do("round", side="ours", mode=mode, count=500)
        await process.do("round", side="bare", mode=mode, count=500)
        for number in range(rounds):
            for side in sorted(both, reverse=bool(number % 2)):
                both[side].append(await process.do("round", side=side, mode=mode, count=count))
        bench.say(f"{name}: {both['ours'][-1]:.2f} and {both['bare'][-1]:.2f} µs")
        figures.append(
            paired(name, "µs/command", both["ours"], both["bare"], against="redis-py pipeline")
        )
        bench.rounds.append({"mode": mode, **both})
    return figures


Way = Callable[[int], Awaitable[None]]


def _ours(transport: connect.Transport, command: tuple[Any, ...]) -> dict[str, Way]:
    async def batches(count: int) -> None:
        for _ in range(count // BATCH):
            await transport.execute_many([command] * BATCH)

    async def tasks(count: int) -> None:
        for _ in range(count // BATCH):
            await asyncio.gather(*[transport.execute(*command) for _ in range(BATCH)])

    async def single(count: int) -> None:
        for _ in range(count):
            await transport.execute(*command)

    return {"batches": batches, "tasks": tasks, "single": single}


def _bare(client: Any, command: tuple[Any, ...]) -> dict[str, Way]:
    async def batches(count: int) -> None:
        for _ in range(count // BATCH):
            pipeline = client.pipeline(transaction=False)
            for _ in range(BATCH):
                pipeline.execute_command(*command)
            await pipeline.execute()

    queue: list[asyncio.Future[Any]] = []

    async def flush() -> None:
        waiting = queue.copy()
        queue.clear()
        pipeline = client.pipeline(transaction=False)
        for _ in waiting:
            pipeline.execute_command(*command)
        for future, reply in zip(waiting, await pipeline.execute(), strict=True):
            future.set_result(reply)

    async def one() -> None:
        future = asyncio.get_running_loop().create_future()
        queue.append(future)
        await future

    async def tasks(count: int) -> None:
        for _ in range(count // BATCH):
            calls = [asyncio.ensure_future(one()) for _ in range(BATCH)]
            await asyncio.sleep(0)
            await flush()
            await asyncio.gather(*calls)

    async def single(count: int) -> None:
        for _ in range(count):
            await client.execute_command(*command)

    return {"batches": batches, "tasks": tasks, "single": single}


@asynccontextmanager
async def role(port: int) -> AsyncIterator[Mapping[str, child.Action]]:
    """The process that sends."""
    connection = await connect.open(f"redis://127.0.0.1:{port}")
    client = redis_asyncio.Redis(port=port, protocol=3)
    async with connection, client:
        sha = await client.script_load("return 1")
        command = ("EVALSHA", sha, 2, "hm:{bench/0}:j:0123456789", "hm:{bench/0}:s", PAYLOAD)
        ways = {"ours": _ours(connection.transport, command), "bare": _bare(client, command)}

        async def one(side: str, mode: str, count: int) -> float:
            before = time.process_time()
            await ways[side][mode](count)
            return 1e6 * (time.process_time() - before) / count

        yield {"round": one}


if __name__ == "__main__":
    child.main(role(int(sys.argv[1])), "transport")
