"""A worker: runs the workflow and its activities until it is stopped."""

import asyncio

import activities
import workflows

from hotmesh import durable


async def main() -> None:
    worker = await durable.Worker.create(
        task_queue="default", workflows=[workflows.example], activities=[activities]
    )
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
