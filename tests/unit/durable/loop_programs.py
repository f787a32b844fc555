"""Random programs made of asyncio's constructs, and a real event loop to compare with.

A program writes down everything it does, with the time. Sleeps last distinct powers of two, so that
no two timers are due at once: in what order those fire asyncio does not say.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import selectors
from dataclasses import dataclass, field
from typing import Any

from loop_host import new_loop, run_on

from hotmesh.durable.loop import LoopFuture, LoopTask

LEAVES = (
    *("value", "value", "yield", "sleep", "sleep", "sleep"),
    *("raise", "get", "put", "event", "set"),
)
BRANCHES = (
    *("sequence", "gather", "gather_all", "group", "timeout", "wait_for", "shield", "wait_first"),
    *("wait_all", "as_completed", "lock", "semaphore", "cancel", "generator", "catch", "condition"),
)

FOREVER_S = 2**24  # longer than all sleeps of a program together


@dataclass
class Node:
    kind: str
    name: str
    number: int  # of seconds or things
    children: list[Node] = field(default_factory=list)


def make(rng: random.Random, size: int = 14) -> Node:
    """A program of at most about `size` nodes."""
    powers = (2**i for i in itertools.count())
    names = itertools.count()

    def node(budget: int) -> Node:
        kind = rng.choice(LEAVES if budget <= 1 else (*BRANCHES, *LEAVES[:4]))
        made = Node(kind, f"{kind}{next(names)}", next(powers))
        if kind in BRANCHES:
            width = min(rng.randint(1, 4), budget - 1)
            made.children = [node((budget - 1) // width) for _ in range(width)]
        return made

    return Node("sequence", "top", 0, [node(size // 2) for _ in range(2)])


class Execution:
    """One run of a program."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str, float]] = []
        self.lock, self.semaphore = asyncio.Lock(), asyncio.Semaphore(2)
        self.queue: asyncio.Queue[str] = asyncio.Queue(2)
        self.event, self.condition = asyncio.Event(), asyncio.Condition()
        self.kept: list[asyncio.Task[Any]] = []

    async def main(self, program: Node) -> list[tuple[str, str, float]]:
        try:
            async with asyncio.timeout(FOREVER_S):  # what waits for ever
                result = repr(await self.run(program))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
            result = repr(error)
        self.note("end", result)
        return self.log[:]

    def note(self, name: str, what: str) -> None:
        self.log.append((name, what, asyncio.get_running_loop().time()))

    async def run(self, node: Node) -> Any:
        self.note(node.name, "begins")
        try:
            result = await getattr(self, f"on_{node.kind}")(node)
        except BaseException as error:
            self.note(node.name, type(error).__name__)
            raise
        self.note(node.name, repr(result))
        return result

    def spawn(self, node: Node) -> asyncio.Task[Any]:
        task = asyncio.create_task(self.run(node), name=node.name)
        task.add_done_callback(lambda task: self.note(task.get_name(), "is done"))
        self.kept.append(task)
        return task

    # leaves

    async def on_value(self, node: Node) -> Any:
        return node.number

    async def on_yield(self, node: Node) -> Any:
        await asyncio.sleep(0)

    async def on_sleep(self, node: Node) -> Any:
        return await asyncio.sleep(node.number, node.name)

    async def on_raise(self, node: Node) -> Any:
        raise ValueError(node.name)

    async def on_get(self, node: Node) -> Any:
        return await self.queue.get()

    async def on_put(self, node: Node) -> Any:
        await self.queue.put(node.name)

    async def on_event(self, node: Node) -> Any:
        return await self.event.wait()

    async def on_set(self, node: Node) -> Any:
        self.event.set()
        async with self.condition:
            self.condition.notify_all()

    # branches

    async def on_sequence(self, node: Node) -> Any:
        return [await self.run(child) for child in node.children]

    async def on_gather(self, node: Node) -> Any:
        return await asyncio.gather(*map(self.run, node.children))

    async def on_gather_all(self, node: Node) -> Any:
        got = await asyncio.gather(*map(self.run, node.children), return_exceptions=True)
        return list(map(repr, got))

    async def on_group(self, node: Node) -> Any:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.run(child)) for child in node.children]
        return [task.result() for task in tasks]

    async def on_timeout(self, node: Node) -> Any:
        async with asyncio.timeout(node.number):
            return await self.on_gather(node)

    async def on_wait_for(self, node: Node) -> Any:
        return await asyncio.wait_for(self.on_gather(node), node.number)

    async def on_shield(self, node: Node) -> Any:
        return [await asyncio.shield(self.spawn(child)) for child in node.children]

    async def on_wait_first(self, node: Node) -> Any:
        return await self.wait(node, return_when=asyncio.FIRST_COMPLETED)

    async def on_wait_all(self, node: Node) -> Any:
        return await self.wait(node, timeout=node.number)

    async def wait(self, node: Node, **how: Any) -> Any:
        done, pending = await asyncio.wait([self.spawn(child) for child in node.children], **how)
        for task in pending:
            task.cancel()
        return [(task.get_name(), repr(task.exception())) for task in done if not task.cancelled()]

    async def on_as_completed(self, node: Node) -> Any:
        return [await f for f in asyncio.as_completed(list(map(self.spawn, node.children)))]

    async def on_lock(self, node: Node) -> Any:
        async with self.lock:
            return await self.on_sequence(node)

    async def on_semaphore(self, node: Node) -> Any:
        async def one(child: Node) -> Any:
            async with self.semaphore:
                if child.kind in LEAVES:  # no other: it might wait for this semaphore
                    return await self.run(child)
            return await self.run(child)

        return await asyncio.gather(*map(one, node.children))

    async def on_cancel(self, node: Node) -> Any:
        tasks = [self.spawn(child) for child in node.children]
        await asyncio.sleep(node.number)
        return [task.cancel(node.name) for task in tasks]

    async def on_generator(self, node: Node) -> Any:
        async def items() -> Any:
            try:
                for child in node.children:
                    yield await self.run(child)
            finally:
                await asyncio.sleep(0)
                self.note(node.name, "closes")

        async for item in items():
            if node.number % 3:
                return item
        return None

    async def on_catch(self, node: Node) -> Any:
        try:
            return await self.on_group(node)
        except ExceptionGroup as group:
            return [repr(error) for error in group.exceptions]

    async def on_condition(self, node: Node) -> Any:
        async with self.condition, asyncio.timeout(node.number):
            await self.condition.wait()


def on_ours(program: Node) -> list[tuple[str, str, float]]:
    """What the program wrote down on the deterministic loop."""
    loop, host = new_loop()
    execution = Execution()
    log: list[tuple[str, str, float]] = run_on(loop, host, execution.main(program))
    assert loop.tear_down(KeyboardInterrupt) == []
    return log


class _Jumping(selectors.DefaultSelector):
    """Waiting for I/O takes no time; the loop's clock jumps."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now_s += timeout or 0.0
        return super().select(0)


class RealLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop with two changes: time passes at once, and futures are numbered like ours
    (elsewhere their order in sets is the order of addresses).
    """

    def __init__(self) -> None:
        self.clock, self.created = _Jumping(), 0
        super().__init__(self.clock)
        self._clock_resolution = 0.5  # at large times a nanosecond more is no more
        self.set_task_factory(RealLoop.numbered_task)  # type: ignore[arg-type]

    def time(self) -> float:
        return self.clock.now_s

    def create_future(self) -> Any:
        future: LoopFuture[Any] = LoopFuture(loop=self)
        self.created = future.number = self.created + 1
        return future

    @staticmethod
    def numbered_task(loop: RealLoop, coro: Any, **options: Any) -> Any:
        loop.created += 1
        number = loop.created
        task: LoopTask[Any] = LoopTask(coro, loop=loop, **options)
        task.number = number
        return task


def on_asyncio(program: Node) -> list[tuple[str, str, float]]:
    """What the program wrote down on asyncio's loop."""
    loop = RealLoop()
    loop.set_exception_handler(lambda *_: None)
    try:
        execution = Execution()
        log = loop.run_until_complete(execution.main(program))
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(FOREVER_S))
        loop.run_until_complete(loop.shutdown_asyncgens())
        for task in execution.kept:
            if not task.cancelled():
                task.exception()
        return log
    finally:
        loop.close()
