"""`hotmesh list`."""

from __future__ import annotations

from hotmesh.cli.context import Cli
from hotmesh.cli.output import to_json
from hotmesh.cli.workflows import iso


async def list_(query: str = "", /, *, limit: int = 100, count: bool = False, cli: Cli) -> None:
    """Find durable workflows, the latest started first.

    Args:
        query: Such as "status = 'running' and customer = 'x'"; all by default.
        limit: At most so many.
        count: Print how many there are instead.
    """
    async with cli.durable() as client:
        if count:
            number = await client.workflow.count(query)
            cli.output.result({"count": number}, str(number))
            return
        found = await client.workflow.list(query, limit=limit)
    if cli.output.json:
        cli.output.result({"workflows": found})
        return
    if not found:
        cli.output.line("there are no such workflows")
        return
    cli.output.table(
        ("id", "workflow", "status", "queue", "started", "ended", "attributes"),
        [
            (
                d.workflow_id,
                d.workflow,
                d.status,
                d.task_queue,
                iso(d.started_at),
                iso(d.closed_at),
                to_json(d.search_attributes) if d.search_attributes else "",
            )
            for d in found
        ],
    )
