"""Commands that stay: wait for the server, run a mesh until a signal, and leave."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TypeVar

from hotmesh.cli.admin import serving_admin
from hotmesh.cli.context import Context
from hotmesh.connect import Connection
from hotmesh.durations import parse
from hotmesh.errors import HotMeshError
from hotmesh.lifecycle import (
    DRAIN_MARGIN_S,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_KILLED,
    EXIT_OVERDUE,
    KILL_S,
    Signals,
    serve,
    until_available,
)
from hotmesh.log import get_logger
from hotmesh.mesh import HotMesh, Worker
from hotmesh.quorum import Member
from hotmesh.telemetry import provider

log = get_logger("hotmesh.cli")

T = TypeVar("T")

THREAD_END_S = 0.1
HARD = (EXIT_KILLED, EXIT_OVERDUE)
"""Ends of a process that waits for nothing more."""
OURS = ("worker:", "router:")
"""How the names of threads begin that run plain functions of users."""

Prepare = Callable[[HotMesh, Connection], Awaitable[None]]


async def run(
    cli: Context,
    app_id: str,
    role: str,
    *,
    engine: bool = False,
    workers: Sequence[Worker] = (),
    quorum: bool = False,
    prepare: Prepare | None = None,
) -> int:
    """Be a part of the mesh until SIGTERM or SIGINT; the exit code.

    Args:
        role: What this process is, for the line that says that it is ready.
        prepare: Awaited once everything runs, before that line.
    """
    cli.configure_logs(stays=True)
    is_service = role != "dev" and not sys.stdin.isatty()
    with Signals("reload" if is_service else "drain") as signals:
        async with AsyncExitStack() as stack:
            admin = await stack.enter_async_context(serving_admin(cli, app_id, role))

            async def join(connection: Connection) -> HotMesh:
                return await cli.join(
                    connection, app_id, engine=engine, workers=workers, quorum=quorum
                )

            opened = await opening(cli, stack, signals, join)
            if opened is None:
                return EXIT_DONE  # told to stop before there was anything to do
            connection, mesh = opened
            code = EXIT_FAILED
            try:
                if prepare is not None:
                    await prepare(mesh, connection)
                if admin is not None:
                    admin.attach(mesh)
                topics = [w.topic for w in workers]
                code = await stay(cli, mesh, connection, app_id, role, topics, signals)
            finally:
                await _close(mesh, code)
        leave(code)
    return code


async def opening(
    cli: Context,
    stack: AsyncExitStack,
    signals: Signals,
    join: Callable[[Connection], Awaitable[T]],
) -> tuple[Connection, T] | None:
    """Connect and join, once the server is there; None when a signal ends the wait.

    Args:
        stack: Closes the connection.
        join: What to do with it; it leaves nothing behind when it fails.

    Raises:
        ServerUnavailable: It was not there for as long as the setting `wait` says.
    """

    async def once() -> tuple[Connection, T]:
        async with AsyncExitStack() as trying:
            connection = await trying.enter_async_context(cli.connection())
            joined = await join(connection)
            await stack.enter_async_context(trying.pop_all())
            return connection, joined

    wait_s = parse(cli.settings.connection.wait) / 1000
    return await until_available(once, wait_s=wait_s, stop=signals.first)


async def stay(
    cli: Context,
    mesh: HotMesh,
    connection: Connection,
    app_id: str,
    role: str,
    topics: Sequence[str],
    signals: Signals,
) -> int:
    """Say that a started mesh is ready, and serve until a signal; the exit code."""

    async def reload() -> None:
        cli.reload()
        for component in mesh.host.components:
            if isinstance(component, Member):
                await component.beat_or_log()

    drain_s = parse(cli.settings.worker.grace) / 1000 + DRAIN_MARGIN_S
    serving = asyncio.create_task(serve(mesh.host, signals=signals, drain_s=drain_s, reload=reload))
    # One turn of the loop, and `serve` listens to signals: who reads "ready" may send one at once.
    await asyncio.sleep(0)
    of = f" of {', '.join(topics)}" if topics else ""
    cli.output.event(
        "ready",
        f"ready: {role}{of}, app {app_id}, on {connection.url_masked}",
        role=role,
        app=app_id,
        topics=list(topics),
        server=connection.url_masked,
        pid=os.getpid(),
    )
    code = await serving
    failed = mesh.host.failed
    if code == EXIT_FAILED and failed is not None and failed.done():
        cli.output.error(failed.result())
    return code


async def _close(mesh: HotMesh, code: int) -> None:
    """Close what is ours; a process that was told to stop now does not wait for a server."""
    if code not in HARD:
        await mesh.stop()
        return
    try:
        await asyncio.wait_for(mesh.stop(), KILL_S)
    except (TimeoutError, HotMeshError) as exc:
        log.warning("mesh.not_closed", error=repr(exc))


def leave(code: int) -> None:
    """End the process now if it must, or a plain function still runs in a thread.

    That call was given to others when the grace was over; Python would wait for it without end.
    """
    for thread in threading.enumerate():
        if thread.name.startswith(OURS) and code not in HARD:
            thread.join(THREAD_END_S)  # an idle one ends at once
    if code in HARD or any(t.name.startswith(OURS) for t in threading.enumerate()):
        provider.close()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
