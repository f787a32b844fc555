"""Three functions that the model in sandbox.yaml calls one after the other.

Run them with `hotmesh worker -A workers`.
"""

import asyncio
import time

from hotmesh import StreamData, Worker


async def servicec(msg: StreamData) -> dict[str, str]:
    """An async function: hundreds of calls wait side by side."""
    await asyncio.sleep(0.15)  # stands in for a call over the network
    return {"by": "servicec", "job": msg.metadata.jid}


def serviced(msg: StreamData) -> dict[str, str]:
    """A plain function runs in a thread and may block."""
    time.sleep(0.25)
    return {"by": "serviced", "job": msg.metadata.jid}


async def sforcecloud(msg: StreamData) -> dict[str, str]:
    """What a function returns is its activity's output."""
    await asyncio.sleep(0.1)
    return {"by": "sforcecloud", "job": msg.metadata.jid}


workers = [
    Worker("sandbox.work.do.servicec", servicec),
    Worker("sandbox.work.do.serviced", serviced),
    Worker("sandbox.work.do.sforcecloud", sforcecloud),
]
