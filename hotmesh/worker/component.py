"""One function on one topic, as a component: a router whose batches become tasks, each of which
ends in one script.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from hotmesh.connect import Connection
from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.messages import (
    Redeliver,
    Reply,
    RetryRule,
    Work,
    decode_work,
    encode_entry,
    is_of_another_release,
)
from hotmesh.payload import encode
from hotmesh.router import Delivery, Key, Router, RouterSettings, next_delay_ms
from hotmesh.store import (
    ANSWER_RETRIES_MAX,
    GROUP_WORKER,
    Entry,
    Partition,
    Store,
    Verdict,
    retrying,
)
from hotmesh.store.dead import bury_op
from hotmesh.store.encode import text
from hotmesh.telemetry.metrics import Metrics
from hotmesh.worker.invoke import Invoker, Stopwatch
from hotmesh.worker.settle import Settle
from hotmesh.worker.signature import Handler

log = get_logger("hotmesh.worker")

THREADS_MAX = 32
CANCEL_S = 0.5
"""How long a cancelled handler may take to clean up before its entry is handed back anyhow."""

UNDELIVERABLE_CODE = 999
"""The code of an activity whose call was delivered too often: its worker dies on it."""


class WorkerComponent:
    """Runs one handler until drained."""

    def __init__(
        self,
        connection: Connection,
        store: Store,
        topic: str,
        handler: Handler,
        settings: RouterSettings,
        metrics: Metrics,
        settle: Settle,
        *,
        retry: Sequence[RetryRule] = (),
        grace_s: float = 30.0,
        payload_bytes_max: int,
    ) -> None:
        self.name, self.topic = f"worker:{topic}", topic
        self._store, self._settle, self._metrics = store, settle, metrics
        self._retry, self._grace_s = tuple(retry), grace_s
        self._partitions = {p.worker(topic): p for p in store.keys.partitions}
        self.router = Router(
            self.name, connection, store, list(self._partitions), GROUP_WORKER, self, settings
        )
        threads = min(settings.capacity, THREADS_MAX)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=self.name)
        self._invoker = Invoker(handler, self._executor, payload_bytes_max=payload_bytes_max)
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        # The router may hold more for a moment (it claims while it reads); no more than this run.
        self._slots = asyncio.Semaphore(settings.capacity)
        self._group: asyncio.TaskGroup | None = None

    # -- component

    def drain(self) -> None:
        """Stop reading; what runs gets `grace_s` to end. Idempotent."""
        self.router.drain()

    async def run(self, started: asyncio.Event) -> None:
        """Until drained and every handler has ended or was handed back."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self.router.run(started)
            await self.router.retire()
        finally:
            self._executor.shutdown(wait=False, cancel_futures=True)

    # -- router's handler

    async def handle(self, batch: list[Delivery]) -> None:
        """Start a task per call; each settles its own entry."""
        assert self._group is not None
        for delivery in batch:
            try:
                work = decode_work(delivery.payload or b"")
            except (msgspec.DecodeError, ValueError, RecursionError) as exc:
                await self._unreadable(delivery, str(exc))
                continue
            self._tasks[delivery.key] = self._group.create_task(self._call(delivery, work))

    async def _unreadable(self, delivery: Delivery, reason: str) -> None:
        """Garbage goes to the dead letters at once; a format of a newer release is left for who
        can read it.
        """
        if is_of_another_release(delivery.payload or b""):
            log.warning("entry.format_unknown", topic=self.topic, entry=delivery.id, reason=reason)
            self.router.done([delivery.key])
            return
        try:
            await self.bury(delivery, f"undecodable: {reason}")
        except HotMeshError as exc:
            log.warning("entry.bury_failed", topic=self.topic, entry=delivery.id, error=str(exc))
            self.router.retry([delivery])

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Into the dead letters; its job gets an error of code 999 that transitions can route."""
        partition = self._partitions[delivery.stream]
        payload = delivery.payload or b""
        ops, keys, job = [], [partition.dead], ""
        try:
            work = decode_work(payload)
            job = work.jid
            keys.append(partition.engine)
            ops.append(["append", 4, text(encode_entry(_undeliverable(work, reason)))])
        except (msgspec.DecodeError, ValueError, RecursionError):
            pass  # an entry that can't be read names no job
        dead = bury_op(
            3, payload, reason=reason, stream=delivery.stream, job=job, deliveries=delivery.count
        )
        entry = Entry(delivery.stream, GROUP_WORKER, (delivery.id,))
        verdict = await self._store.answer(entry, self.router.consumer, [dead, *ops], keys)
        if verdict is Verdict.APPLIED:
            self._metrics.dead_lettered.add(1, {"stream": self.topic})
        self.router.done([delivery.key])

    def lost(self, keys: set[Key]) -> None:
        """Cancel the handlers of entries that another worker has by now."""
        for key in keys:
            if task := self._tasks.get(key):
                task.cancel()

    async def finish(self) -> None:
        """Wait for the handlers; after `grace_s` cancel them and hand their entries back."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=self._grace_s)
        left = list(self._tasks.values())
        for task in left:
            task.cancel()
        if left:
            log.warning("worker.handed_back", topic=self.topic, entries=len(left))
            # Also from a handler that ignores its cancellation: its answer is dropped then.
            await asyncio.wait(left, timeout=CANCEL_S)
            await self.router.release()

    # -- one call

    async def _call(self, delivery: Delivery, work: Work) -> None:
        watch, outcome = Stopwatch(), "cancelled"
        try:
            async with self._slots:
                self._measure_wait(delivery)
                watch = Stopwatch()
                reply = await self._invoker.call(work, f"{delivery.id.decode()}/{work.attempt}")
            outcome = reply.status if reply is not None else "none"
            if reply is not None:
                self.router.tally.count(reply.code)
            await self._conclude(delivery, work, reply)
        except HotMeshError as exc:
            # The answer could not be written in all that time: the lease decides who runs the call
            # again.
            log.error("answer.failed", job=work.jid, topic=self.topic, error=str(exc))
            self.router.done([delivery.key])
        else:
            self.router.done([delivery.key])
        finally:
            self._tasks.pop(delivery.key, None)
            attributes = {"topic": self.topic, "outcome": outcome}
            self._metrics.process_duration.record(watch.read(), attributes)

    def _measure_wait(self, delivery: Delivery) -> None:
        """From the entry's time, which its id tells, until now, both on the server's clock."""
        waited_ms = self._store.clock.now_ms() - int(delivery.id.partition(b"-")[0])
        self._metrics.queue_wait.record(max(0, waited_ms) / 1000, {"topic": self.topic})

    async def _conclude(self, delivery: Delivery, work: Work, reply: Reply | None) -> None:
        entry = Entry(delivery.stream, GROUP_WORKER, (delivery.id,))
        partition = self._partitions[delivery.stream]
        if reply is None:
            await self._answer(entry, [], [])
            return
        if reply.status == "error":
            rules = (*work.retry, *self._retry)
            delay_ms = next_delay_ms(rules, reply.code, work.attempt, random.random())
            if delay_ms is not None:
                await self._again(entry, partition, work, delay_ms)
                return
        verdict = await self._settle(entry, self.router.consumer, partition, reply)
        if verdict is Verdict.LOST:
            self._metrics.answers_dropped.add(1, {"topic": self.topic})
            log.info("answer.dropped", job=work.jid, topic=self.topic, entry=delivery.id)

    async def _again(self, entry: Entry, partition: Partition, work: Work, delay_ms: int) -> None:
        """Let go of the entry; a timer brings the call back.

        Nobody sleeps while holding an entry.
        """
        self._metrics.retried.add(1, {"topic": self.topic})
        again = msgspec.structs.replace(work, attempt=work.attempt + 1)
        timer = ["timer", 3, text(encode_entry(Redeliver(again))), delay_ms, self._store.keys.wake]
        await self._answer(entry, [timer], [partition.timers])

    async def _answer(self, entry: Entry, ops: list[list[object]], keys: list[str]) -> Verdict:
        consumer = self.router.consumer
        return await retrying(
            lambda: self._store.answer(entry, consumer, ops, keys),
            what="answer",
            tries_max=ANSWER_RETRIES_MAX,
        )


def _undeliverable(work: Work, reason: str) -> Reply:
    message = f"the call of topic {work.topic!r} could not be handled: {reason}"
    data = encode({"message": message, "code": UNDELIVERABLE_CODE}, what="an error")
    rid = f"undeliverable/{work.attempt}"
    code = UNDELIVERABLE_CODE
    return Reply(work.jid, work.aid, work.dad, work.version, "error", code, data, rid, work.attempt)
