"""`sub` and `psub`: results as they are published.

A hint names the job; its record is what the handler gets.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import msgspec

from hotmesh.connect import Connection, Subscription
from hotmesh.core.state import UPDATED
from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.mesh.output import JobOutput, output_of
from hotmesh.store import Store

log = get_logger("hotmesh.mesh")

OutputHandler: TypeAlias = Callable[[str, JobOutput], Awaitable[None] | None]

WAITING_MAX = 10_000
"""Hints that wait for their handler; more are dropped, and logged: results stay in their
records.
"""


class OutputSubscription:
    """One handler of published results; with `once`, of the first result alone."""

    def __init__(self, store: Store, handler: OutputHandler, *, once: bool = False) -> None:
        self._store, self._handler, self._once = store, handler, once
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(WAITING_MAX)
        self._bus: list[Subscription] = []
        self._task: asyncio.Task[None] | None = None

    async def open(
        self, connection: Connection, *, channels: Sequence[str] = (), patterns: Sequence[str] = ()
    ) -> None:
        """Subscribe; returns when the server has confirmed."""
        self._task = asyncio.create_task(self._run(), name="subscription")
        for channel in channels:
            self._bus.append(await connection.bus.subscribe(channel, self._hint))
        for pattern in patterns:
            self._bus.append(await connection.bus.psubscribe(pattern, self._hint))

    async def unsubscribe(self) -> None:
        """Detach this handler; a call in hand is awaited. Idempotent."""
        await self._detach()
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    async def _detach(self) -> None:
        while self._bus:
            await self._bus.pop().unsubscribe()

    def _hint(self, channel: bytes, payload: bytes) -> None:
        try:
            self._queue.put_nowait(payload)
        except asyncio.QueueFull:
            log.warning("subscription.overrun", dropped=1, waiting=WAITING_MAX)

    async def _run(self) -> None:
        while True:
            payload = await self._queue.get()
            final = False
            try:
                jid, topic, snapshot = msgspec.msgpack.decode(payload, type=tuple[str, str, bytes])
                output = await self._output(jid, snapshot)
                if output is not None:
                    final = output.metadata.js <= 0
                    result = self._handler(topic, output)
                    if inspect.isawaitable(result):
                        await result
            except HotMeshError as exc:
                log.warning("subscription.read_failed", error=str(exc))
            except Exception:
                log.exception("subscription.handler_failed")
            if final and self._once:
                await self._detach()
                return

    async def _output(self, jid: str, snapshot: bytes) -> JobOutput | None:
        job = (await self._store.load([(jid, (UPDATED,))]))[0]
        if job is None:
            return None  # expired before it could be read
        if snapshot:
            job.status, job.data = msgspec.msgpack.decode(snapshot)
            job.error = None
        return output_of(job)
