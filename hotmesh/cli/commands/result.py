"""`hotmesh result`."""

from __future__ import annotations

from hotmesh.cli.arguments import check_duration
from hotmesh.cli.context import Cli


async def result(workflow_id: str, /, *, timeout: str | None = None, cli: Cli) -> None:
    """Wait for the end of a durable workflow and print its result.

    Args:
        workflow_id: The workflow's id.
        timeout: How long to wait; the workflow goes on after it. As long as it takes by default.
    """
    check_duration(timeout, "--timeout")
    async with cli.durable() as client:
        value = await client.workflow.get_handle(workflow_id).result(timeout=timeout)
    if cli.output.json:
        cli.output.result({"workflow_id": workflow_id, "result": value})
    else:
        cli.output.data(value)
