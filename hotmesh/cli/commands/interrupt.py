"""`hotmesh interrupt`."""

from __future__ import annotations

from hotmesh.cli.arguments import check_duration
from hotmesh.cli.context import Cli


async def interrupt(
    jid: str,
    /,
    *,
    reason: str = "",
    quiet: bool = False,
    descend: bool = False,
    expire: str = "1s",
    after: str | None = None,
    cli: Cli,
) -> None:
    """End a running job; what its workers still do is dropped.

    Args:
        jid: The job's id.
        reason: The message of its error.
        quiet: Give it no error: callers get the data so far.
        descend: End the jobs that it has started too.
        expire: How long the record is kept.
        after: How long it may still run; nothing happens to a job that has ended by then.
    """
    check_duration(expire, "--expire")
    if after is not None:
        check_duration(after, "--after")
    async with cli.mesh() as mesh:
        topic = (await mesh.export(jid)).topic
        await mesh.interrupt(
            topic,
            jid,
            reason=reason,
            descend=descend,
            throw=not quiet,
            expire=expire,
            after=after,
        )
    told = f"interrupted {jid}" if after is None else f"{jid} may run for {after}"
    cli.output.result({"job_id": jid, "interrupted": after is None}, told)
