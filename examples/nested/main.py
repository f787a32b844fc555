"""Book three trips: one works, one finds the hotel full, one finds no airport."""

import asyncio
from pathlib import Path

from hotmesh import HotMesh, JobError, StreamData, Worker

MODEL = Path(__file__).with_name("model.yaml")


class HotelFull(Exception):
    """Travels up: worker, child job, await, and there a transition takes it."""

    code = 409


async def reserve(msg: StreamData) -> dict[str, str]:
    """Hold a seat."""
    if msg.data["to"] == "Atlantis":
        raise LookupError("there is no airport")
    return {"seat": f"12A to {msg.data['to']}"}


async def release(msg: StreamData) -> dict[str, str]:
    """Give a seat back."""
    return {"state": f"{msg.data['seat']}, given back"}


async def check_in(msg: StreamData) -> dict[str, str]:
    """Hold a room."""
    if msg.data["in"] == "Bergen":
        raise HotelFull("no room left in Bergen")
    return {"room": f"room 7 in {msg.data['in']}"}


WORKERS = [
    Worker("airline.reserve", reserve),
    Worker("airline.release", release),
    Worker("hotel.check_in", check_in),
]


async def main() -> None:
    """Book, and tell what came of it."""
    async with HotMesh.session("travel", workers=WORKERS) as mesh:
        await mesh.deploy(MODEL)
        await mesh.activate("1")
        for place in ("Oslo", "Bergen", "Atlantis"):
            try:
                result = await mesh.pubsub("trip.book", {"to": place}, timeout=30)
            except JobError as error:
                print(f"{place}: failed with {error.code}, {error.message}")
                continue
            told = [f"{name} {result.data[name]}" for name in sorted(result.data)]
            print(f"{place}: {'; '.join(told)}")


if __name__ == "__main__":
    asyncio.run(main())
