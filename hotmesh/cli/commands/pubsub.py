"""`hotmesh pubsub`."""

from __future__ import annotations

from hotmesh.cli.arguments import check_duration, read_json
from hotmesh.cli.context import Cli


async def pubsub(
    topic: str,
    data: str = "{}",
    /,
    *,
    timeout: str = "60s",
    job_id: str | None = None,
    idempotency_key: str | None = None,
    expire: str | None = None,
    cli: Cli,
) -> None:
    """Start a job, wait for its end, and print its data.

    Args:
        topic: What the graph subscribes to.
        data: The payload as JSON, @file, or - for stdin.
        timeout: How long to wait; the job goes on after it.
        job_id: The job's id, unless the model maps one.
        idempotency_key: A repeated call with the same key finds the same job.
        expire: How long the record is kept after the end, such as 1h.
    """
    payload = read_json(data, "the payload")
    check_duration(expire, "--expire")
    check_duration(timeout, "--timeout")
    async with cli.mesh() as mesh:
        output = await mesh.pubsub(
            topic,
            payload,
            job_id=job_id,
            idempotency_key=idempotency_key,
            expire=expire,
            timeout=timeout,
        )
    if cli.output.json:
        cli.output.result(output)
    else:
        cli.output.note(f"job {output.metadata.jid} is done")
        cli.output.data(output.data)
