"""`hotmesh deploy`."""

from __future__ import annotations

from hotmesh.cli.arguments import model_source
from hotmesh.cli.context import Cli
from hotmesh.cli.models import app_of


async def deploy(file: str, /, *, activate: bool = False, cli: Cli) -> None:
    """Compile a model and store it under its version.

    Args:
        file: The model, a YAML file; - for stdin.
        activate: Start new jobs on it at once.
    """
    source = model_source(file)
    app_id = app_of(cli, source)
    async with cli.mesh(app_id) as mesh:
        deployed = await mesh.deploy(source)
        if activate:
            await mesh.activate(deployed.version)
    if cli.output.json:
        facts = {"app": app_id, "version": deployed.version, "changed": deployed.changed}
        cli.output.result({**facts, "activated": activate, "warnings": deployed.warnings})
        return
    for warning in deployed.warnings:
        cli.output.note(f"warning: {warning}")
    did = "deployed" if deployed.changed else "found unchanged"
    if activate:
        did += " and activated"
    cli.output.line(f"{did}: version {deployed.version} of app {app_id}")
    if not activate:
        cli.output.note(
            f"next: hotmesh activate {deployed.version} --app {app_id} starts new jobs on it"
        )
