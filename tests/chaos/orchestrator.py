"""A small fleet of real processes around a server of its own, and a client that loads it.

    client ── line ──┐
    engine-1, -2 ────┤  one TCP proxy (`Line`) each
    worker-1, -2 ────┼──► valkey-server (append-only file, every second)
    fused-1 ─────────┘

Everything that is started is in a process group of its own, is ended by its pid, and dies with the
tests at the latest.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import hiredis
from checker import Outcome, Record, read_ledger
from nemesis import CLIENT, DEAFENS, ROLES, Done, Fault, Line, Nemesis
from shapes import EXPIRE_S, TOPICS, Job, model

import hotmesh
from hotmesh import HotMesh, JobError, JobNotFound, JobTimeout, StreamResult
from hotmesh.connect import ReplyError
from hotmesh.connect.embedded_start import server_binary
from hotmesh.errors import HotMeshError, Overloaded, ServerUnavailable
from hotmesh.mesh.output import JobOutput
from hotmesh.messages import StreamMetadata
from hotmesh.store import Keys

T = TypeVar("T")

APP, NAMESPACE, LEASE = "chaos", "hm", "2s"
READY_WITHIN_S, QUIET_WITHIN_S, ADMIN_WITHIN_S = 20.0, 20.0, 10.0
POLL_S = 0.05
PR_SET_PDEATHSIG = 1
LOG_TAIL_LINES = 25
COUNTED = (
    *("entries.claimed", "lease.lost", "answer.dropped", "read.failed", "call.retried"),
    *("bus.connection_lost", "entry.left", "group.lost", "entry.dead_lettered", "answer.failed"),
)
"""Log events whose number says what a run has met."""


@dataclass(frozen=True)
class Phase:
    """Some load, and the faults meanwhile."""

    jobs: Sequence[Job]
    faults: Sequence[Fault] = ()
    drain_s: float = 30.0


def free_port() -> int:
    """A TCP port of loopback that nobody has."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One process that is killed and started again."""

    def __init__(
        self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self._command, self.log, self._env = list(command), log, env
        self._popen: subprocess.Popen[bytes] | None = None
        self.is_wanted = False
        self.lock = asyncio.Lock()

    @property
    def pid(self) -> int:
        return self._popen.pid if self._popen else 0

    @property
    def alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def code(self) -> int | None:
        return self._popen.poll() if self._popen else None

    def spawn(self) -> None:
        """Start it, unless it runs."""
        if self.alive:
            return
        with self.log.open("ab") as out:
            self._popen = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self._env,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self.is_wanted = True

    def signal(self, pid: int, number: int) -> bool:
        """Send a signal, if it is still the process of that pid and runs."""
        if not self.alive or self.pid != pid:
            return False
        os.kill(pid, number)
        return True

    async def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.is_wanted = False
        if self._popen is not None and self._popen.poll() is None:
            self._popen.kill()
            while self._popen.poll() is None:  # noqa: ASYNC110  there is no event of it
                await asyncio.sleep(0.005)

    def end(self) -> None:
        """The same without an event loop."""
        self.is_wanted = False
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait(10)


class Server(Process):
    """The server, on one port and one append-only file for all its lives."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        home.mkdir()
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(home),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "enable-debug-command": "local",
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        super().__init__([str(server_binary()), *arguments], home.parent / "server.log")

    async def ready(self) -> None:
        """Return once it has loaded its data and answers."""
        await self.insist("PING")

    async def insist(self, *command: str) -> Any:
        """A command whose repetition does no harm, until it is answered."""
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                return await self.ask(*command)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(POLL_S)

    async def ask(self, *command: str) -> Any:
        """One command on a connection of its own.

        Raises:
            OSError: It could not be asked, or refused.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(hiredis.pack_command(command))  # type: ignore[arg-type]
            parser = hiredis.Reader()
            while (reply := parser.gets()) is False:
                data = await asyncio.wait_for(reader.read(65536), ADMIN_WITHIN_S)
                if not data:
                    raise ConnectionError("the server closed the connection")
                parser.feed(data)
        finally:
            writer.transport.abort()
        if isinstance(reply, hiredis.ReplyError):
            raise ConnectionError(str(reply))
        return reply


@dataclass
class World:
    """What runs: server, roles, their lines to the server, and the client."""

    home: Path
    partitions: int = 1
    broken: str = ""
    roles_wanted: Sequence[str] = ROLES
    in_flight: int = 0
    roles: dict[str, Process] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)
    deaths: list[str] = field(default_factory=list)
    published: Counter[str] = field(default_factory=Counter)
    gaps: list[float] = field(default_factory=list)
    pending_calls: dict[str, dict[str, Any]] = field(default_factory=dict)

    server: Server = field(init=False)
    mesh: HotMesh = field(init=False)
    log: IO[str] = field(init=False)

    def __post_init__(self) -> None:
        self.keys = Keys(NAMESPACE, APP, self.partitions)
        self.ledger = self.home / "ledger.jsonl"
        self.ledger.touch()
        # A run is of one code: processes that are started again must not meet a half-saved file.
        self.code = self.home / "code"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(hotmesh.__file__).parent, self.code / "hotmesh", ignore=ignored)

    # -- opening and closing

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        """Start all of it; end all of it."""
        self.server = Server(self.home / "server")
        async with contextlib.AsyncExitStack() as stack:
            self.log = stack.enter_context((self.home / "faults.log").open("w", buffering=1))
            stack.enter_context(self._client_log())
            stack.callback(self.server.end)
            self.server.spawn()
            await self.server.ready()
            for name in (*self.roles_wanted, CLIENT):
                self.lines[name] = await stack.enter_async_context(Line(self.server.port))
            self.mesh = await HotMesh.init(
                APP, self.url(CLIENT), engine=False, partitions=self.partitions, lease=LEASE
            )
            stack.push_async_callback(self.mesh.stop)
            await self.mesh.deploy(model(APP))
            for name in self.roles_wanted:
                role = self._role(name)
                stack.callback(role.end)
                role.spawn()
            await self._all_there()
            await self.mesh.activate("1")
            await self.mesh.psub("done.*", self._hear)
            self.mesh._connection.bus.on_gap.append(lambda: self.gaps.append(time.time()))
            watching = [asyncio.create_task(self._watch()), asyncio.create_task(self._tail())]
            try:
                yield self
            finally:
                for task in watching:
                    task.cancel()
                await asyncio.wait(watching)

    def url(self, name: str) -> str:
        """Where a process connects to: its own line."""
        return f"redis://127.0.0.1:{self.lines[name].port}"

    def _role(self, name: str) -> Process:
        kind = name.partition("-")[0]
        script = str(Path(__file__).with_name("roles.py"))
        command = [sys.executable, script, kind, self.url(name), APP, str(self.ledger), LEASE]
        command += [self.broken] if self.broken else []
        env = os.environ | {"PYTHONPATH": str(self.code)}
        self.roles[name] = Process(command, self.home / f"{name}.log", env)
        return self.roles[name]

    async def _all_there(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while len(await self.mesh.roll_call()) < len(self.roles):
            dead = [name for name, role in self.roles.items() if not role.alive]
            assert not dead, f"{dead} ended while starting\n{self.tails()}"
            assert time.monotonic() < deadline, f"the fleet did not come up\n{self.tails()}"
            await asyncio.sleep(POLL_S)

    @contextlib.contextmanager
    def _client_log(self) -> Any:
        logger = logging.getLogger("hotmesh")
        handler = logging.FileHandler(self.home / "client.log")
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.setLevel(level)
            logger.removeHandler(handler)
            handler.close()

    async def _watch(self) -> None:
        """A role that ends without our doing is a fault of its own; it is started again."""
        while True:
            await asyncio.sleep(POLL_S)
            for name, role in self.roles.items():
                if role.is_wanted and not role.alive:
                    self.deaths.append(f"{name} (pid {role.pid}, exit code {role.code})")
                    role.spawn()

    async def _tail(self) -> None:
        """Follow the ledger for calls that the client has to answer."""
        with self.ledger.open() as ledger:
            rest = ""
            while True:
                rest += ledger.read()
                *lines, rest = rest.split("\n")
                for line in lines:
                    row = json.loads(line)
                    if "call" in row:
                        self.pending_calls[row["jid"]] = row
                await asyncio.sleep(POLL_S)

    def _hear(self, topic: str, output: JobOutput) -> None:
        self.published[output.metadata.jid] += 1

    # -- the server, directly

    async def admin(self, *command: str) -> Any:
        """One command, not through a line."""
        return await self.server.ask(*command)

    def _groups(self) -> list[tuple[str, str]]:
        found = []
        for partition in self.keys.partitions:
            found.append((partition.engine, "engine"))
            if self.partitions > 1:
                found.append((partition.outbox, "engine"))
            found += [(partition.worker(topic), "worker") for topic in TOPICS]
        return found

    async def held_by(self, pid: int) -> int:
        """Entries that a process held, by its consumers' names; -1 if it can't be known now."""
        held = 0
        try:
            for stream, group in self._groups():
                for row in await self.admin("XINFO", "CONSUMERS", stream, group):
                    facts = dict(zip(row[::2], row[1::2], strict=True))
                    if facts[b"name"].decode().split(".")[1] == str(pid):
                        held += facts[b"pending"]
        except OSError:
            return -1
        return held

    async def leftovers(self) -> dict[str, Any]:
        """What should be gone once all jobs have ended, by kind; empty when it is."""
        found: dict[str, Any] = {}
        for stream, group in self._groups():
            if pending := (await self.server.insist("XPENDING", stream, group))[0]:
                found[f"pending of {stream}"] = pending
            if length := await self.server.insist("XLEN", stream):
                found[f"entries of {stream}"] = length
        for partition in self.keys.partitions:
            if count := await self.server.insist("ZCARD", partition.timers):
                found[f"timers of {partition.timers}"] = count
            if dead := await self.server.insist("XRANGE", partition.dead, "-", "+", "COUNT", "5"):
                found[f"dead letters of {partition.dead}"] = dead
            for kind, letter in (("waiters", "h"), ("early signals", "e")):
                if keys := await self._keys(f"{partition.prefix}{letter}:"):
                    found[f"{kind}"] = keys
        return found

    async def _keys(self, prefix: str) -> list[str]:
        pattern = re.sub(r"([\[\]*?\\{}])", r"\\\1", prefix).replace("\\{", "{").replace("\\}", "}")
        keys = await self.server.insist("KEYS", pattern + "*")
        return sorted(k.decode() for k in keys)

    async def quiet(self, within_s: float = QUIET_WITHIN_S) -> dict[str, Any]:
        """Wait until nothing is left over; what still is at the end of the time."""
        deadline = time.monotonic() + within_s
        while True:
            left = await self.leftovers()
            if not left or time.monotonic() > deadline:
                return left
            await asyncio.sleep(POLL_S)

    async def expired(self) -> dict[str, Any]:
        """Wait until the records of all jobs have expired; job keys and others that are left."""
        deadline = time.monotonic() + EXPIRE_S + 5
        while True:
            found: dict[str, Any] = {}
            for partition in self.keys.partitions:
                if jobs := await self._keys(partition.prefix + "j:"):
                    found["records that do not expire"] = jobs[:10]
                known = {stream for stream, _ in self._groups()} | {partition.version}
                receipts = partition.prefix + "q:"
                others = [
                    key
                    for key in await self._keys(partition.prefix)
                    if key not in known and key not in jobs and not key.startswith(receipts)
                ]
                if others:
                    found["other keys"] = others[:10]
                for key in (await self._keys(receipts))[:20]:
                    if await self.server.insist("PTTL", key) == -1:
                        found["receipts without an end"] = key
            if not found or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.25)

    # -- load

    async def run(self, phase: Phase) -> tuple[Record, list[Done]]:
        """Run a phase to its end; what is known of it."""
        outcomes = [Outcome(job) for job in phase.jobs]
        lines_before = len(read_ledger(self.ledger))
        last_at = max(job.at_s for job in phase.jobs)
        began = time.monotonic()
        deadline = began + max([last_at, *(f.at_s for f in phase.faults)]) + phase.drain_s
        nemesis = Nemesis(self, phase.faults)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(nemesis.run())
            for outcome in outcomes:
                await asyncio.sleep(max(0.0, began + outcome.job.at_s - time.monotonic()))
                tasks.create_task(self._job(outcome, deadline))
        quiet = await self.quiet(min(QUIET_WITHIN_S, phase.drain_s))
        record = Record(
            outcomes=outcomes,
            calls=read_ledger(self.ledger)[lines_before:],
            published=self.published,
            deaf=[self._deaf(done) for done in nemesis.done if _deafens(done)],
            quiet=quiet,
            deaths=self.deaths,
            is_calm=not phase.faults,
        )
        return record, nemesis.done

    def _deaf(self, done: Done) -> tuple[float, float]:
        heard_again = [gap for gap in self.gaps if gap > done.began]
        until = max(done.ended, min(heard_again, default=0.0))
        return (done.began - 0.5, until + 3.0)

    async def _job(self, outcome: Outcome, deadline: float) -> None:
        self.in_flight += 1
        job = outcome.job
        try:
            async with asyncio.timeout_at(_loop_time(deadline + 2)), asyncio.TaskGroup() as tasks:
                side: list[asyncio.Task[Any]] = []
                if job.signal_after_s is not None:
                    side.append(tasks.create_task(self._signal(job, deadline)))
                    await asyncio.sleep(max(0.0, -job.signal_after_s))
                if job.shape == "pend":
                    side.append(tasks.create_task(self._answer(job, deadline)))
                try:
                    await (self._wait if job.waits else self._poll)(outcome, deadline)
                finally:
                    for task in side:
                        task.cancel()
        except TimeoutError:
            outcome.error = outcome.error or "the client's time was up"
        except ExceptionGroup as exc:
            outcome.error = f"{outcome.error} {exc.exceptions!r}"
        finally:
            self.in_flight -= 1

    async def _wait(self, outcome: Outcome, deadline: float) -> None:
        """Start with `pubsub`, and read the result once more."""
        job = outcome.job

        async def call() -> JobOutput:
            outcome.starts += 1
            if job.repeats:
                await self.mesh.pub(job.topic, job.payload, job_id=job.id, idempotency_key=job.id)
            left = max(0.1, deadline - time.monotonic())
            return await self.mesh.pubsub(
                job.topic, job.payload, job_id=job.id, idempotency_key=job.id, timeout=left
            )

        try:
            output = await insist(call, deadline)
        except (JobError, JobTimeout, JobNotFound) as exc:
            outcome.accepted, outcome.error = True, repr(exc)
            return
        except HotMeshError as exc:
            outcome.error = repr(exc)
            return
        outcome.accepted, outcome.data = True, output.data
        await self._read(outcome, deadline)

    async def _poll(self, outcome: Outcome, deadline: float) -> None:
        """Start with `pub`, and read until it has ended."""
        job = outcome.job

        async def call() -> str:
            outcome.starts += 1
            return await self.mesh.pub(
                job.topic, job.payload, job_id=job.id, idempotency_key=job.id
            )

        try:
            for _ in _times(job):
                await insist(call, deadline)
            outcome.accepted = True
            pause_s = POLL_S
            while True:
                output = await insist(lambda: self.mesh.get_state(job.topic, job.id), deadline)
                if output.metadata.js <= 0:
                    break
                if time.monotonic() > deadline:
                    outcome.error = f"it has {output.metadata.js} open activities at the end"
                    return
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.5, 0.5)
        except HotMeshError as exc:
            outcome.error = repr(exc)
            return
        if output.metadata.err is not None:
            outcome.error = f"JobError({output.metadata.err})"
            return
        outcome.data = output.data
        await self._read(outcome, deadline)

    async def _read(self, outcome: Outcome, deadline: float) -> None:
        job = outcome.job
        try:
            again = await insist(lambda: self.mesh.get_state(job.topic, job.id), deadline)
        except HotMeshError as exc:
            outcome.error = repr(exc)
            return
        outcome.again = again.data
        changed = datetime.strptime(again.metadata.ju, "%Y%m%d%H%M%S.%f")
        outcome.ended = changed.replace(tzinfo=UTC).timestamp()

    async def _signal(self, job: Job, deadline: float) -> None:
        assert job.signal_after_s is not None
        await asyncio.sleep(max(0.0, job.signal_after_s))
        data = {"id": job.id, "x": job.payload["x"] + 1}
        key = f"{job.id}/wake"
        for _ in _times(job):
            await insist(lambda: self.mesh.hook("chaos.wake", data, idempotency_key=key), deadline)

    async def _answer(self, job: Job, deadline: float) -> None:
        """Give a pending call one more pending answer and the last one, each when the one before
        is in the job.
        """
        for p in (1, 2):
            pause_s = POLL_S
            while job.id not in self.pending_calls or await self._p_of(job, deadline) != p:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.5, 0.5)
            row = self.pending_calls[job.id]
            call = StreamMetadata(
                guid=row["guid"],
                jid=row["jid"],
                aid=row["aid"],
                dad=row["dad"],
                try_count=row["attempt"],
                **row["call"],
            )
            result = StreamResult(
                data={"p": p + 1},
                status="pending" if p == 1 else "success",
                metadata=call,
                guid=f"{job.id}/{p}",
            )
            for _ in _times(job):
                await insist(partial(self.mesh.add, result), deadline)

    async def _p_of(self, job: Job, deadline: float) -> Any:
        return (await insist(lambda: self.mesh.get_query_state(job.id, ["p"]), deadline))["p"]

    # -- for people

    def events(self) -> dict[str, int]:
        """How often processes logged what faults lead to."""
        found: Counter[str] = Counter()
        for path in self.home.glob("*.log"):
            text = path.read_text(errors="replace")
            for event in COUNTED:
                found[event] += text.count(f'"{event}"') + text.count(f"\n{event} ")
        return {event: found[event] for event in COUNTED if found[event]}

    def tails(self) -> str:
        """The last lines of every log."""
        parts = []
        for path in sorted(self.home.glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
            parts += [f"---- {path.name}", *(line[:300] for line in lines)]
        return "\n".join(parts)


def _times(job: Job) -> range:
    return range(2 if job.repeats else 1)


def _deafens(done: Done) -> bool:
    return done.fault.kind in DEAFENS or done.fault.target == CLIENT


def _loop_time(monotonic: float) -> float:
    return asyncio.get_running_loop().time() + monotonic - time.monotonic()


async def insist(call: Callable[[], Awaitable[T]], deadline: float) -> T:
    """Repeat a call that may be repeated, while the server can't be reached or refuses.

    Raises:
        HotMeshError: What it raised last, when the time is up.
    """
    while True:
        try:
            return await call()
        except (ServerUnavailable, ReplyError, Overloaded):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(POLL_S)
