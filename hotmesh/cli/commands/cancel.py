"""`hotmesh cancel`."""

from __future__ import annotations

from hotmesh.cli.context import Cli


async def cancel(
    workflow_id: str, /, *, reason: str = "", terminate: bool = False, cli: Cli
) -> None:
    """Ask a durable workflow to cancel: its code may clean up, and may refuse.

    Args:
        workflow_id: The workflow's id.
        reason: What its code is told.
        terminate: End it at once, without a word of its code.
    """
    async with cli.durable() as client:
        handle = client.workflow.get_handle(workflow_id)
        if terminate:
            await handle.terminate(reason or "terminated")
        else:
            await handle.cancel(reason)
    did = "terminated" if terminate else "asked to cancel"
    cli.output.result({"workflow_id": workflow_id, "terminated": terminate}, f"{did} {workflow_id}")
