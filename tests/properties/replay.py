"""Follows a simulated run in the reference interpreter, step by step, and compares what is left.

What the core says that happened (an activity began to wait, one ended) names the reference's next
step; what led to it is read from the entries that were decided on. The reference refuses a step
that was not possible: an activity that nothing led to, an answer taken twice, a join that fires
again. At the end both must hold the same data.
"""

from __future__ import annotations

from typing import Any

from memory import START_MS, Violation
from random_models import RandomModel
from reference import WORDED, Answer, Impossible, Job, Stop, World
from simulator import Applied, Simulation

from hotmesh.core.state import DATA, ERROR, STATUS, decode_value
from hotmesh.ids import escape
from hotmesh.messages import (
    ChildStart,
    Interrupt,
    Reply,
    Wake,
    Woken,
    decode_signal,
)


def follow(simulation: Simulation, model: RandomModel, *, stop: str = "") -> World:
    """Run the simulation to its end, then the same steps in the reference; compare.

    Raises:
        Violation: With the model and the last steps.
    """
    try:
        simulation.run()
    finally:
        world = World(model.model, model.script, START_MS)
        for topic, data in model.signals:
            world.send(topic, data)  # a signal may be early
        _Follower(world, simulation, model, stop).follow()
    return world


class _Follower:
    def __init__(self, world: World, simulation: Simulation, model: RandomModel, stop: str) -> None:
        self._world, self._simulation, self._model, self._stop = world, simulation, model, stop
        self._events: list[Any] = []

    def follow(self) -> None:
        done: list[str] = []
        if self._stop:
            self._world.order_stop(self._stop, Stop(410, "", True, False))
        try:
            for applied in self._simulation.applied:
                done.append(_short(applied))
                self._step(applied)
            done.append("the end")
            self._compare()
        except Impossible as exc:
            tail = "\n  ".join(done[-40:])
            raise Violation(f"{exc}\n{self._model!r}\nthe last steps:\n  {tail}") from None

    def _step(self, applied: Applied) -> None:
        world = self._world
        if not applied.jid:
            if deaf := list(world.deaf()):
                raise Impossible(f"nothing moves: {deaf}")
            return
        world.now_ms = applied.now_ms
        self._events = list(applied.events)
        for note in applied.outcome.notes:
            if note.kind == "job.started":
                self._started(note.jid)
            elif note.kind == "job.ended":
                self._ended(world.jobs[note.jid])
            elif note.kind == "leg.began":
                leg = world.enter(world.jobs[note.jid], note.aid, note.dad)
                if not leg.waiting:
                    raise Impossible(f"{note.aid}{note.dad} waits, and should not")
            elif note.kind == "leg.ended" and (note.aid, note.dad) not in self._triggers():
                self._leg_ended(world.jobs[note.jid], note.aid, note.dad, note.code)

    def _triggers(self) -> set[tuple[str, str]]:
        return {(g.trigger, ",0") for g in self._world.graphs.values()}

    def _started(self, jid: str) -> None:
        event = self._events[0]
        if isinstance(event, ChildStart):
            parent = self._world.jobs[event.parent_jid]
            child = self._world.begin_child(jid, parent, event.parent_aid, event.parent_dad)
            _same(child.history[0].output, decode_value(event.data), f"the payload of {jid}")
        else:
            topic, data = next((t, d) for j, t, d in self._model.starts if j == jid)
            self._world.start(jid, topic, data)

    def _ended(self, job: Job) -> None:
        if job.ended:
            return
        for event in self._events:
            if isinstance(event, Interrupt):
                stop = Stop(event.code, event.reason, event.throw, event.descend)
                self._world.interrupt(job, stop)
                return
        raise Impossible(f"{job.jid} ends while {list(self._world.left())}")

    def _leg_ended(self, job: Job, aid: str, dad: str, code: int) -> None:
        """An activity that is entered and ends at once, or that waits and has been answered."""
        if job.ended:
            raise Impossible(f"{job.jid} has ended, and {aid}{dad} goes on")
        if any((e.leg.aid, e.leg.dad) == (aid, dad) for e in job.queue):
            self._world.enter(job, aid, dad)
        else:
            self._answered(job, aid, dad)
        last = [c for a, d, c in job.codes if (a, d) == (aid, dad)]
        if not last or last[-1] != code:
            raise Impossible(f"{aid}{dad} ended with {code}, and should with {last}")

    def _answered(self, job: Job, aid: str, dad: str) -> None:
        world, why = self._world, f"{job.jid}: nothing answers {aid}{dad}"
        for event in list(self._events):
            named = getattr(event, "aid", None) == aid and _above(event.dad) == _above(dad)
            if not named:
                continue
            self._events.remove(event)
            try:
                if isinstance(event, Wake):
                    world.timer(job, aid, dad, event.what, event.turn)
                elif isinstance(event, Woken):
                    said = event.signal or decode_signal(b"")
                    world.wake(job, aid, dad, _answer(said), event.turn)
                else:
                    world.answer(job, aid, dad, _answer(event, self._index(job, event)))
                return
            except Impossible as exc:
                why = str(exc)
        raise Impossible(why)

    def _index(self, job: Job, event: Reply) -> int:
        node = self._world.graphs[job.topic].activities[event.aid]
        return int(event.dad.rpartition(",")[2]) if "each" in node else -1

    # -- the end

    def _compare(self) -> None:
        world, server = self._world, self._simulation.server
        if left := list(world.left()):
            raise Impossible(f"nothing moves any more, and left is {left}")
        records = server.jobs()
        _same(sorted(world.jobs), sorted(records), "the jobs")
        for jid, job in world.jobs.items():
            fields = {k: v for k, v in records[jid].items() if k != "q"}
            status = int(fields[STATUS])
            _same(status < 0, job.interrupted, f"whether {jid} was interrupted")
            _must_not(status > 0, f"{jid} goes on with {status}")
            _same(_value(fields, DATA) or {}, job.data, f"the data of {jid}")
            _same(_value(fields, ERROR), job.error, f"the error of {jid}")
            self._compare_outputs(job, fields)
            self._compare_published(job)
        self._compare_calls()
        self._compare_signals()

    def _compare_outputs(self, job: Job, fields: dict[str, bytes]) -> None:
        """What was kept of each activation is a part of what it gave."""
        gave = {(a.aid + a.dad): a for a in job.history}
        for name, value in fields.items():
            if name[-2:] not in ("/o", "/h") or name[:-2] not in gave:
                continue
            a = gave[name[:-2]]
            kept, whole = decode_value(value), a.output if name[-1] == "o" else a.hook
            if isinstance(kept, dict) and isinstance(whole, dict):
                whole = {k: v for k, v in whole.items() if k in kept}
            _same(kept, whole, f"{job.jid} {name}")

    def _compare_published(self, job: Job) -> None:
        channel = f"{job.topic}.done.{escape(job.jid)}"
        told = [
            decode_value(payload)[2]
            for _, name, payload in self._simulation.server.published
            if name == channel
        ]
        _same(len(told), len(job.published), f"how often {job.jid} is told")
        for have, want in zip(told, job.published, strict=True):
            if have:
                _same(decode_value(have), list(want or ()), f"what is told of {job.jid}")

    def _compare_calls(self) -> None:
        calls, allowed = set(self._simulation.calls), self._world.calls
        if wrong := calls - allowed:
            raise Impossible(f"calls that nobody ordered: {sorted(wrong)}")
        ended = {j.jid for j in self._world.jobs.values() if not j.interrupted}
        missing = {c for c in allowed - calls if c[0] in ended} - self._world.given_up
        if missing:
            raise Impossible(f"calls that were not made: {sorted(missing)}")

    def _compare_signals(self) -> None:
        """What no hook took is still there, for who comes later."""
        kept: list[tuple[str, str, Any]] = []
        for part in self._simulation.server.partitions:
            waiting = {slot: rows for slot, rows in part.shared.waiters.items() if rows}
            _must_not(bool(waiting), f"left waiting: {waiting}")
            for (topic, key), rows in part.shared.early.items():
                signals = [decode_signal(row[0]) for row in rows]
                kept += [(topic, key, decode_value(s.data)) for s in signals]
        left = [(t, k, a.data) for (t, k), sent in self._world.signals.items() for a in sent]
        _same(sorted(map(repr, kept)), sorted(map(repr, left)), "the signals that nobody took")


def _answer(said: Any, index: int = -1) -> Answer:
    return Answer(said.status, said.code, _plain(decode_value(said.data)), index)


def _above(dad: str) -> str:
    return dad.rpartition(",")[0]


def _value(fields: dict[str, bytes], name: str) -> Any:
    return decode_value(fields[name]) if name in fields else None


def _plain(value: Any) -> Any:
    """The value with the engine's own texts as the reference has them."""
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if not isinstance(value, dict):
        return value
    plain = {k: _plain(v) for k, v in value.items()}
    if plain.get("code") in WORDED and "message" in plain:
        plain["message"] = WORDED[plain["code"]]
    return plain


def _same(have: Any, want: Any, what: str) -> None:
    if _plain(have) != want:
        raise Impossible(f"{what} differ:\n  {have!r} instead of\n  {want!r}")


def _must_not(wrong: bool, what: str) -> None:
    if wrong:
        raise Impossible(what)


def _short(applied: Applied) -> str:
    events = [type(e).__name__ for e in applied.events]
    notes = [f"{n.kind} {n.aid}{n.dad} {n.code or ''}" for n in applied.outcome.notes]
    return f"{applied.jid[:8]} {events}: {', '.join(notes)}"
