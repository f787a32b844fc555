"""Runs of a task queue: entries → turns → commits.

A run that this worker has in memory goes on with the input that came; any other is read and
replayed. What a turn asks for is one script. Activities that this worker serves itself are begun
as soon as that script has run, without a queue, while the run's entry is held; their results and
what follows from them are the next script. One that takes long gets an entry of its own, and the
run is let go.

No run has a task of its own: turns are plain callbacks, and the commits that are ready in one
moment are sent together.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from hotmesh.connect import Connection
from hotmesh.core.durable import records as r
from hotmesh.durable import queries
from hotmesh.durable.attempts import Function, Outcome, Running, finish_all
from hotmesh.durable.calls import Calls, info_of, next_attempt, retry_ops, wrapped
from hotmesh.durable.commit import Commit, call_of
from hotmesh.durable.definition import WorkflowDef
from hotmesh.durable.errors import NonDeterminismError, UnknownWorkflowError
from hotmesh.durable.failures import failure_of
from hotmesh.durable.run import Run
from hotmesh.durable.task_failure import TurnFailed
from hotmesh.durable.watchdog import running as watching
from hotmesh.durable.watchdog import watch
from hotmesh.errors import HotMeshError, ServerUnavailable
from hotmesh.log import get_logger
from hotmesh.messages import is_of_another_release
from hotmesh.router import Delivery, Key, Router, RouterSettings
from hotmesh.run_messages import Call, RunQuery, RunTask, RunTimer, decode_task, encode_run
from hotmesh.store import GROUP_WORKER, Entry, Store, Verdict
from hotmesh.store.dead import bury_op
from hotmesh.store.runs import RUN, RunCommand, RunHead, Runs

log = get_logger("hotmesh.durable")

HAND_OVER_S = 0.02
"""An activity that was begun without a queue and runs longer gets an entry of its own."""

REFUSALS_MAX = 3
"""How often a run may be kept from ending by signals that it has not seen."""

FAILURE_MS_MIN, FAILURE_MS_MAX = 1_000, 60_000

DEFERRED_MAX = 100
"""Turns that end in local activities alone and wait to be written with what follows."""

_LIGHT = (r.Act, r.Patched, r.Once)


class Active:
    """A run that is being advanced.

    Attributes:
        deliveries: The entries that are held for it; the first is settled by its commits.
        inputs: What came and was not taken yet: (index in the history, record).
        items, commands: Of turns that are not written yet.
        fused: Steps whose activities run here without an entry.
        refusals: Ends refused in a row.
    """

    __slots__ = (
        "answers",
        "commands",
        "deliveries",
        "extras",
        "fused",
        "inputs",
        "items",
        "local",
        "queries",
        "refusals",
        "run",
        "scheduled",
        "sending",
        "task",
    )

    def __init__(self, task: RunTask, delivery: Delivery, run: Run | None) -> None:
        self.task, self.deliveries, self.run = task, [delivery], run
        self.inputs: list[tuple[int, r.Input]] = []
        self.items: list[bytes] = []
        self.commands: list[r.Command] = []
        self.fused: dict[int, Running] = {}
        self.local: dict[int, Running] = {}
        self.answers: list[r.Answer] = []
        self.extras: list[Callable[[Commit], None]] = []
        self.sending = self.scheduled = False
        self.refusals = 0
        self.queries: list[tuple[Delivery, RunQuery]] = []


class Turns:
    """A router's handler over the workflow streams of one queue."""

    def __init__(
        self,
        connection: Connection,
        store: Store,
        queue: str,
        keeper: str,
        definitions: Mapping[str, WorkflowDef],
        hooks: Mapping[str, Callable[..., Any]],
        settings: RouterSettings,
        calls: Calls | None,
        *,
        cached_max: int,
        grace_s: float,
        worker: str,
        build: str = "",
        deadlock_s: float | None = 2.0,
    ) -> None:
        self.name = f"workflows:{queue}"
        self.store, self.runs, self.queue, self.keeper = store, Runs(store), queue, keeper
        self.definitions, self.hooks = definitions, dict(hooks)
        self.calls, self.cached_max, self.grace_s = calls, cached_max, grace_s
        self.worker, self.build, self.deadlock_s = worker, build, deadlock_s
        partitions = store.keys.partitions
        self._partition_of = {p.tasks(queue): p for p in partitions}
        self._partition_of |= {p.tasks(queue, keeper): p for p in partitions}
        self.router = Router(
            self.name, connection, store, list(self._partition_of), GROUP_WORKER, self, settings
        )
        self.active: dict[str, Active] = {}
        self.cache: OrderedDict[str, Run] = OrderedDict()
        self.graveyard: list[asyncio.Task[Any]] = []
        self.evictions = self.replays = self.hits = self.failures = 0
        self._outgoing: list[tuple[Active, Commit, tuple[Any, ...], int]] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._watching: asyncio.TimerHandle | None = None
        self._stopping = False
        self._told: set[str] = set()

    # -- component

    def drain(self) -> None:
        """Stop reading. Idempotent."""
        self.router.drain()

    async def run(self, started: asyncio.Event) -> None:
        """Until drained and no run is in hand."""
        try:
            with watching():
                await self.router.run(started)
            await self.router.retire()
        finally:
            if self._watching is not None:
                self._watching.cancel()
            await finish_all(self._sending)
            for run in list(self.cache.values()):
                self._tear_down(run)
            self.cache.clear()

    # -- router's handler

    async def handle(self, batch: list[Delivery]) -> None:
        """Advance runs: those in memory at once, the others after one read for all."""
        absent = []
        for delivery in batch:
            try:
                task = decode_task(delivery.payload or b"")
            except (msgspec.DecodeError, ValueError, RecursionError) as exc:
                await self._unreadable(delivery, str(exc))
                continue
            if isinstance(task, RunQuery):
                self._ask(delivery, task)
                continue
            current = self.active.get(task.run_id)
            if current is not None:
                current.deliveries.append(delivery)
                continue
            run = self.cache.pop(task.run_id, None)
            active = self.active[task.run_id] = Active(task, delivery, run)
            if run is not None and delivery.at == run.known and delivery.extra is not None:
                self.hits += 1
                self._feed(active, [delivery.extra])
            else:
                absent.append(active)
        if absent:
            await self._load(absent)

    def _ask(self, delivery: Delivery, query: RunQuery) -> None:
        """Answer a question from memory, or else from the history."""
        active = self.active.get(query.run_id)
        if active is not None:
            active.queries.append((delivery, query))
            return
        run = self.cache.get(query.run_id)
        if run is not None:
            self._spawn(self._reply(delivery, query, queries.answer(run, query)))
        else:
            self._spawn(self._replay_for(delivery, query))

    def _answer_queries(self, active: Active) -> None:
        """Questions that came while a turn was not committed yet."""
        waiting, active.queries = active.queries, []
        for delivery, query in waiting:
            if active.run is not None:
                self._spawn(self._reply(delivery, query, queries.answer(active.run, query)))
            else:
                self._spawn(self._replay_for(delivery, query))

    async def _replay_for(self, delivery: Delivery, query: RunQuery) -> None:
        try:
            items = await self.runs.history(query.jid, query.run_id)
            run = self._create(RunTask(query.jid, query.run_id), items)
            run.replay(r.decode_items(items))
            said = queries.answer(run, query)
            self._tear_down(run)
        except HotMeshError as exc:
            said = queries.refuse(exc)
        except Exception as exc:  # noqa: BLE001 - user code; it becomes the answer
            said = queries.refuse(exc.__cause__ or exc)
        await self._reply(delivery, query, said)

    async def _reply(self, delivery: Delivery, query: RunQuery, said: bytes) -> None:
        if self.store.clock.now_ms() < query.before_ms:
            await self.runs.reply(query.jid, query.qid, said, query.caller)
        await self._drop_all([delivery])

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Into the dead letters. The run stays as it is: a person decides."""
        partition = self._partition_of[delivery.stream]
        job = ""
        try:
            job = decode_task(delivery.payload or b"").jid
        except (msgspec.DecodeError, ValueError, RecursionError):
            pass  # an entry that can't be read names no run
        entry = Entry(delivery.stream, GROUP_WORKER, (delivery.id,))
        op = bury_op(
            3,
            delivery.payload or b"",
            reason=reason,
            stream=delivery.stream,
            job=job,
            deliveries=delivery.count,
        )
        await self.store.answer(entry, self.router.consumer, [op], [partition.dead])
        self.router.done([delivery.key])

    def lost(self, keys: set[Key]) -> None:
        """Nothing to cancel: a turn is decided and committed in one go, and the revision guards
        it.
        """

    async def finish(self) -> None:
        """Let what runs here without an entry end or be handed over."""
        self._stopping = True
        deadline = asyncio.get_running_loop().time() + self.grace_s + 5
        while self.active and asyncio.get_running_loop().time() < deadline:
            for active in list(self.active.values()):
                self._hand_over(active, 0.0)
            await asyncio.sleep(0.01)
        if self.active:
            log.warning("worker.handed_back", queue=self.queue, runs=len(self.active))
            await self.router.release()

    # -- loading

    async def _load(self, absent: list[Active]) -> None:
        wanted = [
            (a.task.jid, a.task.run_id, a.run.known if a.run is not None else 0) for a in absent
        ]
        try:
            loaded = await self.runs.load(wanted)
        except HotMeshError:
            for active in absent:
                self._forget(active)
            raise
        rows = zip(absent, loaded, strict=True)
        lost = [a for a, (head, items) in rows if self._received(a, head, items)]
        if lost:
            await self._find_lost(lost)

    def _received(self, active: Active, head: RunHead | None, items: list[bytes]) -> bool:
        """Take what was read; whether activities may have been lost with another worker."""
        if head is None or head.run_id != active.task.run_id or not head.is_open:
            self._drop(active)
            return False
        replayed = active.run is None
        try:
            if active.run is None:
                active.run = self._create(active.task, items)
                self.replays += 1
            run = active.run
            run.rev, run.keeper = head.rev, head.keeper
            decoded = r.decode_items(items)
            first = run.known
            before = run.turns
            left = run.replay(decoded, first)
            replayed = replayed or run.turns > before
            run.known += len(items)
            run.bytes += sum(map(len, items))
            if run.closed is not None:
                raise AssertionError("an open run has a closed history")
        except Exception as exc:  # noqa: BLE001 - user code; it becomes a failed task
            self._failed(active, exc, head)
            return False
        active.inputs += [(i, decoded[i - first]) for i in left]  # type: ignore[misc]
        if replayed and any(not act.local for act in run.open_acts.values()):
            return True
        self._advance(active)
        return False

    def _create(self, task: RunTask, items: list[bytes]) -> Run:
        begin = r.decode_item(items[0])
        assert isinstance(begin, r.Begin)
        definition = self.definitions.get(begin.workflow) or self.definitions.get("")
        if definition is None:
            raise UnknownWorkflowError(begin.workflow, sorted(self.definitions))
        run = Run(task.jid, begin, definition, build=self.build)
        run.namespace = self.store.keys.app_id
        run.hook_functions = self.hooks
        return run

    async def _find_lost(self, replayed: list[Active]) -> None:
        """Activities that ran in a worker that is gone, without an entry: they are tried again."""
        steps = [
            [s for s, act in a.run.open_acts.items() if not act.local] for a in replayed if a.run
        ]
        commands: list[tuple[Any, ...]] = []
        for active, open_ in zip(replayed, steps, strict=True):
            key = self.store.keys.of(active.task.jid).job(active.task.jid)
            commands.append(("HMGET", key, RUN, *(f"s{s}" for s in open_)))
        rows = await self.runs.execute(commands)
        for active, open_, row in zip(replayed, steps, rows, strict=True):
            lost = [s for s, value in zip(open_, row[1:], strict=True) if value is None]
            answered = {i.seq for _, i in active.inputs if isinstance(i, r.Answer)}
            for seq in lost:
                if seq not in answered:
                    self._lose(active, seq)
            self._advance(active, force=bool(active.extras))

    def _lose(self, active: Active, seq: int) -> None:
        run = active.run
        assert run is not None
        act = run.open_acts[seq]
        failure = r.Failure("lost", f"the worker of activity {act.name!r} died", "WORKER_LOST")
        outcome = Outcome(failure=failure, names=frozenset({"WorkerLostFailure"}))
        call = call_of(run, act, self._hint, self.store.clock.now_ms())
        pause, state = next_attempt(call, outcome, self.store.clock.now_ms())
        if pause is None:
            reason = wrapped(act.name, seq, 1, failure, state, "")
            active.answers.append(r.Answer(seq, 1, failure=reason))
            return
        again = msgspec.structs.replace(call, attempt=2, lost=1)
        active.extras.append(lambda commit: retry_ops(commit.command, again, 0, failure, None))

    # -- turns

    def _feed(self, active: Active, records: list[bytes]) -> None:
        """Records that follow what the run knows."""
        run = active.run
        assert run is not None
        try:
            decoded = r.decode_items(records)
        except msgspec.DecodeError as exc:
            self._failed(active, exc, None)
            return
        active.inputs += [(run.known + i, item) for i, item in enumerate(decoded)]  # type: ignore[misc]
        run.known += len(records)
        self._advance(active)

    def _advance(self, active: Active, *, force: bool = False) -> None:
        """Run turns until the run waits for something, then send what they gave.

        Args:
            force: Commit even if there was nothing to do, so that the entry is settled.
        """
        run = active.run
        assert run is not None
        if active.sending:
            return
        if not active.inputs and not active.answers:
            if force or not active.local:
                self._send(active)
            return
        inputs, active.inputs = active.inputs, []
        answers, active.answers = active.answers, []
        now_ms = self.store.clock.now_ms()
        try:
            commands = self._turn(run, now_ms, [*(rec for _, rec in inputs), *answers])
        except Exception as exc:  # noqa: BLE001 - user code; it becomes a failed task
            self._failed(active, exc, None)
            return
        ins: tuple[int | r.Answer, ...] = (*(i for i, _ in inputs), *answers)
        turn = r.Turn(run.now_ms, ins, tuple(commands), self.worker, self.build)
        active.items.append(r.encode_turn(turn))
        active.commands += commands
        deferred = self._start_local(active, commands)
        if deferred and len(active.items) < DEFERRED_MAX and not self._stopping:
            return
        self._send(active)

    def _turn(self, run: Run, now_ms: int, inputs: list[Any]) -> list[r.Command]:
        with watch(run.jid, self.deadlock_s) as turn:
            commands = run.turn(now_ms, inputs)
        if turn.stuck is not None:
            raise TurnFailed from turn.stuck
        return commands

    def _start_local(self, active: Active, commands: list[r.Command]) -> bool:
        """Begin local activities; whether the turn asks for nothing else."""
        run = active.run
        assert run is not None
        for command in commands:
            if type(command) is r.Act and command.local and command.seq in run.local:
                self._attempt_local(active, command, 1)
        return (
            bool(active.local)
            and run.closed is None
            and all(type(c) in _LIGHT and getattr(c, "local", True) for c in commands)
        )

    def _attempt_local(self, active: Active, act: r.Act, attempt: int) -> None:
        run = active.run
        assert run is not None and self.calls is not None
        fn, args = run.local[act.seq]
        call = msgspec.structs.replace(
            call_of(run, act, "", self.store.clock.now_ms()), attempt=attempt
        )

        def done(running: Running, outcome: Outcome) -> None:
            active.local.pop(act.seq, None)
            if self.active.get(run.begin.run_id) is not active:
                return
            if outcome.failure is None:
                self._answered(active, r.Answer(act.seq, attempt, outcome.data))
                return
            pause, state = next_attempt(call, outcome, self.store.clock.now_ms())
            if pause is None:
                failure = wrapped(act.name, act.seq, attempt, outcome.failure, state, self.worker)
                self._answered(active, r.Answer(act.seq, attempt, failure=failure))
                return
            active.local[act.seq] = running  # it goes on
            loop = asyncio.get_running_loop()
            loop.call_later(pause / 1000, self._attempt_local_again, active, act, attempt + 1)

        key = (run.begin.run_id, act.seq, attempt)
        function = Function(fn, act.name)
        active.local[act.seq] = self.calls.attempts.start(
            key, function, args, lambda: info_of(call, (), local=True), act.rules, done
        )

    def _attempt_local_again(self, active: Active, act: r.Act, attempt: int) -> None:
        run = active.run
        if run is None or self.active.get(run.begin.run_id) is not active or self._stopping:
            return
        if act.seq in run.local:
            self._attempt_local(active, act, attempt)

    # -- commits

    @property
    def _hint(self) -> str:
        return self.keeper if self.cached_max > 0 else ""

    def _send(self, active: Active) -> None:
        """Put the commit of what has come together into the next batch."""
        run = active.run
        assert run is not None
        fused = self._fusable(active)
        delivery = active.deliveries[0]
        held = bool(fused or active.fused or active.local)
        if run.closed is not None:
            mode = "final" if active.refusals < REFUSALS_MAX else "end"
        else:
            answered = any(type(c) is r.Search and c.answers for c in active.commands)
            mode = "keep" if held or answered else "release"
        entry = Entry(delivery.stream, GROUP_WORKER, (delivery.id,), self.router.consumer)
        commit = Commit(self.store, run, entry, mode, fused=fused, keeper=self._hint)
        try:
            for extra in active.extras:
                extra(commit)
            built = commit.build(active.items, active.commands)
        except Exception as exc:  # noqa: BLE001 - a fault of ours must not stop the others
            self._failed(active, exc, None)
            return
        active.sending = True
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append((active, commit, built, len(active.items)))

    def _fusable(self, active: Active) -> dict[int, r.Act]:
        """Activities of the turn that this worker begins at once."""
        run, calls = active.run, self.calls
        assert run is not None
        if calls is None or run.closed is not None or self._stopping:
            return {}
        room = calls.capacity - len(calls.attempts.running)
        found: dict[int, r.Act] = {}
        for act in active.commands:
            if type(act) is not r.Act or act.local or act.queue != self.queue or len(found) >= room:
                continue
            if act.schedule_to_start_ms or act.schedule_to_close_ms or act.seq not in run.open_acts:
                continue
            if act.name in calls.functions:
                found[act.seq] = act
        return found

    def _flush(self) -> None:
        batch, self._outgoing = self._outgoing, []
        task = asyncio.get_running_loop().create_task(self._send_batch(batch))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send_batch(self, batch: list[tuple[Active, Commit, tuple[Any, ...], int]]) -> None:
        try:
            replies = await self.runs.try_all([built for _, _, built, _ in batch])
        except ServerUnavailable as exc:
            # What took effect is not known: the record will say.
            for active, *_ in batch:
                self._give_back(active, exc)
            return
        for (active, commit, _, count), reply in zip(batch, replies, strict=True):
            try:
                self._committed(active, commit, count, reply)
            except Exception as exc:  # one run's fault must not stop the others
                log.error("turn.failed", job=active.task.jid, error=repr(exc), exc_info=exc)
                self._give_back(active, exc)

    def _committed(self, active: Active, commit: Commit, count: int, reply: Any) -> None:
        run = active.run
        assert run is not None
        active.sending = False
        if isinstance(reply, Exception):
            self._give_back(active, reply)
            return
        if reply == Verdict.UNSEEN:
            active.refusals += 1
            self._reload(active)
            return
        if reply == Verdict.STALE:
            self._reload(active)
            return
        if count:
            run.rev = str(int(run.rev) + 1)
        run.keeper = commit.keeper
        if active.queries:
            self._answer_queries(active)
        fused, commands = commit.fused, active.commands
        active.items, active.commands, active.extras = [], [], []
        if run.closed is not None:
            self._over(active)
            return
        run.known += count
        if reply == Verdict.APPLIED:
            self._released(active)
            return
        self._begin_fused(active, fused, commands)
        self._take_newer(active, reply, commit.found, count)

    def _take_newer(self, active: Active, records: list[bytes], found: int, count: int) -> None:
        """Inputs that came meanwhile: those before the turn's items, and what it found itself."""
        run = active.run
        assert run is not None
        before = len(records) - found
        first = run.known - count
        try:
            decoded = r.decode_items(records)
        except msgspec.DecodeError as exc:
            self._failed(active, exc, None)
            return
        for i, item in enumerate(decoded):
            index = first + i if i < before else first + i + count
            active.inputs.append((index, item))  # type: ignore[arg-type]
        run.known += len(records)
        if active.inputs or active.answers:
            self._advance(active)
        elif not (active.fused or active.local):
            self._send(active)  # it was kept for what is over by now

    def _released(self, active: Active) -> None:
        run = active.run
        assert run is not None
        first, *rest = active.deliveries
        self.active.pop(run.begin.run_id, None)
        self._keep(run)
        self.router.done([first.key])
        if rest:
            self._again(rest)

    def _again(self, deliveries: list[Delivery]) -> None:
        """Entries that came for a run while it was in hand."""
        self._spawn(self._handle_again(deliveries))

    async def _handle_again(self, deliveries: list[Delivery]) -> None:
        try:
            await self.handle(deliveries)
        except HotMeshError as exc:
            log.warning("turn.retried", queue=self.queue, error=str(exc))
            self.router.retry(deliveries)

    def _over(self, active: Active) -> None:
        run = active.run
        assert run is not None
        if run.unfinished:
            log.warning("handlers.unfinished", job=run.jid, handlers=run.unfinished)
        if run.unhandled:
            log.warning("signals.unhandled", job=run.jid, signals=run.unhandled)
        self.active.pop(run.begin.run_id, None)
        self._tear_down(run)
        self.router.done([d.key for d in active.deliveries[:1]])
        self._settle_rest(active.deliveries[1:])

    def _settle_rest(self, deliveries: list[Delivery]) -> None:
        if deliveries:
            self._spawn(self._drop_all(deliveries))

    # -- activities of this worker

    def _begin_fused(self, active: Active, fused: Any, commands: list[r.Command]) -> None:
        run, calls = active.run, self.calls
        if not fused:
            return
        assert run is not None and calls is not None
        for seq, act in fused.items():
            if seq in run.open_acts:
                active.fused[seq] = calls.attempts.start(
                    (run.begin.run_id, seq, 1),
                    calls.functions[act.name],
                    act.args,
                    lambda act=act: info_of(self._call_of(run, act), ()),  # type: ignore[misc]
                    act.rules,
                    self._on_fused(active, act),
                )
        if self._watching is None:
            loop = asyncio.get_running_loop()
            self._watching = loop.call_later(HAND_OVER_S, self._watch)

    def _call_of(self, run: Run, act: r.Act) -> Call:
        return call_of(run, act, self._hint, self.store.clock.now_ms())

    def _on_fused(self, active: Active, act: r.Act) -> Callable[[Running, Outcome], None]:
        def done(running: Running, outcome: Outcome) -> None:
            if active.fused.pop(act.seq, None) is None:
                return  # the run was given up here
            if outcome.failure is None and not outcome.later and not outcome.given_up:
                self._answered(active, r.Answer(act.seq, 1, outcome.data, None, self.worker))
                return
            self._fused_failed(active, act, running, outcome)

        return done

    def _fused_failed(
        self, active: Active, act: r.Act, running: Running, outcome: Outcome
    ) -> None:
        """A first attempt that failed: the next one has an entry, and the run is let go."""
        assert active.run is not None
        call = self._call_of(active.run, act)
        if outcome.given_up:
            active.extras.append(lambda commit: commit.command.call(act.queue, encode_run(call)))
            active.extras.append(lambda commit: commit.open(act.seq))
        elif outcome.later:
            active.extras.append(lambda commit: commit.open(act.seq))
        else:
            failure = outcome.failure
            assert failure is not None
            asked = running.attempt.reason == "REQUESTED"
            now_ms = self.store.clock.now_ms()
            pause, state = next_attempt(call, outcome, now_ms, cancelled=asked)
            if pause is None:
                reason = wrapped(act.name, act.seq, 1, failure, state, self.worker)
                self._answered(active, r.Answer(act.seq, 1, failure=reason, worker=self.worker))
                return
            again = msgspec.structs.replace(call, attempt=2)
            active.extras.append(
                lambda commit: retry_ops(commit.command, again, pause, failure, running.beats)
            )
        self._schedule(active, force=True)

    def _answered(self, active: Active, answer: r.Answer) -> None:
        active.answers.append(answer)
        self._schedule(active)

    def _schedule(self, active: Active, *, force: bool = False) -> None:
        """Advance once this moment's answers are together."""
        if not active.scheduled and not active.sending:
            active.scheduled = True
            asyncio.get_running_loop().call_soon(self._advance_soon, active, force)

    def _advance_soon(self, active: Active, force: bool) -> None:
        active.scheduled = False
        run = active.run
        if run is None or self.active.get(run.begin.run_id) is not active or active.sending:
            return
        self._advance(active, force=force)

    def _watch(self) -> None:
        self._watching = None
        for active in list(self.active.values()):
            self._hand_over(active, HAND_OVER_S)
        if self.active:
            loop = asyncio.get_running_loop()
            self._watching = loop.call_later(HAND_OVER_S, self._watch)

    def _hand_over(self, active: Active, after_s: float) -> None:
        """Give entries to activities that take long, so that the run can be let go."""
        run, calls = active.run, self.calls
        if run is None or active.sending or not active.fused or calls is None:
            return
        now = time.monotonic()
        slow = [s for s, running in active.fused.items() if now - running.began >= after_s]
        for seq in slow:
            running = active.fused.pop(seq)
            act = run.open_acts.get(seq)
            if act is None:
                continue
            call = call_of(run, act, self._hint, self.store.clock.now_ms())
            calls.adopt(running, call)
            payload = encode_run(call)
            active.extras.append(lambda commit, s=seq: commit.open(s))  # type: ignore[misc]
            active.extras.append(
                lambda commit, p=payload: commit.command.call(self.queue, p, self.keeper)  # type: ignore[misc]
            )
        if slow:
            self._advance(active, force=True)

    # -- giving up

    def _keep(self, run: Run) -> None:
        """Put a run that waits into memory, and the oldest out of it."""
        if self._stopping or self.cached_max <= 0:
            self._tear_down(run)
            return
        self.cache[run.begin.run_id] = run
        while len(self.cache) > self.cached_max:
            _, oldest = self.cache.popitem(last=False)
            self.evictions += 1
            self._tear_down(oldest)

    def _tear_down(self, run: Run) -> None:
        left = run.tear_down()
        if left:
            log.warning("run.clings", job=run.jid, tasks=[t.get_name() for t in left])
            self.graveyard += left

    def _forget(self, active: Active) -> None:
        """The run's memory can't be trusted any more."""
        self.active.pop(active.task.run_id, None)
        waiting, active.queries = active.queries, []
        for delivery, query in waiting:
            self._spawn(self._replay_for(delivery, query))
        for running in (*active.fused.values(), *active.local.values()):
            running.cancel("GONE")
        active.fused.clear()
        active.local.clear()
        if active.run is not None:
            self._tear_down(active.run)
            active.run = None

    def _give_back(self, active: Active, error: BaseException) -> None:
        log.warning("turn.retried", job=active.task.jid, error=str(error))
        self._forget(active)
        self.router.retry(active.deliveries)

    def _reload(self, active: Active) -> None:
        """Another was faster, or something came that must be seen first: look again."""
        refusals = active.refusals
        self._forget(active)
        fresh = Active(active.task, active.deliveries[0], None)
        fresh.deliveries, fresh.refusals = active.deliveries, refusals
        self.active[active.task.run_id] = fresh
        self._spawn(self._load_again(fresh))

    async def _load_again(self, active: Active) -> None:
        try:
            await self._load([active])
        except HotMeshError as exc:
            self._give_back(active, exc)

    def _drop(self, active: Active) -> None:
        """The run has ended or is another by now: nobody needs the entries."""
        self._forget(active)
        self._spawn(self._drop_all(active.deliveries))

    async def _drop_all(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            entry = Entry(delivery.stream, GROUP_WORKER, (delivery.id,))
            try:
                await self.store.acknowledge(entry)
            except HotMeshError as exc:
                log.warning("entry.left", entry=delivery.id, error=str(exc))
        self.router.done([d.key for d in deliveries])

    def _failed(self, active: Active, error: BaseException, head: RunHead | None) -> None:
        """The code is at fault: the run stays open and is tried again later."""
        cause = error.__cause__ if isinstance(error, TurnFailed) and error.__cause__ else error
        run = active.run
        if (
            isinstance(cause, NonDeterminismError)
            and run is not None
            and run.definition.options.on_nondeterminism == "fail"
        ):
            self._fail_run(active, cause)
            return
        self.failures += 1
        text = f"{type(cause).__name__}: {cause}"
        if text not in self._told:
            if len(self._told) < 1000:
                self._told.add(text)
            log.error(
                "turn.failed",
                job=active.task.jid,
                run=active.task.run_id,
                error=text,
                exc_info=cause,
            )
        self._forget(active)
        self._spawn(self._put_off(active, text))
        del head

    def _fail_run(self, active: Active, error: NonDeterminismError) -> None:
        """A history that does not fit ends the run, where its definition says so."""
        run = active.run
        assert run is not None
        run.closed = r.Fail(failure_of(error))
        active.items = [
            r.encode_turn(r.Turn(run.now_ms, (), (run.closed,), self.worker, self.build))
        ]
        active.commands = [run.closed]
        self._send(active)

    async def _put_off(self, active: Active, error: str) -> None:
        task = active.task
        delivery = active.deliveries[0]
        try:
            head, count = await self._failure_count(task)
            if head is None or head.run_id != task.run_id or not head.is_open:
                await self._drop_all(active.deliveries)
                return
            pause_ms = min(FAILURE_MS_MIN * 2 ** min(count, 10), FAILURE_MS_MAX)
            command = RunCommand(self.store, task.jid, task.run_id, delivery.stream)
            fields = {"t": b"1", "tf": str(count + 1).encode(), "te": error[:2000].encode()}
            command.set(fields)
            command.timer(encode_run(RunTimer(task.jid, task.run_id, 0, "task")), pause_ms)
            history = command.key(command.partition.history(task.run_id))
            guard = ["turn", task.run_id, head.rev, "end", history, 1_000_000_000, GROUP_WORKER]
            guard += [[delivery.id.decode()]]  # type: ignore[list-item]
            await self.runs.run([command.build(guard)])
            self.router.done([delivery.key])
            self._settle_rest(active.deliveries[1:])
        except HotMeshError as exc:
            log.warning("turn.retried", job=task.jid, error=str(exc))
            self.router.retry(active.deliveries)

    async def _failure_count(self, task: RunTask) -> tuple[RunHead | None, int]:
        head = (await self.runs.heads([task.jid]))[0]
        count = (await self.runs.fields(task.jid, ["tf"]))[0]
        return head, int(count or 0)

    async def _unreadable(self, delivery: Delivery, reason: str) -> None:
        if is_of_another_release(delivery.payload or b""):
            log.warning("entry.format_unknown", queue=self.queue, entry=delivery.id, reason=reason)
            self.router.done([delivery.key])
            return
        await self.bury(delivery, f"undecodable: {reason}")

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("turn.unsettled", error=repr(error), exc_info=error)
