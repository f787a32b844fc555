"""`hotmesh state`."""

from __future__ import annotations

from hotmesh.cli.context import Cli
from hotmesh.cli.jobs import status_text


async def state(jid: str, /, *, cli: Cli) -> None:
    """Print the data and metadata of a job, running or done.

    Args:
        jid: The job's id.
    """
    async with cli.mesh() as mesh:
        # The topic is part of the address of a job's state; its record knows it.
        topic = (await mesh.export(jid)).topic
        output = await mesh.get_state(topic, jid)
    if cli.output.json:
        cli.output.result(output)
        return
    metadata = output.metadata
    cli.output.line(
        f"job {metadata.jid} of {metadata.tpc}, version {metadata.vrs} of app {metadata.app}"
    )
    cli.output.line(
        f"created {metadata.jc}, changed {metadata.ju}: {status_text(metadata.js, metadata.err)}"
    )
    cli.output.data(output.data)
