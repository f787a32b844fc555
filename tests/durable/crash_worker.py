"""A worker in a process of its own, which may be told to die at a point.

    python crash_worker.py '{"url": …, "namespace": …, "fault": {"point": "commit", …}}'

What its activities do outside is a list of the server: `effects:<namespace>`, one line per attempt.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import redis.asyncio as client_library

from hotmesh.durable import RetryPolicy, Worker, activity, workflow
from hotmesh.durable.calls import Calls
from hotmesh.durable.turns import Turns
from hotmesh.engine.runs import RunEngine
from hotmesh.store import Store
from hotmesh.store.runs import Runs

OPTIONS: dict[str, Any] = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
POINTS: dict[str, tuple[Any, str]] = {
    "claim": (Turns, "handle"),
    "commit": (Runs, "try_all"),
    "take": (Calls, "handle"),
    "complete": (Runs, "add"),
    "deliver": (RunEngine, "handle"),
    "fire": (Store, "pop_due"),
}
FAST = RetryPolicy(initial_interval="20ms", maximum_attempts=10)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def plant(point: str, when: str, n: int) -> None:
    """Die at the nth call of a point, before or after it has taken effect."""
    owner, name = POINTS[point]
    call: Callable[..., Any] = getattr(owner, name)
    left = n

    async def faulty(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and when == "before":
            die()
        value = await call(*args, **kwargs)
        if left == 0:
            die()
        return value

    setattr(owner, name, faulty)


async def note(what: str) -> str:
    info = activity.info()
    async with client_library.from_url(OPTIONS["url"]) as client:
        line = f"{info.idempotency_key}/{info.attempt}/{what}"
        await client.rpush(f"effects:{OPTIONS['namespace']}", line)
    return what


@activity.defn(retry=FAST)
async def effect(what: str) -> str:
    return await note(what)


@activity.defn(retry=FAST)
async def slow_effect(what: str, seconds: float) -> str:
    await note(f"{what}.began")
    await asyncio.sleep(seconds)
    return await note(what)


@activity.defn(retry=FAST)
async def deadly(what: str, times: int) -> str:
    if activity.info().attempt <= times:
        die()
    return await note(what)


async def child(n: int) -> int:
    await effect(f"child{n}")
    return n * 2


async def mixed(n: int) -> list[Any]:
    """A little of everything."""
    first = await effect("first")
    await workflow.sleep_for("30ms")
    pair = await asyncio.gather(effect("left"), effect("right"))
    search = workflow.search()
    await search.set(seen="yes")
    count = await search.incr("count", 10)
    doubled = await workflow.execute_child(child, n)
    (said,) = await workflow.wait_for_signal("go")
    await workflow.signal(f"out-{workflow.info().workflow_id}", said)
    last = await slow_effect("last", 0.05)
    return [first, *pair, count, doubled, said, last]


async def steps(n: int) -> int:
    for i in range(n):
        await effect(f"step{i}")
    return n


async def long_step(seconds: float) -> str:
    return await slow_effect("long", seconds)


async def poison() -> str:
    return await deadly("survived", 2)


async def timers() -> list[float]:
    return [await workflow.sleep_for(seconds) for seconds in (0.05, 0.1, 0.15)]


WORKFLOWS = [mixed, child, steps, long_step, poison, timers]
ACTIVITIES = [effect, slow_effect, deadly]


async def main() -> None:
    if fault := OPTIONS.get("fault"):
        plant(**fault)
    worker = await Worker.create(
        OPTIONS["url"],
        namespace=OPTIONS["namespace"],
        workflows=WORKFLOWS,
        activities=ACTIVITIES,
        **{"lease": "1s", "grace": "1s", **OPTIONS.get("options", {})},
    )
    await worker.start()
    print("ready", flush=True)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
