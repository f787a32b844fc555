"""A job and what it has left behind, driven one event at a time through its stored form."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hotmesh.compiler import Program, compile_model, decode_plan, encode_plan, link
from hotmesh.core import (
    Job,
    Limits,
    Note,
    Outcome,
    Start,
    Stored,
    advance,
    begin,
    decode_record,
    fold,
)
from hotmesh.core.state import HEAD, Leg, StateMissing
from hotmesh.engine.handle import Arrival, _fields
from hotmesh.mapping import Env
from hotmesh.messages import (
    ChildStart,
    Continue,
    Redeliver,
    Reply,
    Signal,
    Wake,
    Woken,
    Work,
    decode_engine_entry,
    decode_signal,
    decode_work,
)
from hotmesh.payload import encode

NOW_MS = 1_760_000_000_000


def program(model: str | Mapping[str, Any]) -> Program:
    """A model as an engine gets it: from its stored plan."""
    return link(decode_plan(encode_plan(compile_model(model).plan)))


def graph(activities: str, transitions: str = "", *, more: str = "", hooks: str = "") -> str:
    """The YAML of an app with one graph, `run`; each argument is a block, indented at will."""
    parts = ["app:", "  id: core", "  version: '1'", "  graphs:"]
    return "\n".join([*parts, one_graph("run", activities, transitions, more=more, hooks=hooks)])


def one_graph(
    subscribes: str, activities: str, transitions: str = "", *, more: str = "", hooks: str = ""
) -> str:
    """One item of `graphs`."""
    lines = [f"    - subscribes: {subscribes}", *_block(more, 6), "      activities:"]
    lines += _block(activities, 8)
    if transitions:
        lines += ["      transitions:", *_block(transitions, 8)]
    if hooks:
        lines += ["      hooks:", *_block(hooks, 8)]
    return "\n".join(lines)


def _block(text: str, indent: int) -> list[str]:
    return textwrap.indent(textwrap.dedent(text).strip("\n"), " " * indent).splitlines()


class Run:
    """One job, and the partition that it writes to.

    Attributes:
        partial: Load only the fields that an event needs, as the engine does.
    """

    def __init__(
        self,
        model: str | Program,
        data: Any = None,
        *,
        jid: str = "j1",
        topic: str = "run",
        limits: Limits = Limits(),  # noqa: B008  frozen
        partial: bool = True,
        parent: ChildStart | None = None,
        caller: str = "me",
        expire_ms: int = -1,
        now_ms: int = NOW_MS,
    ) -> None:
        self.program = model if isinstance(model, Program) else program(model)
        self.jid, self.limits, self.partial = jid, limits, partial
        self.now_ms = now_ms
        self.stored = Stored()
        self.notes: list[Note] = []
        raw = encode({} if data is None else data, what="the payload")
        start = Start(
            jid=jid,
            topic=topic,
            data=msgspec.msgpack.decode(raw),
            raw=raw,
            caller=caller,
            parent=parent,
            expire_ms=expire_ms,
        )
        _, outcome = begin(self.program, start, self.env, limits)
        self.outcome = self._fold(outcome)

    # -- events

    def take(self, *events: Any) -> Outcome:
        """Fold events into the job, as one transition."""
        job = self._load(events)
        assert job is not None
        try:
            outcome = advance(self.program, job, events, self.env, self.limits)
        except StateMissing:
            job = decode_record(self.jid, self.stored.fields)
            assert job is not None
            outcome = advance(self.program, job, events, self.env, self.limits)
        self.outcome = self._fold(outcome)
        return self.outcome

    def reply(self, work: Work | ChildStart, data: Any = None, **more: Any) -> Outcome:
        """Answer a call."""
        return self.take(reply_to(work, data, **more))

    def fire(self, index: int = 0) -> Outcome:
        """Let the timer that is due next (or a later one) come."""
        entry, at_ms = sorted(self.stored.timers.items(), key=lambda t: t[1])[index]
        del self.stored.timers[entry]
        self.now_ms = max(self.now_ms, at_ms)
        return self.take(decode_engine_entry(entry))

    def go_on(self) -> int:
        """Take Continue entries until there is none; how many there were."""
        count = 0
        while found := [e for e in self.pop_entries() if isinstance(e, Continue)]:
            count += len(found)
            for entry in found:
                self.take(entry)
        return count

    @property
    def env(self) -> Env:
        return Env(now_ms=self.now_ms, random=lambda: 0.5)

    # -- what there is

    @property
    def job(self) -> Job:
        job = decode_record(self.jid, self.stored.fields)
        assert job is not None
        return job

    @property
    def data(self) -> dict[str, Any]:
        return self.job.data

    @property
    def status(self) -> int:
        return self.job.status

    @property
    def error(self) -> dict[str, Any] | None:
        return self.job.error

    def leg(self, name: str) -> Leg:
        return self.job.legs[name]

    def works(self, topic: str | None = None) -> list[Work]:
        """Calls that were appended, in order."""
        found = [
            decode_work(payload)
            for (kind, name), payloads in self.stored.streams.items()
            for payload in payloads
            if kind == "worker" and topic in (None, name)
        ]
        return found

    def work(self, aid: str) -> Work:
        """The last call of an activity."""
        return [w for w in self.works() if w.aid == aid][-1]

    def entries(self) -> list[Any]:
        """What was appended to the engine stream and to outboxes."""
        return [
            decode_engine_entry(payload)
            for (kind, _), payloads in self.stored.streams.items()
            for payload in payloads
            if kind in ("engine", "outbox")
        ]

    def pop_entries(self) -> list[Any]:
        found = self.entries()
        for kind in list(self.stored.streams):
            if kind[0] in ("engine", "outbox"):
                del self.stored.streams[kind]
        return found

    def pop_woken(self) -> list[Woken]:
        """Signals that have met their hook, as the engine sees them."""
        found = [
            msgspec.structs.replace(
                decode_engine_entry(waiter.partition(b":")[2]), signal=decode_signal(signal)
            )
            for waiter, signal in self.stored.woken
        ]
        self.stored.woken.clear()
        return found

    def timers(self) -> list[Any]:
        return [decode_engine_entry(t) for t in self.stored.timers]

    def ended(self) -> int:
        """How often the end of the job was told."""
        return sum(n.kind == "job.ended" for n in self.notes)

    def entered(self) -> list[str]:
        """Activities whose leg has ended, in order."""
        return [n.aid for n in self.notes if n.kind == "leg.ended"]

    # -- inside

    def _load(self, events: Sequence[Any]) -> Job | None:
        names = None
        if self.partial:
            names = _fields(self.program, [Arrival("s", "g", b"1-0", e) for e in events])
        fields = self.stored.fields
        if names is not None:
            fields = {n: fields[n] for n in (*HEAD, *names) if n in fields}
        return decode_record(self.jid, fields)

    def _fold(self, outcome: Outcome) -> Outcome:
        for effect in outcome.effects:
            fold(self.stored, effect, self.now_ms)
        self.notes += outcome.notes
        return outcome


def reply_to(
    work: Work | ChildStart,
    data: Any = None,
    *,
    status: Any = "success",
    code: int | None = None,
    rid: str = "",
) -> Reply:
    """An answer to a call, or of a child."""
    code = code or {"success": 200, "pending": 202, "error": 500}[status]
    raw = encode({} if data is None else data, what="an answer")
    if isinstance(work, ChildStart):
        jid, aid, dad = work.parent_jid, work.parent_aid, work.parent_dad
        return Reply(jid, aid, dad, work.version, status, code, raw, rid or "child")
    rid = rid or f"{work.aid}{work.dad}/{work.attempt}/{status}/{code}"
    return Reply(work.jid, work.aid, work.dad, work.version, status, code, raw, rid, work.attempt)


def signal(data: Any = None, *, status: Any = "success", rid: str = "s1") -> Signal:
    code = {"success": 200, "pending": 202, "error": 500}[status]
    return Signal(status, code, encode({} if data is None else data, what="a signal"), rid)


__all__ = [
    "NOW_MS",
    "ChildStart",
    "Continue",
    "Limits",
    "Redeliver",
    "Reply",
    "Run",
    "Wake",
    "Woken",
    "graph",
    "one_graph",
    "program",
    "reply_to",
    "signal",
]
