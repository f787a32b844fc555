"""`hotmesh sub`."""

from __future__ import annotations

import asyncio

from hotmesh.cli.context import Cli
from hotmesh.cli.output import UsageError, one_line, to_json
from hotmesh.lifecycle import Signals
from hotmesh.mesh import JobOutput


async def sub(topic: str, /, *, count: int = 0, cli: Cli) -> None:
    """Print results as they are published, one per line, until Ctrl-C.

    Args:
        topic: What a graph publishes. With a `*` in it, a pattern; with a dot and a job id, the
            result of that job.
        count: End after so many results; 0 for no end.
    """
    if count < 0:
        raise UsageError(f"--count is 0 or more, not {count}")
    left, enough = count, asyncio.Event()

    def show(published: str, output: JobOutput) -> None:
        nonlocal left
        if enough.is_set():
            return
        if cli.output.json:
            cli.output.line(to_json({"topic": published, **_fields(output)}))
        else:
            text = f"{published} {output.metadata.jid} {to_json(output.data)}"
            cli.output.line(one_line(text))
        left -= 1
        if left == 0:
            enough.set()

    async with cli.mesh() as mesh:
        with Signals() as signals:
            await (mesh.psub if "*" in topic else mesh.sub)(topic, show)
            cli.output.event("ready", f"waiting for results of {topic}", stderr=True, topic=topic)
            ends = [asyncio.create_task(e.wait()) for e in (signals.first, enough)]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in ends:
                task.cancel()


def _fields(output: JobOutput) -> dict[str, object]:
    return {"data": output.data, "metadata": output.metadata}
