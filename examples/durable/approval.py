"""A request that somebody must approve, within a time.

python examples/durable/approval.py
"""

import asyncio

from hotmesh import durable
from hotmesh.durable import workflow


@workflow.defn
class Approval:
    def __init__(self) -> None:
        self.state = "waiting"
        self.by = ""

    @workflow.run
    async def main(self, request: str, within: str) -> str:
        try:
            await workflow.wait_condition(lambda: self.state != "waiting", timeout=within)
        except TimeoutError:
            self.state = "expired"
        return f"{request}: {self.state}" + (f" by {self.by}" if self.by else "")

    @workflow.update
    async def decide(self, by: str, approve: bool) -> str:
        self.state, self.by = ("approved" if approve else "refused"), by
        return self.state

    @decide.validator  # type: ignore[attr-defined]
    def check(self, by: str, approve: bool) -> None:
        if self.state != "waiting":
            raise ValueError(f"it is {self.state} already")

    @workflow.query
    def status(self) -> str:
        return self.state


async def main() -> None:
    worker = await durable.Worker.create(namespace="approval", workflows=[Approval])
    async with worker, durable.Client(namespace="approval") as client:
        asked = await client.workflow.start(Approval, "a new chair", "2 days")
        print("status:", await asked.query("status"))
        print("decision:", await asked.update("decide", "Ada", True))
        print(await asked.result())

        forgotten = await client.workflow.start(Approval, "a new desk", "200 ms")
        print(await forgotten.result())


if __name__ == "__main__":
    asyncio.run(main())
