"""`hotmesh state`."""

from __future__ import annotations

from hotmesh.cli.context import Cli
from hotmesh.cli.jobs import iso, print_failures, status_text


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
    facts = output.metadata
    cli.output.line(f"job {facts.jid} of {facts.tpc}, version {facts.vrs} of app {facts.app}")
    status = status_text(facts.js, facts.err)
    cli.output.line(f"created {iso(facts.jc)}, changed {iso(facts.ju)}: {status}")
    print_failures(cli.output, output.errors)
    cli.output.data(output.data)
