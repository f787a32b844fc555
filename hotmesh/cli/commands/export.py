"""`hotmesh export`."""

from __future__ import annotations

from hotmesh.cli.context import Cli
from hotmesh.cli.jobs import print_timeline, status_text


async def export(jid: str, /, *, cli: Cli) -> None:
    """Print a run as a timeline: activities, dimensions, times, attempts, codes.

    Args:
        jid: The job's id.
    """
    async with cli.mesh() as mesh:
        timeline = await mesh.export(jid)
    if cli.output.json:
        cli.output.result(timeline)
        return
    status = status_text(timeline.status, timeline.error)
    cli.output.line(f"job {jid} of {timeline.topic}, version {timeline.version}: {status}")
    print_timeline(cli.output, timeline)
    cli.output.data(timeline.data)
