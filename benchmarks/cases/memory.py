"""What a finished one-activity job takes of the server's memory until it expires, and what is left.

`used_memory` before and after some thousand jobs that are kept for an hour, less the payloads that
their records hold. Then jobs that are kept for a second: once it has passed, every key that was not
there before counts.
"""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.cases.one_activity import MODEL, TOPIC
from benchmarks.figures import Figure, Goal, alone
from benchmarks.harness import Bench, Load, Server, Side

HOUR_S = 3_600
GONE_WITHIN_S = 10.0


async def run(bench: Bench) -> list[Figure]:
    """Bytes a job, ours and bare, and keys left."""
    jobs = 1_000 if bench.quick else 5_000
    ours, bare = await bench.side(model=MODEL), await bench.side("bare")
    before = await _settled(ours)
    sizes = []
    for side in (ours, bare):
        bench.say(f"{jobs:,} jobs, kept: {side.name}")
        sizes.append(await _bytes_a_job(side, jobs, "hm:*:j:*" if side is ours else "bare:j:*"))
    (mine, payload), (theirs, their_payload) = sizes
    bench.rounds.append({"ours": mine, "bare": theirs, "payload": payload})
    mine, theirs = mine - payload, theirs - their_payload
    bench.say(f"{jobs:,} jobs, kept for a second")
    left = await _left(ours, before, jobs)
    return [
        Figure(
            name="beyond the payloads",
            unit="bytes/job",
            ours=mine,
            bare=theirs,
            ratio=mine / theirs,
            goal=Goal(1024, "at most", "ours"),
        ),
        alone("payloads in a record", "bytes/job", [payload]),
        alone("keys left after expiry", "keys", [left], Goal(0, "exactly", "ours")),
    ]


async def _settled(side: Side) -> set[bytes]:
    """Let everything that is made once be made; the keys there are then."""
    await side.run(Load(topic=TOPIC, in_flight=100, jobs=500, expire_s=1))
    await _until_gone(side.server, "*:j:*")
    return await _keys(side.server, "*")


async def _bytes_a_job(side: Side, jobs: int, pattern: str) -> tuple[float, float]:
    """Bytes of the server's memory a job, and bytes of payload in a record."""
    load = Load(topic=TOPIC, in_flight=100, jobs=jobs, expire_s=HOUR_S)
    await side.run(Load(topic=TOPIC, in_flight=100, jobs=500, expire_s=1))
    await _until_gone(side.server, pattern)
    before = await used(side.server)
    await side.run(load)
    taken = await used(side.server) - before
    keys = await _keys(side.server, pattern)
    record: dict[Any, Any] = await side.server.client.hgetall(next(iter(keys)))
    payload = sum(len(v) for k, v in record.items() if _is_payload(k))
    for key in keys:
        await side.server.client.unlink(key)
    return taken / len(keys), payload


def _is_payload(field: bytes) -> bool:
    """Fields that hold user data: ours `d`, `…/o` and `…/h`, the bare side's `…/o` and `d/b`."""
    return field in (b"d", b"d/b") or field.endswith((b"/o", b"/h"))


async def used(server: Server) -> int:
    """Memory in use once buffers are empty."""
    await asyncio.sleep(1.5)  # the append-only file's buffer, the clients' query buffers
    facts: dict[str, Any] = await server.client.info("memory")
    buffers = int(facts["mem_clients_normal"]) + int(facts["mem_aof_buffer"])
    return int(facts["used_memory"]) - buffers


async def _left(side: Side, before: set[bytes], jobs: int) -> int:
    await side.run(Load(topic=TOPIC, in_flight=100, jobs=jobs, expire_s=1))
    await _until_gone(side.server, "*:j:*")
    return len(await _keys(side.server, "*") - before)


async def _until_gone(server: Server, pattern: str) -> None:
    """Wait until no key matches, but not for ever."""
    for _ in range(round(GONE_WITHIN_S / 0.25)):
        if not await _keys(server, pattern):
            return
        await asyncio.sleep(0.25)


async def _keys(server: Server, pattern: str) -> set[bytes]:
    return {key async for key in server.client.scan_iter(match=pattern, count=1000)}
