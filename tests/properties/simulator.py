"""Engines, workers, timers and an outbox over a server in memory; a list of choices moves them.

Each actor is a generator that yields wherever another one may come between: after a read, a load,
a decision, a script, a lost reply. Closing it is a crash: what it had read stays pending, what it
had decided is gone. What it does with an entry repeats `hotmesh/engine/handle.py` and
`hotmesh/worker/component.py`; what it decides is the core's.

`Choices` gives the numbers. When they run out everyone is benign, and the simulation runs on until
nothing is left to do. The same choices give the same run: a seed that fails can be run again with
`run(scenario, Choices.seeded(SEED))`.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from memory import Entry, Held, Partition, Server, Stream, Violation
from strategies import Answer, Scenario

from hotmesh.core import (
    Append,
    Effect,
    Limits,
    Outcome,
    Start,
    TimerSet,
    advance,
    begin,
    decode_record,
    missed,
    refuse,
)
from hotmesh.core.signals import address, bounce, slot, slot_effect, telling
from hotmesh.core.state import (
    DATA,
    ERROR,
    HEAD,
    OPEN,
    STATUS,
    Job,
    StateMissing,
    decode_value,
)
from hotmesh.engine.handle import Arrival, _fields
from hotmesh.errors import HotMeshError
from hotmesh.mapping import Env
from hotmesh.messages import (
    ChildStart,
    Continue,
    Interrupt,
    Listen,
    Redeliver,
    Reply,
    Send,
    Signal,
    Woken,
    Work,
    decode_engine_entry,
    decode_signal,
    decode_work,
    encode_entry,
)
from hotmesh.payload import encode
from hotmesh.router import next_delay_ms
from hotmesh.store import Verdict

IDLE: Final = "idle"
STEPS_MAX = 100_000
"""Steps of the quiet end; a run that needs more will never come to rest."""


class Choices:
    """Numbers from a list, each in the range that is asked for; 0, the benign one, when it ends."""

    def __init__(self, draws: Sequence[int]) -> None:
        self._draws, self._at = draws, 0

    @classmethod
    def seeded(cls, seed: int) -> Choices:
        """The choices of a seed: a short chaos or a long one."""
        rnd = random.Random(seed)
        return cls(rnd.randbytes(rnd.choice([200, 400, 1_500])))

    def __call__(self, n: int) -> int:
        if self.exhausted:
            return 0
        self._at += 1
        return self._draws[self._at - 1] % n

    @property
    def exhausted(self) -> bool:
        return self._at >= len(self._draws)


@dataclass(slots=True)
class Actor:
    """One process: what it is, and where it stands."""

    kind: str
    slot: int
    name: str
    moves: Iterator[str]


@dataclass(slots=True)
class _Decision:
    """What was decided for one job, on which revision, and which arrivals it takes."""

    arrivals: list[Arrival]
    rev: int
    outcome: Outcome
    request: str | None = None
    now_ms: int = 0


@dataclass(frozen=True, slots=True)
class Applied:
    """A decision that took effect, for who wants to follow the run: what it was made on, when, and
    what it says that happened. Without a job: nothing moves, and time goes on.
    """

    jid: str
    events: tuple[Any, ...] = ()
    outcome: Outcome = field(default_factory=Outcome)
    now_ms: int = 0


@dataclass(slots=True)
class Result:
    """How a run ended: what must not depend on the order in which things happened."""

    jobs: dict[str, dict[str, Any]]
    ended: Counter[str]
    legs: Counter[tuple[str, str, str, int]]
    published: Counter[tuple[str, str]]
    child_replies: dict[tuple[str, str, str], int]
    calls: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)


class Simulation:
    """One run of one scenario.

    Attributes:
        broken: Names of what is left out on purpose, for the tests of the checks: `rev`, `new`,
            `owner` (see `Server`), `ack_first`, `closed_leg`, `seen`.
        stop: The job that a client interrupts at some moment.
        partial: Load only the fields that an event needs, as the engine does.
        met: How often each rare thing happened, so that a test can tell that it did.
    """

    def __init__(
        self,
        scenario: Scenario,
        choose: Choices,
        *,
        broken: Collection[str] = (),
        partial: bool = True,
        engines: int = 2,
        workers: int = 2,
        expires: bool = False,
        stop: str = "",
    ) -> None:
        self.scenario, self.choose, self.broken, self.partial = scenario, choose, broken, partial
        self.program, self.stop = scenario.program, stop
        self.server = Server(scenario.partitions, broken=broken, expires=expires)
        self.limits = Limits(steps_max=scenario.steps_max, partitions=scenario.partitions)
        self.met: Counter[str] = Counter()
        self.calls: Counter[tuple[str, str, str, int]] = Counter()
        self.log: deque[str] = deque(maxlen=400)
        self.accepted: set[str] = set()
        self.applied: list[Applied] = []
        self.settling = False
        self._reads_again: set[str] = set()
        self._owed: dict[tuple[str, str, str], list[Reply]] = {}
        self._incarnation = 0
        count = scenario.partitions
        kinds = ["client", *["engine"] * engines, *["worker"] * workers, "timers", "adder"]
        kinds += ["outbox"] * 2 if count > 1 else []
        kinds += ["stopper"] if stop else []
        kinds += ["signaller"] if scenario.signals else []
        self.actors = [self._new(kind, slot) for slot, kind in enumerate(kinds)]

    # -- running

    def run(self) -> Result:
        """Chaos as long as there are choices, then quiet until nothing is left."""
        while not self.choose.exhausted:
            self._chaos()
        for actor in self.actors:
            if actor.kind not in ("client", "stopper", "signaller"):
                self._crash(actor)
        self.settling = True
        self._settle()
        return self._result()

    def _chaos(self) -> None:
        what = self.choose(24)
        actor = self.actors[self.choose(len(self.actors))]
        if what == 22 and actor.kind not in ("client", "stopper", "signaller"):
            self.met["crash"] += 1
            self._crash(actor)
        elif what == 23:
            self._pass_time(self.choose(3))
        else:
            next(actor.moves, None)

    def _pass_time(self, how: int) -> None:
        timers = [at for p in self.server.partitions for at in p.shared.timers.values()]
        late = max(timers, default=0) - self.server.now_ms
        self.server.now_ms += max([1, 1_000, late][how], 1)

    def _settle(self) -> None:
        for _ in range(STEPS_MAX):
            moved = [next(a.moves, IDLE) != IDLE for a in self.actors]
            if any(moved):
                continue
            timers = [at for p in self.server.partitions for at in p.shared.timers.values()]
            if not timers:
                return
            self.applied.append(Applied(""))
            self.server.now_ms = max(self.server.now_ms, min(timers))
        raise Violation(f"no rest after {STEPS_MAX} steps; left: {self.server.leftovers()[:5]}")

    def _new(self, kind: str, slot: int) -> Actor:
        self._incarnation += 1
        name = f"{kind}{slot}.{self._incarnation}"
        moves = {
            "client": self._client,
            "engine": self._engine,
            "worker": self._worker,
            "timers": self._timers,
            "adder": self._adder,
            "outbox": self._outbox,
            "stopper": self._stopper,
            "signaller": self._signaller,
        }[kind](name)
        return Actor(kind, slot, name, moves)

    def _crash(self, actor: Actor) -> None:
        self.log.append(f"{actor.name} dies")
        actor.moves.close()  # type: ignore[attr-defined]
        fresh = self._new(actor.kind, actor.slot)
        self.actors[self.actors.index(actor)] = fresh

    def _loses_reply(self) -> bool:
        if self.choose(12) == 11:
            self.met["lost reply"] += 1
            return True
        return False

    def _take(self, stream: Stream, consumer: str, count_max: int) -> list[Entry]:
        """Read new entries, or one's own again, or take over another's, whose lease has ended."""
        how = 5 if consumer in self._reads_again else self.choose(5)
        self._reads_again.discard(consumer)
        if how == 4:
            taken = stream.claim(consumer, count=1 + self.choose(count_max))
            self.met["claimed"] += len(taken)
        elif how == 5:
            taken = stream.history(consumer)
            self.met["read again"] += len(taken)
        else:
            taken = stream.read(consumer, 1 + self.choose(count_max))
        if not taken and self.settling:
            # Only what the dead have left: a living one is not robbed any more.
            taken = stream.claim(consumer, spare={a.name for a in self.actors})
        return taken

    # -- client

    def _client(self, name: str) -> Iterator[str]:
        """Starts the scenario's jobs, again after a lost reply."""
        for jid, topic, data in self.scenario.starts:
            raw = encode(data, what="the payload")
            while True:
                event = Start(
                    jid=jid, topic=topic, data=decode_value(raw), raw=raw, caller=f"c-{jid}"
                )
                now_ms = self.server.now_ms
                _, outcome = begin(self.program, event, self._env(), self.limits)
                yield "decided"
                verdict = self.server.create(jid, f"r-{jid}", outcome.effects, None, outcome.notes)
                if verdict is Verdict.APPLIED:
                    self.applied.append(Applied(jid, (event,), outcome, now_ms))
                yield "applied"
                if not self._loses_reply():
                    break
            self.accepted.add(jid)
        while True:
            yield IDLE

    # -- engine

    def _engine(self, name: str) -> Iterator[str]:
        while True:
            busy = False
            first = self.choose(len(self.server.partitions))
            for part in (*self.server.partitions[first:], *self.server.partitions[:first]):
                stream = part.stream("engine")
                entries = self._take(stream, name, 4)
                if not entries:
                    continue
                busy = True
                if "ack_first" in self.broken:
                    stream.settle([e.id for e in entries])
                yield "read"
                self.log.append(f"{name} read {[e.id for e in entries]}")
                arrivals = [self._arrival(part, e) for e in entries]
                yield from self._handle(name, part, stream, arrivals)
            if not busy:
                yield IDLE

    def _arrival(self, part: Partition, entry: Entry) -> Arrival:
        event = decode_engine_entry(entry.payload)
        if entry.extra is not None:
            event = msgspec.structs.replace(event, signal=decode_signal(entry.extra))
        if isinstance(event, Continue):
            self.met["continued"] += 1
        return Arrival(str(part.number), "engine", entry.id, event)

    def _handle(
        self, name: str, part: Partition, stream: Stream, arrivals: Sequence[Arrival]
    ) -> Iterator[str]:
        """Group by job, load, decide, apply; the stale ones again."""
        by_job: dict[str, list[Arrival]] = {}
        for arrival in arrivals:
            if isinstance(arrival.event, (Listen, Send)):
                effects = [slot_effect(arrival.event, self.limits)]
                held = Held(stream, (arrival.id,))
                self.server.apply(arrival.event.jid, 0, effects, held)
                yield "errand"
            else:
                by_job.setdefault(arrival.event.jid, []).append(arrival)
        while by_job:
            loaded = {jid: self._load(jid, batch) for jid, batch in by_job.items()}
            yield "loaded"
            decided = []
            for jid, job in loaded.items():
                try:
                    decided.append(self._decide(jid, job, by_job[jid]))
                except StateMissing:
                    self.met["loaded whole"] += 1
                    yield "state missing"
                    whole = self._load(jid, by_job[jid], whole=True)
                    decided.append(self._decide(jid, whole, by_job[jid]))
            yield "decided"
            again: dict[str, list[Arrival]] = {}
            for jid, decision in zip(by_job, decided, strict=True):
                rest = by_job[jid][len(decision.arrivals) :]
                verdict = self._apply(name, jid, decision, stream)
                yield "applied"
                if verdict is Verdict.LOST:
                    self.met["lost"] += 1
                elif verdict is not Verdict.APPLIED:
                    rest = [*decision.arrivals, *rest]
                elif self._loses_reply():
                    if self.choose(2):
                        self._reads_again.add(name)  # the batch is given up
                        return
                    rest = [*decision.arrivals, *rest]
                if rest:
                    again[jid] = rest
            by_job = again

    def _load(self, jid: str, arrivals: Sequence[Arrival], *, whole: bool = False) -> Job | None:
        names: Sequence[str] | None = None
        if self.partial and not whole:
            names = _fields(self.program, arrivals)
        fields = self.server.load(jid, None if names is None else (*HEAD, *names))
        job = None if fields is None else decode_record(jid, fields)
        if job is not None:
            self._break(job, arrivals)
        return job

    def _break(self, job: Job, arrivals: Sequence[Arrival]) -> None:
        """What a core without some of its checks would see."""
        for leg in job.legs.values():
            if "seen" in self.broken:
                leg.seen = []
            if "closed_leg" in self.broken and any(isinstance(a.event, Reply) for a in arrivals):
                leg.state = OPEN
        if "closed_leg" in self.broken:
            job.status = max(job.status, 1)

    def _decide(self, jid: str, job: Job | None, arrivals: list[Arrival]) -> _Decision:
        env = self._env()
        if job is not None:
            rev = job.rev
            events: list[Any] = [a.event for a in arrivals]
            outcome = advance(self.program, job, events, env, self.limits)
            return _Decision(arrivals, rev, outcome, now_ms=env.now_ms)
        first = arrivals[0].event
        if isinstance(first, Woken):
            return _Decision(arrivals[:1], 0, bounce(first, self.limits, jid))
        if isinstance(first, Interrupt):
            return _Decision(arrivals[:1], 0, missed(first, self.limits))
        if not isinstance(first, ChildStart):
            return _Decision(arrivals[:1], 0, Outcome())
        start = Start(
            jid=jid,
            topic=first.topic,
            data=decode_value(first.data),
            raw=first.data,
            parent=first,
        )
        try:
            _, outcome = begin(self.program, start, env, self.limits)
        except HotMeshError as exc:
            return _Decision(arrivals[:1], 0, refuse(first, exc, self.limits))
        request = f"{first.parent_jid}/{first.parent_aid}{first.parent_dad}"
        return _Decision(arrivals[:1], 0, outcome, request, env.now_ms)

    def _apply(self, name: str, jid: str, decision: _Decision, stream: Stream) -> Verdict:
        outcome, first = decision.outcome, decision.arrivals[0]
        held = Held(stream, tuple(a.id for a in decision.arrivals), first.consumer)
        for note in outcome.notes:
            if note.kind in ("entry.late", "entry.repeated", "step.bounded"):
                self.met[note.kind] += 1
        if not outcome.effects:
            stream.settle(held.ids)
            return Verdict.APPLIED
        if decision.request is None:
            verdict = self.server.apply(jid, decision.rev, outcome.effects, held, outcome.notes)
        else:
            verdict = self.server.create(
                jid, decision.request, outcome.effects, held, outcome.notes
            )
        if verdict is Verdict.APPLIED:
            events = tuple(a.event for a in decision.arrivals)
            self.applied.append(Applied(jid, events, outcome, decision.now_ms))
        self.met[verdict.name.lower()] += 1
        kinds = [type(a.event).__name__ for a in decision.arrivals]
        self.log.append(f"{name} {jid[:8]} rev {decision.rev} {kinds}: {verdict.name}")
        return verdict

    # -- worker

    def _worker(self, name: str) -> Iterator[str]:
        while True:
            streams = [(p, s) for p in self.server.partitions for s in p.worker_streams()]
            busy = False
            for part, stream in streams:
                for entry in self._take(stream, name, 2):
                    busy = True
                    yield "read"
                    yield from self._call(name, part, stream, entry)
            if not busy:
                yield IDLE

    def _call(self, name: str, part: Partition, stream: Stream, entry: Entry) -> Iterator[str]:
        work = decode_work(entry.payload)
        self.calls[work.jid, work.aid, work.dad, work.attempt] += 1
        answers = self.scenario.answer(work)
        reply = _reply(work, answers[0], f"{entry.id.decode()}/{work.attempt}")
        owed = [_reply(work, a, f"add/{i}") for i, a in enumerate(answers[1:], 1)]
        if owed:
            self._owed.setdefault((work.jid, work.aid, work.dad), owed)
        self.log.append(f"{name} ran {work.jid[:8]} {work.aid}{work.dad}/{work.attempt}")
        yield "ran"
        held = Held(stream, (entry.id,), name)
        fused = self.choose(2) == 1
        while True:
            delay_ms = None
            if reply.status == "error":
                delay_ms = next_delay_ms(work.retry, reply.code, work.attempt, 0.5)
            if delay_ms is not None:
                self.met["retried"] += 1
                again = msgspec.structs.replace(work, attempt=work.attempt + 1)
                timer = TimerSet(encode_entry(Redeliver(again)), delay_ms)
                verdict = self.server.answer(held, part, [timer])
            elif fused:
                arrival = Arrival(stream.name[2], "worker", entry.id, reply, name)
                yield from self._handle(name, part, stream, [arrival])
                return
            else:
                append: list[Effect] = [Append("engine", "", encode_entry(reply))]
                verdict = self.server.answer(held, part, append)
            yield "answered"
            self.met["answer dropped"] += verdict is Verdict.LOST
            if not self._loses_reply():
                return

    # -- the rest

    def _adder(self, name: str) -> Iterator[str]:
        """Gives the further answers of calls that said `pending`, one after another."""
        while True:
            busy = False
            for where, replies in sorted(self._owed.items()):
                reply = self._next_owed(where, replies)
                if reply is None:
                    continue
                busy = True
                for _ in range(1 + (self.choose(4) == 3)):  # a call repeated after a lost reply
                    self.server.of(reply.jid).stream("engine").add(encode_entry(reply))
                    yield "added"
            if not busy:
                yield IDLE

    def _next_owed(self, where: tuple[str, str, str], replies: list[Reply]) -> Reply | None:
        jid, aid, dad = where
        job = decode_record(jid, self.server.load(jid, None) or {})
        leg = job.legs.get(aid + dad) if job is not None else None
        sent = len(self.scenario.answer_plan(aid)) - 1 - len(replies)
        if not replies or leg is None or leg.state != OPEN or leg.generation < sent + 1:
            return None
        return replies.pop(0)

    def _stopper(self, name: str) -> Iterator[str]:
        """Interrupts a job, decided on what it had read a while ago; again until it took."""
        while True:
            fields = self.server.load(self.stop, None)
            job = decode_record(self.stop, fields or {})
            yield "loaded" if job is not None else IDLE
            if job is None:
                continue
            rev = job.rev
            event = Interrupt(self.stop, self.program.version)
            now_ms = self.server.now_ms
            outcome = advance(self.program, job, [event], self._env(), self.limits)
            yield "decided"
            if not outcome.effects:
                break  # it had ended
            verdict = self.server.apply(self.stop, rev, outcome.effects, None, outcome.notes)
            self.met[f"stop {verdict.name.lower()}"] += 1
            if verdict is Verdict.APPLIED:
                self.applied.append(Applied(self.stop, (event,), outcome, now_ms))
            yield "applied"
            if verdict is Verdict.APPLIED:
                break
        while True:
            yield IDLE

    def _signaller(self, name: str) -> Iterator[str]:
        """Sends the signals of the scenario, early or late, again after a lost reply."""
        for number, (topic, data) in enumerate(self.scenario.signals):
            key, pending_ms = address(self.program, topic, data, self._env())
            raw = encode(data, what="a signal")
            effect = telling(topic, key, Signal("success", 200, raw, f"sig{number}"), pending_ms)
            where = slot(topic, key)
            for _ in range(1 + (self.choose(4) == 3)):
                self.server.apply(where, 0, [effect], None)
                yield "signalled"
        while True:
            yield IDLE

    def _timers(self, name: str) -> Iterator[str]:
        while True:
            limit = 500 if self.settling else 1 + self.choose(3)
            moved = sum(self.server.pop_due(p, limit) for p in self.server.partitions)
            self.met["timer"] += moved
            yield "moved" if moved else IDLE

    def _outbox(self, name: str) -> Iterator[str]:
        """Appends to the other partition first, then forgets: a crash in between repeats it."""
        while True:
            busy = False
            for part in self.server.partitions:
                for (kind, there), stream in list(part.streams.items()):
                    if kind != "outbox":
                        continue
                    entries = list(stream.entries.values())[: 1 + self.choose(3)]
                    for entry in entries:
                        busy = True
                        target = self.server.partitions[int(there)].stream("engine")
                        target.add(entry.payload, entry.extra)
                        yield "forwarded"
                    self.met["forwarded"] += len(entries)
                    stream.settle([e.id for e in entries])
            yield "swept" if busy else IDLE

    def _env(self) -> Env:
        return Env(now_ms=self.server.now_ms, random=lambda: 0.5)

    # -- the end

    def _result(self) -> Result:
        server = self.server
        jobs: dict[str, dict[str, Any]] = {}
        for jid, fields in server.jobs().items():
            data = {k: decode_value(fields[k]) for k in (DATA, ERROR) if k in fields}
            jobs[jid] = {"status": int(fields[STATUS]), **data}
        ended = Counter(n.jid for n in server.notes if n.kind == "job.ended")
        legs = Counter((n.jid, n.aid, n.dad, n.code) for n in server.notes if n.kind == "leg.ended")
        published = Counter((channel, name) for channel, name, _ in server.published)
        found = Result(jobs, ended, legs, published, dict(server.child_replies), self.calls)
        return _by_place(found, server.jobs())


def _by_place(result: Result, records: Mapping[str, Mapping[str, bytes]]) -> Result:
    """The result with children named by their place in the tree: their ids follow from when
    their parent began.
    """
    metas = {jid: decode_record(jid, fields).meta for jid, fields in records.items()}  # type: ignore[union-attr]

    def place(jid: str) -> str:
        meta = metas.get(jid)
        if meta is None or not meta.parent_jid:
            return jid
        return f"{place(meta.parent_jid)}/{meta.parent_aid}{meta.parent_dad}"

    names = {jid: place(jid) for jid in metas if metas[jid].parent_jid}

    def named(value: Any) -> Any:
        if isinstance(value, str):
            for jid, name in names.items():
                value = value.replace(jid, name)
            return value
        return tuple(named(v) for v in value) if isinstance(value, tuple) else value

    return Result(*(type(t)({named(k): v for k, v in t.items()}) for t in _tables(result)))


def _tables(result: Result) -> tuple[Any, ...]:
    """The tables of a result, in the order of its fields."""
    return (
        result.jobs,
        result.ended,
        result.legs,
        result.published,
        result.child_replies,
        result.calls,
    )


def _reply(work: Work, answer: Answer, rid: str) -> Reply:
    return Reply(
        work.jid,
        work.aid,
        work.dad,
        work.version,
        answer.status,
        answer.code,
        encode(answer.data, what="an answer"),
        rid,
        work.attempt,
    )


def undisturbed(scenario: Scenario) -> Result:
    """The run in order, with one of each and whole records."""
    found = scenario.expected
    if found is None:
        simulation = Simulation(scenario, Choices(b""), partial=False, engines=1, workers=1)
        found = scenario.expected = simulation.run()
        _check_at_rest(simulation)
    assert isinstance(found, Result)
    return found


def check(simulation: Simulation) -> Result:
    """Run it to the end and compare it with the undisturbed run.

    Raises:
        Violation: With the last moves of the run.
    """
    wanted = undisturbed(simulation.scenario)
    try:
        result = simulation.run()
        _check_at_rest(simulation)
        _compare(result, wanted)
    except Violation as exc:
        tail = "\n  ".join(list(simulation.log)[-60:])
        raise Violation(f"{exc}\nthe last moves:\n  {tail}") from None
    return result


def check_stopped(simulation: Simulation) -> Result:
    """Run one in which a job is interrupted: whatever came first, all come to rest, each job ends
    once, and nothing changes after its end.

    Raises:
        Violation
    """
    try:
        result = simulation.run()
        _check_at_rest(simulation)
        _check_ends(result)
        if result.ended.keys() != result.jobs.keys():
            raise Violation(f"ended: {result.ended}, jobs: {list(result.jobs)}")
    except Violation as exc:
        tail = "\n  ".join(list(simulation.log)[-60:])
        raise Violation(f"{exc}\nthe last moves:\n  {tail}") from None
    return result


def _check_at_rest(simulation: Simulation) -> None:
    server = simulation.server
    if left := server.leftovers():
        raise Violation(f"left over: {left[:5]}")
    if missing := simulation.accepted - server.jobs().keys():
        raise Violation(f"accepted and gone: {sorted(missing)}")
    for jid, fields in server.jobs().items():
        if int(fields[STATUS]) > 0:
            raise Violation(f"job {jid} has status {fields[STATUS]!r} and nothing goes on")
    if simulation.accepted != {jid for jid, _, _ in simulation.scenario.starts}:
        raise Violation("not every job was started")


def _compare(result: Result, wanted: Result) -> None:
    _check_ends(result)
    for what in ("jobs", "ended", "legs", "published", "child_replies"):
        have, want = getattr(result, what), getattr(wanted, what)
        if have != want:
            raise Violation(f"{what} differ: {_difference(have, want)}")
    if wanted.calls.keys() != result.calls.keys():
        raise Violation(f"calls differ: {_difference(result.calls, wanted.calls)}")


def _check_ends(result: Result) -> None:
    for jid, count in result.ended.items():
        if count != 1:
            raise Violation(f"job {jid} ended {count} times")
    for leg, count in result.child_replies.items():
        if count != 1:
            raise Violation(f"{count} final answers for {leg}")


def _difference(have: Any, want: Any) -> str:
    keys = [k for k in {**have, **want} if have.get(k) != want.get(k)]
    return "; ".join(f"{k}: {have.get(k)!r} instead of {want.get(k)!r}" for k in keys[:4])
