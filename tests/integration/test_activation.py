"""Activation on a live fleet: an engine and a worker in processes of their own, a client here."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support import eventually

from hotmesh import HotMesh, connect
from hotmesh.compiler.plan import FORMAT
from hotmesh.errors import (
    ActivationFailed,
    AppNotFound,
    VersionNotFound,
    VersionSealed,
)
from hotmesh.store import Keys

MeshFactory = Callable[..., Awaitable[HotMesh]]

# A member in a process of its own. Its worker waits as long as the file exists that the call names.
MEMBER = """
import asyncio, os, sys
from hotmesh import HotMesh, Worker, StreamData
url, app_id, role = sys.argv[1:]
async def work(msg: StreamData):
    while msg.data.get("hold") and os.path.exists(msg.data["hold"]):
        await asyncio.sleep(0.01)
    return {"y": msg.data.get("x")}
async def main():
    workers = [Worker("work.do", work)] if role == "worker" else []
    mesh = await HotMesh.init(app_id, url, engine=role == "engine", workers=workers)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await mesh.stop()
asyncio.run(main())
"""


@dataclass
class Member:
    """A process of the fleet."""

    role: str
    process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, url: str, app_id: str, role: str) -> Member:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", MEMBER, url, app_id, role),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        return cls(role, process)

    async def ready(self) -> None:
        assert self.process.stdout is not None
        while (line := await asyncio.wait_for(self.process.stdout.readline(), 20)) != b"ready\n":
            assert line, f"the {self.role} ended before it was ready"

    async def leave(self) -> None:
        """As it should be: within its grace, and with its goodbye."""
        await asyncio.wait_for(self.process.communicate(b"\n"), 10)
        assert self.process.returncode == 0

    async def kill(self) -> None:
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.communicate()

    def stop(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


@dataclass
class Fleet:
    engine: Member
    worker: Member
    client: HotMesh


@pytest.fixture
async def fleet(redis_url: str, app_id: str, mesh_factory: MeshFactory) -> AsyncIterator[Fleet]:
    members = [await Member.start(redis_url, app_id, role) for role in ("engine", "worker")]
    try:
        client = await mesh_factory(engine=False)
        for member in members:
            await member.ready()
        yield Fleet(*members, client)
    finally:
        for member in members:
            await member.kill()


@pytest.fixture
async def transport(redis_url: str) -> AsyncIterator[connect.Transport]:
    async with await connect.open(redis_url, role="peek") as connection:
        yield connection.transport


def model(app_id: str, version: str, mark: str = "") -> dict[str, Any]:
    """A worker, then a hook that writes the version (or `mark`) into the job's data."""
    graph = {
        "subscribes": "run",
        "expire": 60,
        "activities": {
            "t": {"type": "trigger"},
            "w": {
                "type": "worker",
                "topic": "work.do",
                "input": {
                    "maps": {"x": "{t.output.data.x}", "hold": "{t.output.data.hold}"},
                },
                "job": {"maps": {"y": "{$self.output.data.y}"}},
            },
            f"h{version}": {"type": "hook", "job": {"maps": {"mark": mark or version}}},
        },
        "transitions": {"t": [{"to": "w"}], "w": [{"to": f"h{version}"}]},
    }
    return {"app": {"id": app_id, "version": version, "graphs": [graph]}}


async def release(client: HotMesh, source: dict[str, Any]) -> None:
    await client.deploy(source)
    assert await client.activate(source["app"]["version"]) is True


async def run(client: HotMesh) -> tuple[str, str]:
    """The version that a new job runs on, and the mark that it leaves."""
    out = await client.pubsub("run", {"x": 1}, timeout=10)
    return out.metadata.vrs, out.data["mark"]


async def test_activation_switches_all_members(fleet: Fleet, app_id: str) -> None:
    for version in ("1", "2", "1"):
        await release(fleet.client, model(app_id, version))

        assert await run(fleet.client) == (version, version)


async def test_jobs_in_flight_finish_on_their_version(
    fleet: Fleet, app_id: str, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    await release(fleet.client, model(app_id, "1"))
    jids = [await fleet.client.pub("run", {"x": x, "hold": str(hold)}) for x in range(10)]

    await release(fleet.client, model(app_id, "2"))
    assert await run(fleet.client) == ("2", "2")
    hold.unlink()

    async def are_done() -> bool:
        return all([await fleet.client.get_status(jid) == 0 for jid in jids])

    await eventually(are_done)
    for x, jid in enumerate(jids):
        out = await fleet.client.get_state("run", jid)
        assert (out.metadata.vrs, out.data) == ("1", {"y": x, "mark": "1"})


async def test_start_that_races_the_switch_never_runs_on_the_old_version_afterwards(
    fleet: Fleet, app_id: str, mesh_factory: MeshFactory
) -> None:
    await release(fleet.client, model(app_id, "1"))
    await fleet.client.deploy(model(app_id, "2"))
    others = [await mesh_factory(engine=False) for _ in range(3)]
    started: list[tuple[float, HotMesh, str]] = []
    is_over = False

    async def start(mesh: HotMesh) -> None:
        while not is_over:
            began_at = time.monotonic()
            started.append((began_at, mesh, await mesh.pub("run", {"x": 1})))

    starters = [asyncio.create_task(start(mesh)) for mesh in others]
    await eventually(lambda: len(started) > 50)
    await fleet.client.activate("2")
    activated_at = time.monotonic()
    before = len(started)
    await eventually(lambda: len(started) > before + 50)
    is_over = True
    await asyncio.gather(*starters)

    versions = []
    for began_at, mesh, jid in started:
        vrs = (await mesh.get_state("run", jid)).metadata.vrs
        versions.append(vrs)
        if began_at > activated_at:
            assert vrs == "2"
    assert versions[0] == "1"
    assert versions[-1] == "2"


async def test_member_that_cannot_read_the_plan_refuses_with_its_reason(
    fleet: Fleet, app_id: str, transport: connect.Transport
) -> None:
    client = fleet.client
    await release(client, model(app_id, "1"))
    await client.deploy(model(app_id, "2"))
    await client._plans.program("2")  # this client is of the newer release: it can
    await _raise_format(transport, app_id, "2")

    with pytest.raises(ActivationFailed) as caught:
        await client.activate("2", timeout="3s")

    members = {m.guid: m for m in await client.roll_call()}
    assert set(caught.value.members) == set(members)
    assert all(re.search(r"format 99.*upgrade", why) for why in caught.value.members.values())
    assert await run(client) == ("1", "1")


async def test_client_that_cannot_read_the_plan_does_not_activate_it(
    fleet: Fleet, app_id: str, transport: connect.Transport
) -> None:
    await release(fleet.client, model(app_id, "1"))
    await fleet.client.deploy(model(app_id, "2"))
    await _raise_format(transport, app_id, "2")

    with pytest.raises(ActivationFailed, match="format 99"):
        await fleet.client.activate("2")

    assert await run(fleet.client) == ("1", "1")


async def _raise_format(transport: connect.Transport, app_id: str, version: str) -> None:
    """Store a plan again as a release of the future would have."""
    key = Keys("hm", app_id).plans
    plan = msgspec.msgpack.decode(await transport.execute("HGET", key, version))
    assert plan.get("format", 1) <= FORMAT
    await transport.execute("HSET", key, version, msgspec.msgpack.encode(plan | {"format": 99}))


async def test_silent_member_is_named_and_nothing_changes(fleet: Fleet, app_id: str) -> None:
    await release(fleet.client, model(app_id, "1"))
    await fleet.client.deploy(model(app_id, "2"))
    fleet.worker.stop()

    with pytest.raises(ActivationFailed) as caught:
        await fleet.client.activate("2", timeout="1s")

    ((guid, why),) = caught.value.members.items()
    roles = {m.guid: m.roles for m in await fleet.client.roll_call()}
    assert roles[guid] == ("worker:work.do",)
    assert str(fleet.worker.process.pid) in why
    assert "1 s" in why
    fleet.worker.go_on()
    assert await run(fleet.client) == ("1", "1")
    assert await fleet.client.activate("2")
    assert await run(fleet.client) == ("2", "2")


async def test_dead_member_is_ignored(fleet: Fleet, app_id: str, redis_url: str) -> None:
    await release(fleet.client, model(app_id, "1"))
    await fleet.client.deploy(model(app_id, "2"))
    await fleet.worker.kill()
    began_at = time.monotonic()

    assert await fleet.client.activate("2")

    assert time.monotonic() - began_at < 1
    again = await Member.start(redis_url, app_id, "worker")
    try:
        await again.ready()
        assert await run(fleet.client) == ("2", "2")
    finally:
        await again.kill()


async def test_member_that_left_is_not_asked(fleet: Fleet, app_id: str) -> None:
    await release(fleet.client, model(app_id, "1"))
    assert len(await fleet.client.roll_call()) == 2

    await fleet.worker.leave()
    await fleet.engine.leave()

    assert await fleet.client.roll_call() == []
    await release(fleet.client, model(app_id, "2"))


async def test_activation_survives_the_loss_of_pub_sub(
    fleet: Fleet, app_id: str, transport: connect.Transport
) -> None:
    await release(fleet.client, model(app_id, "1"))
    await fleet.client.deploy(model(app_id, "2"))

    activating = asyncio.create_task(fleet.client.activate("2", timeout="10s"))
    for _ in range(20):
        await transport.execute("CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(0.01)

    assert await asyncio.wait_for(activating, 10)
    assert await run(fleet.client) == ("2", "2")


async def test_another_model_under_an_activated_version_is_refused(
    fleet: Fleet, app_id: str
) -> None:
    await release(fleet.client, model(app_id, "1", mark="the first"))

    with pytest.raises(VersionSealed, match="new version"):
        await fleet.client.deploy(model(app_id, "1", mark="another"))

    assert await run(fleet.client) == ("1", "the first")
    plan = await fleet.client.plan(model(app_id, "1", mark="another"))
    assert not plan.hot
    assert "new one" in plan.reason


async def test_same_model_again_changes_nothing(fleet: Fleet, app_id: str) -> None:
    first = await fleet.client.deploy(model(app_id, "1"))
    await fleet.client.activate("1")

    again = await fleet.client.deploy(model(app_id, "1"))

    assert (first.changed, again.changed) == (True, False)
    assert await run(fleet.client) == ("1", "1")


async def test_version_that_was_never_deployed_is_refused_and_names_those_that_were(
    fleet: Fleet, app_id: str
) -> None:
    with pytest.raises(AppNotFound):
        await fleet.client.pub("run", {"x": 1})
    await fleet.client.deploy(model(app_id, "1"))

    with pytest.raises(VersionNotFound, match="deployed are 1"):
        await fleet.client.activate("2")


async def test_model_that_was_replaced_after_a_failed_activation_is_the_one_that_runs(
    fleet: Fleet, app_id: str
) -> None:
    await fleet.client.deploy(model(app_id, "1", mark="wrong"))
    fleet.worker.stop()
    with pytest.raises(ActivationFailed):
        await fleet.client.activate("1", timeout="300ms")
    fleet.worker.go_on()

    replaced = await fleet.client.deploy(model(app_id, "1", mark="right"))
    assert replaced.changed
    await fleet.client.activate("1")

    assert await run(fleet.client) == ("1", "right")


async def test_model_that_is_replaced_while_it_is_activated_is_not_mixed(
    fleet: Fleet, app_id: str, mesh_factory: MeshFactory
) -> None:
    other = await mesh_factory(engine=False)
    await fleet.client.deploy(model(app_id, "1", mark="first"))
    fleet.worker.stop()
    activating = asyncio.create_task(fleet.client.activate("1", timeout="5s"))
    await asyncio.sleep(0.3)  # the engine has prepared the first

    refused = activated = False
    try:
        await other.deploy(model(app_id, "1", mark="second"))
    except ActivationFailed:
        refused = True
    fleet.worker.go_on()
    try:
        activated = await activating
    except ActivationFailed:
        await other.activate("1")

    # Either may win, but the engine, which answers, and the store must mean the same model.
    fresh = await mesh_factory(engine=False)
    stored = (await fresh._plans.plan("1")).graphs["run"].activities["h1"].job["mark"]
    assert (await run(fleet.client))[1] == stored, (refused, activated)
