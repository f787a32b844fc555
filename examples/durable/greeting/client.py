"""A client: starts the workflow and waits for its result."""

import asyncio

from hotmesh import HotMesh, durable


async def main() -> None:
    async with durable.Client() as client:
        handle = await client.workflow.start(
            "example",
            args=["HotMesh", "es"],
            task_queue="default",
            workflow_id=HotMesh.guid(),
        )
        print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main())
