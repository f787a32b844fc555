"""Commands that stay: run a mesh until a signal, and leave."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence

from hotmesh.cli.context import Context
from hotmesh.connect import Connection
from hotmesh.lifecycle import EXIT_FAILED, EXIT_KILLED, serve
from hotmesh.mesh import HotMesh, Worker
from hotmesh.telemetry import provider

THREAD_END_S = 0.1
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
    prepare: Prepare | None = None,
) -> int:
    """Be a part of the mesh until SIGTERM or SIGINT; the exit code.

    Args:
        role: What this process is, for the line that says that it is ready.
        prepare: Awaited once everything runs, before that line.
    """
    cli.configure_logs(stays=True)
    async with cli.connection() as connection:
        mesh = await cli.join(connection, app_id, engine=engine, workers=workers)
        try:
            if prepare is not None:
                await prepare(mesh, connection)
            code = await stay(cli, mesh, connection, app_id, role, [w.topic for w in workers])
        finally:
            await mesh.stop()
    leave(code)
    return code


async def stay(
    cli: Context,
    mesh: HotMesh,
    connection: Connection,
    app_id: str,
    role: str,
    topics: Sequence[str],
) -> int:
    """Say that a started mesh is ready, and serve until a signal; the exit code."""
    serving = asyncio.create_task(serve(mesh.host))
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


def leave(code: int) -> None:
    """End the process now if a second signal says so, or a plain function still runs in a thread.

    That call was given to others when the grace was over; Python would wait for it without end.
    """
    for thread in threading.enumerate():
        if thread.name.startswith(OURS) and code != EXIT_KILLED:
            thread.join(THREAD_END_S)  # an idle one ends at once
    if code == EXIT_KILLED or any(t.name.startswith(OURS) for t in threading.enumerate()):
        provider.close()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
