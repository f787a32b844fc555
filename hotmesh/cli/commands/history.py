"""`hotmesh history`."""

from __future__ import annotations

from typing import Literal

import msgspec

from hotmesh.cli.context import Cli
from hotmesh.cli.output import to_json

Format = Literal["text", "events", "json", "svg", "mermaid"]


async def history(
    workflow_id: str, /, *, run_id: str = "", format: Format = "text", cli: Cli
) -> None:
    """Print or draw what happened to a durable workflow.

    Args:
        workflow_id: The workflow's id.
        run_id: One of the runs that have had the id; the current one by default.
        format: text or svg, along time; events, one per line; mermaid, as a graph; json, the whole
            history, from which it can be replayed.
    """
    async with cli.durable() as client:
        found = await client.workflow.get_handle(workflow_id, run_id).history()
    if cli.output.json or format == "json":
        text = found.to_json()
        cli.output.line(to_json(msgspec.json.decode(text)) if cli.output.json else text)
    elif format == "events":
        begin = found.events[0].ts if found.events else 0
        cli.output.table(
            (">id", ">at", "event", ">step", "what"),
            [
                (e.id, f"+{e.ts - begin} ms", e.kind, e.seq or "", to_json(e.fields))
                for e in found.events
            ],
        )
    else:
        cli.output.line(found.timeline(format).rstrip("\n"))
