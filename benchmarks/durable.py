"""Our side of durable functions: workers and a client, each a process of its own, with the defaults
that applications get.

The role `worker` has workflows and activities, and so runs the activities of its workflows itself.
For remote activities `engine` has the workflows, with `eager=False`, and `activities` the rest.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks import child
from benchmarks.bare import EXPIRE_S, greet
from benchmarks.ours import Actions
from hotmesh.durable import Client as WorkflowClient
from hotmesh.durable import Worker, activity, workflow
from hotmesh.durations import Duration
from hotmesh.lifecycle import settle_memory

QUEUE = "bench"
CACHED = "BENCHMARKS_CACHED"
"""How many runs a worker keeps in memory, when not as many as by default."""


@activity.defn
async def hello(name: str) -> str:
    """The activity of all cases."""
    return greet(name)


@workflow.defn
async def steps(count: int) -> str:
    """Activities in a row, each with what the one before gave."""
    name = "Ada"
    for _ in range(count):
        name = await hello(name)
    return name


@workflow.defn
async def at_once(count: int) -> int:
    """Activities at once."""
    return len(await asyncio.gather(*(hello("Ada") for _ in range(count))))


@workflow.defn
async def nap(seconds: float) -> str:
    """A sleep."""
    await workflow.sleep(seconds)
    return "woken"


@workflow.defn(name="word")
class Word:
    """Waits for a signal."""

    def __init__(self) -> None:
        self.told = ""

    @workflow.run
    async def main(self) -> str:
        """Give what was told."""
        await workflow.wait_condition(lambda: bool(self.told))
        return self.told

    @workflow.signal
    def say(self, what: str) -> None:
        """Take the word."""
        self.told = what


WORKFLOWS = [steps, at_once, nap, Word]


@asynccontextmanager
async def worker(url: str) -> AsyncIterator[Actions]:
    """Workflows and activities in one process."""
    cached = int(os.environ.get(CACHED, 1_000))
    made = await Worker.create(
        url, task_queue=QUEUE, workflows=WORKFLOWS, activities=[hello], max_cached=cached
    )
    async with made:
        settle_memory()

        async def kept() -> int:
            """How many runs it has in memory."""
            assert made.turns is not None
            return len(made.turns.cache)

        yield {"kept": kept}


@asynccontextmanager
async def workflows(url: str) -> AsyncIterator[Actions]:
    """Workflows alone: their activities are for others."""
    made = await Worker.create(url, task_queue=QUEUE, workflows=WORKFLOWS, eager=False)
    async with made:
        settle_memory()
        yield {}


@asynccontextmanager
async def activities(url: str) -> AsyncIterator[Actions]:
    """Activities alone."""
    async with await Worker.create(url, task_queue=QUEUE, activities=[hello]):
        settle_memory()
        yield {}


class Client:
    """Starts runs and waits for their results."""

    def __init__(self, client: WorkflowClient) -> None:
        self._workflows = client.workflow

    async def once(self, *, topic: str, data: dict[str, Any]) -> Any:
        """The result of one run."""
        return await self._give(topic, **data)

    async def run(
        self,
        *,
        in_flight: int,
        seconds: float = 0.0,
        jobs: int = 0,
        steps: int = 1,
        at_once: bool = False,
        **_: Any,
    ) -> dict[str, float]:
        """Runs of so many activities, in a row or at once."""
        topic = "at_once" if at_once else "steps"

        async def one(number: int) -> None:
            await self._give(topic, count=steps)

        return await child.drive(one, in_flight=in_flight, seconds=seconds, jobs=jobs)

    async def sleep(
        self, *, jobs: int, in_flight: int, sleep_s: float, together: bool, wait: bool, **_: Any
    ) -> dict[str, float]:
        """Runs that sleep; how late they woke."""

        async def begin(data: dict[str, Any]) -> tuple[str, asyncio.Future[Any]]:
            return await self._begin("nap", data["s"])

        return await child.sleepers(
            begin, jobs=jobs, in_flight=in_flight, sleep_s=sleep_s, together=together, wait=wait
        )

    async def signal(self, *, jobs: int, in_flight: int, **_: Any) -> dict[str, float]:
        """Runs that wait for a signal; from the signal to the result."""

        async def begin(_: dict[str, Any]) -> tuple[str, asyncio.Future[Any]]:
            return await self._begin("word")

        async def send(jid: str) -> None:
            await self._workflows.get_handle(jid).signal("say", "Hello, Ada")

        return await child.signalled(begin, send, jobs=jobs, in_flight=in_flight)

    async def suspend(self, *, jobs: int, in_flight: int, **_: Any) -> dict[str, float]:
        """Start runs that wait for a signal, and leave them."""

        async def one(number: int) -> None:
            await self._start("word", expire="1h")

        return await child.drive(one, in_flight=in_flight, jobs=jobs)

    async def _give(self, topic: str, **arguments: Any) -> Any:
        return await (await self._start(topic, *arguments.values())).result()

    async def _begin(self, topic: str, *arguments: Any) -> tuple[str, asyncio.Future[Any]]:
        handle = await self._start(topic, *arguments)
        return handle.workflow_id, asyncio.ensure_future(handle.result())

    async def _start(self, topic: str, *arguments: Any, expire: Duration = f"{EXPIRE_S}s") -> Any:
        return await self._workflows.start(topic, *arguments, task_queue=QUEUE, expire=expire)


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Actions]:
    """Starts runs; has no worker of its own."""
    async with WorkflowClient(url) as opened:
        it = Client(opened)
        yield {
            "once": it.once,
            "run": it.run,
            "sleep": it.sleep,
            "signal": it.signal,
            "suspend": it.suspend,
        }


if __name__ == "__main__":
    role, port = sys.argv[1], int(sys.argv[2])
    # The bare side calls its processes so: the one that decides, and the one that works.
    roles = {"worker": worker, "engine": workflows, "activities": activities, "client": client}
    child.main(roles[role](f"redis://127.0.0.1:{port}"), f"durable-{role}")
