"""The working set of one transition: the job as it changes, and what has been ordered so far.

A `Turn` takes one event or several of the same job, in order; all end in one script. It mutates
the `Job` it was given, which is then what the next event of the job is decided on. If the script
answers that the job had moved on, both are thrown away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from hotmesh.compiler import Node, Program
from hotmesh.core import state
from hotmesh.core.effects import Append, Effect, FieldsDrop, FieldsSet, Publish
from hotmesh.core.lineage import Lineage, SpanRef, is_sampled
from hotmesh.core.outcome import Note, NoteKind, Outcome
from hotmesh.core.state import DONE, Job, Leg
from hotmesh.ids import partition_of, span_id
from hotmesh.mapping import Env
from hotmesh.messages import encode_entry
from hotmesh.payload import BYTES_MAX

TRACE_SPLIT_MS = 3_600_000
"""A leg that is woken after more than this begins a trace of its own: tools expire, sample and
page traces by time.
"""

STEPS_MAX = 1_000
"""Activities that one transition enters; a longer chain goes on with an entry of its own."""


class Limits(Struct, frozen=True):
    """What bounds a transition, and where its job lives. `trace_split_ms` 0 never splits."""

    steps_max: int = STEPS_MAX
    payload_bytes_max: int = BYTES_MAX
    partitions: int = 1
    trace_split_ms: int = TRACE_SPLIT_MS


class Turn:
    """One transition in the making."""

    __slots__ = (
        "_fields",
        "data_changed",
        "effects",
        "env",
        "error_changed",
        "expire_ms",
        "extras_changed",
        "job",
        "legs_changed",
        "limits",
        "lineage",
        "notes",
        "program",
        "queue",
        "steps",
    )

    def __init__(self, program: Program, job: Job, env: Env, limits: Limits) -> None:
        self.program, self.job, self.env, self.limits = program, job, env, limits
        self.effects: list[Effect] = []
        self.notes: list[Note] = []
        self.queue: deque[tuple[Node, str]] = deque()
        self.steps = 0
        self.data_changed = self.error_changed = self.extras_changed = False
        self.legs_changed: set[str] = set()
        self.expire_ms: int | None = None  # how long the record is kept, where an order says it
        self._fields: dict[str, bytes] = {}
        trace = job.meta.trace
        # What is not sampled is carried along, and draws nothing.
        self.lineage = Lineage(job.jid, trace) if is_sampled(trace) else None

    # -- the job

    def set_leg(self, node: Node, base: str, leg: Leg) -> None:
        name = node.id + base
        known = self.job.legs.get(name)
        if known is not None and known.came:
            leg.came = leg.came or known.came  # a join that is entered has come from somewhere
        self.job.legs[name] = leg
        self.legs_changed.add(name)

    def set_output(self, node: Node, dad: str, data: Any) -> None:
        """Keep an activity's output: whole for this turn, what other rules read for later."""
        name = node.id + dad
        self.job.outputs[name] = data
        kept = node.keeps(data)
        if kept is not None:
            self._fields[name + "/o"] = state.encode_value(kept)

    def set_hook(self, node: Node, dad: str, data: Any) -> None:
        name = node.id + dad
        self.job.hooks[name] = data
        kept = node.keeps_hook(data)
        if kept is not None:
            self._fields[name + "/h"] = state.encode_value(kept)

    def merge_data(self, node: Node, mapped: Any) -> None:
        """Write mapped values into the job's data; maps inside maps are merged, any other value
        replaces.
        """
        if isinstance(mapped, dict) and mapped:
            _merge(self.job.data, mapped, node.nested_job_keys)
            self.data_changed = True

    def set_error(self, error: dict[str, Any]) -> None:
        self.job.error = error
        self.error_changed = True

    def trace_of(self, node: Node, dad: str, leg: int = 1) -> str:
        """The traceparent of a leg, or "" when the run is not traced.

        Derived, so that a repeated decision gives it again.
        """
        if self.lineage is None:
            return self.job.meta.trace
        return self.lineage.traceparent(span_id(self.job.jid, node.id, dad, str(leg)))

    def wait_joining(self, name: str) -> None:
        """Note a join that waits for parents."""
        self.set_extras(joining=(*self.job.extras.joining, name))

    def end_joining(self, name: str) -> None:
        self.set_extras(joining=tuple(n for n in self.job.extras.joining if n != name))

    def set_extras(self, **changes: Any) -> None:
        """Change what few jobs have; see `Extras`."""
        self.job.extras = msgspec.structs.replace(self.job.extras, **changes)
        self.extras_changed = True

    def set_field(self, name: str, value: bytes) -> None:
        self._fields[name] = value

    def drop_fields(self, names: list[str]) -> None:
        for name in names:
            self._fields.pop(name, None)
        self.effects.append(FieldsDrop(tuple(names)))

    def adopt(self, child: str) -> None:
        """Note a job whose end follows from this one's."""
        if child not in self.job.extras.dependants:
            self.set_extras(dependants=(*self.job.extras.dependants, child))

    def discard(self, after_ms: int) -> None:
        """Remember, for the end of this job, that its record goes with its parent's."""
        self.set_extras(discard_ms=after_ms)

    # -- what is ordered

    def append_to_job(self, job_id: str, entry: Any) -> None:
        """Order an engine entry for a job, through the outbox when it lives in another
        partition.
        """
        payload = encode_entry(entry)
        there = partition_of(job_id, self.limits.partitions)
        if there == partition_of(self.job.jid, self.limits.partitions):
            self.effects.append(Append("engine", "", payload))
        else:
            self.effects.append(Append("outbox", str(there), payload))

    def publish(self, channel: str, payload: bytes) -> None:
        self.effects.append(Publish("topic", channel, payload))

    def note(
        self,
        kind: NoteKind,
        node: Node | None = None,
        dad: str = "",
        *,
        leg: Leg | None = None,
        code: int = 0,
    ) -> None:
        error = leg.error if leg is not None else self.job.error if kind == "job.ended" else None
        span = self._span(kind, node, dad) if self.lineage is not None else None
        self.notes.append(
            Note(
                kind,
                self.job.jid,
                node.id if node else "",
                dad,
                node.type if node and kind != "job.started" else self.job.meta.topic,
                code,
                leg.began_ms if leg else self.job.meta.created_ms,
                leg.attempt if leg else 0,
                str(error.get("message", "")) if isinstance(error, dict) else "",
                span,
            )
        )

    def led(self, node: Node, dad: str, arms: Sequence[str] = ()) -> None:
        """Note that the leg that was closed last opens this activity; `arms` of a join came
        earlier.
        """
        if self.lineage is not None:
            self.lineage.led(node.id + dad, self.lineage.links_of(arms))

    def _span(self, kind: NoteKind, node: Node | None, dad: str) -> SpanRef | None:
        assert self.lineage is not None
        now_ms = self.env.now_ms
        if node is None:
            return None
        if kind == "job.started":
            return self.lineage.run(now_ms)
        if kind == "leg.began":
            return self.lineage.began(node.id + dad, now_ms)
        return self.lineage.ended(node.id + dad, now_ms) if kind == "leg.ended" else None

    def outcome(self) -> Outcome:
        """What was decided. Fields come first, publishing last."""
        job = self.job
        if not (self.effects or self._fields or self.legs_changed or self.extras_changed):
            return Outcome([], self.notes)
        fields = self._fields
        for name in self.legs_changed:
            fields[name] = state.encode_value(job.legs[name])
        if self.data_changed:
            fields[state.DATA] = state.encode_value(job.data)
        if self.error_changed:
            fields[state.ERROR] = state.encode_value(job.error)
        if self.extras_changed:
            fields[state.EXTRAS] = state.encode_value(job.extras)
        if not job.exists:
            fields[state.META] = state.encode_value(job.meta)
            job.exists = True
        job.rev += 1
        job.updated_ms = self.env.now_ms
        fields[state.REV] = b"%d" % job.rev
        fields[state.STATUS] = b"%d" % job.status
        fields[state.UPDATED] = b"%d" % job.updated_ms
        quiet = [e for e in self.effects if type(e) is not Publish]
        loud = [e for e in self.effects if type(e) is Publish]
        return Outcome([FieldsSet(fields), *quiet, *loud], self.notes)


def close(leg: Leg, now_ms: int) -> None:
    """Mark a leg's last answer.

    A cycle may come back to it all the same, in the next generation.
    """
    leg.generation += 1
    leg.changed_ms = now_ms
    leg.state, leg.given = DONE, None


def _merge(target: dict[str, Any], mapped: dict[str, Any], nested: dict[str, Any]) -> None:
    for key, value in mapped.items():
        if key in nested and isinstance(value, dict):
            inner = target.get(key)
            if not isinstance(inner, dict):
                inner = target[key] = {}
            _merge(inner, value, nested[key])
        else:
            target[key] = value
