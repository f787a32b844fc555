"""Scenario 108: with a codec the server holds nothing that can be read, and everything works."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as client_library
from conftest import Durable
from support import eventually

from hotmesh.durable import ActivityError, Client, RetryPolicy, Worker, activity, workflow

SECRET = "a-secret-nobody-may-read"


class Scramble:
    async def encode(self, payloads: list[bytes]) -> list[bytes]:
        return [bytes(b ^ 0x5A for b in zlib.compress(p)) for p in payloads]

    async def decode(self, payloads: list[bytes]) -> list[bytes]:
        return [zlib.decompress(bytes(b ^ 0x5A for b in p)) for p in payloads]


CODECS = [Scramble()]


@activity.defn(retry=RetryPolicy(initial_interval="10ms", maximum_attempts=3))
async def repeat(text: str) -> str:
    if activity.info().attempt < 2:
        activity.heartbeat(text)
        raise ValueError(text)
    return text * 2


@activity.defn(retry=RetryPolicy(maximum_attempts=1))
async def refuse(text: str) -> None:
    raise ValueError(text)


async def child(text: str) -> str:
    return text


@workflow.defn(name="secretive")
class Secretive:
    def __init__(self) -> None:
        self.text = ""

    @workflow.run
    async def main(self, text: str) -> list[Any]:
        self.text = text
        found = [await repeat(text)]
        try:
            await refuse(text)
        except ActivityError as exc:
            found.append(str(exc.cause))
        workflow.upsert_memo(note=text)
        found.append((await workflow.wait_for_signal("s"))[0])
        found.append(await workflow.execute_child(child, text))
        return found

    @workflow.query
    def ask(self, more: str) -> str:
        return self.text + more

    @workflow.update
    async def change(self, text: str) -> str:
        return text


@pytest.fixture
async def client(durable: Durable) -> AsyncIterator[Client]:
    client = Client(durable.redis_url, durable.namespace, codecs=CODECS)
    yield client
    await client.close()


async def _worker(durable: Durable, **options: Any) -> Worker:
    return await durable.worker(Secretive, child, activities=[repeat, refuse], **options)


async def test_nothing_can_be_read_on_the_server(durable: Durable, client: Client) -> None:
    await _worker(durable, codecs=CODECS)
    handle = await client.workflow.start(
        Secretive, SECRET, memo={"first": SECRET}, search_attributes={"customer": "visible"}
    )
    assert await handle.update("change", SECRET) == SECRET
    assert await handle.query("ask", SECRET) == SECRET * 2
    await handle.signal("s", SECRET)
    assert await handle.result(timeout="20s") == [SECRET * 2, SECRET, SECRET, SECRET]
    assert await handle.query("ask", "!") == SECRET + "!"
    assert await handle.memo() == {"first": SECRET, "note": SECRET}
    everything = await _dump(durable)
    assert b"visible" in everything
    assert SECRET.encode() not in everything


async def _dump(durable: Durable) -> bytes:
    """All that the server holds of the namespace."""
    found = []
    async with client_library.from_url(durable.redis_url) as client:
        async for key in client.scan_iter(f"*{durable.namespace}*", count=1000):
            kind = await client.type(key)
            if kind == b"hash":
                found.append(repr(await client.hgetall(key)).encode())
            elif kind == b"list":
                found.append(repr(await client.lrange(key, 0, -1)).encode())
            elif kind == b"stream":
                found.append(repr(await client.xrange(key)).encode())
            elif kind == b"string":
                found.append(repr(await client.get(key)).encode())
            elif kind == b"zset":
                found.append(repr(await client.zrange(key, 0, -1)).encode())
    return b"\n".join(found)


async def test_a_worker_without_the_codec_loses_nothing(durable: Durable, client: Client) -> None:
    blind = await _worker(durable)
    handle = await client.workflow.start(Secretive, SECRET)
    await handle.signal("s", SECRET)
    await eventually(lambda: _failures(handle))
    await blind.stop()
    await _worker(durable, codecs=CODECS)
    assert (await handle.result(timeout="20s"))[0] == SECRET * 2


async def _failures(handle: Any) -> bool:
    return bool((await handle.describe()).task_failures)
