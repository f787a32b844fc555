"""`hotmesh export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hotmesh.cli.context import Cli
from hotmesh.cli.jobs import print_failures, print_timeline, status_text

if TYPE_CHECKING:
    from hotmesh.mesh.timeline import Timeline

Format = Literal["table", "text", "timeline", "svg", "mermaid"]


async def export(jid: str, /, *, format: Format = "table", cli: Cli) -> None:
    """Print or draw a run: activities, dimensions, times, attempts, codes.

    Args:
        jid: The job's id.
        format: table; text or timeline (SVG), along time; svg or mermaid, as a graph.
    """
    async with cli.mesh() as mesh:
        timeline = await mesh.export(jid)
    if cli.output.json:
        cli.output.result(timeline)
        return
    if format != "table":
        cli.output.line(_drawn(timeline, format).rstrip("\n"))
        return
    status = status_text(timeline.status, timeline.error)
    cli.output.line(f"job {jid} of {timeline.topic}, version {timeline.version}: {status}")
    print_failures(cli.output, timeline.errors)
    print_timeline(cli.output, timeline)
    cli.output.data(timeline.data)


def _drawn(run: Timeline, format: Format) -> str:
    from hotmesh import pictures

    title, about = run.topic, (run.job_id,)
    if format == "text":
        return pictures.timeline_text(run.legs)
    if format == "timeline":
        return pictures.timeline_svg(run.legs, title=title, about=about)
    graph = pictures.from_legs(run.legs, run.edges, title=title, about=about)
    return pictures.graph_svg(graph) if format == "svg" else pictures.graph_mermaid(graph)
