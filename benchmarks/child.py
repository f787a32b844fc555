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


Begin: TypeAlias = Callable[[dict[str, Any]], Awaitable[tuple[str, asyncio.Future[Any]]]]
"""Starts a job with a payload; its id, and a future that is done once its result is heard."""


async def sleepers(
    begin: Begin, *, jobs: int, in_flight: int, sleep_s: float, together: bool, wait: bool
) -> dict[str, float]:
    """Start jobs that sleep, and say how late they woke, from the call that started each.

    Args:
        together: All are due at one moment, `sleep_s` from now.
        wait: Start the next one of a lane when the one before has woken.

    Returns:
        What `drive` does: of all that were due, the seconds from the first moment to the last
        result, and the lateness as the latency.
    """
    moment = clock() + sleep_s
    dues: list[float] = []
    waking: list[asyncio.Task[float]] = []

    async def one(number: int) -> None:
        now = clock()
        left = moment - now if together else sleep_s
        _, future = await begin({"s": left})
        dues.append(now + left)
        waking.append(asyncio.create_task(_when(future)))
        if wait:
            await waking[-1]

    await drive(one, in_flight=in_flight, jobs=jobs)
    if together and clock() > moment:
        raise RuntimeError("the first jobs were due before the last had been started")
    woke = await asyncio.gather(*waking)
    late = [at - due for at, due in zip(woke, dues, strict=True)]
    return {
        "jobs": jobs,
        "elapsed_s": max(woke) - min(dues),
        "median_ms": 1e3 * quantile(late, 0.5),
        "p99_ms": 1e3 * quantile(late, 0.99),
    }


async def _when(future: asyncio.Future[Any]) -> float:
    await future
    return clock()


async def signalled(
    begin: Begin, send: Callable[[str], Awaitable[None]], *, jobs: int, in_flight: int
) -> dict[str, float]:
    """Start jobs that wait for a signal; once all wait, the way from a signal to a result."""
    waiting: list[tuple[str, asyncio.Future[Any]]] = []

    async def start(number: int) -> None:
        waiting.append(await begin({"a": "Ada"}))

    async def one(number: int) -> None:
        jid, future = waiting[number]
        await send(jid)
        await future

    await drive(start, in_flight=100, jobs=jobs)
    return await drive(one, in_flight=in_flight, jobs=jobs)
