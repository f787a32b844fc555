"""`hotmesh drain`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from hotmesh.cli.arguments import check_duration
from hotmesh.cli.context import Cli


async def drain(
    member: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    timeout: str = "60s",
    cli: Cli,
) -> None:
    """Have a member take nothing more, and wait until its hands are empty. Its process stays.

    Args:
        member: Its guid as rollcall shows it, the beginning of one, or the name of its host.
        timeout: How long to wait; it goes on draining after that.
    """
    check_duration(timeout, "--timeout")
    async with cli.mesh() as mesh:
        profile = await mesh.drain(member, timeout=timeout)
    cli.output.result(
        {"member": profile.guid, "state": profile.state, "in_flight": profile.in_flight},
        f"drained: {profile.guid} ({profile.host}, pid {profile.pid}) holds nothing",
    )
