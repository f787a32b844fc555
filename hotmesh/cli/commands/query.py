"""`hotmesh query`."""

from __future__ import annotations

from hotmesh.cli.arguments import check_duration
from hotmesh.cli.context import Cli
from hotmesh.cli.workflows import read_args


async def query(
    workflow_id: str,
    name: str,
    /,
    *args: str,
    timeout: str = "10s",
    cli: Cli,
) -> None:
    """Ask a query handler of a durable workflow, running or ended, and print the answer.

    Args:
        workflow_id: The workflow's id.
        name: The query's name.
        args: Its arguments, each as JSON, @file, or - for stdin.
        timeout: How long a worker may take.
    """
    check_duration(timeout, "--timeout")
    values = read_args(args)
    async with cli.durable() as client:
        handle = client.workflow.get_handle(workflow_id)
        answer = await handle.query(name, *values, timeout=timeout)
    if cli.output.json:
        cli.output.result({"workflow_id": workflow_id, "query": name, "answer": answer})
    else:
        cli.output.data(answer)
