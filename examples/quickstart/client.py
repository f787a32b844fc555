"""Start a job from any process, and wait for its result."""

import asyncio
import sys

from hotmesh import HotMesh


async def main() -> None:
    """Greet whom the command line names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "world"
    async with HotMesh.session(app_id="quickstart", engine=False) as mesh:
        output = await mesh.pubsub("greeting.wanted", {"name": name}, timeout=30)
        print(output.data["greeting"])


asyncio.run(main())
