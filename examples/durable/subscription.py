"""A subscription that sleeps for months between its bills, and may be cancelled at any time.

python examples/durable/subscription.py            # with a month of 200 ms
python examples/durable/subscription.py "1 month"  # with a real one
"""

import asyncio
import sys

from hotmesh import durable
from hotmesh.durable import WorkflowCancelled, activity, workflow


@activity.defn
async def bill(customer: str, number: int) -> None:
    print(f"bill {number} for {customer}")


@activity.defn
async def farewell(customer: str, bills: int) -> None:
    print(f"good-bye, {customer}, and thanks for {bills} months")


async def subscribe(customer: str, month: str) -> int:
    bills = 0
    try:
        while True:
            bills += 1
            await bill(customer, bills)
            await workflow.search().set(bills=bills)
            await workflow.sleep_for(month)
    except asyncio.CancelledError:
        await farewell(customer, bills)
        raise


async def main(month: str = "200 ms") -> None:
    worker = await durable.Worker.create(
        namespace="subscription", workflows=[subscribe], activities=[bill, farewell]
    )
    async with worker, durable.Client(namespace="subscription") as client:
        handle = await client.workflow.start(
            subscribe, "Ada", month, search_attributes={"customer": "Ada"}
        )
        for _ in range(500):  # until the third bill
            if (await handle.fields("bills"))["bills"] == 3:
                break
            await asyncio.sleep(0.02)
        await handle.cancel("moved away")
        try:
            await handle.result()
        except WorkflowCancelled as exc:
            print(exc)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
