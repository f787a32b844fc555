"""An order as a saga: when a step fails for good, what was done before is undone, last first.

python examples/durable/order_saga.py
"""

import asyncio
from collections.abc import Awaitable, Callable

from hotmesh import durable
from hotmesh.durable import ActivityError, ApplicationError, RetryPolicy, WorkflowFailed, activity

FEW = RetryPolicy(initial_interval="50ms", maximum_attempts=3)


@activity.defn(retry=FEW)
async def reserve(order: str) -> str:
    print(f"  reserve the goods of {order}")
    return f"reservation of {order}"


@activity.defn(retry=FEW)
async def release(reservation: str) -> None:
    print(f"  release the {reservation}")


@activity.defn(retry=FEW)
async def charge(order: str, cents: int) -> str:
    print(f"  charge {cents} cents for {order}")
    return f"payment for {order}"


@activity.defn(retry=FEW)
async def refund(payment: str) -> None:
    print(f"  refund the {payment}")


@activity.defn(retry=FEW)
async def ship(order: str, address: str) -> str:
    if not address:
        raise ApplicationError("there is no address", non_retryable=True)
    print(f"  ship {order} to {address}")
    return f"parcel of {order}"


async def place_order(order: str, cents: int, address: str) -> str:
    undo: list[Callable[[], Awaitable[None]]] = []
    try:
        reservation = await reserve(order)
        undo.append(lambda: release(reservation))
        payment = await charge(order, cents)
        undo.append(lambda: refund(payment))
        return await ship(order, address)
    except ActivityError:
        for step in reversed(undo):
            await step()
        raise


async def main() -> None:
    worker = await durable.Worker.create(
        namespace="saga",
        workflows=[place_order],
        activities=[reserve, release, charge, refund, ship],
    )
    async with worker, durable.Client(namespace="saga") as client:
        print("An order that can be shipped:")
        print("->", await client.workflow.execute(place_order, "order 1", 995, "1 Main Street"))
        print("One that can't:")
        try:
            await client.workflow.execute(place_order, "order 2", 995, "")
        except WorkflowFailed as exc:
            print("->", exc)


if __name__ == "__main__":
    asyncio.run(main())
