"""Workflow programs as data, and the one workflow that runs them.

A node is a list: what it is, and its parts. Programs without `race` give the same result however
long anything takes; the value of a `race` is not part of the result.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

from hypothesis import strategies as st

from hotmesh.durable import ActivityError, FatalError, RetryPolicy, activity, workflow

NODES_MAX = 14
CHILDREN = ("gather", "group", "seq", "queue")
FAST = RetryPolicy(initial_interval="5ms", maximum_attempts=30, maximum_interval="20ms")

effects: Counter[tuple[str, int]] = Counter()
"""What activities did outside: by idempotency key and attempt."""

delays = random.Random(1)


@activity.defn(retry=FAST)
async def act(n: int, ms: int) -> int:
    info = activity.info()
    await asyncio.sleep(delays.random() * ms / 1000)
    effects[info.idempotency_key, info.attempt] += 1
    return n


@activity.defn(retry=FAST)
async def flaky(n: int) -> int:
    info = activity.info()
    effects[info.idempotency_key, info.attempt] += 1
    if info.attempt < 3:
        raise ValueError("not yet")
    return n


@activity.defn(retry=FAST)
async def fatal(n: int) -> int:
    raise FatalError(f"no {n}")


async def local(n: int, ms: int) -> int:
    await asyncio.sleep(delays.random() * ms / 1000)
    return n


def plain(n: int) -> int:
    return n


ACTIVITIES = [act, flaky, fatal]


class Interpreter:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.limit = asyncio.Semaphore(2)

    async def run(self, node: list[Any]) -> Any:
        return await getattr(self, f"on_{node[0]}")(*node[1:])

    async def on_act(self, n: int, ms: int) -> Any:
        return await act(n, ms)

    async def on_flaky(self, n: int) -> Any:
        return await flaky(n)

    async def on_fatal(self, n: int) -> Any:
        try:
            return await fatal(n)
        except ActivityError as exc:
            return str(exc.cause)

    async def on_local(self, n: int, ms: int) -> Any:
        return await workflow.execute_local_activity(local, n, ms)

    async def on_once(self, n: int) -> Any:
        return await workflow.once(plain, n)

    async def on_sleep(self, ms: int) -> Any:
        await asyncio.sleep(ms / 1000)
        return "slept"

    async def on_signal(self, k: int) -> Any:
        (said,) = await workflow.wait_for_signal(f"{workflow.info().root_id}-{k}")
        return said

    async def on_search(self, n: int) -> Any:
        await workflow.search().incr("count", n)
        return "counted"

    async def on_child(self, node: list[Any]) -> Any:
        return await workflow.execute_child(program, node)

    async def on_seq(self, *nodes: list[Any]) -> Any:
        return [await self.run(node) for node in nodes]

    async def on_gather(self, *nodes: list[Any]) -> Any:
        return list(await asyncio.gather(*(self.run(node) for node in nodes)))

    async def on_group(self, *nodes: list[Any]) -> Any:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.run(node)) for node in nodes]
        return [task.result() for task in tasks]

    async def on_queue(self, *nodes: list[Any]) -> Any:
        queue: asyncio.Queue[Any] = asyncio.Queue(2)

        async def produce() -> None:
            for node in nodes:
                await queue.put(await self.run(node))

        producer = asyncio.create_task(produce())
        found = [await queue.get() for _ in nodes]
        await producer
        return found

    async def on_lock(self, node: list[Any]) -> Any:
        async with asyncio.timeout(60), self.limit:  # never held across the lock
            pass
        if self.lock.locked():
            return await self.run(node)
        async with self.lock:
            return await self.run(node)

    async def on_shield(self, node: list[Any]) -> Any:
        inner = asyncio.ensure_future(self.run(node))
        outer = asyncio.ensure_future(self._shielded(inner))
        await asyncio.sleep(0)
        outer.cancel()
        await asyncio.wait([outer])
        return [outer.cancelled(), await inner]

    async def _shielded(self, inner: asyncio.Future[Any]) -> Any:
        return await asyncio.shield(inner)

    async def on_within(self, node: list[Any]) -> Any:
        async with asyncio.timeout(600):
            return await self.run(node)

    async def on_expire(self, ms: int) -> Any:
        try:
            await asyncio.wait_for(asyncio.sleep(3600), ms / 1000)
        except TimeoutError:
            return "expired"
        return "impossible"

    async def on_cancelled(self, node: list[Any]) -> Any:
        sleeper = asyncio.create_task(asyncio.sleep(3600))
        value = await self.run(node)
        sleeper.cancel()
        await asyncio.wait([sleeper])
        return [sleeper.cancelled(), value]

    async def on_race(self, ms: int, node: list[Any]) -> Any:
        try:
            async with asyncio.timeout(ms / 1000):
                await self.run(node)
        except TimeoutError:
            pass
        return "raced"


@workflow.defn(name="program")
async def program(node: list[Any]) -> Any:
    value = await Interpreter().run(node)
    if has(node, "race"):
        return value
    return [value, await workflow.search().get("count")]


def has(node: list[Any], *kinds: str) -> bool:
    """Whether a program holds nodes of some kind."""
    return node[0] in kinds or any(has(part, *kinds) for part in node if isinstance(part, list))


def is_ordered(node: list[Any]) -> bool:
    """Whether one thing happens after the other, whatever the times."""
    return not has(node, "gather", "group", "race", "queue", "cancelled", "shield", "expire")


def signals_of(node: list[Any]) -> list[int]:
    """The signals that a program waits for, each once."""
    found = [node[1]] if node[0] == "signal" else []
    for part in node:
        if isinstance(part, list):
            found += signals_of(part)
    return found


_numbers, _ms = st.integers(0, 99), st.integers(1, 12)
_leaves = st.one_of(
    st.tuples(st.just("act"), _numbers, _ms),
    st.tuples(st.just("act"), _numbers, st.just(0)),
    st.tuples(st.just("act"), _numbers, st.just(60)),
    st.tuples(st.just("flaky"), _numbers),
    st.tuples(st.just("fatal"), _numbers),
    st.tuples(st.just("local"), _numbers, _ms),
    st.tuples(st.just("local"), _numbers, st.just(0)),
    st.tuples(st.just("once"), _numbers),
    st.tuples(st.just("sleep"), _ms),
    st.tuples(st.just("signal"), st.just(0)),
    st.tuples(st.just("search"), _numbers),
    st.tuples(st.just("expire"), _ms),
)


def _inner(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inside, min_size=1, max_size=4)
    one = ("lock", "shield", "within", "cancelled", "child")
    return st.one_of(
        *(several.map(lambda parts, kind=kind: (kind, *parts)) for kind in CHILDREN),
        *(inside.map(lambda part, kind=kind: (kind, part)) for kind in one),
        st.tuples(st.just("race"), _ms, inside),
    )


def _numbered(node: Any, left: list[int]) -> list[Any]:
    """As lists, each signal with a number of its own."""
    if node[0] == "signal":
        left[0] += 1
        return ["signal", left[0]]
    return [_numbered(part, left) if isinstance(part, tuple) else part for part in node]


programs: st.SearchStrategy[list[Any]] = st.recursive(_leaves, _inner, max_leaves=NODES_MAX).map(
    lambda node: _numbered(("seq", node), [0])
)
