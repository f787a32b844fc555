"""The bare commands of a job, with nothing of a product around them: what redis-py, this language
and this server allow.

Three processes and two streams. The client starts a job with one script: a hash and one entry for
the worker (or one for each of its activities, when they run at once). The worker answers each entry
with one script that acknowledges it and tells the engine. The engine reads the fields that it needs
and ends each step with one script that acknowledges, stores, counts, and then starts the next step
or publishes the result and lets the record expire. All that is read at once is answered in one
pipeline of redis-py. No leases, no retries, no guards beyond the acknowledgement, no model.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import redis.asyncio as redis_asyncio
from redis.exceptions import ResponseError

from benchmarks import child

TO_WORKER, TO_ENGINE, GROUP, DONE = "bare:work", "bare:done", "bare", "bare:results"
TIMERS = "bare:timers"
READ_MAX, KEEP_BATCH = 100, 500
EXPIRE_S = 15  # our default too

START = """
if redis.call('HSETNX', KEYS[1], ':', ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'tpc', ARGV[2], 'trc', ARGV[3], 'jc', ARGV[4], 't1/o', ARGV[5])
for at = 7, #ARGV do redis.call('XADD', KEYS[2], '*', 'p', ARGV[at]) end
return 1
"""
WORKED = """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('XADD', KEYS[2], '*', 'p', ARGV[3])
return 1
"""
STEPPED = """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return -1 end
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[2], unpack(ARGV, 7))
local left = redis.call('HINCRBY', KEYS[2], ':', -1)
if left == 0 then
  redis.call('EXPIRE', KEYS[2], ARGV[3])
  redis.call('PUBLISH', ARGV[4], ARGV[5])
elseif ARGV[6] ~= '' then
  redis.call('XADD', KEYS[3], '*', 'p', ARGV[6])
end
return left
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder().decode

Actions = Mapping[str, child.Action]


def greet(name: str) -> str:
    """What every worker of the benchmarks does, ours too."""
    return "Hello, " + name.removeprefix("Hello, ")


@asynccontextmanager
async def worker(port: int) -> AsyncIterator[Actions]:
    """Greets."""
    async with connected(port) as client, running(_work(client)):
        yield {}


async def _work(client: Any) -> None:
    sha = await client.script_load(WORKED)
    await group(client, TO_WORKER)
    while True:
        pipeline = client.pipeline(transaction=False)
        for entry, message in await read(client, TO_WORKER):
            answer = {k: message[k] for k in ("jid", "aid", "left", "expire_s")}
            answer["data"] = {"y": greet(message["data"]["x"])}
            command = ("EVALSHA", sha, 2, TO_WORKER, TO_ENGINE, GROUP, entry, encode(answer))
            pipeline.execute_command(*command)
        await pipeline.execute()


@asynccontextmanager
async def engine(port: int) -> AsyncIterator[Actions]:
    """Ends steps and begins others."""
    async with connected(port) as client, running(_step(client)):
        yield {}


async def _step(client: Any) -> None:
    sha = await client.script_load(STEPPED)
    await group(client, TO_ENGINE)
    while True:
        entries = await read(client, TO_ENGINE)
        pipeline = client.pipeline(transaction=False)
        for _, message in entries:
            pipeline.hmget(f"bare:j:{message['jid']}", ":", "tpc", "trc", "t1/o")
        states = await pipeline.execute()
        pipeline = client.pipeline(transaction=False)
        for (entry, message), state in zip(entries, states, strict=True):
            decode(state[3])
            pipeline.execute_command("EVALSHA", sha, 3, *_stepped(entry, message))
        await pipeline.execute()


def _stepped(entry: bytes, message: dict[str, Any]) -> list[Any]:
    jid, aid, left, value = message["jid"], message["aid"], message["left"], message["data"]["y"]
    following: bytes = b""
    if left > 1:
        ahead = {"jid": jid, "aid": f"a{left - 1}", "left": left - 1, "data": {"x": value}}
        following = encode({**ahead, "expire_s": message["expire_s"]})
    result = encode({"jid": jid, "data": {"b": value}})
    keys = [TO_ENGINE, f"bare:j:{jid}", TO_WORKER]
    fields: list[Any] = [f"{aid}/o", encode(message["data"])]
    if left == 1:
        fields += ["d/b", encode(value), "ju", "20261124"]
    return [*keys, GROUP, entry, message["expire_s"], DONE, result, following, *fields]


class Client:
    """Starts jobs, and hears of their results."""

    def __init__(self, commands: Any, sha: str) -> None:
        self._commands, self._sha = commands, sha
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._queue: list[tuple[Any, ...]] = []
        self._wake = asyncio.Event()
        self._started = 0

    async def flush(self) -> None:
        """Send what is queued, in one pipeline, again and again."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            pipeline = self._commands.pipeline(transaction=False)
            for command in self._queue:
                pipeline.execute_command(*command)
            self._queue.clear()
            await pipeline.execute()

    async def listen(self, pubsub: Any) -> None:
        """Give results to who waits for them."""
        async for message in pubsub.listen():
            if message["type"] == "message":
                result = decode(message["data"])
                waiting = self._waiting.pop(result["jid"], None)
                if waiting is not None:
                    waiting.set_result(result)

    async def run(
        self,
        *,
        in_flight: int,
        seconds: float = 0.0,
        jobs: int = 0,
        steps: int = 1,
        at_once: bool = False,
        expire_s: int | None = None,
        **_: Any,
    ) -> dict[str, float]:
        """Jobs of so many steps, in a row or at once."""

        async def one(number: int) -> None:
            self._started += 1
            jid = f"{os.getpid()}-{self._started}"
            work = {"jid": jid, "data": {"x": "Ada"}, "expire_s": expire_s or EXPIRE_S}
            await self._begin(jid, steps, self.entries(work, steps, at_once))

        return await child.drive(one, in_flight=in_flight, seconds=seconds, jobs=jobs)

    def entries(self, work: dict[str, Any], steps: int, at_once: bool) -> list[bytes]:
        """What a job starts with: an entry for its first step, or for each."""
        if at_once:
            return [encode({**work, "aid": f"a{n}", "left": 0}) for n in range(steps)]
        return [encode({**work, "aid": f"a{steps}", "left": steps})]

    async def keep(self, *, jobs: int, expire_s: int | None) -> None:
        """Leave records behind: of finished jobs until they expire, or, without, of jobs that wait
        for a time in a sorted set.
        """
        fields = {"tpc": "bench.one", "trc": TRACE, "jc": "20261124", "t1/o": encode({"a": "Ada"})}
        for first in range(0, jobs, KEEP_BATCH):
            pipeline = self._commands.pipeline(transaction=False)
            for number in range(first, min(first + KEEP_BATCH, jobs)):
                jid = f"kept-{number}"
                pipeline.hset(f"bare:j:{jid}", mapping={**fields, ":": 0 if expire_s else 1})
                if expire_s:
                    pipeline.expire(f"bare:j:{jid}", expire_s)
                else:
                    pipeline.zadd(TIMERS, {encode({"jid": jid, "aid": "h2"}): 4e12 + number})
            await pipeline.execute()

    async def _begin(self, jid: str, steps: int, entries: list[bytes]) -> None:
        done = self._waiting[jid] = asyncio.get_running_loop().create_future()
        payload = encode({"a": "Ada"})
        facts = (steps, "bench.one", TRACE, "20261124", payload, "")
        keys = (f"bare:j:{jid}", TO_WORKER)
        self._queue.append(("EVALSHA", self._sha, 2, *keys, *facts, *entries))
        self._wake.set()
        await done


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Actions]:
    """Starts jobs and waits for their results."""
    async with connected(port) as commands, connected(port) as listener:
        it = Client(commands, await commands.script_load(START))
        pubsub = listener.pubsub()
        await pubsub.subscribe(DONE)
        async with running(it.flush()), running(it.listen(pubsub)):
            yield {"run": it.run, "keep": it.keep}


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Any]:
    """A client of redis-py."""
    made = redis_asyncio.Redis(port=port, protocol=3)
    try:
        yield made
    finally:
        await made.aclose()


@asynccontextmanager
async def running(coroutine: Any) -> AsyncIterator[None]:
    """A task that must not end by itself."""
    task = asyncio.ensure_future(coroutine)
    # A crash ends the process; its parent then shows the log.
    task.add_done_callback(lambda t: None if t.cancelled() else os._exit(_told(t)))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _told(task: asyncio.Task[None]) -> int:
    print(f"the task has ended: {task.exception()!r}", file=sys.stderr, flush=True)
    return 1


async def group(client: Any, stream: str) -> None:
    """Make the consumer group, unless it is there."""
    try:
        await client.xgroup_create(stream, GROUP, id="0", mkstream=True)
    except ResponseError as exc:
        if not str(exc).startswith("BUSYGROUP"):
            raise


async def read(client: Any, stream: str) -> list[tuple[bytes, dict[str, Any]]]:
    """What comes next, by entry id."""
    while True:
        reply = await client.xreadgroup(
            GROUP, str(os.getpid()), {stream: ">"}, count=READ_MAX, block=1000
        )
        if reply:  # RESP3: {stream: [[(id, fields), …]]}
            (batches,) = reply.values()
            return [(entry, decode(fields[b"p"])) for entry, fields in batches[0]]


if __name__ == "__main__":
    role, port = sys.argv[1], int(sys.argv[2])
    roles = {"worker": worker, "engine": engine, "client": client}
    child.main(roles[role](port), f"bare-{role}")
