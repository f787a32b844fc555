"""The seed's example in one process: engine, three workers, one job and its result."""

import asyncio
from pathlib import Path

from workers import workers

from hotmesh import HotMesh, JobOutput


def published(topic: str, output: JobOutput) -> None:
    """Called with every result that the graph publishes."""
    print(f"published on {topic}: {output.metadata.jid}")


async def main() -> None:
    """Deploy, activate, subscribe, start a job and wait for it."""
    async with HotMesh.session(app_id="sandbox", workers=workers) as mesh:
        await mesh.deploy(Path(__file__).with_name("sandbox.yaml"))
        await mesh.activate("1")
        await mesh.psub("sandbox.work.done.*", published)

        output = await mesh.pubsub("sandbox.work.do", {}, timeout=30)
        print(f"done: {output.metadata.jid}, status {output.metadata.js}")


asyncio.run(main())
