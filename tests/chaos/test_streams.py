"""Streams while their processes are killed, added and removed: every count equals the input.

`SEED=n` repeats a run.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
import secrets
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support import eventually

HERE = Path(__file__).parent
BASE_S = 1_000_000
KEYS = 40


class Fleet:
    """Worker processes of the app."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self.processes: list[asyncio.subprocess.Process] = []
        self._env, self._log = env, log

    async def add(self) -> None:
        """Start one; returns at once."""
        with self._log.open("ab") as log:
            self.processes.append(
                await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "hotmesh",
                    "worker",
                    "-A",
                    "counting:app",
                    cwd=HERE,
                    env=self._env,
                    stdout=log,
                    stderr=log,
                )
            )

    async def end(self, process: asyncio.subprocess.Process, number: int) -> None:
        """Kill one, or ask it to leave."""
        self.processes.remove(process)
        if process.returncode is None:
            process.send_signal(number)
        await process.wait()

    async def replace_dead(self) -> int:
        """Start another for each that has died by itself; how many."""
        dead = [p for p in self.processes if p.returncode is not None]
        for process in dead:
            self.processes.remove(process)
            await self.add()
        return len(dead)

    async def stop(self) -> None:
        """End all."""
        for process in list(self.processes):
            await self.end(process, signal.SIGKILL)


@asynccontextmanager
async def counting(redis_url: str, tmp_path: Path) -> AsyncIterator[tuple[ModuleType, Fleet]]:
    namespace = f"c{secrets.token_hex(5)}"
    told = {"COUNTING_REDIS": redis_url, "COUNTING_NAMESPACE": namespace}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        spec = importlib.util.spec_from_file_location("counting_here", HERE / "counting.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["counting_here"] = module
        spec.loader.exec_module(module)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
    fleet = Fleet({**os.environ, **told}, tmp_path / "log")
    try:
        async with module.app:
            yield module, fleet
    finally:
        await fleet.stop()


async def produce(module: ModuleType, count: int, pause_s: float) -> Counter[tuple[str, int]]:
    """Send events of `KEYS` keys, a second of event time after each other per key; how many there
    are by key and window.
    """
    expected: Counter[tuple[str, int]] = Counter()
    numbers: Counter[str] = Counter()
    for first in range(0, count, 50):
        sends = []
        for i in range(first, min(count, first + 50)):
            key = f"k{i % KEYS}"
            numbers[key] += 1
            at_s = BASE_S + numbers[key]
            expected[key, at_s // 10 * 10_000] += 1
            sends.append(
                module.hits.send(module.Hit(key, numbers[key]), key=key, timestamp=float(at_s))
            )
        await asyncio.gather(*sends)
        await asyncio.sleep(pause_s)
    return expected


async def check(
    module: ModuleType, expected: Counter[tuple[str, int]], count: int, within_s: float
) -> None:
    async def is_done() -> bool:
        return sum(dict(await module.by_number.items()).values()) >= count

    try:
        await eventually(is_done, within_s)
    finally:
        counts = dict(await module.by_number.items())
        print("regrouped", sum(counts.values()), "of", count)
    found: Counter[tuple[str, int]] = Counter()
    for key in sorted({key for key, _ in expected}):
        for span, value in (await module.views.windows_of(key)).items():
            found[key, span.start_ms] = value
        sessions = await module.visits.windows_of(key)
        assert list(sessions.values()) == [sum(v for (k, _), v in expected.items() if k == key)]
    assert found == expected
    assert await module.broken.items() == []
    assert sum(dict(await module.by_number.items()).values()) == count


async def letters_of(module: ModuleType, topic: str) -> list[dict[bytes, bytes]]:
    client, found = module.app.opened(), []
    for p in range(module.app.count):
        stream = client.space.slot(p).dead(topic)
        rows = await client.connection.transport.execute("XRANGE", stream, "-", "+")
        found += [dict(zip(f[::2], f[1::2], strict=True)) for _, f in rows]
    return found


async def test_counts_are_exact_after_a_kill(redis_url: str, tmp_path: Path) -> None:
    """A short one, in every run of the suite."""
    async with counting(redis_url, tmp_path) as (module, fleet):
        for _ in range(2):
            await fleet.add()
        producing = asyncio.ensure_future(produce(module, 2_000, 0.02))
        await eventually(lambda: some_are_counted(module), 60)
        await fleet.end(fleet.processes[0], signal.SIGKILL)
        await fleet.add()
        await check(module, await producing, 2_000, 60)


async def some_are_counted(module: ModuleType) -> bool:
    return bool(await module.by_number.items())


async def test_an_event_that_kills_its_process_is_given_up_and_no_other(
    redis_url: str, tmp_path: Path
) -> None:
    async with counting(redis_url, tmp_path) as (module, fleet):
        await fleet.add()
        expected = await produce(module, 400, 0)
        await module.hits.send(module.Hit("bad", 1, "kill"), key="k1", timestamp=float(BASE_S))
        await module.hits.send(module.Hit("bad", 1, "poison"), key="k2", timestamp=float(BASE_S))
        deaths = 0

        async def is_over() -> bool:
            nonlocal deaths
            deaths += await fleet.replace_dead()
            await asyncio.sleep(0.1)
            return len(await letters_of(module, "hits")) == 2

        await eventually(is_over, 90)
        await check(module, expected, 400, 60)

        reasons = sorted(
            (x[b"p"].split(b'"')[-2], x[b"reason"]) for x in await letters_of(module, "hits")
        )
        assert [what for what, _ in reasons] == [b"kill", b"poison"]
        assert deaths >= 3


@pytest.mark.chaos
@pytest.mark.timeout(240)
async def test_counts_are_exact_while_processes_come_and_go(redis_url: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", "0")) or random.randrange(10**6)
    print("SEED", seed)
    draw = random.Random(seed)
    count = 12_000
    async with counting(redis_url, tmp_path) as (module, fleet):
        for _ in range(3):
            await fleet.add()
        producing: asyncio.Future[Any] = asyncio.ensure_future(produce(module, count, 0.15))
        while not producing.done():
            await asyncio.sleep(draw.uniform(0.3, 2.0))
            what = draw.choice(["kill", "kill", "leave", "freeze", "add"])
            victim = draw.choice(fleet.processes)
            print(what, victim.pid)
            if what == "freeze":
                victim.send_signal(signal.SIGSTOP)
                await asyncio.sleep(draw.uniform(0.5, 2.5))
                victim.send_signal(signal.SIGCONT)
            elif what != "add":
                await fleet.end(victim, signal.SIGKILL if what == "kill" else signal.SIGTERM)
            if len(fleet.processes) < 4:
                await fleet.add()
        await check(module, await producing, count, 90)
