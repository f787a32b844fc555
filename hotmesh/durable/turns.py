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
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from hotmesh.connect import Connection
from hotmesh.core.durable import records as r
from hotmesh.durable.active import Active
from hotmesh.durable.answering import Answering
from hotmesh.durable.attempts import finish_all
from hotmesh.durable.calls import Calls
from hotmesh.durable.codec import Coder, is_sealed
from hotmesh.durable.commit import Commit
from hotmesh.durable.definition import WorkflowDef
from hotmesh.durable.errors import CodecError, UnknownWorkflowError
from hotmesh.durable.failing import Failing
from hotmesh.durable.fused import Fused
from hotmesh.durable.interceptors import Chain
from hotmesh.durable.run import Run
from hotmesh.durable.task_failure import TurnFailed
from hotmesh.durable.tracing import notes_of, recall
from hotmesh.durable.watchdog import running as watching
from hotmesh.durable.watchdog import watch
from hotmesh.errors import HotMeshError, ServerUnavailable
from hotmesh.log import get_logger
from hotmesh.messages import is_of_another_release
from hotmesh.router import Delivery, Key, Router, RouterSettings
from hotmesh.run_messages import RunQuery, RunTask, decode_task
from hotmesh.store import GROUP_WORKER, Entry, Store, Verdict
from hotmesh.store.dead import bury_op
from hotmesh.store.runs import RunHead, Runs
from hotmesh.telemetry import Observer

log = get_logger("hotmesh.durable")

REFUSALS_MAX = 3
"""How often a run may be kept from ending by signals that it has not seen."""

DEFERRED_MAX = 100
"""Turns that end in local activities alone and wait to be written with what follows."""


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
        calls: Calls,
        observer: Observer,
        coder: Coder | None,
        *,
        eager: bool = True,
        cached_max: int,
        grace_s: float,
        worker: str,
        build: str = "",
        deadlock_s: float | None = 2.0,
        interceptors: Chain | None = None,
    ) -> None:
        self.name = f"workflows:{queue}"
        self.store, self.runs, self.queue, self.keeper = store, Runs(store), queue, keeper
        self.definitions, self.hooks = definitions, dict(hooks)
        self.calls, self.cached_max, self.grace_s = calls, cached_max, grace_s
        self.fuses = eager
        self.observer, self.coder, self.interceptors = observer, coder, interceptors
        self.worker, self.build, self.deadlock_s = worker, build, deadlock_s
        partitions = store.keys.partitions
        self._partition_of = {p.tasks(queue): p for p in partitions}
        self._partition_of |= {p.tasks(queue, keeper): p for p in partitions}
        self.router = Router(
            self.name, connection, store, list(self._partition_of), GROUP_WORKER, self, settings
        )
        self.eager = Fused(self)
        self.answering = Answering(self)
        self.failing = Failing(self)
        self.active: dict[str, Active] = {}
        self.cache: OrderedDict[str, Run] = OrderedDict()
        self.graveyard: list[asyncio.Task[Any]] = []
        self.evictions = self.replays = self.hits = self.failures = 0
        self._outgoing: list[tuple[Active, Commit, tuple[Any, ...], int]] = []
        self._sending: set[asyncio.Task[None]] = set()
        self.stopping = False

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
            self.eager.close()
            await finish_all(self._sending)
            for run in list(self.cache.values()):
                self.tear_down(run)
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
                self.answering.ask(delivery, task)
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
        self.stopping = True
        deadline = asyncio.get_running_loop().time() + self.grace_s + 5
        while self.active and asyncio.get_running_loop().time() < deadline:
            for active in list(self.active.values()):
                self.eager.hand_over(active, 0.0)
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
                self.forget(active)
            raise
        rows = zip(absent, loaded, strict=True)
        lost = [
            a for a, (head, items) in rows if self._received(a, head, items, await self.read(items))
        ]
        if lost:
            await self.eager.find_lost(lost)

    async def read(self, items: list[bytes]) -> list[r.Item] | Exception:
        """What items hold, decoded by the codec too; or why that can't be told."""
        try:
            decoded = r.decode_items(items)
            if self.coder is not None:
                return await self.coder.open(decoded)
            if decoded and isinstance(decoded[0], r.Begin) and is_sealed(decoded[0].args):
                return CodecError(
                    "the run's payloads are encoded; give this worker the codecs= of its client"
                )
            return decoded
        except (msgspec.DecodeError, CodecError) as exc:
            return exc

    def _received(
        self,
        active: Active,
        head: RunHead | None,
        items: list[bytes],
        decoded: list[r.Item] | Exception,
    ) -> bool:
        """Take what was read; whether activities may have been lost with another worker."""
        if head is None or head.run_id != active.task.run_id or not head.is_open:
            self._drop(active)
            return False
        replayed = active.run is None
        try:
            if isinstance(decoded, Exception):
                raise decoded
            if active.run is None:
                active.run = self.create(active.task, decoded[0])
                self.replays += 1
            run = active.run
            run.rev, run.keeper = head.rev, head.keeper
            first = run.known
            before = run.turns
            left = run.replay(decoded, first)
            replayed = replayed or run.turns > before
            if run.begin.trace:
                recall(run, decoded)
            if self.coder is not None:
                run.sealed |= _open_acts(run, items)
            run.known += len(items)
            run.bytes += sum(map(len, items))
            if run.closed is not None:
                raise AssertionError("an open run has a closed history")
        except Exception as exc:  # noqa: BLE001 - user code; it becomes a failed task
            self.failing.failed(active, exc)
            return False
        active.inputs += [(i, decoded[i - first]) for i in left]  # type: ignore[misc]
        if replayed:
            self.eager.resume_local(active)
        if replayed and any(not act.local for act in run.open_acts.values()):
            return True
        self.advance(active)
        return False

    def create(self, task: RunTask, begin: r.Item) -> Run:
        """A run that knows nothing yet.

        Raises:
            UnknownWorkflowError: Its code is not here.
        """
        assert isinstance(begin, r.Begin)
        definition = self.definitions.get(begin.workflow) or self.definitions.get("")
        if definition is None:
            raise UnknownWorkflowError(begin.workflow, sorted(self.definitions))
        run = Run(task.jid, begin, definition, build=self.build)
        run.namespace = self.store.keys.app_id
        run.hook_functions = self.hooks
        run.interceptors = self.interceptors
        return run

    # -- turns

    def _feed(self, active: Active, records: list[bytes]) -> None:
        """Records that follow what the run knows."""
        if self.coder is not None:
            active.sending = True
            self.spawn(self._feed_opened(active, records))
            return
        try:
            self._fed(active, r.decode_items(records))
        except msgspec.DecodeError as exc:
            self.failing.failed(active, exc)

    async def _feed_opened(self, active: Active, records: list[bytes]) -> None:
        decoded = await self.read(records)
        active.sending = False
        if isinstance(decoded, Exception):
            self.failing.failed(active, decoded)
        else:
            self._fed(active, decoded)

    def _fed(self, active: Active, decoded: list[r.Item]) -> None:
        run = active.run
        assert run is not None
        active.inputs += [(run.known + i, item) for i, item in enumerate(decoded)]  # type: ignore[misc]
        run.known += len(decoded)
        self.advance(active)

    def advance(self, active: Active, *, force: bool = False) -> None:
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
                self.send(active)
            return
        inputs, active.inputs = active.inputs, []
        answers, active.answers = active.answers, []
        now_ms = self.store.clock.now_ms()
        try:
            commands = self._turn(run, now_ms, [*(rec for _, rec in inputs), *answers])
        except Exception as exc:  # noqa: BLE001 - user code; it becomes a failed task
            self.failing.failed(active, exc, answers)
            return
        ins: tuple[int | r.Answer, ...] = (*(i for i, _ in inputs), *answers)
        turn = r.Turn(run.now_ms, ins, tuple(commands), self.worker, self.build)
        active.items.append(turn)
        active.commands += commands
        if run.begin.trace:
            active.notes += notes_of(run, [*(rec for _, rec in inputs), *answers], commands)
        deferred = self.eager.start_local(active, commands)
        if deferred and len(active.items) < DEFERRED_MAX and not self.stopping:
            return
        self.send(active)

    def _turn(self, run: Run, now_ms: int, inputs: list[Any]) -> list[r.Command]:
        with watch(run.jid, self.deadlock_s) as turn:
            commands = run.turn(now_ms, inputs)
        if turn.stuck is not None:
            raise TurnFailed from turn.stuck
        return commands

    # -- commits

    @property
    def hint(self) -> str:
        return self.keeper if self.cached_max > 0 else ""

    def send(self, active: Active) -> None:
        """Put the commit of what has come together into the next batch."""
        if self.coder is None:
            self._put(active, active.items, active.commands)
            return
        active.sending = True
        self.spawn(self._seal(active, self.coder))

    async def _seal(self, active: Active, coder: Coder) -> None:
        """Encode what goes to the server, and put that into the next batch."""
        try:
            turns = await coder.seal(active.items)
        except CodecError as exc:
            active.sending = False
            self.failing.failed(active, exc)
            return
        commands = [c for turn in turns for c in turn.commands]
        assert active.run is not None
        active.run.sealed |= {c.seq: c for c in commands if isinstance(c, r.Act)}
        self._put(active, turns, commands)

    def _put(self, active: Active, turns: Sequence[r.Turn], commands: Sequence[r.Command]) -> None:
        run = active.run
        assert run is not None
        fused = self.eager.fusable(active)
        delivery = active.deliveries[0]
        held = bool(fused or active.fused or active.local)
        if run.closed is not None:
            mode = "final" if active.refusals < REFUSALS_MAX else "end"
        else:
            answered = any(type(c) is r.Search and c.answers for c in active.commands)
            mode = "keep" if held or answered else "release"
        entry = Entry(delivery.stream, GROUP_WORKER, (delivery.id,), self.router.consumer)
        commit = Commit(self.store, run, entry, mode, fused=fused, keeper=self.hint)
        try:
            for extra in active.extras:
                extra(commit)
            built = commit.build([r.encode_turn(turn) for turn in turns], commands)
        except Exception as exc:  # noqa: BLE001 - a fault of ours must not stop the others
            self.failing.failed(active, exc)
            return
        active.sending = True
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        active.extras = []  # what joins from now on is of the next commit
        self._outgoing.append((active, commit, built, len(active.items)))

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
            self.answering.answer_queries(active)
        fused, commands = commit.fused, active.commands
        active.items, active.commands = [], []
        if active.notes:
            self.observer.emit(active.notes)
            active.notes = []
        if run.closed is not None:
            self._over(active)
            return
        run.known += count
        if reply == Verdict.APPLIED:
            self._released(active)
            return
        self.eager.begin_fused(active, fused, commands)
        self._take_newer(active, reply, commit.found, count)

    def _take_newer(self, active: Active, records: list[bytes], found: int, count: int) -> None:
        """Inputs that came meanwhile: those before the turn's items, and what it found itself."""
        if self.coder is not None and records:
            active.sending = True
            self.spawn(self._open_newer(active, records, found, count))
            return
        try:
            self._newer(active, r.decode_items(records), found, count)
        except msgspec.DecodeError as exc:
            self.failing.failed(active, exc)

    async def _open_newer(
        self, active: Active, records: list[bytes], found: int, count: int
    ) -> None:
        decoded = await self.read(records)
        active.sending = False
        if isinstance(decoded, Exception):
            self.failing.failed(active, decoded)
        else:
            self._newer(active, decoded, found, count)

    def _newer(self, active: Active, decoded: list[r.Item], found: int, count: int) -> None:
        run = active.run
        assert run is not None
        before = len(decoded) - found
        first = run.known - count
        for i, item in enumerate(decoded):
            index = first + i if i < before else first + i + count
            active.inputs.append((index, item))  # type: ignore[arg-type]
        run.known += len(decoded)
        if active.inputs or active.answers:
            self.advance(active)
        elif active.extras or not (active.fused or active.local):
            self.send(active)  # it was kept for what is over by now, or for what came meanwhile

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
        self.spawn(self._handle_again(deliveries))

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
        self.tear_down(run)
        self.router.done([d.key for d in active.deliveries[:1]])
        self.settle_rest(active.deliveries[1:])

    def settle_rest(self, deliveries: list[Delivery]) -> None:
        if deliveries:
            self.spawn(self.drop_all(deliveries))

    def answered(self, active: Active, answer: r.Answer) -> None:
        active.answers.append(answer)
        self.schedule(active)

    def schedule(self, active: Active, *, force: bool = False) -> None:
        """Advance once this moment's answers are together."""
        if not active.scheduled and not active.sending:
            active.scheduled = True
            asyncio.get_running_loop().call_soon(self._advance_soon, active, force)

    def _advance_soon(self, active: Active, force: bool) -> None:
        active.scheduled = False
        run = active.run
        if run is None or self.active.get(run.begin.run_id) is not active or active.sending:
            return
        self.advance(active, force=force)

    # -- giving up

    def _keep(self, run: Run) -> None:
        """Put a run that waits into memory, and the oldest out of it."""
        if self.stopping or self.cached_max <= 0:
            self.tear_down(run)
            return
        self.cache[run.begin.run_id] = run
        while len(self.cache) > self.cached_max:
            _, oldest = self.cache.popitem(last=False)
            self.evictions += 1
            self.tear_down(oldest)

    def tear_down(self, run: Run) -> None:
        left = run.tear_down()
        if left:
            log.warning("run.clings", job=run.jid, tasks=[t.get_name() for t in left])
            self.graveyard += left

    def forget(self, active: Active) -> None:
        """The run's memory can't be trusted any more."""
        self.active.pop(active.task.run_id, None)
        waiting, active.queries = active.queries, []
        for delivery, query in waiting:
            self.spawn(self.answering.replay_for(delivery, query))
        for running in (*active.fused.values(), *active.local.values()):
            running.cancel("GONE")
        active.fused.clear()
        active.local.clear()
        if active.run is not None:
            self.tear_down(active.run)
            active.run = None

    def _give_back(self, active: Active, error: BaseException) -> None:
        log.warning("turn.retried", job=active.task.jid, error=str(error))
        self.forget(active)
        self.router.retry(active.deliveries)

    def _reload(self, active: Active) -> None:
        """Another was faster, or something came that must be seen first: look again."""
        refusals = active.refusals
        self.forget(active)
        fresh = Active(active.task, active.deliveries[0], None)
        fresh.deliveries, fresh.refusals = active.deliveries, refusals
        self.active[active.task.run_id] = fresh
        self.spawn(self._load_again(fresh))

    async def _load_again(self, active: Active) -> None:
        try:
            await self._load([active])
        except HotMeshError as exc:
            self._give_back(active, exc)

    def _drop(self, active: Active) -> None:
        """The run has ended or is another by now: nobody needs the entries."""
        self.forget(active)
        self.spawn(self.drop_all(active.deliveries))

    async def drop_all(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            entry = Entry(delivery.stream, GROUP_WORKER, (delivery.id,))
            try:
                await self.store.acknowledge(entry)
            except HotMeshError as exc:
                log.warning("entry.left", entry=delivery.id, error=str(exc))
        self.router.done([d.key for d in deliveries])

    async def _unreadable(self, delivery: Delivery, reason: str) -> None:
        if is_of_another_release(delivery.payload or b""):
            log.warning("entry.format_unknown", queue=self.queue, entry=delivery.id, reason=reason)
            self.router.done([delivery.key])
            return
        await self.bury(delivery, f"undecodable: {reason}")

    def spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("turn.unsettled", error=repr(error), exc_info=error)


def _open_acts(run: Run, items: list[bytes]) -> dict[int, r.Act]:
    """Open activities of a history as it holds them."""
    return {
        command.seq: command
        for item in r.decode_items(items)
        if isinstance(item, r.Turn)
        for command in item.commands
        if isinstance(command, r.Act) and command.seq in run.open_acts
    }
