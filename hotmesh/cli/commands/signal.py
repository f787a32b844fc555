"""`hotmesh signal`."""

from __future__ import annotations

from hotmesh.cli.context import Cli
from hotmesh.cli.workflows import read_args


async def signal(
    workflow_id: str,
    name: str,
    /,
    *data: str,
    dedup: str | None = None,
    cli: Cli,
) -> None:
    """Send a signal to a running durable workflow.

    Args:
        workflow_id: The workflow's id.
        name: The signal's name.
        data: What it carries, each value as JSON, @file, or - for stdin.
        dedup: Signals with the same key count once.
    """
    values = read_args(data)
    async with cli.durable() as client:
        await client.workflow.get_handle(workflow_id).signal(name, *values, dedup=dedup)
    cli.output.result({"workflow_id": workflow_id, "signal": name}, f"signalled {workflow_id}")
