"""Activities of a task queue: entries → attempts → answers, each settled by one script.

A step's field in the run's record holds its current attempt. Who starts an attempt looks at it
first, and an answer counts only while it is the current one: so a repeated delivery, a late answer
and a dead worker's second life change nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Raw

from hotmesh.connect import Connection
from hotmesh.core.durable import records as r
from hotmesh.durable import payloads
from hotmesh.durable.activity import ActivityInfo
from hotmesh.durable.attempts import Attempts, Function, Outcome, Running, finish_all
from hotmesh.durable.codec import Coder, is_sealed
from hotmesh.durable.commit import stop_channel
from hotmesh.durable.errors import CodecError, DurableError, UnknownActivityError
from hotmesh.durable.failures import failure_of
from hotmesh.durable.interceptors import Chain
from hotmesh.durable.options import delay_ms
from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.messages import is_of_another_release
from hotmesh.router import Delivery, Key, Router, RouterSettings
from hotmesh.run_messages import Call, CallRules, RunAgain, decode_call, encode_run
from hotmesh.store import ANSWER_RETRIES_MAX, GROUP_WORKER, Entry, Store, Verdict, retrying
from hotmesh.store.dead import bury_op
from hotmesh.store.runs import RUN, STATUS, InputOf, RunCommand, Runs

log = get_logger("hotmesh.durable")

LOST_IN_A_ROW = 3
"""Dead workers in a row after which an activity without a limit of attempts is tried rarely."""

UNKNOWN_DELAY_MS = 1_000


class Calls:
    """A router's handler over the activity streams of one queue."""

    def __init__(
        self,
        connection: Connection,
        store: Store,
        queue: str,
        keeper: str,
        functions: Mapping[str, Function],
        settings: RouterSettings,
        *,
        threads: int,
        grace_s: float,
        worker: str,
        coder: Coder | None,
        interceptors: Chain | None = None,
    ) -> None:
        self.name = f"activities:{queue}"
        self.store, self.runs, self.queue, self.keeper = store, Runs(store), queue, keeper
        self.functions, self.grace_s, self.worker = functions, grace_s, worker
        self.coder = coder
        self.attempts = Attempts(threads, self._beat, interceptors)
        self.capacity = settings.capacity
        partitions = store.keys.partitions
        # Without functions it would only put off what others can run at once.
        self._partition_of = {p.calls(queue): p for p in partitions} if functions else {}
        self._partition_of |= {p.calls(queue, keeper): p for p in partitions}
        self.router = Router(
            self.name, connection, store, list(self._partition_of), GROUP_WORKER, self, settings
        )
        self._connection = connection
        self._adopted: dict[tuple[str, int, int], _Adopted] = {}
        self._handling: dict[Key, Running] = {}
        self._settling: set[asyncio.Task[None]] = set()

    # -- component

    def drain(self) -> None:
        """Stop reading. Idempotent."""
        self.router.drain()

    async def run(self, started: asyncio.Event) -> None:
        """Until drained and every attempt has ended or was handed back."""
        subscription = await self._connection.bus.subscribe(stop_channel(self.store), self._stop)
        try:
            await self.router.run(started)
            await self.router.retire()
        finally:
            await subscription.unsubscribe()
            await finish_all(self._settling)
            self.attempts.close()

    @property
    def has_room(self) -> bool:
        """Whether another attempt may begin here at once."""
        return len(self.attempts.running) < self.capacity

    # -- router's handler

    async def handle(self, batch: list[Delivery]) -> None:
        """Look whether the attempts are still wanted, in one read, and begin them."""
        calls = []
        for delivery in batch:
            try:
                calls.append((delivery, decode_call(delivery.payload or b"")))
            except (msgspec.DecodeError, ValueError, RecursionError) as exc:
                await self._unreadable(delivery, str(exc))
        fresh = [(d, c) for d, c in calls if not self._adopt(d, c)]
        if not fresh:
            return
        rows = await self.runs.execute([self._look(call) for _, call in fresh])
        for (delivery, call), row in zip(fresh, rows, strict=True):
            run_id, status, current, beats, cancelled = row
            open_ = run_id == call.run_id.encode() and int(status or 0) > 0
            if not open_ or current != str(call.attempt).encode():
                self._spawn(self._drop(delivery))
            elif cancelled is not None:
                failure = r.Failure("cancelled", "REQUESTED", code=410)
                self._spawn(self._conclude(delivery, call, Outcome(failure=failure), None))
            elif delivery.lost or delivery.count > 1:
                self._spawn(self._lost(delivery, call))
            else:
                self._begin(delivery, call, beats)

    def _look(self, call: Call) -> tuple[Any, ...]:
        key = self.store.keys.of(call.jid).job(call.jid)
        return ("HMGET", key, RUN, STATUS, f"s{call.seq}", f"b{call.seq}", f"x{call.seq}")

    def _adopt(self, delivery: Delivery, call: Call) -> bool:
        """Whether the entry is of an attempt that began here before it had one."""
        adopted = self._adopted.get((call.run_id, call.seq, call.attempt))
        if adopted is None or delivery.lost:
            return False
        adopted.delivery = delivery
        if adopted.running.done:
            self._settle_adopted(adopted)
        else:
            self._handling[delivery.key] = adopted.running
        return True

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Into the dead letters; the step fails."""
        partition = self._partition_of[delivery.stream]
        payload = delivery.payload or b""
        entry = Entry(delivery.stream, GROUP_WORKER, (delivery.id,))
        job = ""
        try:
            call = decode_call(payload)
            job = call.jid
            failure = r.Failure(
                "lost", f"activity {call.name!r} could not be handled: {reason}", code=597
            )
            await self._answer(delivery, call, self._failed(call, failure, "max_attempts"))
        except (msgspec.DecodeError, ValueError, RecursionError):
            pass  # an entry that can't be read names no run
        dead = bury_op(
            3, payload, reason=reason, stream=delivery.stream, job=job, deliveries=delivery.count
        )
        await self.store.answer(entry, self.router.consumer, [dead], [partition.dead])
        self.router.done([delivery.key])

    def lost(self, keys: set[Key]) -> None:
        """Cancel attempts whose entries another worker has by now."""
        for key in keys:
            if running := self._handling.get(key):
                running.cancel("GONE")

    async def finish(self) -> None:
        """Wait for attempts; after `grace_s` cancel them and hand them back."""
        for running in self.attempts.running.values():
            running.attempt.stopping = True
        deadline = asyncio.get_running_loop().time() + self.grace_s
        while self.attempts.running and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for running in list(self.attempts.running.values()):
            running.cancel("WORKER_SHUTDOWN")
        for _ in range(100):
            if not self._settling and not any(
                r_.function.is_async for r_ in self.attempts.running.values()
            ):
                break
            await asyncio.sleep(0.01)
        await asyncio.gather(
            *[self._hand_back_thread(r_) for r_ in list(self.attempts.running.values())]
        )
        if self._settling:
            await asyncio.wait(list(self._settling), timeout=self.grace_s + 10)
        await self.router.release()

    # -- one attempt

    def _begin(self, delivery: Delivery, call: Call, beats: bytes | None) -> None:
        function = self.functions.get(call.name) or self.functions.get("")
        if function is None:
            self._spawn(self._unknown(delivery, call))
            return
        if call.timers:
            self._spawn(self._begin_limited(delivery, call, function, beats))
            return
        self._start(delivery, call, function, beats)

    async def _begin_limited(
        self, delivery: Delivery, call: Call, function: Function, beats: bytes | None
    ) -> None:
        """It has found a worker: the limit on that is taken back, unless it was over before."""
        waiting = [t for t in call.timers if b"schedule_to_start" in t]
        if waiting and call.attempt == 1:
            timers = self.store.keys.of(call.jid).timers
            taken = (await self.runs.execute([("ZREM", timers, *waiting)]))[0]
            if not taken and not delivery.lost and delivery.count == 1:
                await self._drop(delivery)
                return
        self._start(delivery, call, function, beats)

    def _start(
        self, delivery: Delivery, call: Call, function: Function, beats: bytes | None
    ) -> None:
        def done(running: Running, outcome: Outcome) -> None:
            self._handling.pop(delivery.key, None)
            self._spawn(self._conclude(delivery, call, outcome, running))

        key = (call.run_id, call.seq, call.attempt)
        if self.coder is not None or is_sealed(call.args):
            self._spawn(self._open_and_start(delivery, call, function, beats, done))
            return
        details = payloads.decode(beats) if beats else ()
        self._handling[delivery.key] = self.attempts.start(
            key,
            function,
            call.args,
            lambda: info_of(call, details),
            call.rules,
            done,
            traced=bool(call.trace),
        )

    async def _open_and_start(
        self,
        delivery: Delivery,
        call: Call,
        function: Function,
        beats: bytes | None,
        done: Callable[[Running, Outcome], None],
    ) -> None:
        """With a codec: what the attempt is given is decoded first."""
        try:
            if self.coder is None:
                raise CodecError(
                    f"the arguments of activity {call.name!r} are encoded; give this worker the "
                    "codecs= of its client"
                )
            opened = (await self.coder.open([call]))[0]
            details = payloads.decode((await self.coder.open([Raw(beats)]))[0]) if beats else ()
        except CodecError as exc:
            await self._not_here(delivery, call, exc)
            return
        key = (call.run_id, call.seq, call.attempt)
        self._handling[delivery.key] = self.attempts.start(
            key,
            function,
            opened.args,
            lambda: info_of(opened, details),
            call.rules,
            done,
            traced=bool(call.trace),
        )

    async def _conclude(
        self, delivery: Delivery, call: Call, outcome: Outcome, running: Running | None
    ) -> None:
        try:
            if outcome.given_up:
                await self._given_up(delivery, call, running)
            elif outcome.later:
                await self._acknowledge(delivery)
            elif outcome.failure is None:
                answer = r.Answer(call.seq, call.attempt, outcome.data, None, self.worker)
                await self._answer(delivery, call, answer)
            else:
                await self._failure(delivery, call, outcome, running)
        except HotMeshError as exc:
            # It could not be written in all that time: the lease decides who tries again.
            log.error("answer.failed", job=call.jid, activity=call.name, error=str(exc))
        self.router.done([delivery.key])

    async def _failure(
        self, delivery: Delivery, call: Call, outcome: Outcome, running: Running | None
    ) -> None:
        failure = outcome.failure
        assert failure is not None
        asked = running is not None and running.attempt.reason == "REQUESTED"
        pause, state = next_attempt(call, outcome, self.store.clock.now_ms(), cancelled=asked)
        if pause is None:
            await self._answer(delivery, call, self._failed(call, failure, state))
            return
        beats = running.beats if running is not None else None
        again = msgspec.structs.replace(call, attempt=call.attempt + 1, lost=0)
        await self._retry(delivery, call, again, pause, failure, beats)

    async def _retry(
        self,
        delivery: Delivery,
        call: Call,
        again: Call,
        pause_ms: int,
        failure: r.Failure,
        beats: tuple[Any, ...] | None,
    ) -> None:
        command = self._command(delivery, call)
        if self.coder is not None:
            failure = (await self.coder.seal([failure]))[0]
        said = await self._beats(beats) if beats else None
        retry_ops(command, again, pause_ms, failure, said)
        await self._step(delivery, call, command)

    def _failed(self, call: Call, failure: r.Failure, state: str) -> r.Answer:
        return r.Answer(
            call.seq,
            call.attempt,
            failure=wrapped(call.name, call.seq, call.attempt, failure, state, self.worker),
            worker=self.worker,
        )

    async def _beats(self, details: tuple[Any, ...]) -> bytes:
        raw = payloads.encode(list(details), "heartbeat details")
        return bytes(raw if self.coder is None else (await self.coder.seal([raw]))[0])

    async def _answer(self, delivery: Delivery, call: Call, answer: r.Answer) -> None:
        if self.coder is not None:
            answer = (await self.coder.seal([answer]))[0]
        item = InputOf(
            jid=call.jid,
            run_id=call.run_id,
            record=r.encode_input(answer),
            queue=call.queue,
            keeper=call.keeper,
            step=f"s{call.seq}",
            value=str(call.attempt),
            entry=self._entry(delivery),
        )
        verdict = (
            await retrying(
                lambda: self.runs.add([item]), what="answer", tries_max=ANSWER_RETRIES_MAX
            )
        )[0]
        if verdict is Verdict.APPLIED:
            if call.timers:
                timers = self.store.keys.of(call.jid).timers
                await self.runs.execute([("ZREM", timers, *call.timers)])
            return
        log.info("answer.dropped", job=call.jid, activity=call.name, verdict=verdict.name)
        if verdict is not Verdict.LOST:
            await self._acknowledge(delivery)

    async def _given_up(self, delivery: Delivery, call: Call, running: Running | None) -> None:
        """Cancelled by a shutdown: back into the queue, as the same attempt."""
        if running is not None and running.attempt.reason == "GONE":
            await self._drop(delivery)
            return
        command = self._command(delivery, call)
        command.call(call.call_queue, encode_run(call))
        if running is not None and running.beats:
            command.set({f"b{call.seq}": await self._beats(running.beats)})
        await self._step(delivery, call, command)
        log.info("activity.handed_back", job=call.jid, activity=call.name, attempt=call.attempt)

    async def _hand_back_thread(self, running: Running) -> None:
        """A thread can't be stopped: its entry goes to another all the same."""
        for key, held in list(self._handling.items()):
            if held is running:
                log.warning("activity.thread_left", activity=running.function.name, entry=key[1])
        running.done = True

    async def _lost(self, delivery: Delivery, call: Call) -> None:
        """Whoever had it before is gone: that was an attempt."""
        failure = r.Failure("lost", f"the worker of activity {call.name!r} died", "WORKER_LOST")
        outcome = Outcome(failure=failure, names=frozenset({"WorkerLostFailure"}))
        pause, state = next_attempt(call, outcome, self.store.clock.now_ms())
        try:
            if pause is None:
                await self._answer(delivery, call, self._failed(call, failure, state))
                self.router.done([delivery.key])
                return
            lost = call.lost + 1
            again = msgspec.structs.replace(call, attempt=call.attempt + 1, lost=lost)
            if lost >= LOST_IN_A_ROW and not call.rules.attempts_max:
                log.error("activity.poison", job=call.jid, activity=call.name, lost=lost)
                await self._retry(delivery, call, again, call.rules.delay_ms_max, failure, None)
            else:
                # At once: waiting is for what fails, and this may just have been a deploy.
                command = self._command(delivery, call)
                command.set({f"s{call.seq}": str(again.attempt).encode()})
                command.call(call.call_queue, encode_run(again))
                await self._step(delivery, call, command)
        except HotMeshError as exc:
            log.error("answer.failed", job=call.jid, activity=call.name, error=str(exc))
        self.router.done([delivery.key])

    async def _unknown(self, delivery: Delivery, call: Call) -> None:
        """Another worker may know it: try again later, without counting."""
        await self._not_here(
            delivery, call, UnknownActivityError(call.name, sorted(self.functions))
        )

    async def _not_here(self, delivery: Delivery, call: Call, error: DurableError) -> None:
        log.warning("activity.unknown", job=call.jid, activity=call.name, error=str(error))
        command = self._command(delivery, call)
        command.set({f"f{call.seq}": encode_run(failure_of(error))})
        command.timer(encode_run(RunAgain(call)), UNKNOWN_DELAY_MS)
        await self._step(delivery, call, command)
        self.router.done([delivery.key])

    # -- adopted attempts

    def adopt(self, running: Running, call: Call) -> None:
        """An attempt that began without an entry gets one: it arrives over this worker's own
        stream.
        """
        adopted = _Adopted(running, call)
        self._adopted[(call.run_id, call.seq, call.attempt)] = adopted

        def done(_: Running, outcome: Outcome) -> None:
            adopted.outcome = outcome
            if adopted.delivery is not None:
                self._settle_adopted(adopted)

        running.on_done = done

    def _settle_adopted(self, adopted: _Adopted) -> None:
        call, delivery = adopted.call, adopted.delivery
        assert delivery is not None and adopted.outcome is not None
        self._adopted.pop((call.run_id, call.seq, call.attempt), None)
        self._handling.pop(delivery.key, None)
        self._spawn(self._conclude(delivery, call, adopted.outcome, adopted.running))

    # -- small things

    def _beat(self, beats: list[tuple[Running, tuple[Any, ...]]]) -> None:
        self._spawn(self._send_beats(beats))

    async def _send_beats(self, beats: list[tuple[Running, tuple[Any, ...]]]) -> None:
        """Keep what attempts said last; one whose step has moved on is told to stop."""
        commands: list[tuple[Any, ...]] = []
        for running, details in beats:
            info = running.attempt.info
            key = self.store.keys.of(info.workflow_id).job(info.workflow_id)
            commands.append(("HSET", key, f"b{info.seq}", await self._beats(details)))
            commands.append(("HMGET", key, RUN, f"s{info.seq}"))
        try:
            rows = await self.runs.execute(commands)
        except HotMeshError as exc:
            log.warning("heartbeat.failed", error=str(exc))
            return
        for (running, _), row in zip(beats, rows[1::2], strict=True):
            if row[0] != running.key[0].encode():
                running.cancel("GONE")

    def _stop(self, channel: bytes, payload: bytes) -> None:
        run_id, seq, reason = msgspec.msgpack.decode(payload)
        for key, running in list(self.attempts.running.items()):
            if key[0] == run_id and key[1] == seq:
                running.cancel(reason)

    def _entry(self, delivery: Delivery) -> Entry:
        return Entry(delivery.stream, GROUP_WORKER, (delivery.id,), self.router.consumer)

    def _command(self, delivery: Delivery, call: Call) -> RunCommand:
        return RunCommand(self.store, call.jid, call.run_id, delivery.stream)

    async def _step(self, delivery: Delivery, call: Call, command: RunCommand) -> None:
        """The step changes hands, and the entry is settled with it."""
        guard = ["step", call.run_id, f"s{call.seq}", str(call.attempt), GROUP_WORKER]
        guard += [[delivery.id.decode()], self.router.consumer]  # type: ignore[list-item]
        built = command.build(guard)
        verdict = (
            await retrying(
                lambda: self.runs.run([built]), what="answer", tries_max=ANSWER_RETRIES_MAX
            )
        )[0]
        if verdict in (Verdict.DUPLICATE, Verdict.GONE):
            await self._acknowledge(delivery)

    async def _acknowledge(self, delivery: Delivery) -> None:
        await self.store.acknowledge(self._entry(delivery))

    async def _drop(self, delivery: Delivery) -> None:
        """Nobody waits for it any more."""
        try:
            await self._acknowledge(delivery)
        except HotMeshError as exc:
            log.warning("entry.left", entry=delivery.id, error=str(exc))
        self.router.done([delivery.key])

    async def _unreadable(self, delivery: Delivery, reason: str) -> None:
        if is_of_another_release(delivery.payload or b""):
            log.warning("entry.format_unknown", queue=self.queue, entry=delivery.id, reason=reason)
            self.router.done([delivery.key])
            return
        await self.bury(delivery, f"undecodable: {reason}")

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settled)

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._settling.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("activity.unsettled", error=repr(error), exc_info=error)


class _Adopted:
    __slots__ = ("call", "delivery", "outcome", "running")

    def __init__(self, running: Running, call: Call) -> None:
        self.running, self.call = running, call
        self.delivery: Delivery | None = None
        self.outcome: Outcome | None = None


def retry_ops(
    command: RunCommand,
    again: Call,
    pause_ms: int,
    failure: r.Failure,
    beats: bytes | None,
) -> None:
    """The next attempt of a step: its number, why it is needed, and when."""
    fields = {
        f"s{again.seq}": str(again.attempt).encode(),
        f"f{again.seq}": encode_run(failure),
    }
    if beats:
        fields[f"b{again.seq}"] = beats
    command.set(fields)
    if pause_ms > 0:
        command.timer(encode_run(RunAgain(again)), pause_ms)
    else:
        command.call(again.call_queue, encode_run(again))


def next_attempt(
    call: Call, outcome: Outcome, now_ms: int, *, cancelled: bool = False
) -> tuple[int | None, str]:
    """The delay before another attempt; None, and why, when the failure stands."""
    failure, rules = outcome.failure, call.rules
    assert failure is not None
    if cancelled or failure.kind == "cancelled":
        return None, "cancelled"
    if failure.fatal or outcome.names & set(rules.fatal):
        return None, "fatal"
    if rules.attempts_max and call.attempt >= rules.attempts_max:
        return None, "max_attempts"
    pause = (
        failure.delay_ms
        if failure.delay_ms >= 0
        else delay_ms(rules, call.attempt, random.random())
    )
    if rules.deadline_ms and now_ms + pause >= rules.deadline_ms:
        return None, "timeout"
    return pause, ""


def wrapped(
    name: str, seq: int, attempt: int, cause: r.Failure, state: str, worker: str
) -> r.Failure:
    """The failure of a step, with that of its last attempt as the cause."""
    code = 597 if state == "max_attempts" and attempt > 1 else cause.code
    return r.Failure(
        "activity",
        f"activity {name!r} failed after {attempt} attempt{'s' if attempt > 1 else ''}: "
        f"{cause.message}",
        cause.type,
        code,
        cause=cause,
        facts={
            "name": name,
            "seq": seq,
            "attempt": attempt,
            "retry_state": state,
            "worker": worker,
        },
    )


def info_of(call: Call, details: Any, *, local: bool = False) -> ActivityInfo:
    """What an attempt knows of itself."""
    rules: CallRules = call.rules
    deadline = datetime.fromtimestamp(rules.deadline_ms / 1000, UTC) if rules.deadline_ms else None
    return ActivityInfo(
        name=call.name,
        workflow_id=call.jid,
        run_id=call.run_id,
        workflow=call.workflow,
        task_queue=call.call_queue,
        seq=call.seq,
        attempt=call.attempt,
        idempotency_key=f"{call.run_id}:{call.seq}",
        heartbeat_details=tuple(details or ()),
        heartbeat_timeout_ms=rules.heartbeat_ms,
        deadline=deadline,
        task_token=encode_run((call.jid, call.run_id, call.seq, call.attempt, call.queue)),
        local=local,
        headers={k: payloads.decode(v) for k, v in call.headers.items()},
        trace=call.trace,
    )
