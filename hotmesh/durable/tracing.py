"""The turns of a traced run → notes, from which its spans are drawn: one per leg of a step, so that
a run is seen as its own graph.

A step's first leg is its being asked for, the second its end; what a turn asks for hangs under the
end that led to it. Ids follow from run, step and leg, so that a turn that is told twice is drawn
once; and nothing is told before its script has run, nor in a replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hotmesh.core import Note
from hotmesh.core.durable import records as r
from hotmesh.core.lineage import SPAN_BEGIN, SPAN_END, Lineage
from hotmesh.durable.run import Run
from hotmesh.ids import span_id

_OPENING: dict[type, tuple[str, str]] = {
    r.Act: ("activity", "name"),
    r.Timer: ("sleep", ""),
    r.Child: ("child", "workflow"),
    r.Wait: ("wait", "name"),
}
_ENDING = (r.Answer, r.Fired, r.Sent, r.ChildEnded)


def notes_of(run: Run, inputs: Sequence[Any], commands: Sequence[r.Command]) -> list[Note]:
    """What one turn of a traced run has to tell."""
    begin = run.begin
    lineage = Lineage(begin.run_id, begin.trace)
    notes = []
    for record in inputs:
        if type(record) is r.Begin:
            span = lineage.run(begin.at_ms)
            notes.append(Note("job.started", run.jid, type=begin.workflow, span=span))
        elif isinstance(record, _ENDING) and record.seq in run.legs:
            notes.append(_ended(run, lineage, record))
    for command in commands:
        opening = _OPENING.get(type(command))
        if opening is not None:
            notes.append(_began(run, lineage, command, *opening))
    return notes


def recall(run: Run, items: Sequence[r.Item]) -> None:
    """The steps that a history has begun, so that their ends can be told."""
    for item in items:
        if isinstance(item, r.Turn):
            for command in item.commands:
                kind, field = _OPENING.get(type(command), ("", ""))
                if kind:
                    aid = step_name(kind, getattr(command, field) if field else "")
                    run.legs[command.seq] = (kind, aid, item.now_ms)  # type: ignore[union-attr]


def _began(run: Run, lineage: Lineage, command: Any, kind: str, field: str) -> Note:
    aid = step_name(kind, getattr(command, field) if field else "")
    run.legs[command.seq] = (kind, aid, run.now_ms)
    name = f"{aid},{command.seq}"
    lineage.led(name)
    span = lineage.began(name, run.now_ms)
    return Note("leg.began", run.jid, aid, f",{command.seq}", kind, span=span)


def _ended(run: Run, lineage: Lineage, record: Any) -> Note:
    kind, aid, began_ms = run.legs.pop(record.seq)
    name = f"{aid},{record.seq}"
    lineage.answered(name, name)
    failure: r.Failure | None = getattr(record, "failure", None)
    return Note(
        "leg.ended",
        run.jid,
        aid,
        f",{record.seq}",
        kind,
        code=failure.code if failure else 200,
        began_ms=began_ms,
        attempt=getattr(record, "attempt", 0),
        error=failure.message if failure else "",
        span=lineage.ended(name, run.now_ms),
    )


def step_name(kind: str, name: str) -> str:
    """What stands for a step's name in ids: no comma, and never empty."""
    return (name or kind).replace(",", "_")


def leg_trace(begin: r.Begin, name: str, seq: int) -> str:
    """The traceparent of a step's first leg: what its activity or child hangs under; "" for a run
    that is not traced.
    """
    if not begin.trace:
        return ""
    span = span_id(begin.run_id, step_name("", name), f",{seq}", "1")
    return f"{begin.trace[:SPAN_BEGIN]}{span}{begin.trace[SPAN_END:]}"
