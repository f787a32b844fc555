"""The demo: the whole of hotmesh in a few seconds, on a machine with nothing running."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from importlib.resources import files
from typing import Any

from hotmesh.cli import serving
from hotmesh.cli.context import Context
from hotmesh.cli.demo.workers import workers
from hotmesh.cli.jobs import print_timeline
from hotmesh.connect import Connection
from hotmesh.errors import ActivationFailed
from hotmesh.lifecycle import EXIT_DONE
from hotmesh.mesh import DeployResult, HotMesh, JobOutput, Timeline
from hotmesh.model import load

APP_ID, TOPIC, MODEL = "sandbox", "sandbox.work.do", "sandbox.yaml"
VERSIONS_MAX = 100
LOOK_S = 0.02
RUN_S_MAX = 30.0


async def run_demo(cli: Context, *, stay: bool) -> int:
    """Deploy, activate, run one job and show it; with `stay`, serve on until a signal."""
    if stay:

        async def prepare(mesh: HotMesh, connection: Connection) -> None:
            await _show(cli, mesh, connection)

        return await serving.run(cli, APP_ID, "dev", engine=True, workers=workers, prepare=prepare)
    async with cli.connection() as connection:
        mesh = await cli.join(connection, APP_ID, engine=True, workers=workers)
        try:
            await _show(cli, mesh, connection)
        finally:
            await mesh.stop()
    return EXIT_DONE


async def _show(cli: Context, mesh: HotMesh, connection: Connection) -> None:
    out = cli.output
    _step(cli, "server", connection.url_masked)
    deployed = await _deploy(mesh)
    _step(cli, "deployed", f"{MODEL}, version {deployed.version} of app {APP_ID}")
    await mesh.activate(deployed.version)
    _step(cli, "activated", f"version {deployed.version}: new jobs run on it")
    _step(cli, "workers", ", ".join(w.topic.rpartition(".")[2] for w in workers))
    jid = await mesh.pub(TOPIC, {})
    _step(cli, "started", f"job {jid} of {TOPIC}")
    timeline = await _watch(cli, mesh, jid)
    output = await mesh.get_state(TOPIC, jid)
    if out.json:
        out.result({"job_id": jid, "timeline": timeline, "output": output})
        return
    _summary(cli, timeline, output)


async def _deploy(mesh: HotMesh) -> DeployResult:
    """Deploy the model under the first version that is free for it.

    In a directory that has seen the demo of another release, version 1 may be another plan.
    """
    model = load((files("hotmesh.cli.demo") / MODEL).read_text()).raw
    for version in range(1, VERSIONS_MAX):
        model["app"]["version"] = str(version)
        try:
            return await mesh.deploy(model)
        except ActivationFailed:
            continue
    return await mesh.deploy(model)


async def _watch(cli: Context, mesh: HotMesh, jid: str) -> Timeline:
    """Tell of each step as it ends, by looking at the job's record; the finished run."""
    told: set[str] = set()
    async with asyncio.timeout(RUN_S_MAX):
        with _spinner(cli) as spinner:
            while True:
                timeline = await mesh.export(jid)
                for leg in timeline.legs:
                    if leg.state == "done" and leg.activity not in told:
                        told.add(leg.activity)
                        _step(cli, "  done", f"{leg.activity} after {leg.duration_ms} ms")
                    elif leg.state == "open" and spinner is not None:
                        spinner.update(f"{leg.activity} is at work")
                if timeline.status <= 0:
                    return timeline
                await asyncio.sleep(LOOK_S)


def _summary(cli: Context, timeline: Timeline, output: JobOutput) -> None:
    took_ms = timeline.updated_ms - timeline.created_ms
    cli.output.line(f"\nThe run, from its record ({took_ms} ms):\n")
    print_timeline(cli.output, timeline)
    cli.output.line("\nIts result:\n")
    cli.output.data(output)
    cli.output.line(
        "\nNext: write a model and its functions, then run hotmesh dev MODEL.yaml -A MODULE"
    )


def _step(cli: Context, name: str, text: str) -> None:
    if not cli.output.json:
        cli.output.line(f"{name:<10} {text}")


def _spinner(cli: Context) -> AbstractContextManager[Any]:
    """Movement while the job runs, on a terminal."""
    if cli.output.json or not cli.output.console.is_terminal:
        return nullcontext()
    return cli.output.console.status("running")
