"""`hotmesh pub`."""

from __future__ import annotations

from hotmesh.cli.arguments import check_duration, read_json
from hotmesh.cli.context import Cli


async def pub(
    topic: str,
    data: str = "{}",
    /,
    *,
    job_id: str | None = None,
    idempotency_key: str | None = None,
    expire: str | None = None,
    cli: Cli,
) -> None:
    """Start a job and print its id.

    Args:
        topic: What the graph subscribes to.
        data: The payload as JSON, @file, or - for stdin.
        job_id: The job's id, unless the model maps one.
        idempotency_key: A repeated call with the same key finds the same job.
        expire: How long the record is kept after the end, such as 1h.
    """
    payload = read_json(data, "the payload")
    check_duration(expire, "--expire")
    async with cli.mesh() as mesh:
        jid = await mesh.pub(
            topic, payload, job_id=job_id, idempotency_key=idempotency_key, expire=expire
        )
    cli.output.result({"job_id": jid}, jid)
