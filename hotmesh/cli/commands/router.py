"""`hotmesh router`."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hotmesh.cli.context import Cli, Context
from hotmesh.cli.output import UsageError, finding_facts, one_line
from hotmesh.cli.routers import Serving, load_routers
from hotmesh.cli.serving import leave, opening
from hotmesh.connect import Connection
from hotmesh.durations import parse
from hotmesh.errors import HotMeshError
from hotmesh.lifecycle import DRAIN_MARGIN_S, EXIT_DONE, EXIT_FAILED, Host, Signals, serve
from hotmesh.routing import Router
from hotmesh.routing.file import RoutesInvalid, router_of
from hotmesh.routing.position import check_position
from hotmesh.settings import FILE

Objects = Annotated[tuple[str, ...], Parameter(name=("--routers", "-A"))]
Config = Annotated[str | None, Parameter(name=("--config", "-c"))]


async def router(
    *,
    objects: Objects = (),
    config: Config = None,
    seek: tuple[str, ...] = (),
    check: bool = False,
    cli: Cli,
) -> int:
    """Run handlers and routes until SIGTERM or Ctrl-C; SIGHUP reads the routes again.

    Args:
        objects: MODULE:OBJ, a Router or a list of them; a module alone means its `router`. May be
            given several times.
        config: A file with tables [routes.<name>]; hotmesh.toml when no -A is given.
        seek: SOURCE=POSITION, moves its groups before anything is read: earliest, latest, an
            entry's id, a time, or how long ago, such as 2h.
        check: Only find what is wrong in the file. Needs no server.
    """
    file = Path(config) if config else (None if objects else Path(FILE))
    if check:
        return _check(cli, file)
    positions = dict(_position(text) for text in seek)
    found = load_routers(objects)
    # Before a server is started for nothing.
    known = [*found, *([_of_file(cli, file)] if file is not None else [])]
    sources = {name for one in known for name in one.sources}
    if unread := set(positions) - sources:
        raise UsageError(
            f"--seek {min(unread)}=…: nothing reads it here; read are {', '.join(sorted(sources))}"
        )
    cli.configure_logs(stays=True)
    is_service = file is not None and not sys.stdin.isatty()
    with Signals("reload" if is_service else "drain") as signals:
        async with AsyncExitStack() as stack:

            async def start(connection: Connection) -> tuple[Host, list[Serving]]:
                serving = [Serving(lambda r=one: r, connection, positions) for one in found]  # type: ignore[misc]  # a default binds it
                if file is not None:
                    serving.append(Serving(lambda: _of_file(cli, file), connection, positions))
                host = Host([serving])
                await host.start()
                return host, serving

            opened = await opening(cli, stack, signals, start)
            if opened is None:
                return EXIT_DONE  # told to stop before there was anything to do
            connection, (host, serving) = opened
            reloading = serving[-1] if file is not None else None
            code = await _stay(cli, host, serving, connection.url_masked, signals, reloading)
        leave(code)
    return code


async def _stay(
    cli: Context,
    host: Host,
    serving: list[Serving],
    server: str,
    signals: Signals,
    reloading: Serving | None,
) -> int:
    async def reload() -> None:
        cli.reload()
        if reloading is not None:
            reloading.reload()

    drain_s = parse(cli.settings.router.grace) / 1000 + DRAIN_MARGIN_S
    running = asyncio.create_task(serve(host, signals=signals, drain_s=drain_s, reload=reload))
    # One turn of the loop, and `serve` listens to signals: who reads "ready" may send one at once.
    await asyncio.sleep(0)
    sources = sorted({name for s in serving for name in s.router.sources})
    cli.output.event(
        "ready",
        f"ready: router of {', '.join(sources) or 'nothing'}, on {server}",
        role="router",
        sources=sources,
        server=server,
        pid=os.getpid(),
    )
    code = await running
    if code == EXIT_FAILED and host.failed is not None and host.failed.done():
        cli.output.error(host.failed.result())
    return code


def _of_file(cli: Context, file: Path) -> Router:
    settings = cli.settings
    return router_of(
        file,
        None,
        group=settings.router.group,
        app=settings.mesh.app,
        namespace=settings.mesh.namespace,
        lease=settings.mesh.lease,
        grace=settings.router.grace,
        concurrency=settings.router.concurrency,
    )


def _check(cli: Context, file: Path | None) -> int:
    if file is None:
        raise UsageError("--check looks at a file of routes; name it with -c FILE")
    findings = []
    try:
        _of_file(cli, file)
    except RoutesInvalid as exc:
        findings = list(exc.findings)
    if cli.output.json:
        facts = [finding_facts(f) for f in findings]
        cli.output.result({"ok": not findings, "findings": facts})
    else:
        for finding in findings:
            cli.output.line(one_line(str(finding)))
        cli.output.line("no faults" if not findings else f"faults: {len(findings)}")
    return EXIT_FAILED if findings else EXIT_DONE


def _position(text: str) -> tuple[str, str]:
    source, mark, position = text.rpartition("=")
    if not mark or not source:
        raise UsageError(f"--seek takes SOURCE=POSITION, such as orders=2h, not {text!r}")
    try:
        check_position(position)
    except HotMeshError as exc:
        raise UsageError(f"--seek {text}: {exc}") from exc
    return source, position
