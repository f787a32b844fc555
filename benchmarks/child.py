"""The inside of a process that a benchmark has started: it says that it is ready, then does what
it is told, one JSON object a line, until its input ends.

It ends with its parent: when that dies, the input ends too.
"""

from __future__ import annotations

import asyncio
import cProfile
import logging
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import msgspec
import structlog
import uvloop

from benchmarks.figures import quantile

Action: TypeAlias = Callable[..., Awaitable[Any]]

clock = time.perf_counter
"""CLOCK_MONOTONIC on Linux, so readings of different processes may be compared."""

PROFILE_DIR = "BENCHMARKS_PROFILE"
"""A folder: every child then writes its cProfile there, and its figures are of no use."""


def main(role: AbstractAsyncContextManager[Mapping[str, Action]], name: str) -> None:
    """Run a role: enter it, answer, and leave it when the input ends."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what anybody prints goes to the log
    # As a service would: what is told at `info` is told, what is told at `debug` costs nothing.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    folder = os.environ.get(PROFILE_DIR)
    if not folder:
        uvloop.run(_serve(role, out))
        return
    profile = cProfile.Profile()
    profile.runcall(uvloop.run, _serve(role, out))
    profile.dump_stats(os.path.join(folder, f"{name}-{os.getpid()}.prof"))


async def _serve(role: AbstractAsyncContextManager[Mapping[str, Action]], out: Any) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with role as actions:
        _say(out, {"ok": clock()})
        while line := await lines.readline():
            what = msgspec.json.decode(line)
            try:
                _say(out, {"ok": await actions[what.pop("do")](**what)})
            except Exception as exc:  # noqa: BLE001  told to the parent, which raises it
                traceback.print_exc()  # its parent shows the log
                _say(out, {"error": f"{type(exc).__name__}: {exc}"})


def _say(out: Any, answer: dict[str, Any]) -> None:
    out.write(msgspec.json.encode(answer).decode() + "\n")


async def drive(
    one: Callable[[int], Awaitable[Any]],
    *,
    in_flight: int,
    seconds: float = 0.0,
    jobs: int = 0,
) -> dict[str, float]:
    """Call `one(number)` so many times at once, for some time or for a number of jobs.

    Returns:
        Jobs, the seconds until the last one had ended, and the latency's median and p99 in ms.
    """
    latencies: list[float] = []
    began = clock()
    until = began + seconds
    numbers = iter(range(jobs or 10**9))

    async def lane() -> None:
        for number in numbers:
            start = clock()
            if not jobs and start >= until:
                return
            await one(number)
            latencies.append(clock() - start)

    async with asyncio.TaskGroup() as lanes:
        for _ in range(in_flight):
            lanes.create_task(lane())
    return {
        "jobs": len(latencies),
        "elapsed_s": clock() - began,
        "median_ms": 1e3 * quantile(latencies, 0.5),
        "p99_ms": 1e3 * quantile(latencies, 0.99),
    }
