"""The bare commands of jobs that wait: for a time, for a signal, for a child.

The same three processes as in `bare`, and its worker. A timer is a member of a sorted set; the
engine's process looks at the first one, sleeps until it is due, and moves what is due into the
engine's stream with one script. A signal finds its job in a hash, and becomes an entry of that
stream. A child is an entry there too, its end another one for its parent. The engine ends each with
one script that acknowledges, stores, counts, and then publishes the result or tells the parent.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks import bare, child
from benchmarks.bare import (
    DONE,
    EXPIRE_S,
    GROUP,
    TIMERS,
    TO_ENGINE,
    TO_WORKER,
    TRACE,
    decode,
    encode,
)

HOOKS = "bare:hooks"
DUE_MAX, LOOK_S_MAX = 500, 0.005
TODAY = "20261124"

START = """
if redis.call('HSETNX', KEYS[1], ':', 1) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'tpc', ARGV[1], 'trc', ARGV[2], 'jc', ARGV[3], 't1/o', ARGV[4])
if ARGV[5] == 'timer' then
  local t = redis.call('TIME')
  local due_ms = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[7]
  redis.call('ZADD', KEYS[2], string.format('%.0f', due_ms), ARGV[6])
elseif ARGV[5] == 'signal' then
  redis.call('HSET', KEYS[2], ARGV[6], '1')
else
  redis.call('XADD', KEYS[2], '*', 'p', ARGV[6])
end
return 1
"""
DUE = """
local t = redis.call('TIME')
local now_ms = t[1] * 1000 + math.floor(t[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now_ms), 'LIMIT', 0, ARGV[1])
for i = 1, #due do redis.call('XADD', KEYS[2], '*', 'p', due[i]) end
if #due > 0 then redis.call('ZREM', KEYS[1], unpack(due)) end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if not first[2] then return -1 end
return math.max(0, math.ceil(tonumber(first[2]) - now_ms))
"""  # noqa: E501
SIGNAL = """
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', 'p', ARGV[2])
return 1
"""
CHILD = """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return -1 end
redis.call('XDEL', KEYS[1], ARGV[2])
if redis.call('HSETNX', KEYS[2], ':', 1) == 0 then return 0 end
redis.call('HSET', KEYS[2], 'tpc', ARGV[3], 'trc', ARGV[4], 'jc', ARGV[5], 't1/o', ARGV[6], 'par', ARGV[7])
redis.call('XADD', KEYS[3], '*', 'p', ARGV[8])
return 1
"""  # noqa: E501
ENDED = """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return -1 end
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[2], 'a1/o', ARGV[3], 'd/b', ARGV[4], 'ju', ARGV[5])
local left = redis.call('HINCRBY', KEYS[2], ':', -1)
if left == 0 then
  redis.call('EXPIRE', KEYS[2], ARGV[6])
  if ARGV[7] ~= '' then
    redis.call('XADD', KEYS[1], '*', 'p', ARGV[8])
  else
    redis.call('PUBLISH', ARGV[9], ARGV[8])
  end
end
return left
"""


@asynccontextmanager
async def engine(port: int) -> AsyncIterator[bare.Actions]:
    """Fires timers; starts children; ends jobs."""
    async with (
        bare.connected(port) as client,
        bare.connected(port) as clock,
        bare.running(_fire(clock)),
        bare.running(_decide(client)),
    ):
        yield {}


async def _fire(client: Any) -> None:
    sha = await client.script_load(DUE)
    while True:
        wait_ms = await client.evalsha(sha, 2, TIMERS, TO_ENGINE, DUE_MAX)
        await asyncio.sleep(LOOK_S_MAX if wait_ms < 0 else min(wait_ms / 1000, LOOK_S_MAX))


async def _decide(client: Any) -> None:
    starts, ends = await client.script_load(CHILD), await client.script_load(ENDED)
    await bare.group(client, TO_ENGINE)
    while True:
        entries = await bare.read(client, TO_ENGINE)
        pipeline = client.pipeline(transaction=False)
        for _, message in entries:
            if "levels" not in message:
                pipeline.hmget(f"bare:j:{message['jid']}", ":", "tpc", "trc", "t1/o", "par")
        states = iter(await pipeline.execute())
        pipeline = client.pipeline(transaction=False)
        for entry, message in entries:
            if "levels" in message:
                pipeline.execute_command("EVALSHA", starts, 3, *_child(entry, message))
            else:
                pipeline.execute_command("EVALSHA", ends, 2, *_ended(entry, message, next(states)))
        await pipeline.execute()


def _child(entry: bytes, message: dict[str, Any]) -> list[Any]:
    jid, levels, data = message["jid"], message["levels"], message["data"]
    if levels > 1:
        to, following = TO_ENGINE, _nested(f"{jid}.{levels - 1}", levels - 1, jid, data)
    else:
        work = {"jid": jid, "aid": "a1", "left": 1, "expire_s": EXPIRE_S, "data": data}
        to, following = TO_WORKER, encode(work)
    keys = [TO_ENGINE, f"bare:j:{jid}", to]
    facts = ["bench.nested", TRACE, TODAY, encode(data), message["parent"]]
    return [*keys, GROUP, entry, *facts, following]


def _nested(jid: str, levels: int, parent: str, data: dict[str, Any]) -> bytes:
    return encode({"jid": jid, "levels": levels, "parent": parent, "data": data})


def _ended(entry: bytes, message: dict[str, Any], state: list[Any]) -> list[Any]:
    decode(state[3])
    parent = (state[4] or b"").decode()
    data = message["data"]
    told = {"jid": parent or message["jid"], "data": data}
    keys = [TO_ENGINE, f"bare:j:{message['jid']}"]
    stored = [encode(data), encode(data["y"]), TODAY]
    return [*keys, GROUP, entry, *stored, EXPIRE_S, parent, encode(told), DONE]


class Client(bare.Client):
    """Starts jobs that wait, and hears of their results."""

    def __init__(self, commands: Any, start: str, signal: str) -> None:
        super().__init__(commands, start)
        self._signal = signal
        self._sending: list[tuple[tuple[Any, ...], asyncio.Future[Any]]] = []

    async def flush(self) -> None:
        """Send what is queued, in one pipeline, again and again; each reply to who waits for it."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            sending, self._sending = self._sending, []
            pipeline = self._commands.pipeline(transaction=False)
            for command, _ in sending:
                pipeline.execute_command(*command)
            for (_, future), reply in zip(sending, await pipeline.execute(), strict=True):
                future.set_result(reply)

    async def sleep(
        self, *, jobs: int, in_flight: int, sleep_s: float, together: bool, wait: bool, **_: Any
    ) -> dict[str, float]:
        """Jobs that sleep; how late they woke."""

        async def begin(data: dict[str, Any]) -> tuple[str, asyncio.Future[Any]]:
            jid, ended = self._new()
            entry = encode({"jid": jid, "data": {"y": "woken"}})
            await self._start(jid, data, TIMERS, "timer", entry, round(data["s"] * 1000))
            return jid, ended

        return await child.sleepers(
            begin, jobs=jobs, in_flight=in_flight, sleep_s=sleep_s, together=together, wait=wait
        )

    async def signal(self, *, jobs: int, in_flight: int, **_: Any) -> dict[str, float]:
        """Jobs that wait for a signal; from the signal to the result."""

        async def begin(data: dict[str, Any]) -> tuple[str, asyncio.Future[Any]]:
            jid, ended = self._new()
            await self._start(jid, data, HOOKS, "signal", jid)
            return jid, ended

        async def send(jid: str) -> None:
            entry = encode({"jid": jid, "data": {"y": "Hello, Ada"}})
            self._send("EVALSHA", self._signal, 2, HOOKS, TO_ENGINE, jid, entry)

        return await child.signalled(begin, send, jobs=jobs, in_flight=in_flight)

    async def nest(
        self, *, in_flight: int, seconds: float, jobs: int, steps: int, **_: Any
    ) -> dict[str, float]:
        """Jobs that wait for a child, so many levels deep; the last one has the work."""

        async def one(number: int) -> None:
            jid, ended = self._new()
            entry = _nested(f"{jid}.{steps}", steps, jid, {"x": "Ada"})
            self._start(jid, {"a": "Ada"}, TO_ENGINE, "child", entry)
            await ended

        return await child.drive(one, in_flight=in_flight, seconds=seconds, jobs=jobs)

    def _new(self) -> tuple[str, asyncio.Future[Any]]:
        self._started += 1
        jid = f"{os.getpid()}-{self._started}"
        ended = self._waiting[jid] = asyncio.get_running_loop().create_future()
        return jid, ended

    def _start(
        self, jid: str, data: dict[str, Any], where: str, kind: str, entry: Any, after_ms: int = 0
    ) -> asyncio.Future[Any]:
        facts = ("bench.waits", TRACE, TODAY, encode(data), kind, entry, after_ms)
        return self._send("EVALSHA", self._sha, 2, f"bare:j:{jid}", where, *facts)

    def _send(self, *command: Any) -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()
        self._sending.append((command, future))
        self._wake.set()
        return future


@asynccontextmanager
async def client(port: int) -> AsyncIterator[bare.Actions]:
    """Starts jobs and waits for their results."""
    async with bare.connected(port) as commands, bare.connected(port) as listener:
        start, signal = await commands.script_load(START), await commands.script_load(SIGNAL)
        it = Client(commands, start, signal)
        pubsub = listener.pubsub()
        await pubsub.subscribe(DONE)
        async with bare.running(it.flush()), bare.running(it.listen(pubsub)):
            yield {"sleep": it.sleep, "signal": it.signal, "nest": it.nest}


if __name__ == "__main__":
    role, port = sys.argv[1], int(sys.argv[2])
    roles = {"worker": bare.worker, "engine": engine, "client": client}
    child.main(roles[role](port), f"bare-waits-{role}")
