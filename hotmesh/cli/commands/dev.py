"""`hotmesh dev`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from hotmesh.cli import serving
from hotmesh.cli.arguments import model_source
from hotmesh.cli.context import Cli, Context
from hotmesh.cli.models import app_of
from hotmesh.cli.output import UsageError
from hotmesh.cli.workers import load_workers
from hotmesh.connect import Connection
from hotmesh.mesh import HotMesh

Objects = Annotated[tuple[str, ...], Parameter(name=("--workers", "-A"))]


async def dev(
    file: str | None = None,
    /,
    *,
    objects: Objects = (),
    demo: bool = False,
    stay: bool = False,
    cli: Cli,
) -> int:
    """Run server, engine and workers in one process, until Ctrl-C.

    Args:
        file: A model to deploy and activate first.
        objects: MODULE:OBJ of workers, as for `hotmesh worker`.
        demo: Run one job of an example, show it step by step, and end.
        stay: After the demo, keep running.
    """
    if demo:
        if file is not None or objects:
            raise UsageError("--demo brings its own model and workers; leave FILE and -A out")
        from hotmesh.cli.demo.run import run_demo

        return await run_demo(cli, stay=stay)
    if stay:
        raise UsageError("--stay belongs to --demo; without it, dev stays anyway")
    return await _run(cli, file, objects)


async def _run(cli: Context, file: str | None, objects: tuple[str, ...]) -> int:
    source = None if file is None else model_source(file)
    app_id = cli.app_id() if source is None else app_of(cli, source)
    workers = load_workers(objects, concurrency=cli.settings.worker.concurrency)

    async def prepare(mesh: HotMesh, connection: Connection) -> None:
        if source is not None:
            deployed = await mesh.deploy(source)
            await mesh.activate(deployed.version)
            cli.output.note(f"activated: version {deployed.version} of app {app_id}")

    return await serving.run(cli, app_id, "dev", engine=True, workers=workers, prepare=prepare)
