"""Functions of the example: each takes a moment, so that there is something to see."""

import asyncio
from typing import Any

from hotmesh import StreamData, Worker

TAKES_S = {
    "order.price": 0.02,
    "order.stock": 0.035,
    "order.mail": 0.015,
    "parcel.wrap": 0.03,
    "parcel.label": 0.01,
}


async def work(message: StreamData) -> dict[str, Any]:
    """Take the topic's time."""
    await asyncio.sleep(TAKES_S[message.metadata.topic])
    return {"done": message.metadata.topic}


workers = [Worker(topic, work) for topic in TAKES_S]
