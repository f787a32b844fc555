"""The app of the streams' chaos tests: `hotmesh worker -A counting:app`.

Everything that it should know afterwards lies in tables and in one topic, so that it survives the
processes that are killed.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import hotmesh
from hotmesh import RetryPolicy

PARTITIONS = 6


class Hit(hotmesh.Record):
    """One event: the n-th of its key."""

    key: str
    n: int
    what: str = "count"


app = hotmesh.App(
    "counting",
    os.environ["COUNTING_REDIS"],
    namespace=os.environ["COUNTING_NAMESPACE"],
    lease="1s",
    grace="2s",
)
hits = app.topic("hits", value_type=Hit, partitions=PARTITIONS)
out = app.topic("out", value_type=Hit, partitions=4)
views = app.table("views", default=int).tumbling("10s", expires="1h")
visits = app.table("visits", default=int).session("5s", expires="1h")
last = app.table("last", default=int)
broken = app.table("broken", default=int)
by_number = app.table("by-number", default=int)


@app.agent(hits, retry=RetryPolicy(maximum_attempts=2, initial_interval="20ms"), concurrency=2)
async def count(stream: Any) -> Any:
    """Count by window, and watch the order of each key."""
    async for event in stream.events():
        hit = event.value
        if hit.what == "poison":
            raise ValueError("poison")
        if hit.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        views[hit.key] += 1
        visits[hit.key] += 1
        if hit.n != last[hit.key] + 1:
            broken[hit.key] += 1
        last[hit.key] = hit.n
        await out.send(hit, key=f"{hit.n % 50}")


@app.agent(out)
async def regroup(stream: Any) -> None:
    """Count what arrives by another key."""
    async for hit in stream.group_by(lambda hit: f"n{hit.n % 20}"):
        by_number[f"n{hit.n % 20}"] += 1
