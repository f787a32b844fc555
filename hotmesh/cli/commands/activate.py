"""`hotmesh activate`."""

from __future__ import annotations

from hotmesh.cli.arguments import check_duration
from hotmesh.cli.context import Cli


async def activate(version: str, /, *, timeout: str = "5s", cli: Cli) -> None:
    """Start new jobs on a version; jobs in flight end on theirs.

    Args:
        version: A version that was deployed.
        timeout: How long the fleet has to agree.
    """
    check_duration(timeout, "--timeout")
    app_id = cli.app_id()
    async with cli.mesh(app_id) as mesh:
        await mesh.activate(version, timeout=timeout)
    cli.output.result(
        {"app": app_id, "version": version, "activated": True},
        f"activated: version {version} of app {app_id}",
    )
