"""The bare commands of local steps: the process that takes a job runs its steps itself, and keeps
each with one command before the next.

A client and a worker. The client is that of `bare`. The worker reads jobs, runs their steps (in a
row or at once), writes each result with one script, and ends a job with another one that
acknowledges, publishes the result and lets the record expire. Commands of all its jobs that come
up in one moment are sent in one pipeline of redis-py. It keeps no order of events that could be
replayed: a job whose process dies is lost.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks import bare, child
from benchmarks.bare import DONE, GROUP, TO_WORKER, encode, greet

STEP = """
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then
  return redis.call('HGET', KEYS[1], ARGV[1])
end
return false
"""
END = """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[2], ':', 0, 'd/b', ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[4])
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
"""


class Steps:
    """Runs jobs.

    Args:
        commands: A client of redis-py, for nothing else.
    """

    def __init__(self, commands: Any, step: str, end: str) -> None:
        self._commands, self._step, self._end = commands, step, end
        self._sending: list[tuple[tuple[Any, ...], asyncio.Future[Any]]] = []
        self._wake = asyncio.Event()
        self._jobs: set[asyncio.Task[None]] = set()

    async def flush(self) -> None:
        """Send what has come together, again and again; each reply to who waits for it."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            sending, self._sending = self._sending, []
            pipeline = self._commands.pipeline(transaction=False)
            for command, _ in sending:
                pipeline.execute_command(*command)
            for (_, future), reply in zip(sending, await pipeline.execute(), strict=True):
                future.set_result(reply)

    async def work(self, reader: Any) -> None:
        """Take jobs, each as a task."""
        await bare.group(reader, TO_WORKER)
        while True:
            for entry, message in await bare.read(reader, TO_WORKER):
                task = asyncio.create_task(self._job(entry, message))
                self._jobs.add(task)
                task.add_done_callback(self._jobs.discard)

    async def _job(self, entry: bytes, message: dict[str, Any]) -> None:
        key, value = f"bare:j:{message['jid']}", message["data"]["x"]
        if message["at_once"]:
            steps = (self._one(key, n, value) for n in range(message["left"]))
            value = (await asyncio.gather(*steps))[0]
        else:
            for number in range(message["left"]):
                value = await self._one(key, number, value)
        result = encode({"jid": message["jid"], "data": {"b": value}})
        keys = (TO_WORKER, key, GROUP, entry)
        ending = (encode(value), message["expire_s"], DONE, result)
        await self._send("EVALSHA", self._end, 2, *keys, *ending)

    async def _one(self, key: str, number: int, name: str) -> str:
        value = greet(name)
        await self._send("EVALSHA", self._step, 1, key, f"a{number}", encode({"y": value}))
        return value

    def _send(self, *command: Any) -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()
        self._sending.append((command, future))
        self._wake.set()
        return future


@asynccontextmanager
async def worker(port: int) -> AsyncIterator[bare.Actions]:
    """Runs jobs."""
    async with bare.connected(port) as reader, bare.connected(port) as commands:
        step, end = await commands.script_load(STEP), await commands.script_load(END)
        it = Steps(commands, step, end)
        async with bare.running(it.flush()), bare.running(it.work(reader)):
            yield {}


class Client(bare.Client):
    """Gives a job with all its steps to one worker."""

    def entries(self, work: dict[str, Any], steps: int, at_once: bool) -> list[bytes]:
        return [encode({**work, "left": steps, "at_once": at_once})]


@asynccontextmanager
async def client(port: int) -> AsyncIterator[bare.Actions]:
    """Starts jobs and waits for their results."""
    async with bare.connected(port) as commands, bare.connected(port) as listener:
        it = Client(commands, await commands.script_load(bare.START))
        pubsub = listener.pubsub()
        await pubsub.subscribe(DONE)
        async with bare.running(it.flush()), bare.running(it.listen(pubsub)):
            yield {"run": it.run}


if __name__ == "__main__":
    role, port = sys.argv[1], int(sys.argv[2])
    child.main({"worker": worker, "client": client}[role](port), f"bare-steps-{role}")
