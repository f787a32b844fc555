"""Our side: an engine, a worker and a client, each a process of its own, as applications start
them, with the defaults that applications get.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from benchmarks import child
from benchmarks.bare import greet
from hotmesh import HotMesh, JobOutput, StreamData, Worker
from hotmesh.lifecycle import settle_memory
from hotmesh.telemetry import provider

APP = "bench"
TIMEOUT_S = 120
PARTITIONS, OTLP, SAMPLE = "BENCHMARKS_PARTITIONS", "BENCHMARKS_OTLP", "BENCHMARKS_SAMPLE"
"""How many partitions; where telemetry goes, if anywhere; which share of the runs is traced."""

MARKS = "BENCHMARKS_MARKS"
"""A file that gets a line for each begin and end of the slow activity."""

Actions = Mapping[str, child.Action]


async def greet_worker(message: StreamData) -> dict[str, Any]:
    """The worker of all cases but one."""
    return {"y": greet(message.data["x"])}


def slow_worker() -> Worker:
    """Takes 20 ms, and leaves its marks."""
    marks = os.open(os.environ[MARKS], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def slow(message: StreamData) -> dict[str, Any]:
        os.write(marks, b"began\n")
        await asyncio.sleep(0.02)
        os.write(marks, b"ended\n")
        return {"y": message.data["x"]}

    return Worker("bench.slow", slow)


def _partitions() -> int | None:
    named = os.environ.get(PARTITIONS)
    return int(named) if named else None


@asynccontextmanager
async def worker(url: str) -> AsyncIterator[Actions]:
    """Runs the functions."""
    workers = [slow_worker() if MARKS in os.environ else Worker("bench.greet", greet_worker)]
    async with HotMesh.session(APP, url, engine=False, workers=workers, partitions=_partitions()):
        settle_memory()  # as `hotmesh worker` does
        yield {}


@asynccontextmanager
async def engine(url: str) -> AsyncIterator[Actions]:
    """Decides transitions."""
    async with HotMesh.session(APP, url, partitions=_partitions()):
        settle_memory()  # as `hotmesh engine` does
        yield {}


class Client:
    """Starts jobs and waits for their results."""

    def __init__(self, mesh: HotMesh) -> None:
        self._mesh = mesh
        self._bursts: list[asyncio.Task[float]] = []
        self._heard: defaultdict[str, asyncio.Future[None]] = defaultdict(asyncio.Future)
        self._subscribed: set[str] = set()

    async def deploy(self, *, model: dict[str, Any]) -> None:
        """Deploy a model and activate it."""
        deployed = await self._mesh.deploy(model)
        await self._mesh.activate(deployed.version)

    async def once(self, *, topic: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of one job."""
        output = await self._mesh.pubsub(topic, data or {"a": "Ada"}, timeout=TIMEOUT_S)
        return output.data

    async def run(
        self,
        *,
        topic: str,
        in_flight: int,
        seconds: float = 0.0,
        jobs: int = 0,
        expire_s: int | None = None,
        wait: bool = True,
        data: dict[str, Any],
        **_: Any,
    ) -> dict[str, float]:
        """Jobs of a topic, each to its result or, without `wait`, only to its start."""
        data = data or {"a": "Ada"}

        async def ended(number: int) -> None:
            await self._mesh.pubsub(topic, data, expire=expire_s, timeout=TIMEOUT_S)

        async def started(number: int) -> None:
            await self._mesh.pub(topic, data, expire=expire_s)

        one = ended if wait else started
        return await child.drive(one, in_flight=in_flight, seconds=seconds, jobs=jobs)

    async def sleep(
        self, *, topic: str, jobs: int, in_flight: int, sleep_s: float, together: bool, wait: bool,
        **_: Any,
    ) -> dict[str, float]:  # fmt: skip
        """Jobs that sleep for the seconds in their payload; how late they woke."""
        begin = await self._hearing(topic)
        return await child.sleepers(
            begin, jobs=jobs, in_flight=in_flight, sleep_s=sleep_s, together=together, wait=wait
        )

    async def signal(self, *, topic: str, jobs: int, in_flight: int, **_: Any) -> dict[str, float]:
        """Jobs that wait for a signal; from the signal to the result."""

        async def send(jid: str) -> None:
            await self._mesh.hook(f"{topic}.word", {"id": jid, "x": "Hello, Ada"})

        begin = await self._hearing(topic)
        return await child.signalled(begin, send, jobs=jobs, in_flight=in_flight)

    async def _hearing(self, topic: str) -> child.Begin:
        """How to start jobs whose results are heard on the topic that their graph publishes on:
        nobody polls, nobody reads a record.
        """

        def ended(_: str, output: JobOutput) -> None:
            assert not output.metadata.err, output
            self._heard[output.metadata.jid].set_result(None)

        if topic not in self._subscribed:
            self._subscribed.add(topic)
            await self._mesh.sub(f"{topic}.ended", ended)

        async def begin(data: dict[str, Any]) -> tuple[str, asyncio.Future[None]]:
            jid = await self._mesh.pub(topic, data)
            future = self._heard[jid]
            future.add_done_callback(lambda _: self._heard.pop(jid))
            return jid, future

        return begin

    async def burst(self, *, topic: str, jobs: int) -> float:
        """Start jobs, and don't wait for them here; the time."""

        async def one() -> float:
            output = await self._mesh.pubsub(topic, {"a": "Ada"}, timeout=TIMEOUT_S)
            assert output.data == {"b": "Ada"}, output
            return child.clock()

        self._bursts += [asyncio.create_task(one()) for _ in range(jobs)]
        return child.clock()

    async def ended(self) -> list[float]:
        """When the jobs of all bursts ended, in the order of their start; 0 for what did not."""
        ends = await asyncio.gather(*self._bursts, return_exceptions=True)
        self._bursts.clear()
        return [e if isinstance(e, float) else 0.0 for e in ends]


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Actions]:
    """Starts jobs; has no engine of its own."""
    async with HotMesh.session(APP, url, engine=False, partitions=_partitions()) as mesh:
        it = Client(mesh)
        yield {
            "deploy": it.deploy,
            "once": it.once,
            "run": it.run,
            "nest": it.run,
            "sleep": it.sleep,
            "signal": it.signal,
            "burst": it.burst,
            "ended": it.ended,
        }


if __name__ == "__main__":
    role, port = sys.argv[1], int(sys.argv[2])
    if endpoint := os.environ.get(OTLP):
        provider.configure(f"bench-{role}", endpoint=endpoint, sample=float(os.environ[SAMPLE]))
    roles = {"worker": worker, "engine": engine, "client": client}
    child.main(roles[role](f"redis://127.0.0.1:{port}"), f"ours-{role}")
