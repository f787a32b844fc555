"""Polling without end: every few looks the run continues as new, so that its history stays short.

python examples/durable/polling.py
"""

import asyncio

from hotmesh import durable
from hotmesh.durable import activity, workflow

LOOKS_PER_RUN = 3


@activity.defn
async def look(job: str) -> str:
    looks[job] = looks.get(job, 0) + 1
    return "ready" if looks[job] >= 8 else "building"


looks: dict[str, int] = {}


async def wait_for(job: str, every: str, seen: int = 0) -> str:
    for _ in range(LOOKS_PER_RUN):
        state = await look(job)
        seen += 1
        if state == "ready":
            return f"{job} is ready after {seen} looks"
        await workflow.sleep_for(every)
    workflow.continue_as_new(job, every, seen)
    return ""


async def main() -> None:
    worker = await durable.Worker.create(
        namespace="polling", workflows=[wait_for], activities=[look]
    )
    async with worker, durable.Client(namespace="polling") as client:
        handle = await client.workflow.start(wait_for, "build 7", "50 ms")
        print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main())
