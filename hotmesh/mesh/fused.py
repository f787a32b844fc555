"""A worker whose process also holds an engine: the answer and the transition that it causes are
one script, without a hop.

Answers that are ready in the same turn of the event loop are applied as one batch.
"""

from __future__ import annotations

import asyncio

from hotmesh.engine import Arrival, Engine
from hotmesh.errors import HotMeshError
from hotmesh.messages import Reply
from hotmesh.store import ANSWER_RETRIES_MAX, Entry, Partition, Verdict, retrying


class Fused:
    """Settles answers through the engine of this process.

    A component; it must outlive the workers.
    """

    name = "fused"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[tuple[Arrival, asyncio.Future[Verdict]]] = []
        self._wake = asyncio.Event()
        self._draining = False

    async def __call__(
        self, entry: Entry, consumer: str, partition: Partition, reply: Reply
    ) -> Verdict:
        """Apply an answer; LOST when the entry is another's by now."""
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        arrival = Arrival(entry.stream, entry.group, entry.ids[0], reply, consumer)
        self._waiting.append((arrival, future))
        self._wake.set()
        return await future

    def drain(self) -> None:
        """End once nothing waits. Idempotent."""
        self._draining = True
        self._wake.set()

    async def run(self, started: asyncio.Event) -> None:
        """Until drained and nothing waits."""
        started.set()
        while self._waiting or not self._draining:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._apply(batch)

    async def _apply(self, batch: list[tuple[Arrival, asyncio.Future[Verdict]]]) -> None:
        arrivals = [arrival for arrival, _ in batch]
        try:
            settled = await retrying(
                lambda: self._engine.handle(arrivals), what="apply", tries_max=ANSWER_RETRIES_MAX
            )
        except Exception as exc:
            for _, future in batch:
                if not future.done():
                    future.set_exception(exc)
            if isinstance(exc, HotMeshError):
                return
            raise
        for arrival, future in batch:
            if not future.done():
                lost = arrival.key in settled.failed
                future.set_result(Verdict.LOST if lost else Verdict.APPLIED)
