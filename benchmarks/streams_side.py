"""The sides of the case `streams`: ours, the bare commands through redis-py's pipelines, and
FastStream where it is installed. Each is a process that produces and consumes the same records.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import redis.asyncio as redis_asyncio

import hotmesh
from benchmarks import child
from benchmarks.figures import quantile

BATCH = 500


class Hit(hotmesh.Record):
    """A record of the size that events have."""

    id: int
    user: str
    amount: int
    tags: list[str]


def _record(number: int) -> dict[str, Any]:
    return {"id": number, "user": "ada", "amount": number % 97, "tags": ["a", "b"]}


class Clock:
    """Counts what is handled; the time runs from the first record to the last."""

    def __init__(self, count: int) -> None:
        self.count, self.seen, self.total = count, 0, 0
        self.done = asyncio.Event()
        self._began = self._cpu = 0.0

    def tick(self, records: int, amount: int) -> None:
        if not self._began:
            self._began, self._cpu = time.perf_counter(), time.process_time()
        self.seen += records
        self.total += amount
        if self.seen >= self.count:
            self.done.set()

    def read(self) -> dict[str, float]:
        elapsed_s = time.perf_counter() - self._began
        cpu_us = 1e6 * (time.process_time() - self._cpu) / self.count
        expected = sum(n % 97 for n in range(self.count))
        assert self.total == expected, f"the sum is {self.total}, not {expected}"
        return {"rate": self.count / elapsed_s, "cpu_us": cpu_us}


async def _timed(work: Awaitable[Any], count: int) -> dict[str, float]:
    began, cpu = time.perf_counter(), time.process_time()
    await work
    return {
        "rate": count / (time.perf_counter() - began),
        "cpu_us": 1e6 * (time.process_time() - cpu) / count,
    }


# -- ours


def _app(url: str, number: int, mode: str, clock: Clock) -> hotmesh.App:
    app = hotmesh.App(f"b{number}", url)
    hits = app.topic("hits", value_type=Hit, maxlen=0)
    totals = app.table("totals", default=int)
    views = app.table("views", default=int).tumbling("1m")

    async def each(stream: Any) -> None:
        async for hit in stream:
            clock.tick(1, hit.amount)

    async def batches(stream: Any) -> None:
        async for some in stream.take(BATCH, within="50ms"):
            clock.tick(len(some), sum(hit.amount for hit in some))

    async def table(stream: Any) -> None:
        async for hit in stream:
            totals[f"u{hit.amount}"] += 1
            clock.tick(1, hit.amount)

    async def window(stream: Any) -> None:
        async for hit in stream:
            views[f"u{hit.amount}"] += 1
            clock.tick(1, hit.amount)

    bodies = {"each": each, "batches": batches, "table": table, "window": window}
    app.agent(hits, name="body")(bodies[mode])
    return app


@asynccontextmanager
async def ours(port: int) -> AsyncIterator[Mapping[str, child.Action]]:
    """Through an App."""
    url = f"redis://127.0.0.1:{port}"
    numbers = iter(range(10**6))
    sender = hotmesh.App("sender", url)
    echo_app = hotmesh.App("echo", url)

    @echo_app.agent()
    async def echo(stream: Any) -> Any:
        async for value in stream:
            yield value

    async def produce(count: int, topic: str) -> dict[str, float]:
        records = [Hit(**_record(n)) for n in range(count)]
        to = sender.topic(topic, value_type=Hit, maxlen=0)
        return await _timed(to.send_many(records), count)

    async def consume(mode: str, count: int) -> dict[str, float]:
        clock = Clock(count)
        app = _app(url, next(numbers), mode, clock)
        async with app.running() as worker:
            await clock.done.wait()
            await worker.settled()
            return clock.read()

    async def ask(count: int) -> dict[str, float]:
        latencies = []
        async with echo_app.running():
            await echo.ask(0)
            for number in range(count):
                began = time.perf_counter()
                await echo.ask(number)
                latencies.append(1e3 * (time.perf_counter() - began))
        return {"median_ms": quantile(latencies, 0.5), "p99_ms": quantile(latencies, 0.99)}

    async with sender:
        yield {"produce": produce, "consume": consume, "ask": ask}


# -- bare


@asynccontextmanager
async def bare(port: int) -> AsyncIterator[Mapping[str, child.Action]]:
    """XADD and XREADGROUP through redis-py's pipelines."""
    client = redis_asyncio.Redis(port=port, protocol=3)
    encode = msgspec.json.Encoder().encode
    decode = msgspec.json.Decoder(Hit).decode
    numbers = iter(range(10**6))

    async def send(count: int, topic: str) -> None:
        for first in range(0, count, BATCH):
            pipeline = client.pipeline(transaction=False)
            for number in range(first, min(count, first + BATCH)):
                pipeline.xadd(topic, {b"d": encode(_record(number))})
            await pipeline.execute()

    async def produce(count: int, topic: str) -> dict[str, float]:
        return await _timed(send(count, topic), count)

    async def consume(mode: str, count: int) -> dict[str, float]:
        group = f"g{next(numbers)}"
        await client.xgroup_create("hits", group, id="0", mkstream=True)
        clock = Clock(count)
        while clock.seen < count:
            reply: Any = await client.xreadgroup(group, "c", {"hits": ">"}, count=BATCH, block=1000)
            entries = reply[0][1] if isinstance(reply, list) else next(iter(reply.values()))[0]
            ids, amount = [], 0
            for id, fields in entries:
                amount += decode(fields[b"d"]).amount
                ids.append(id)
            await client.xack("hits", group, *ids)
            clock.tick(len(ids), amount)
        return clock.read()

    async def ask(count: int) -> dict[str, float]:
        """A list for the question and one for the answer, each popped by blocking."""
        other = redis_asyncio.Redis(port=port, protocol=3)
        latencies = []

        async def answer() -> None:
            for _ in range(count):
                popped: Any = await other.blpop(["question"], timeout=5)
                await other.rpush("answer", popped[1])

        answering = asyncio.ensure_future(answer())
        for number in range(count):
            began = time.perf_counter()
            await client.rpush("question", number)
            await client.blpop(["answer"], timeout=5)
            latencies.append(1e3 * (time.perf_counter() - began))
        await answering
        await other.aclose()
        return {"median_ms": quantile(latencies, 0.5), "p99_ms": quantile(latencies, 0.99)}

    async with client:
        yield {"produce": produce, "consume": consume, "ask": ask}


# -- FastStream


@asynccontextmanager
async def peer(port: int) -> AsyncIterator[Mapping[str, child.Action]]:
    """Where the extra `bench` is installed."""
    faststream = importlib.import_module("faststream.redis")
    RedisBroker, StreamSub = faststream.RedisBroker, faststream.StreamSub

    url = f"redis://127.0.0.1:{port}"
    numbers = iter(range(10**6))

    async def produce(count: int, topic: str) -> dict[str, float]:
        broker = RedisBroker(url, logger=None)
        await broker.start()

        async def send() -> None:
            for first in range(0, count, BATCH):
                async with broker._connection.pipeline(transaction=False) as pipeline:
                    for number in range(first, min(count, first + BATCH)):
                        await broker.publish(_record(number), stream=topic, pipeline=pipeline)
                    await pipeline.execute()

        try:
            return await _timed(send(), count)
        finally:
            await broker.stop()

    async def consume(mode: str, count: int) -> dict[str, float]:
        broker = RedisBroker(url, logger=None)
        clock = Clock(count)
        sub = StreamSub(
            "hits", group=f"f{next(numbers)}", consumer="c", batch=mode == "batches",
            max_records=BATCH, last_id="0", polling_interval=100,
        )  # fmt: skip
        handlers: dict[str, Callable[..., Any]] = {}

        async def one(message: dict[str, Any]) -> None:
            clock.tick(1, message["amount"])

        async def many(messages: list[dict[str, Any]]) -> None:
            clock.tick(len(messages), sum(m["amount"] for m in messages))

        handlers = {"each": one, "batches": many}
        broker.subscriber(stream=sub)(handlers[mode])
        await broker.start()
        try:
            await asyncio.wait_for(clock.done.wait(), 150)
            return clock.read()
        finally:
            await broker.stop()

    yield {"produce": produce, "consume": consume}


SIDES = {"ours": ours, "bare": bare, "faststream": peer}

if __name__ == "__main__":
    child.main(SIDES[sys.argv[1]](int(sys.argv[2])), f"streams-{sys.argv[1]}")
