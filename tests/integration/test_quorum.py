"""The quorum service: what it says of a fleet, and the house that it keeps; one of them or many."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from support import eventually
from test_fleet import MEMBER, Calls, deploy, start

from hotmesh import HotMesh, Worker
from hotmesh.quorum import duties, roll
from hotmesh.quorum.component import Quorum
from hotmesh.quorum.roll import records
from hotmesh.quorum.throttle import throttles, write
from hotmesh.store import leases
from hotmesh.store.fleet import forget_member

MeshFactory = Callable[..., Awaitable[HotMesh]]


def quorum_of(mesh: HotMesh) -> Quorum:
    found = [c for stage in mesh.host._stages for c in stage if isinstance(c, Quorum)]
    assert len(found) == 1
    return found[0]


async def test_quorum_service_is_a_member_and_says_who_falls_silent(
    mesh_factory: MeshFactory, app_id: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roll, "SILENT_MS", 1_000)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MEMBER, redis_url, app_id), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"
        with capture_logs() as logs:
            mesh = await mesh_factory(engine=False, quorum=True)
            roles = {m.roles for m in await mesh.roll_call()}
            assert roles == {("quorum",), ("worker:other",)}
            os.kill(process.pid, signal.SIGSTOP)
            quorum = quorum_of(mesh)

            async def said(what: str) -> bool:
                await quorum.look()
                return any(line["event"] == what for line in logs)

            await eventually(lambda: said("member.silent"))
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            await eventually(lambda: said("member.dead"))
        silent = [s for s in logs if s["event"] == "member.silent" and s["pid"] == process.pid]
        assert [s["log_level"] for s in silent] == ["warning"]  # once
        assert "engine.missing" in [line["event"] for line in logs]
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()


async def test_topic_that_nobody_serves_is_said(
    mesh_factory: MeshFactory, app_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hotmesh")
    client = await mesh_factory()
    await deploy(client, app_id, "a")
    await start(client, "a", 3)

    with capture_logs() as logs:
        mesh = await mesh_factory(engine=False, quorum=True)
        await eventually(lambda: any(line["event"] == "topic.unserved" for line in logs))
        await mesh_factory(engine=False, workers=[Worker("a", Calls())])

        async def is_served() -> bool:
            await quorum_of(mesh).look()
            return any(line["event"] == "topic.served" for line in logs)

        await eventually(is_served)
    (line,) = [line for line in logs if line["event"] == "topic.unserved"]
    assert (line["topic"], line["depth"]) == ("a", 3)


async def test_any_number_of_them_keep_house_at_once(
    mesh_factory: MeshFactory, app_id: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duties, "FORGOTTEN_MS", 0)
    calls = Calls()
    client = await mesh_factory()
    await deploy(client, app_id, "a")
    store = client._store
    stream = store.keys.partitions[0].worker("a")
    await start(client, "a", 4)
    await leases.create_group(store, stream, "worker")

    async def read(consumer: str, count: int) -> list[bytes]:
        command = ("XREADGROUP", "GROUP", "worker", consumer, "COUNT", count)
        reply = await store.transport.execute(*command, "STREAMS", stream, ">")
        return [row[0] for row in reply[0][1]]

    settled = await read("0123456789.1.1.idle", 2)
    await store.transport.execute("XACK", stream, "worker", *settled)  # and the XDEL was cut off
    held = await read("0123456789.2.1.busy", 2)
    ghost: dict[str, Any] = {"guid": "ghost", "roles": ["engine"], "host": "h", "pid": 1}
    ghost |= {"release": "0", "consumer": "0123456789.3.1.ghost", "seen_ms": 1}
    await store.transport.execute(
        "HSET", store.keys.members, "ghost", msgspec.msgpack.encode(ghost)
    )
    await write(store, "member:ghost", 5, "")
    await write(store, "topic:a", -1, "")
    meshes = [await mesh_factory(engine=False, quorum=True) for _ in range(3)]

    await asyncio.gather(*(quorum_of(mesh).keep_house() for mesh in meshes for _ in range(3)))

    names = {c.name: c.pending for c in await leases.consumers(store, stream, "worker")}
    assert names == {"0123456789.2.1.busy": 2}
    left = [row[0] for row in await store.transport.execute("XRANGE", stream, "-", "+")]
    assert left == held
    assert "ghost" not in {m.guid for m in await client.roll_call()}
    assert set(await throttles(store)) == {"topic:a"}
    await client.throttle(0)
    # Nothing was lost by it: who held the two is gone, and a worker does them after the lease.
    await mesh_factory(engine=False, workers=[Worker("a", calls)], lease="500ms")
    await eventually(lambda: len(calls.at) == 2)


async def test_member_that_beats_while_it_is_forgotten_stays(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    mesh = await mesh_factory()
    ((profile, data),) = await records(mesh._store)
    await mesh.roll_call()  # it beats again

    async def has_beaten() -> bool:
        return (await records(mesh._store))[0][1] != data

    await eventually(has_beaten)
    assert not await forget_member(mesh._store, profile.guid, data, f"member:{profile.guid}")
    assert len(await mesh.roll_call()) == 1
