"""Faults: a seeded schedule, and how each is done to real processes and sockets."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy import Proxy

if TYPE_CHECKING:
    from orchestrator import World

ENGINES, WORKERS, FUSED = ("engine-1", "engine-2"), ("worker-1", "worker-2"), ("fused-1",)
ROLES = (*ENGINES, *WORKERS, *FUSED)
CLIENT = "client"

TARGETS: dict[str, Sequence[str]] = {
    "kill_engine": ENGINES,
    "kill_worker": WORKERS,
    "kill_fused": FUSED,
    "stop_engine": ENGINES,
    "stop_worker": WORKERS,
    "stop_fused": FUSED,
    "cut": (*ROLES, CLIENT),
    "stall": (*ROLES, CLIENT),
    "kill_normal": (),
    "kill_pubsub": (),
    "script_flush": (),
    "server_kill": (),
    "debug_sleep": (),
    "pause_write": (),
}
KINDS = tuple(TARGETS)
WEIGHTS = {"server_kill": 0.5, "debug_sleep": 0.5, "kill_fused": 0.7, "stop_fused": 0.7}
LASTS_S = {  # how long each lasts, between
    "kill_engine": (0.1, 1.0),
    "kill_worker": (0.1, 1.0),
    "kill_fused": (0.1, 1.0),
    "stop_engine": (2.3, 3.5),  # past the lease
    "stop_worker": (2.3, 3.5),
    "stop_fused": (2.3, 3.5),
    "stall": (0.5, 4.0),
    "server_kill": (0.0, 1.0),
    "pause_write": (0.5, 1.2),
}
DEAFENS = ("kill_normal", "kill_pubsub", "server_kill")
"""Faults after which a published result may have gone unheard; so may one when the client's own
connection was hit.
"""


@dataclass(frozen=True)
class Fault:
    """One fault of a schedule."""

    at_s: float
    kind: str
    target: str = ""
    lasts_s: float = 0.0

    def __str__(self) -> str:
        lasts = f" {self.lasts_s:.1f}s" if self.lasts_s else ""
        return f"{self.at_s:6.2f} {self.kind} {self.target}{lasts}"


@dataclass
class Done:
    """A fault that was done: when by the wall clock, and whether it hit anything."""

    fault: Fault
    began: float
    ended: float = 0.0
    bit: bool = False
    note: str = ""


def schedule(seed: int, count: int, seconds: float, kinds: Sequence[str] = KINDS) -> list[Fault]:
    """Faults spread over a time: each kind once, the rest drawn."""
    rng = random.Random(f"{seed}/faults")
    chosen = list(kinds)[:count]
    weights = [WEIGHTS.get(k, 1.0) for k in kinds]
    chosen += rng.choices(kinds, weights, k=count - len(chosen))
    rng.shuffle(chosen)
    step = seconds / count
    faults = []
    for i, kind in enumerate(chosen):
        at_s = round((i + rng.uniform(0.1, 0.9)) * step, 2)
        targets = TARGETS[kind]
        target = rng.choice(list(targets)) if targets else ""
        lasts_s = round(rng.uniform(*LASTS_S.get(kind, (0.0, 0.0))), 2)
        faults.append(Fault(at_s, kind, target, lasts_s))
    return faults


class Line(Proxy):
    """The way of one process to the server. Without a server its clients are refused, not kept."""

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await super()._accept(reader, writer)
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    @property
    def open(self) -> int:
        """Sockets that are open now, two to a connection."""
        return len(self._writers)


class Nemesis:
    """Does the faults of a schedule, each as a task of its own: long ones overlap with others."""

    def __init__(self, world: World, faults: Sequence[Fault]) -> None:
        self._world, self.faults = world, faults
        self.done: list[Done] = []

    async def run(self) -> None:
        """Until the last fault is over."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for fault in self.faults:
                await asyncio.sleep(max(0.0, began + fault.at_s - time.monotonic()))
                tasks.create_task(self._do(fault))

    def bites(self) -> Counter[str]:
        """How often each kind hit something."""
        return Counter(d.fault.kind for d in self.done if d.bit)

    async def _do(self, fault: Fault) -> None:
        done = Done(fault, time.time())
        self.done.append(done)
        verb = fault.kind if fault.kind in _ALONE else fault.kind.partition("_")[0]
        try:
            done.bit, done.note = await getattr(self, f"_{verb}")(fault)
        except (OSError, ConnectionError) as exc:  # the server is down by another fault
            done.note = f"not done: {exc!r}"
        done.ended = time.time()
        print(f"{fault}: {'bit' if done.bit else 'missed'} {done.note}", file=self._world.log)

    # -- processes

    async def _kill(self, fault: Fault) -> tuple[bool, str]:
        role = self._world.roles[fault.target]
        async with role.lock:  # one fault of a process at a time
            pid = role.pid
            bit = role.alive and self._world.in_flight > 0
            await role.kill()
            held = await self._world.held_by(pid)
            await asyncio.sleep(fault.lasts_s)
            role.spawn()
        return bit, f"pid {pid} held {held} entries"

    async def _stop(self, fault: Fault) -> tuple[bool, str]:
        role = self._world.roles[fault.target]
        async with role.lock:
            pid = role.pid
            if not role.signal(pid, signal.SIGSTOP):
                return False, "was dead"
            bit = self._world.in_flight > 0
            held = await self._world.held_by(pid)
            await asyncio.sleep(fault.lasts_s)
            bit = role.signal(pid, signal.SIGCONT) and bit
        return bit, f"pid {pid} held {held} entries"

    # -- the network

    async def _cut(self, fault: Fault) -> tuple[bool, str]:
        line = self._world.lines[fault.target]
        sockets = line.open
        line.cut()
        return sockets > 0, f"{sockets} sockets"

    async def _stall(self, fault: Fault) -> tuple[bool, str]:
        line = self._world.lines[fault.target]
        sockets = line.open
        line.flowing.clear()
        await asyncio.sleep(fault.lasts_s)
        sockets = max(sockets, line.open)
        line.flowing.set()
        return sockets > 0, f"{sockets} sockets"

    # -- the server

    async def _kill_normal(self, fault: Fault) -> tuple[bool, str]:
        return await self._kill_clients("normal")

    async def _kill_pubsub(self, fault: Fault) -> tuple[bool, str]:
        return await self._kill_clients("pubsub")

    async def _kill_clients(self, kind: str) -> tuple[bool, str]:
        killed = await self._world.admin("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        return killed > 0, f"{killed} clients"

    async def _script_flush(self, fault: Fault) -> tuple[bool, str]:
        before = await self._refused_scripts()
        await self._world.admin("SCRIPT", "FLUSH", "SYNC")
        await asyncio.sleep(1.0)
        refused = await self._refused_scripts() - before
        return refused > 0, f"{refused} calls met NOSCRIPT"

    async def _refused_scripts(self) -> int:
        facts = await self._world.admin("INFO", "errorstats")
        for line in facts.decode().splitlines():
            if line.startswith("errorstat_NOSCRIPT:"):
                return int(line.partition("count=")[2])
        return 0

    async def _server_kill(self, fault: Fault) -> tuple[bool, str]:
        server = self._world.server
        async with server.lock:
            in_flight = self._world.in_flight
            await server.kill()
            await asyncio.sleep(fault.lasts_s)
            server.spawn()
            await server.ready()
        keys = await self._world.admin("DBSIZE")
        return keys > 0 and in_flight > 0, f"{keys} keys came back"

    async def _debug_sleep(self, fault: Fault) -> tuple[bool, str]:
        began = time.monotonic()
        await self._world.admin("DEBUG", "SLEEP", "1")
        slept = time.monotonic() - began
        return slept > 0.9 and self._world.in_flight > 0, f"{slept:.1f} s"

    async def _pause_write(self, fault: Fault) -> tuple[bool, str]:
        await self._world.admin("CLIENT", "PAUSE", str(int(fault.lasts_s * 1000)), "WRITE")
        began = time.monotonic()
        await self._world.admin("SET", "chaos:probe", "1", "PX", "10")
        waited = time.monotonic() - began
        return waited > 0.3, f"a write waited {waited:.1f} s"


_ALONE = ("kill_normal", "kill_pubsub", "script_flush", "server_kill", "debug_sleep", "pause_write")
