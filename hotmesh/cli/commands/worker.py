"""`hotmesh worker`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from hotmesh.cli import serving, stream_apps
from hotmesh.cli.context import Cli
from hotmesh.cli.workers import load_apps, load_workers

Objects = Annotated[tuple[str, ...], Parameter(name=("--workers", "-A"))]


async def worker(*, objects: Objects, cli: Cli) -> int:
    """Run functions or agents until SIGTERM or Ctrl-C; a second one stops at once.

    Args:
        objects: MODULE:OBJ, a Worker, a list of Workers, a dict of topic → function, or a streams
            App; a module alone means its `app` or `workers`. May be given several times.
    """
    if apps := load_apps(objects):
        return await stream_apps.run(cli, apps)
    app_id = cli.app_id()
    workers = load_workers(objects, concurrency=cli.settings.worker.concurrency)
    return await serving.run(cli, app_id, "worker", workers=workers)
