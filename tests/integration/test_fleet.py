"""What a fleet is told, and what it tells: throttles, drains, roll calls, messages."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs
from support import eventually

from hotmesh import HotMesh, Settings, StreamData, Worker, connect
from hotmesh.errors import (
    DrainTimeout,
    MemberAmbiguous,
    MemberNotFound,
    NameInvalid,
    PayloadTooLarge,
    SettingsInvalid,
)
from hotmesh.lifecycle import Host
from hotmesh.mesh.fleet import QuorumMessage
from hotmesh.quorum import Part, Profile, Served, join, roll
from hotmesh.quorum.snapshot import take
from hotmesh.quorum.throttle import throttles, write
from hotmesh.release import RELEASE
from hotmesh.router import Delivery, Router, RouterSettings
from hotmesh.store import Entry, Keys, leases
from hotmesh.store.fleet import trim

MeshFactory = Callable[..., Awaitable[HotMesh]]

LEASE = "600ms"

# A worker in a process of its own, until it is killed.
MEMBER = """
import asyncio, sys
from hotmesh import HotMesh, Worker
async def work(data: dict) -> dict:
    return {}
async def main():
    await HotMesh.init(sys.argv[2], sys.argv[1], engine=False, workers=[Worker("other", work)])
    print("ready", flush=True)
    await asyncio.sleep(3600)
asyncio.run(main())
"""


def model(app_id: str, *topics: str) -> dict[str, Any]:
    """One graph per topic, of one worker."""
    graphs = [
        {
            "subscribes": f"run.{topic}",
            "expire": 60,
            "activities": {
                f"t{topic}": {"type": "trigger"},
                f"w{topic}": {"type": "worker", "topic": topic, "input": {"maps": {}}},
            },
            "transitions": {f"t{topic}": [{"to": f"w{topic}"}]},
        }
        for topic in topics
    ]
    return {"app": {"id": app_id, "version": "1", "graphs": graphs}}


async def deploy(mesh: HotMesh, app_id: str, *topics: str) -> None:
    await mesh.deploy(model(app_id, *topics))
    await mesh.activate("1")


class Calls:
    """A worker's function: notes when it is called, and waits while the gate is shut."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, msg: StreamData) -> dict[str, Any]:
        self.at.append(time.monotonic())
        await self.gate.wait()
        return {}


async def part(mesh: HotMesh, role: str, guid: str = "") -> Part:
    """What one router of the fleet tells."""
    found = [
        p for m in await mesh.roll_call() for p in m.parts if p.role == role and guid in m.guid
    ]
    assert len(found) == 1, found
    return found[0]


async def start(mesh: HotMesh, topic: str, jobs: int) -> None:
    for _ in range(jobs):
        await mesh.pub(f"run.{topic}", {})


async def idle_and_empty(mesh: HotMesh, role: str) -> None:
    async def holds() -> bool:
        now = await part(mesh, role)
        return (now.depth, now.lag, now.pending, now.in_flight) == (0, 0, 0, 0)

    await eventually(holds)


# -- throttle


async def test_paused_topic_takes_nothing_and_holds_nothing_until_it_is_resumed(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    a, b = Calls(), Calls()
    mesh = await mesh_factory(workers=[Worker("a", a), Worker("b", b)])
    await deploy(mesh, app_id, "a", "b")

    assert await mesh.throttle(-1, topic="a", reason="the bank is down")
    await start(mesh, "a", 5)
    await start(mesh, "b", 5)

    await eventually(lambda: len(b.at) == 5)
    paused = await part(mesh, "worker:a")
    assert (paused.state, paused.throttle_ms, paused.in_flight) == ("paused", -1, 0)
    assert (paused.depth, paused.lag, paused.pending, a.at) == (5, 5, 0, [])
    (rule,) = (await throttles(mesh._store)).values()
    assert (rule.ms, rule.why) == (-1, "the bank is down")
    assert str(os.getpid()) in rule.by and rule.at_ms > 0

    assert await mesh.throttle(0, topic="a")
    await eventually(lambda: len(a.at) == 5)
    assert await throttles(mesh._store) == {}


async def test_a_pause_holds_from_the_moment_that_it_is_confirmed(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    """Also for the read that was under way: it is ended first."""
    calls = Calls()
    mesh = await mesh_factory(workers=[Worker("a", calls)])
    await deploy(mesh, app_id, "a")

    for _ in range(5):
        calls.at.clear()
        assert await mesh.throttle(-1)
        await start(mesh, "a", 1)
        assert (await part(mesh, "worker:a")).lag == 1
        assert calls.at == []
        assert await mesh.throttle(0)
        await eventually(lambda: len(calls.at) == 1)


async def test_throttled_worker_leaves_the_time_between_entries_and_siblings_take_the_rest(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    slow, fast = Calls(), Calls()
    client = await mesh_factory()
    await deploy(client, app_id, "a")
    mesh = await mesh_factory(engine=False, workers=[Worker("a", slow)])
    assert await client.throttle(100, guid=mesh._guid)

    await start(client, "a", 5)
    await eventually(lambda: len(slow.at) == 5)

    gaps = [after - before for before, after in zip(slow.at, slow.at[1:], strict=False)]
    assert min(gaps) > 0.09, gaps  # never faster, whatever the machine does
    assert (await part(client, "worker:a")).state == "throttled"

    await mesh_factory(engine=False, workers=[Worker("a", fast)])
    await client.throttle(60_000, guid=mesh._guid)
    await start(client, "a", 20)
    await eventually(lambda: len(slow.at) + len(fast.at) == 25)
    assert len(slow.at) <= 6


async def test_lowered_throttle_wakes_who_sleeps(mesh_factory: MeshFactory, app_id: str) -> None:
    calls = Calls()
    mesh = await mesh_factory(workers=[Worker("a", calls)])
    await deploy(mesh, app_id, "a")
    assert await mesh.throttle(600_000, topic="a")
    await start(mesh, "a", 3)
    await eventually(lambda: len(calls.at) == 1)  # the first owes nothing yet

    assert await mesh.throttle(1, topic="a")

    await eventually(lambda: len(calls.at) == 3)


async def test_throttle_outlives_the_fleet_and_is_read_before_the_first_entry(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    client = await mesh_factory()
    await deploy(client, app_id, "a")
    assert await client.throttle(-1, topic="a")  # nobody serves it yet
    await start(client, "a", 3)

    calls = Calls()
    await mesh_factory(engine=False, workers=[Worker("a", calls)])

    now = await part(client, "worker:a")
    assert (now.state, now.taken, calls.at) == ("paused", 0, [])
    assert await client.throttle(0)
    await eventually(lambda: len(calls.at) == 3)


async def test_throttle_whose_message_was_lost_is_read_with_the_next_beat(
    mesh_factory: MeshFactory, app_id: str, redis_url: str
) -> None:
    mesh = await mesh_factory(workers=[Worker("a", Calls())])
    await deploy(mesh, app_id, "a")

    await write(mesh._store, "topic:a", -1, "")  # written, and never told

    router = mesh.host._stages[-1][-1].router  # type: ignore[attr-defined]
    await eventually(lambda: router.state == "paused")


async def test_strictest_throttle_applies_and_one_for_all_replaces_every_other(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    mesh = await mesh_factory(workers=[Worker("a", Calls()), Worker("b", Calls())])
    await deploy(mesh, app_id, "a", "b")

    async def paces() -> list[int]:
        (member,) = await mesh.roll_call()
        return [p.throttle_ms for p in member.parts]

    await mesh.throttle(50)
    await mesh.throttle(20, topic="a")
    await mesh.throttle(70, topic="b")
    assert await paces() == [50, 50, 70]
    await mesh.throttle(-1, guid=mesh._guid)
    assert await paces() == [-1, -1, -1]
    await mesh.throttle(0, guid=mesh._guid)
    assert await paces() == [50, 50, 70]
    await mesh.throttle(5)
    assert await paces() == [5, 5, 5]
    await mesh.throttle(0)
    assert await paces() == [0, 0, 0]


@pytest.mark.parametrize("ms", [-2, 1.5, "10", True, None, 2**31])
async def test_throttle_that_is_none_is_refused(
    mesh_factory: MeshFactory, app_id: str, ms: Any
) -> None:
    mesh = await mesh_factory(engine=False)

    with pytest.raises(SettingsInvalid, match="-1 for a pause"):
        await mesh.throttle(ms)
    assert await throttles(mesh._store) == {}


async def test_throttle_of_nobody_is_refused(mesh_factory: MeshFactory, app_id: str) -> None:
    mesh = await mesh_factory(engine=False)

    with pytest.raises(MemberNotFound, match="rollcall"):
        await mesh.throttle(5, guid="nobody")
    with pytest.raises(NameInvalid):
        await mesh.throttle(5, topic="a{b}")
    with pytest.raises(SettingsInvalid, match="not for both"):
        await mesh.throttle(5, "a", "b")
    assert await throttles(mesh._store) == {}


async def test_throttle_of_a_member_goes_with_it_or_can_be_lifted(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    client = await mesh_factory(engine=False)
    member = await mesh_factory()
    await client.throttle(5, guid=member._guid)
    await member.stop()
    assert await client.throttles() == {}

    await write(client._store, "member:killed", 5, "")  # one that could not say goodbye
    assert await client.throttle(0, guid="killed")
    assert await client.throttles() == {}
    with pytest.raises(MemberNotFound):
        await client.throttle(5, guid="killed")


async def test_entries_of_the_dead_wait_while_the_living_are_paused(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    """A sweep claims nothing for a router that may not take entries."""
    calls = Calls()
    mesh = await mesh_factory(workers=[Worker("a", calls)], lease=LEASE)
    await deploy(mesh, app_id, "a")
    await mesh.throttle(-1, topic="a")
    await start(mesh, "a", 2)
    stream = mesh._store.keys.partitions[0].worker("a")
    other = ("XREADGROUP", "GROUP", "worker", "0123456789.1.1.gone", "COUNT", 9)
    await mesh._store.transport.execute(*other, "STREAMS", stream, ">")

    async def expired() -> bool:
        rows = await mesh._store.transport.execute("XPENDING", stream, "worker", "-", "+", 9)
        return all(idle_ms > 1500 for _, _, idle_ms, _ in rows)

    await eventually(expired)
    assert calls.at == []
    await mesh.throttle(0)
    await eventually(lambda: len(calls.at) == 2)


# -- drain


async def test_drained_member_takes_nothing_more_and_says_so(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    first, second = Calls(), Calls()
    client = await mesh_factory()
    await deploy(client, app_id, "a")
    worker = await mesh_factory(
        engine=False, workers=[Worker("a", first)], settings=Settings(grace="30s")
    )
    first.gate.clear()
    await start(client, "a", 2)
    await eventually(lambda: len(first.at) == 2)

    draining = asyncio.create_task(client.drain(worker._guid))

    async def is_draining() -> bool:
        return (await part(client, "worker:a", worker._guid)).state == "draining"

    await eventually(is_draining)
    await start(client, "a", 3)
    first.gate.set()
    drained = await draining
    assert (drained.guid, drained.state, drained.in_flight) == (worker._guid, "drained", 0)
    assert (drained.parts[0].taken, drained.parts[0].codes) == (2, {200: 2})

    await mesh_factory(engine=False, workers=[Worker("a", second)])
    await eventually(lambda: len(second.at) == 3)
    assert len(first.at) == 2
    assert (await client.drain(worker._guid)).state == "drained"  # again: nothing to do


async def test_drain_hands_back_what_its_grace_does_not_suffice_for(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    stuck, other = Calls(), Calls()
    client = await mesh_factory()
    await deploy(client, app_id, "a")
    options = {"engine": False, "settings": Settings(grace="100ms")}
    worker = await mesh_factory(workers=[Worker("a", stuck)], **options)
    stuck.gate.clear()
    await start(client, "a", 1)
    await eventually(lambda: stuck.at)
    await mesh_factory(workers=[Worker("a", other)], **options)

    assert (await client.drain(worker._guid)).in_flight == 0

    await eventually(lambda: other.at)


async def test_drain_that_takes_longer_than_asked_says_what_is_in_hand(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    stuck = Calls()
    client = await mesh_factory()
    await deploy(client, app_id, "a")
    settings = Settings(grace="30s")
    worker = await mesh_factory(engine=False, workers=[Worker("a", stuck)], settings=settings)
    stuck.gate.clear()
    await start(client, "a", 1)
    await eventually(lambda: stuck.at)

    with pytest.raises(DrainTimeout, match="1 entries") as caught:
        await client.drain(worker._guid, timeout="300ms")
    assert caught.value.in_flight == 1

    stuck.gate.set()
    assert (await client.drain(worker._guid)).state == "drained"


async def test_members_are_named_by_guid_beginning_or_host(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    one = await mesh_factory(engine=True)
    host = (await one.roll_call())[0].host
    assert (await one.drain(one._guid[:8])).guid == one._guid
    other = await mesh_factory(engine=True)

    with pytest.raises(MemberAmbiguous) as caught:
        await one.drain(host)
    assert set(caught.value.guids) == {one._guid, other._guid}
    with pytest.raises(MemberNotFound):
        await one.drain("")


# -- roll call


async def test_roll_call_tells_all_about_every_member(
    mesh_factory: MeshFactory, app_id: str, redis_url: str
) -> None:
    calls = Calls()
    client = await mesh_factory(engine=False, partitions=4)
    engine = await mesh_factory()
    worker = await mesh_factory(engine=False, workers=[Worker("a", calls, concurrency=3)])
    await deploy(client, app_id, "a")
    await start(client, "a", 20)
    await idle_and_empty(client, "worker:a")
    calls.gate.clear()
    await start(client, "a", 8)
    await eventually(lambda: len(calls.at) == 23)
    await client.pub("run.a", {})

    members: dict[str, Profile] = {m.guid: m for m in await client.roll_call()}
    assert set(members) == {engine._guid, worker._guid}
    for member in members.values():
        assert (member.pid, member.release, member.state) == (os.getpid(), RELEASE, "running")
        assert member.host and member.memory_bytes > 10_000_000 and member.cpu_s > 0
        assert 0 < member.started_ms <= member.seen_ms
        assert abs(member.clock_offset_ms) < 5_000  # the same host's clock
    now = members[worker._guid]
    assert (now.topics, now.roles, now.in_flight) == (("a",), ("worker:a",), 3)
    (mine,) = now.parts
    assert (mine.capacity, mine.taken, mine.settled, mine.codes) == (3, 23, 20, {200: 20})
    assert (mine.depth, mine.lag, mine.pending) == (9, 6, 3)
    assert mine.oldest_ms >= 0
    (other,) = members[engine._guid].parts
    assert (other.role, other.depth) == ("engine", 0)
    assert other.settled >= 20
    calls.gate.set()


async def test_silent_member_is_shown_as_it_told_last(
    mesh_factory: MeshFactory, app_id: str, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    monkeypatch.setattr(roll, "SILENT_MS", 1_000)
    client = await mesh_factory()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MEMBER, redis_url, app_id),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"
        os.kill(process.pid, signal.SIGSTOP)

        async def is_silent() -> bool:
            states = {m.pid: m.state for m in await client.roll_call(timeout="100ms")}
            assert states[os.getpid()] == "running"
            return states[process.pid] == "silent"

        await eventually(is_silent)
        os.kill(process.pid, signal.SIGCONT)

        async def is_back() -> bool:
            return {m.pid: m.state for m in await client.roll_call()}[process.pid] == "running"

        await eventually(is_back)
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        assert {m.pid: m.state for m in await client.roll_call()}[process.pid] == "dead"
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()


async def test_roll_call_survives_the_loss_of_pub_sub(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    client = await mesh_factory(engine=False)
    await mesh_factory()
    for _ in range(10):
        calling = asyncio.create_task(client.roll_call(timeout="5s"))
        await client._store.transport.execute("CLIENT", "KILL", "TYPE", "pubsub")
        assert len(await calling) == 1


class Echo:
    """A handler of a plain stream, as a router of another service would be."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.router: Router | None = None

    async def handle(self, batch: list[Delivery]) -> None:
        assert self.router is not None
        for delivery in batch:
            self.seen.append(delivery.payload or b"")
            store, group = self.router._store, self.router.group
            await store.acknowledge(Entry(delivery.stream, group, (delivery.id,)))
        self.router.done(d.key for d in batch)

    async def bury(self, delivery: Delivery, reason: str) -> None:
        raise AssertionError(reason)

    def lost(self, keys: set[Any]) -> None: ...

    async def finish(self) -> None: ...


async def test_router_of_another_service_is_a_member_like_others(
    mesh_factory: MeshFactory, app_id: str, redis_url: str
) -> None:
    client = await mesh_factory(engine=False)
    stream, echo = f"{{{app_id}}}:orders", Echo()
    async with await connect.open(redis_url, role="router") as connection:
        settings = RouterSettings()
        router = Router("router", connection, client._store, [stream], "billing", echo, settings)
        echo.router = router
        served = Served("router:orders", "orders", router, router.drain, is_named=True)
        member = await join(connection, app_id, roles=("router:billing",), serves=lambda: [served])
        await client.throttle(-1, topic="orders")
        host = Host([[member], [router]])
        await host.start()
        try:
            for number in range(3):
                await client._store.transport.execute("XADD", stream, "*", "p", str(number))
            paused = await part(client, "router:orders")
            assert (paused.state, paused.lag, paused.streams) == ("paused", 3, (stream,))
            assert paused.group == "billing" and echo.seen == []
            flows = (await take(connection, client._store, ())).flows
            assert [(f.topic, f.lag) for f in flows] == [("(engine)", 0), ("router:orders", 3)]

            await client.throttle(0, topic="orders")
            await eventually(lambda: echo.seen == [b"0", b"1", b"2"])
            drained = await client.drain(member.profile.guid)
            assert (drained.roles, drained.state) == (("router:billing",), "drained")
            assert drained.parts[0].settled == 3
        finally:
            await host.stop()
    assert await client.roll_call() == []


# -- messages


async def test_messages_reach_all_or_those_of_a_topic_or_one(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    engine = await mesh_factory()
    worker = await mesh_factory(engine=False, workers=[Worker("a", Calls())])
    client = await mesh_factory(engine=False)
    heard: dict[str, list[QuorumMessage]] = {"engine": [], "worker": [], "client": []}

    async def later(message: QuorumMessage) -> None:
        await asyncio.sleep(0)
        heard["worker"].append(message)

    await engine.sub_quorum(heard["engine"].append)
    subscription = await worker.sub_quorum(later)
    await client.sub_quorum(heard["client"].append)

    assert await client.pub_quorum("cache.flush", {"table": "prices"}) >= 1
    await client.pub_quorum("a.only", topic="a")
    await client.pub_quorum("one.only", [1], guid=engine._guid)

    await eventually(lambda: [len(found) for found in heard.values()] == [2, 2, 1])
    assert [m.kind for m in heard["engine"]] == ["cache.flush", "one.only"]
    assert [m.kind for m in heard["worker"]] == ["cache.flush", "a.only"]
    first = heard["client"][0]
    assert (first.data, first.sender) == ({"table": "prices"}, client._guid)

    await subscription.unsubscribe()
    await client.pub_quorum("last")
    await eventually(lambda: len(heard["client"]) == 2)
    assert len(heard["worker"]) == 2


async def test_message_that_is_no_hint_is_refused(mesh_factory: MeshFactory, app_id: str) -> None:
    mesh = await mesh_factory(engine=False)

    with pytest.raises(PayloadTooLarge, match=r"over the limit of 1,024"):
        await mesh.pub_quorum("big", "x" * 2_000)


async def test_handler_of_messages_that_fails_is_logged_and_called_again(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    mesh = await mesh_factory(engine=False)
    heard: list[str] = []

    def handler(message: QuorumMessage) -> None:
        heard.append(message.kind)
        raise ValueError("no")

    await mesh.sub_quorum(handler)
    with capture_logs() as logs:
        await mesh.pub_quorum("one")
        await mesh.pub_quorum("two")
        await eventually(lambda: heard == ["one", "two"])
        await eventually(lambda: len(logs) >= 2)
    assert {line["event"] for line in logs} == {"message.handler_failed"}


# -- trimming


@pytest.fixture
async def peek(redis_url: str) -> AsyncIterator[connect.Transport]:
    async with await connect.open(redis_url, role="peek") as connection:
        yield connection.transport


async def test_trim_drops_what_is_settled_and_nothing_else(
    mesh_factory: MeshFactory, app_id: str, peek: connect.Transport
) -> None:
    mesh = await mesh_factory(engine=False)
    stream = Keys("hm", app_id).partitions[0].worker("t")
    await leases.create_group(mesh._store, stream, "worker")
    ids = [await peek.execute("XADD", stream, "*", "p", str(n)) for n in range(10)]

    assert await trim(mesh._store, stream, "worker") == 0  # nothing was delivered

    read = ("XREADGROUP", "GROUP", "worker", "c", "COUNT", 6, "STREAMS", stream, ">")
    await peek.execute(*read)
    await peek.execute("XACK", stream, "worker", *ids[:3], ids[4])
    assert await trim(mesh._store, stream, "worker") == 3
    left = [row[0] for row in await peek.execute("XRANGE", stream, "-", "+")]
    assert left == ids[3:]  # the fifth is settled, and lies above one that is pending

    await peek.execute("XACK", stream, "worker", *ids[3:6])
    assert await trim(mesh._store, stream, "worker") == 3
    assert await peek.execute("XLEN", stream) == 4

    await peek.execute("XGROUP", "CREATE", stream, "another", "0")
    await peek.execute(*read)
    await peek.execute("XACK", stream, "worker", *ids)
    assert await trim(mesh._store, stream, "worker") == 0  # who else reads here is not ours
