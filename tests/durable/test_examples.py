"""The examples run, and say what they should."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "durable"

SAYS = {
    "order_saga.py": [
        "-> parcel of order 1",
        "refund the payment for order 2",
        "release the reservation of order 2",
        "there is no address",
    ],
    "approval.py": ["decision: approved", "a new chair: approved by Ada", "a new desk: expired"],
    "fan_out.py": ["250 words"],
    "polling.py": ["build 7 is ready after 8 looks"],
    "agent.py": ["after 2 notes: take a hat", "weather in Lisbon: sunny, no umbrella"],
    "subscription.py": ["bill 3 for Ada", "good-bye, Ada", "moved away"],
}


async def run(cwd: Path, *command: str, url: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=cwd,
        env={**os.environ, "HOTMESH_REDIS_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, out.decode()
    return out.decode()


def test_every_example_is_tried() -> None:
    assert {p.name for p in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("name", sorted(SAYS))
async def test_an_example_says_what_it_should(name: str, redis_url: str, tmp_path: Path) -> None:
    said = await run(tmp_path, str(EXAMPLES / name), url=redis_url)
    assert [text for text in SAYS[name] if text not in said] == [], said


async def test_the_greeting_takes_two_processes(redis_url: str) -> None:
    home = EXAMPLES / "greeting"
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "worker.py",
        cwd=home,
        env={**os.environ, "HOTMESH_REDIS_URL": redis_url},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert "¡Hola, HotMesh!" in await run(home, "client.py", url=redis_url)
    finally:
        worker.terminate()
        assert await asyncio.wait_for(worker.wait(), 30) == 0
