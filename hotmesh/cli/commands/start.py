"""`hotmesh start`."""

from __future__ import annotations

from hotmesh.cli.arguments import check_duration, read_json
from hotmesh.cli.context import Cli
from hotmesh.cli.output import UsageError
from hotmesh.cli.workflows import read_args


async def start(
    workflow: str,
    /,
    *args: str,
    queue: str = "default",
    id: str | None = None,
    attributes: str | None = None,
    delay: str | None = None,
    expire: str = "24h",
    wait: bool = False,
    cli: Cli,
) -> None:
    """Start a durable workflow and print its id.

    Args:
        workflow: Its name.
        args: Its arguments, each as JSON, @file, or - for stdin.
        queue: The task queue of its workers.
        id: The workflow's id; a new one by default.
        attributes: Search attributes, as a JSON object.
        delay: How much later its code begins.
        expire: How long the record is kept after the end.
        wait: Wait for its end and print the result instead.
    """
    check_duration(delay, "--delay")
    check_duration(expire, "--expire")
    given = read_args(args)
    found_by = read_json(attributes, "--attributes") if attributes else None
    if found_by is not None and not isinstance(found_by, dict):
        raise UsageError('--attributes takes a JSON object, such as \'{"customer": "x"}\'')
    async with cli.durable() as client:
        handle = await client.workflow.start(
            workflow,
            args=given,
            task_queue=queue,
            workflow_id=id,
            search_attributes=found_by,
            start_delay=delay,
            expire=expire,
        )
        ids = {"workflow_id": handle.workflow_id, "run_id": handle.run_id}
        if not wait:
            cli.output.result(ids, handle.workflow_id)
            return
        value = await handle.result()
    if cli.output.json:
        cli.output.result({**ids, "result": value})
    else:
        cli.output.data(value)
