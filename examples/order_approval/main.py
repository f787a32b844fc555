"""Three orders: one is approved, one is refused, one is forgotten."""

import asyncio
from pathlib import Path

from hotmesh import HotMesh, StreamData, Worker

MODEL = Path(__file__).with_name("model.yaml")


async def ship(msg: StreamData) -> dict[str, str]:
    """Send the order; the parcel's number goes into the job."""
    return {"parcel": f"parcel of {msg.data['number']}"}


async def order(mesh: HotMesh, number: str) -> str:
    """Place an order and wait for its end."""
    result = await mesh.pubsub("order.placed", {"number": number}, timeout=30)
    return f"{number}: {result.data['state']}, by {result.data.get('manager', 'nobody')}"


async def main() -> None:
    """Place the orders, then decide on two of them."""
    workers = [Worker("warehouse.ship", ship)]
    async with HotMesh.session("approval", workers=workers) as mesh:
        await mesh.deploy(MODEL)
        await mesh.activate("1")
        numbers = ["order-1", "order-2", "order-3"]
        orders = [asyncio.create_task(order(mesh, number)) for number in numbers]

        # The manager. A decision that comes before its order waits has to wait itself, not be lost.
        yes = {"number": "order-1", "manager": "Ada", "approved": True}
        no = {"number": "order-2", "manager": "Ben", "approved": False}
        await mesh.hook("order.decided", yes)
        await mesh.hook("order.decided", no)

        for line in await asyncio.gather(*orders):
            print(line)

        # The records would stay for an hour, and an id can't be used again before its record is
        # gone. Without these lines a second run of this program would have to wait.
        for number in numbers:
            await mesh.scrub(number)


if __name__ == "__main__":
    asyncio.run(main())
