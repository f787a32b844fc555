"""Waiting for results: a notification shortens the wait, the record decides.

One subscription per process. A hint, a cut of the connection and a back-off tick all do the same:
read the job's record. One task reads for all waiters, in one pipeline. With publishing switched
off everything still works, only later.
"""

from __future__ import annotations

import asyncio
import random

from hotmesh.connect import Connection, Subscription
from hotmesh.core import Job
from hotmesh.core.state import RESULT
from hotmesh.errors import (
    HotMeshError,
    JobNotFound,
    JobTimeout,
    Overloaded,
    ServerUnavailable,
)
from hotmesh.log import get_logger
from hotmesh.store import Store

log = get_logger("hotmesh.mesh")

WAITERS_MAX = 10_000
TICK_S_MIN, TICK_S_MAX = 0.25, 30.0
"""The first look without a hint, and the longest pause between looks."""

READ_MAX = 500
FAILURE_PAUSE_S = 0.1


class _Waiter:
    """Who waits for one job; when its record is looked at without a hint, and after what pause
    the next time.
    """

    __slots__ = ("future", "look_at", "pause_s")

    def __init__(self, future: asyncio.Future[Job], now: float) -> None:
        self.future = future
        self.pause_s = TICK_S_MIN
        self.look_at = now + TICK_S_MIN


class Results:
    """Waiters of one process. A component: its task reads records."""

    name = "results"

    def __init__(self, connection: Connection, store: Store, guid: str) -> None:
        self.guid = guid
        self._connection, self._store = connection, store
        self._waiters: dict[str, list[_Waiter]] = {}
        self._due: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._draining = False
        self._ticking: asyncio.TimerHandle | None = None
        self._subscription: Subscription | None = None
        self._subscribing = asyncio.Lock()

    async def open(self) -> None:
        """Subscribe, once, before the first job is started whose end is to be heard of."""
        async with self._subscribing:
            if self._subscription is None:
                channel = self._store.keys.caller(self.guid)
                self._connection.bus.on_gap.append(self._gap)
                self._subscription = await self._connection.bus.subscribe(channel, self._hint)

    async def wait(self, jid: str, timeout_s: float | None, *, look: bool) -> Job:
        """The job, once it has ended.

        Args:
            look: Read the record at once: the job may have ended before anybody could hear of it.

        Raises:
            JobTimeout: It has not within `timeout_s`; it goes on.
            JobNotFound: It is gone: scrubbed, or expired before it was read.
            Overloaded: Too many wait already.
        """
        if len(self._waiters) >= WAITERS_MAX:
            raise Overloaded(
                f"{WAITERS_MAX:,} callers of this process wait for results already; use pub and sub"
            )
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.create_future(), loop.time())
        self._waiters.setdefault(jid, []).append(waiter)
        deadline = None
        if timeout_s is not None:
            deadline = loop.call_later(timeout_s, _time_out, waiter, jid, timeout_s)
        if look:
            self._look(jid)
        try:
            return await waiter.future
        finally:
            if deadline is not None:
                deadline.cancel()
            self._forget(jid, waiter)

    # -- component

    def drain(self) -> None:
        """Stop reading.

        Who still waits is told that this mesh has stopped; the jobs go on. Idempotent.
        """
        self._draining = True
        for jid, waiters in self._waiters.items():
            for waiter in waiters:
                if not waiter.future.done():
                    message = (
                        f"the mesh was stopped while it waited for job {jid!r}; the job goes on"
                    )
                    waiter.future.set_exception(ServerUnavailable(message))
        self._wake.set()

    async def run(self, started: asyncio.Event) -> None:
        """Read the records of jobs that may have ended, until drained."""
        started.set()
        self._tick()
        while not self._draining:
            await self._wake.wait()
            self._wake.clear()
            while self._due and not self._draining:
                batch = list(self._due)[:READ_MAX]
                for jid in batch:
                    del self._due[jid]
                await self._read(batch)
        if self._ticking is not None:
            self._ticking.cancel()
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    async def _read(self, jids: list[str]) -> None:
        try:
            jobs = await self._store.load([(jid, (RESULT,)) for jid in jids])
        except HotMeshError as exc:
            log.warning("results.read_failed", jobs=len(jids), error=str(exc))
            self._due.update(dict.fromkeys(jids))
            await asyncio.sleep(FAILURE_PAUSE_S)
            return
        for jid, job in zip(jids, jobs, strict=True):
            for waiter in self._waiters.get(jid, ()):
                if waiter.future.done():
                    continue
                if job is None:
                    waiter.future.set_exception(JobNotFound(jid))
                elif job.result is not None:
                    job.data, job.error = job.result  # as it was told; branches go on
                    waiter.future.set_result(job)
                elif job.status <= 0:
                    waiter.future.set_result(job)

    # -- what makes a record worth reading

    def _hint(self, channel: bytes, payload: bytes) -> None:
        self._look(payload.decode(errors="replace"))

    def _gap(self) -> None:
        for jid in self._waiters:
            self._look(jid)

    def _tick(self) -> None:
        """Look at the records of those who have waited long without a hint.

        One timer serves all waiters.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        for jid, waiters in self._waiters.items():
            for waiter in waiters:
                if waiter.look_at <= now:
                    self._look(jid)
                    waiter.pause_s = min(waiter.pause_s * 2, TICK_S_MAX)
                    waiter.look_at = now + waiter.pause_s * random.uniform(0.8, 1.2)
        self._ticking = loop.call_later(TICK_S_MIN, self._tick)

    def _look(self, jid: str) -> None:
        if jid in self._waiters:
            self._due[jid] = None
            self._wake.set()

    def _forget(self, jid: str, waiter: _Waiter) -> None:
        waiters = self._waiters[jid]
        waiters.remove(waiter)
        if not waiters:
            del self._waiters[jid]
            self._due.pop(jid, None)


def _time_out(waiter: _Waiter, jid: str, timeout_s: float) -> None:
    if not waiter.future.done():
        waiter.future.set_exception(JobTimeout(job_id=jid, timeout_s=timeout_s))
