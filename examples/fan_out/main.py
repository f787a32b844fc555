"""Three carriers answer side by side; the job ends with the last of them."""

import asyncio
import time
from pathlib import Path

from hotmesh import HotMesh, StreamData, Worker

MODEL = Path(__file__).with_name("model.yaml")
THINKING_S = 0.5


class NoFlight(Exception):
    """The carrier can't; the model has a transition for this code."""

    code = 409


async def road(msg: StreamData) -> dict[str, int]:
    """Take anything."""
    await asyncio.sleep(THINKING_S)
    return {"price": 20 + msg.data["kg"]}


async def rail(msg: StreamData) -> dict[str, int]:
    """Take anything, cheaper."""
    await asyncio.sleep(THINKING_S)
    return {"price": 35 + msg.data["kg"] // 2}


async def air(msg: StreamData) -> dict[str, int]:
    """Take what is light."""
    await asyncio.sleep(THINKING_S)
    if msg.data["kg"] > 30:
        raise NoFlight("too heavy to fly")
    return {"price": 60 + msg.data["kg"] * 4}


WORKERS = [
    Worker("carrier.road", road),
    Worker("carrier.rail", rail),
    Worker("carrier.air", air),
]


async def main() -> None:
    """Ask for a light and a heavy parcel."""
    async with HotMesh.session("quotes", workers=WORKERS) as mesh:
        await mesh.deploy(MODEL)
        await mesh.activate("1")
        for kg in (2, 50):
            began = time.monotonic()
            result = await mesh.pubsub("quote.wanted", {"kg": kg}, timeout=30)
            took_s = time.monotonic() - began
            offers = result.data["offers"]
            for carrier in sorted(offers, key=offers.__getitem__):
                print(f"{kg} kg by {carrier}: {offers[carrier]}")
            for carrier, remark in result.data.get("remarks", {}).items():
                print(f"{kg} kg by {carrier}: {remark}")
            print("asked one after the other" if took_s > 2.5 * THINKING_S else "asked at once")


if __name__ == "__main__":
    asyncio.run(main())
