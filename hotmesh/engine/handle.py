"""Group by job, load, step, apply; decide the stale ones again.

This is the whole of an engine: events in, effects out, whoever brings the events. The router's
entries, a worker of the same process, and a client's call all come through here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from hotmesh.compiler import Program
from hotmesh.core import (
    Effect,
    Job,
    Limits,
    Outcome,
    Start,
    admit,
    advance,
    begin,
    job_id_of,
    missed,
    orphan,
    refuse,
    scrub,
)
from hotmesh.core.signals import address, bounce, slot, slot_effect, telling
from hotmesh.core.state import StateMissing, decode_value
from hotmesh.engine import cron, schedules
from hotmesh.engine.arrival import Arrival, Decision, Key, _fields
from hotmesh.engine.hook_all import hook_all
from hotmesh.engine.runs import RUN_EVENTS, RunEngine
from hotmesh.errors import (
    DuplicateJob,
    FormatUnknown,
    HotMeshError,
    JobEnded,
    JobNotFound,
    Overloaded,
    ServerUnavailable,
    VersionNotFound,
)
from hotmesh.ids import derive, guid
from hotmesh.log import get_logger
from hotmesh.mapping import Env
from hotmesh.messages import (
    Adopt,
    ChildStart,
    Interrupt,
    Listen,
    Send,
    SendAll,
    Signal,
    Tick,
    Visit,
    Woken,
)
from hotmesh.payload import encode
from hotmesh.run_messages import ScheduleTick
from hotmesh.store import Apply, Entry, New, Plans, Store, Verdict, retrying
from hotmesh.telemetry import Observer

log = get_logger("hotmesh.engine")

STARTS_MAX = 5

STALE_MAX = 20
"""Decisions on one job before its entries are left for the lease: more means that something else
is wrong.
"""


class Settled(Struct, frozen=True):
    """What became of a batch: settled entries, and those that failed, by reason."""

    done: tuple[Key, ...]
    failed: dict[Key, str]


class Engine:
    """Applies events to jobs.

    Holds no state of its own: any number of engines may work on one job.
    """

    def __init__(
        self, store: Store, plans: Plans, observer: Observer, limits: Limits, *, backlog_max: int
    ) -> None:
        self.store, self.plans, self.limits = store, plans, limits
        self._observer, self._backlog_max = observer, backlog_max
        self.runs = RunEngine(store)

    # -- entries

    async def handle(self, arrivals: Sequence[Arrival]) -> Settled:
        """Apply a batch of entries.

        Raises:
            ServerUnavailable: The server went away; what was applied is applied, handling the rest
            again is safe.
        """
        by_job: dict[str, list[Arrival]] = {}
        done: list[Key] = []
        failed: dict[Key, str] = {}
        of_runs = [a for a in arrivals if isinstance(a.event, RUN_EVENTS)]
        if of_runs:
            await self.runs.handle(of_runs, done, failed)
            arrivals = [a for a in arrivals if not isinstance(a.event, RUN_EVENTS)]
        for arrival in arrivals:
            if isinstance(arrival.event, (Listen, Send, SendAll, Tick, Visit, ScheduleTick)):
                try:
                    await self._errand(arrival, done, failed)
                except (ServerUnavailable, Overloaded):
                    raise
                except HotMeshError as exc:
                    failed[arrival.key] = str(exc)
            else:
                by_job.setdefault(arrival.event.jid, []).append(arrival)
        for _ in range(STALE_MAX):
            if not by_job:
                break
            by_job = await self._round(by_job, done, failed)
        for rest in by_job.values():
            failed.update((a.key, f"the job moved on {STALE_MAX} times in a row") for a in rest)
        return Settled(tuple(done), failed)

    async def _round(
        self, by_job: dict[str, list[Arrival]], done: list[Key], failed: dict[Key, str]
    ) -> dict[str, list[Arrival]]:
        """Load, decide and apply once; what has to be decided again."""
        programs = await self._programs(by_job, failed)
        wanted = [(jid, _fields(program, by_job[jid])) for jid, program in programs.items()]
        jobs = await self.store.load(wanted)
        again: dict[str, list[Arrival]] = {}
        decisions: list[Decision] = []
        idle: list[Arrival] = []
        for (jid, program), job in zip(programs.items(), jobs, strict=True):
            arrivals = by_job[jid]
            try:
                try:
                    decision = self._decide(program, jid, job, arrivals, self.env())
                except StateMissing:
                    job = (await self.store.load([(jid, None)]))[0]
                    decision = self._decide(program, jid, job, arrivals, self.env())
            except Exception as exc:  # one job's fault must not stop the others
                log.error("job.undecidable", job=jid, error=repr(exc), exc_info=True)
                failed.update((a.key, f"{type(exc).__name__}: {exc}") for a in arrivals)
                continue
            taken = {a.key for a in decision.arrivals}
            if left := [a for a in arrivals if a.key not in taken]:
                again[jid] = left
            if decision.item is None:
                idle += decision.arrivals
                self._observer.emit(decision.outcome.notes)
            else:
                decisions.append(decision)
        await self._acknowledge(idle, done)
        await self._apply(decisions, again, done, failed)
        return again

    async def _apply(
        self,
        decisions: list[Decision],
        again: dict[str, list[Arrival]],
        done: list[Key],
        failed: dict[Key, str],
    ) -> None:
        if not decisions:
            return
        verdicts = await self.store.apply([d.item for d in decisions if d.item is not None])
        for decision, verdict in zip(decisions, verdicts, strict=True):
            if verdict is Verdict.APPLIED:
                self._observer.emit(decision.outcome.notes)
                done += [a.key for a in decision.arrivals]
                continue
            jid = decision.arrivals[0].event.jid
            if verdict is Verdict.LOST and len(decision.arrivals) == 1:
                failed[decision.arrivals[0].key] = "the entry is another consumer's by now"
            elif verdict is Verdict.LOST:  # one of them is lost: each on its own
                for arrival in decision.arrivals:
                    stale = await self._round({jid: [arrival]}, done, failed)
                    if left := stale.get(jid):
                        again.setdefault(jid, []).extend(left)
            else:  # another entry of this job came first: look at what it left
                self._observer.metrics.stale.add(1)
                again[jid] = [*decision.arrivals, *again.get(jid, ())]

    def _decide(
        self, program: Program, jid: str, job: Job | None, arrivals: Sequence[Arrival], env: Env
    ) -> Decision:
        # One script settles entries of one stream. Those of another are decided next, on what this
        # one leaves.
        arrivals = [a for a in arrivals if a.source == arrivals[0].source]
        if job is not None:
            rev = job.rev
            events: list[Any] = [a.event for a in arrivals]
            outcome = advance(program, job, events, env, self.limits)
            return Decision(jid, rev, outcome, arrivals)
        start = arrivals[0].event
        if isinstance(start, Woken):
            return Decision(jid, 0, bounce(start, self.limits, jid, program), arrivals[:1])
        if isinstance(start, Adopt):
            return Decision(jid, 0, orphan(start, self.limits), arrivals[:1])
        if isinstance(start, Interrupt):
            return Decision(jid, 0, missed(start, self.limits), arrivals[:1])
        if not isinstance(start, ChildStart):
            return Decision(jid, 0, Outcome(), arrivals[:1])  # scrubbed or expired: nobody waits
        event = Start(
            jid=jid,
            topic=start.topic,
            data=decode_value(start.data),
            raw=start.data,
            trace=start.trace,
            parent=start,
        )
        try:
            _, outcome = begin(program, event, env, self.limits)
        except HotMeshError as exc:
            return Decision(jid, 0, refuse(start, exc, self.limits), arrivals[:1])
        return Decision(jid, 0, outcome, arrivals[:1], new=True)

    async def _errand(self, arrival: Arrival, done: list[Key], failed: dict[Key, str]) -> None:
        """What an entry asks of this partition rather than of a job: its slots, or all jobs of
        an index.
        """
        event = arrival.event
        entries = Entry(arrival.stream, arrival.group, (arrival.id,), arrival.consumer)
        if isinstance(event, SendAll):
            program = await self.plans.program(event.version)
            await hook_all(self, program, event)
            await self._acknowledge([arrival], done)
            return
        if isinstance(event, Tick):
            await cron.fire(self, event, entries)
            done.append(arrival.key)
            return
        if isinstance(event, Visit):
            await self._admit(event, entries)
            done.append(arrival.key)
            return
        if isinstance(event, ScheduleTick):
            await schedules.fire(self, event, entries)
            done.append(arrival.key)
            return
        assert isinstance(event, (Listen, Send))
        effects = [slot_effect(event, self.limits)]
        item = Apply(jid=event.jid, rev=0, effects=effects, entries=entries)
        verdict = (await self.store.apply([item]))[0]
        if verdict is Verdict.APPLIED:
            done.append(arrival.key)
        else:
            failed[arrival.key] = f"the slot refused: {verdict.name}"

    async def _admit(self, visit: Visit, entries: Entry) -> None:
        """Another app asks for a job: settle its version and id, and order its start."""
        self.plans.go_abroad()  # what it answers leaves by the outbox
        try:
            program = await self.plans.active(refresh=True)
            effects: list[Effect] = [admit(program, visit, self.env(), self.limits)]
        except (ServerUnavailable, Overloaded):
            raise
        except HotMeshError as exc:
            effects = refuse(visit.start, exc, self.limits).effects
        item = Apply(jid=visit.jid, rev=0, effects=effects, entries=entries)
        if (await self.store.apply([item]))[0] is not Verdict.APPLIED:
            await self.store.acknowledge(entries)  # that job exists: it was admitted before

    async def _acknowledge(self, arrivals: Sequence[Arrival], done: list[Key]) -> None:
        """Settle what asks for nothing."""
        by_stream: dict[tuple[str, str], list[bytes]] = {}
        for arrival in arrivals:
            by_stream.setdefault((arrival.stream, arrival.group), []).append(arrival.id)
        for (stream, group), ids in by_stream.items():
            await self.store.acknowledge(Entry(stream, group, tuple(ids)))
            done += [(stream, id) for id in ids]

    # -- client calls

    async def start(
        self,
        topic: str,
        data: Any,
        *,
        job_id: str | None = None,
        request: str = "",
        caller: str = "",
        trace: str = "",
        expire_ms: int = -1,
        once: str = "",
    ) -> tuple[str, bool]:
        """Start a job.

        Args:
            job_id: Its id, unless the model maps one; a new one when neither says.
            request: An idempotency key: a job that was started by the same request is the same job.
            caller: The client that is told of the end.
            once: A name under which this start is remembered for a week, also after the job's
                record has expired; see `store.New`.

        Returns:
            The job's id, and whether it may have ended already (its record is worth a look).

        Raises:
            AppNotFound, TopicNotFound, PayloadInvalid, MappingError, DuplicateJob, Overloaded
        """
        raw = encode(
            data, what=f"the payload of topic {topic!r}", bytes_max=self.limits.payload_bytes_max
        )
        plain = decode_value(raw)
        program = await self.plans.active()
        for _ in range(STARTS_MAX):
            jid = job_id_of(program, topic, plain, self.env()) or job_id
            # A drawn id needs no request: who finds it in use has met itself.
            mine = request or ("" if jid is None else guid())
            jid = jid or (derive(topic, request) if request else guid())
            event = Start(
                jid=jid,
                topic=topic,
                data=plain,
                raw=raw,
                caller=caller,
                trace=trace,
                expire_ms=expire_ms,
            )
            job, outcome = begin(program, event, self.env(), self.limits)
            verdict = await self._create(
                New(
                    jid=jid,
                    effects=outcome.effects,
                    request=mine,
                    version=program.version,
                    backlog_max=self._backlog_max,
                    once=once,
                )
            )
            if verdict is Verdict.VERSION:  # another version was activated since: start on that one
                program = await self.plans.active(refresh=True)
                continue
            if verdict is Verdict.STALE and mine:
                raise DuplicateJob(jid)
            if verdict is Verdict.OVERLOADED:
                self._observer.metrics.job_refused.add(1, {"workflow": topic})
                raise Overloaded(
                    f"a worker stream of topic {topic!r} holds {self._backlog_max:,} entries; "
                    "start more workers, or start jobs more slowly"
                )
            if verdict is Verdict.APPLIED:
                self._observer.emit(outcome.notes)
            over = job.status <= 0 or job.extras.completed
            return jid, over or verdict is not Verdict.APPLIED
        raise Overloaded(
            f"the active version changed {STARTS_MAX} times while the job was starting"
        )

    async def _create(self, item: New) -> Verdict:
        """Apply a start, again after a lost reply: the job id or its request tells a repetition."""
        return (await retrying(lambda: self.store.apply([item]), what="start"))[0]

    async def signal(self, program: Program, topic: str, data: Any, signal: Signal) -> None:
        """Send a signal. A repeated sending with the same `rid` does nothing.

        Raises:
            HookNotFound, MappingError, Overloaded
        """
        key, pending_ms = address(program, topic, data, self.env())
        effect = telling(topic, key, signal, pending_ms)
        item = Apply(jid=slot(topic, key), rev=0, effects=[effect])
        verdict = (await retrying(lambda: self.store.apply([item]), what="signal"))[0]
        if verdict is Verdict.OVERLOADED:
            raise Overloaded(
                f"too many signals of topic {topic!r} wait for a hook with key {key!r:.80}"
            )

    async def interrupt(self, event: Interrupt, *, topic: str) -> None:
        """End a running job, now or later.

        Raises:
            JobNotFound, JobEnded, Overloaded
        """

        def decide(program: Program, job: Job) -> Outcome:
            if job.meta.topic != topic:
                raise JobNotFound(event.jid, topic=topic, found=job.meta.topic)
            outcome = advance(program, job, [event], self.env(), self.limits)
            if not outcome.effects:
                raise JobEnded(event.jid)
            return outcome

        await self._call(event.jid, decide)

    async def scrub(self, jid: str) -> None:
        """Delete a job.

        Raises:
            JobNotFound
        """
        await self._call(jid, lambda program, job: scrub(program, job, self.env(), self.limits))

    async def _call(self, jid: str, decide: Callable[[Program, Job], Outcome]) -> None:
        """Load a job whole, decide and apply, again when it moved on."""
        for _ in range(STALE_MAX):
            job = (await self.store.load([(jid, None)]))[0]
            if job is None:
                raise JobNotFound(jid)
            program = await self.plans.program(job.meta.version)
            rev = job.rev
            outcome = decide(program, job)
            verdicts = await self.store.apply([Apply(jid=jid, rev=rev, effects=outcome.effects)])
            if verdicts[0] is Verdict.APPLIED:
                self._observer.emit(outcome.notes)
                return
        raise Overloaded(f"job {jid!r} moved on {STALE_MAX} times in a row; try again")

    def env(self) -> Env:
        """Clock and chance, for one decision."""
        return Env(now_ms=self.store.clock.now_ms(), random=random.random)

    # -- programs and fields

    async def _version_of(self, jid: str) -> str:
        """The version that a job runs on, for the few events whose sender can't know it."""
        job = (await self.store.load([(jid, ())]))[0]
        return job.meta.version if job is not None else (await self.plans.active()).version

    async def _is_late(self, jid: str, arrivals: Sequence[Arrival]) -> bool:
        """Whether these are for a job that is gone: its version may have gone after it."""
        if any(isinstance(a.event, ChildStart) for a in arrivals):
            return False
        return (await self.store.load([(jid, ())]))[0] is None

    async def _programs(
        self, by_job: dict[str, list[Arrival]], failed: dict[Key, str]
    ) -> dict[str, Program]:
        programs: dict[str, Program] = {}
        for jid, arrivals in by_job.items():
            version = arrivals[0].event.version or await self._version_of(jid)
            program = self.plans.cached(version)
            if program is None:
                try:
                    program = await self.plans.program(version)
                except (VersionNotFound, FormatUnknown) as exc:
                    if isinstance(exc, VersionNotFound) and await self._is_late(jid, arrivals):
                        programs[jid] = await self.plans.active()  # of which nothing is asked
                        continue
                    log.warning("version.unreadable", job=jid, version=version, error=str(exc))
                    failed.update((a.key, str(exc)) for a in arrivals)
                    continue
            programs[jid] = program
        return programs
