"""Consumers of a router die by SIGKILL, again and again, while entries flow.

Every entry is handled at least once, those that can't be handled lie in the dead letters, and
nothing waits for them. Order is not looked at: it is not promised.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import eventually

from hotmesh import Router
from hotmesh.store import leases

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

ENTRIES = 10_000
POISON = {n for n in range(ENTRIES) if n % 1_000 == 500}
DEADLY = {n for n in range(ENTRIES) if n % 5_000 == 2_500}
PROCESSES, KILLS = 3, 15
SEED = int(os.environ.get("SEED", "7"))

CONSUMER = """
import asyncio, os, sys
import hotmesh

url, namespace, folder = sys.argv[1:]
router = hotmesh.Router(url, "chaos", namespace=namespace, lease="1s")
seen = os.open(f"{folder}/seen-{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

@router.subscribe(
    "numbers",
    concurrency=50,
    deliveries_max=6,
    retry=hotmesh.RetryPolicy(maximum_attempts=3, initial_interval="50ms"),
)
async def handle(n: int) -> None:
    await asyncio.sleep(0.005)
    if n % 5_000 == 2_500:
        os._exit(9)
    if n % 1_000 == 500:
        raise ValueError("poison")
    os.write(seen, f"{n}\\n".encode())

asyncio.run(router.run())
"""


class Fleet:
    """Consumers as processes; one that has ended is replaced."""

    def __init__(self, url: str, namespace: str, folder: Path) -> None:
        self._arguments = [sys.executable, "-c", CONSUMER, url, namespace, str(folder)]
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def fill(self) -> None:
        self._running = [p for p in self._running if p.poll() is None]
        while len(self._running) < PROCESSES:
            self._running.append(subprocess.Popen(self._arguments))

    def kill_one(self, draw: random.Random) -> None:
        draw.choice(self._running).send_signal(signal.SIGKILL)

    def seen(self) -> Counter[int]:
        found: Counter[int] = Counter()
        for file in self._folder.glob("seen-*"):
            # A killed writer may have left half a line, never half a number before a line's end.
            found.update(int(x) for x in file.read_text().split("\n")[:-1])
        return found

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


@pytest.fixture
def fleet(redis_url: str, app_id: str, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(redis_url, app_id, tmp_path)
    try:
        yield fleet
    finally:
        fleet.close()


async def test_every_entry_is_handled_though_consumers_are_killed(
    redis_url: str, app_id: str, fleet: Fleet
) -> None:
    draw = random.Random(SEED)
    # It reads nothing: its group is only looked at.
    producer = Router(redis_url, "chaos", namespace=app_id)

    async def produce(router: Router) -> None:
        for first in range(0, ENTRIES, 100):
            batch = range(first, first + 100)
            await asyncio.gather(*(router.publish("numbers", n, key=str(n % 7)) for n in batch))
            await asyncio.sleep(0.02)

    async with producer:
        producing = asyncio.create_task(produce(producer))
        for _ in range(KILLS):
            fleet.fill()
            await asyncio.sleep(draw.uniform(0.2, 0.6))
            fleet.kill_one(draw)
        await producing
        wanted = set(range(ENTRIES)) - POISON - DEADLY

        missing: set[int] = set()

        def all_handled() -> bool:
            fleet.fill()
            missing.clear()
            missing.update(wanted - set(fleet.seen()))
            return not missing

        try:
            await eventually(all_handled, within_s=120)
        except AssertionError:
            print(
                "missing:", sorted(missing)[:20], "of", len(missing), await _state(producer, app_id)
            )
            raise
        store = producer.store
        stream = f"{app_id}:{{{app_id}~0}}:e:numbers"
        again = f"{app_id}:{{{app_id}~0}}:n:numbers:chaos"
        dead = f"{app_id}:{{{app_id}~0}}:x:numbers:chaos"

        async def dead_letters() -> bool:
            fleet.fill()
            return await store.transport.execute("XLEN", dead) >= len(POISON | DEADLY)

        await eventually(dead_letters, within_s=60)

        async def nothing_pending() -> bool:
            fleet.fill()
            counts = [
                await store.transport.execute("XPENDING", s, "chaos") for s in (stream, again)
            ]
            return not any(count[0] for count in counts)

        await eventually(nothing_pending, within_s=60)
        assert await store.transport.execute("XLEN", dead) == len(POISON | DEADLY)
        assert await store.transport.execute("XLEN", stream) == ENTRIES
        assert await store.transport.execute("XLEN", again) == 0
        consumers = await leases.consumers(store, stream, "chaos")

    seen = fleet.seen()
    repeated = sum(count - 1 for count in seen.values())
    print(f"handled {len(seen):,}, {repeated} of them twice or more; seed {SEED}")
    assert not set(seen) & (POISON | DEADLY)
    assert repeated < ENTRIES * 0.2  # a kill repeats what was in hand, not the topic
    assert len(consumers) < KILLS + PROCESSES + 30  # the dead are forgotten


async def _state(router: Router, app_id: str) -> object:
    """What lies where, for a failure."""
    prefix = f"{app_id}:{{{app_id}~0}}:"
    transport = router.store.transport
    dead = await transport.execute("XRANGE", f"{prefix}x:numbers:chaos", "-", "+", "COUNT", 40)
    return [
        [row[1][3] for row in dead],
        await transport.execute("XPENDING", f"{prefix}e:numbers", "chaos"),
        await transport.execute("XPENDING", f"{prefix}n:numbers:chaos", "chaos"),
        await transport.execute("ZCARD", f"{prefix}d:numbers:chaos"),
    ]
