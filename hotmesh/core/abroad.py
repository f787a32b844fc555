"""Jobs that an await starts in another app.

The order leaves by the outbox, for the partition that follows from the child's provisional id.
There it is admitted: the version that is active then is the child's, and its trigger may map
another id. The child's answers go back the same way. Each step may be repeated: an admission has a
receipt, the child's id and request guard its start, an open leg its answer.

Where a record names such a child, it is `<app>`, a NUL, and its id once that is known; no job id
holds a NUL.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from hotmesh.compiler import Program
from hotmesh.core.effects import Append
from hotmesh.core.identity import job_id_of
from hotmesh.core.state import decode_value, encode_value
from hotmesh.core.turn import Limits, Turn
from hotmesh.errors import TopicNotFound
from hotmesh.ids import partition_of
from hotmesh.mapping import Env
from hotmesh.messages import Begun, ChildStart, Interrupt, Reply, Visit, encode_entry

DOOMED = "\0"
"""Stands for the id of a child that is to be interrupted as soon as it is known."""


def named(app: str, child: str = "") -> str:
    """How a record names a child in another app."""
    return f"{app}\0{child}"


def sent(app: str, entry: object) -> Append:
    """The effect that sends an entry to another app."""
    return Append("outbox", f"@{app}", encode_entry(entry))


def leave(turn: Turn, app: str, start: ChildStart) -> None:
    """Order a child in another app."""
    origin = (turn.program.app_id, turn.program.version)
    visit = Visit(start.jid, "", msgspec.structs.replace(start, version="", origin=origin))
    turn.effects.append(sent(app, visit))


def admit(program: Program, visit: Visit, env: Env, limits: Limits) -> Append:
    """The start of a job that another app asks for: its version and its id are settled here.

    Raises:
        TopicNotFound, MappingError, NameInvalid: It can't start.
    """
    start = visit.start
    if program.graph(start.topic) is None:
        raise TopicNotFound(
            topic=start.topic,
            app_id=program.app_id,
            version=program.version,
            near=program.near(start.topic),
        )
    jid = job_id_of(program, start.topic, decode_value(start.data), env) or visit.jid
    entry = encode_entry(msgspec.structs.replace(start, jid=jid, version=program.version))
    there = partition_of(jid, limits.partitions)
    if there == partition_of(visit.jid, limits.partitions):
        return Append("engine", "", entry, rid=visit.jid)
    return Append("outbox", str(there), entry, rid=visit.jid)


def say_begun(turn: Turn, start: ChildStart) -> None:
    """Tell the other app that its child exists: an answer for who waits for no more, else its id
    alone.
    """
    assert start.origin is not None
    app, version = start.origin
    where = (start.parent_jid, start.parent_aid, start.parent_dad, version)
    jid = turn.job.jid
    if start.answer:
        turn.effects.append(sent(app, Begun(*where, turn.program.app_id, jid)))
    else:
        data = Raw(encode_value({"job_id": jid}))
        turn.effects.append(sent(app, Reply(*where, "success", 200, data, f"{jid}:begun")))


def begun(turn: Turn, event: Begun) -> None:
    """The child's id is known. One whose parent was interrupted meanwhile, with all below it, is
    interrupted too.
    """
    base = event.dad[: event.dad.rindex(",")] + ",0"
    leg = turn.job.legs.get(event.aid + base)
    if leg is None:
        turn.note("entry.late")
        return
    node, child = turn.program.node(event.aid), named(event.app, event.child)
    if leg.items:
        known = turn.job.children.get(event.aid + event.dad)
        if turn.job.status > 0:
            turn.set_field(f"{event.aid}{event.dad}/k", child.encode())
    else:
        known = leg.key
        if turn.job.status > 0 and known == named(event.app):
            leg.key = child
            turn.set_leg(node, base, leg)
    if known == named(event.app, DOOMED):
        turn.effects.append(sent(event.app, _doom(turn, event.child)))


def _doom(turn: Turn, child: str) -> Interrupt:
    reason = f"job [{turn.job.jid}], which awaits it, was interrupted"
    return Interrupt(child, reason=reason, descend=True, parent=turn.job.jid)


def stop(turn: Turn, child: str, order: Interrupt) -> bool:
    """Send an interrupt to a child in another app; False when its id is not known yet."""
    app, _, jid = child.partition("\0")
    if not jid:
        return False
    turn.effects.append(sent(app, msgspec.structs.replace(order, jid=jid)))
    return True
