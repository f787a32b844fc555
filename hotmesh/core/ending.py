"""A job ends: tell its parent, its caller and its subscribers, and give the record an expiry."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Raw

from hotmesh.compiler import EXPIRE_DEFAULT_S, GraphPlan, Node
from hotmesh.core import abroad, failures, state, waits
from hotmesh.core.context import build, generation_of
from hotmesh.core.effects import Expire, Publish, TimerDrop, TimerSet
from hotmesh.core.turn import Turn
from hotmesh.durations import parse
from hotmesh.errors import DurationInvalid, MappingError, Overloaded
from hotmesh.ids import escape
from hotmesh.mapping import UNDEFINED
from hotmesh.messages import Discard, Failure, Interrupt, Reply, Retire, Status, encode_entry

RETIRED_MS = 1_000
"""How long a record stays whose time had come while branches were open."""

ALARMS_MAX = 100
"""Timers of a job as a whole: the first that is due ends it, so more are a mistake."""

HINT_BYTES_MAX = 1024
"""What pub/sub carries at most: the server does not bound what slow subscribers hold."""


def finish(turn: Turn) -> None:
    """Order everything that follows from the end of the job."""
    job = turn.job
    turn.note("job.ended", code=int(job.error.get("code", 500)) if job.error else 0)
    if not job.extras.completed:
        _tell_result(turn)
    _publish(turn, b"")
    for alarm in job.extras.alarms:
        turn.effects.append(TimerDrop(alarm))
    expire_ms = _expire_ms(turn) if turn.expire_ms is None else turn.expire_ms
    if expire_ms > 0:
        turn.effects.append(Expire(expire_ms))
        for child in job.extras.dependants:
            turn.append_to_job(child, Discard(child, expire_ms))


def complete(turn: Turn) -> None:
    """The job has its result while branches go on: tell it, once, as at the end.

    The record's time begins now, unless the graph is persistent: what still goes on then is ended
    with it.
    """
    job = turn.job
    if job.extras.completed:
        return
    turn.set_extras(completed=True)
    turn.set_field(state.RESULT, state.encode_value([job.data, job.error]))
    _tell_result(turn)
    _publish(turn, _snapshot(turn))
    expire_ms = _expire_ms(turn)
    if expire_ms > 0 and not _is_persistent(turn):
        set_alarm(turn, Retire(job.jid, job.meta.version, job.meta.created_ms), expire_ms)


def retire(turn: Turn, order: Retire) -> None:
    """A job that gave its result has been kept for its time: what still goes on ends."""
    if turn.job.meta.created_ms == order.nonce:
        turn.expire_ms = RETIRED_MS
        close(turn)


def close(turn: Turn) -> None:
    """End the branches that are open; what they wait for is taken back."""
    turn.queue.clear()
    turn.job.status = 0
    _take_back(turn)


def set_alarm(turn: Turn, entry: Retire | Interrupt, after_ms: int) -> None:
    """Set a timer of the job as a whole; the job's end drops it. Nothing for one that is set.

    Raises:
        Overloaded: The job has `ALARMS_MAX` already.
    """
    alarm, alarms = encode_entry(entry), turn.job.extras.alarms
    if alarm in alarms:
        return
    if len(alarms) >= ALARMS_MAX:
        raise Overloaded(f"job {turn.job.jid!r} has {ALARMS_MAX} delayed interrupts already")
    turn.set_extras(alarms=(*alarms, alarm))
    turn.effects.append(TimerSet(alarm, after_ms))


def interrupt_later(turn: Turn, order: Interrupt) -> None:
    """End a running job once the order's time has passed, should it still run then."""
    due = msgspec.structs.replace(
        order,
        version=turn.program.version,
        sender=None,
        after_ms=0,
        nonce=turn.job.meta.created_ms,
    )
    set_alarm(turn, due, order.after_ms)


def interrupt(turn: Turn, order: Interrupt) -> None:
    """End a running job before its time: what it waits for is taken back, what was queued is
    dropped.
    """
    job = turn.job
    turn.queue.clear()
    job.status += state.INTERRUPTED
    if order.throw:
        message = order.reason or f"job [{job.jid}] interrupted"
        error = {"code": order.code, "message": message, "job_id": job.jid}
        turn.set_error(error)
        failures.note(turn, "", "", error, order.code)
    _take_back(turn, order if order.descend else None)
    for child in job.extras.dependants if order.descend else ():
        turn.append_to_job(child, _below(order, child))
    turn.expire_ms = order.expire_ms
    finish(turn)


def _take_back(turn: Turn, order: Interrupt | None = None) -> None:
    """Take back what open legs wait for; end their children too when an order is given."""
    for name, leg in list(turn.job.legs.items()):
        if leg.state == state.OPEN:
            aid, base = state.split_leg(name)
            node = turn.program.node(aid)
            child = leg.key
            waits.end(turn, node, base, leg)
            if order is not None and node.type == "await":
                _descend(turn, node, base, leg, order, child)


def _descend(
    turn: Turn, node: Node, base: str, leg: state.Leg, order: Interrupt, child: str
) -> None:
    """End the child, or the children, that an open await waits for."""
    if child and not _stop(turn, order, child):
        leg.key = child + abroad.DOOMED
        turn.set_leg(node, base, leg)
    for index in range(leg.items):
        name = node.id + generation_of(base, index)
        if name in turn.job.children and name not in turn.job.results:
            child = turn.job.children[name]
            if not _stop(turn, order, child):
                turn.set_field(f"{name}/k", (child + abroad.DOOMED).encode())


def _stop(turn: Turn, order: Interrupt, child: str) -> bool:
    """Interrupt a child; False for one whose id is not known yet."""
    if "\0" in child:
        return abroad.stop(turn, child, _below(order, child, turn.job.jid))
    turn.append_to_job(child, _below(order, child, turn.job.jid))
    return True


def _below(order: Interrupt, child: str, parent: str = "") -> Interrupt:
    return msgspec.structs.replace(
        order, jid=child, version="", sender=None, nonce=0, parent=parent, tries=0
    )


def interim(turn: Turn) -> None:
    """Tell listeners the state of a job that goes on.

    A snapshot too large for a hint is read by whoever hears of it.
    """
    if not turn.job.extras.completed:
        _answer_parent(turn, "pending")
    _publish(turn, _snapshot(turn))


def _tell_result(turn: Turn) -> None:
    job = turn.job
    _answer_parent(turn, "success")
    if job.meta.caller:
        turn.effects.append(Publish("caller", job.meta.caller, job.jid.encode()))


def _snapshot(turn: Turn) -> bytes:
    return state.encode_value([turn.job.status, turn.job.data])


def _publish(turn: Turn, snapshot: bytes) -> None:
    job = turn.job
    graph = turn.program.graph(job.meta.topic)
    if graph is None or not graph.publishes:
        return
    hint = state.encode_value([job.jid, graph.publishes, snapshot])
    if len(hint) > HINT_BYTES_MAX:
        hint = state.encode_value([job.jid, graph.publishes, b""])
    turn.publish(f"{graph.publishes}.{escape(job.jid)}", hint)


def _answer_parent(turn: Turn, status: Literal["success", "pending"]) -> None:
    job, meta = turn.job, turn.job.meta
    if not meta.parent_jid or not meta.answer:
        return
    said: Status = status
    code, data = (200 if status == "success" else 202), job.data
    failed: tuple[Failure, ...] = ()
    if job.error is not None and status == "success":
        said, code, data = "error", int(job.error.get("code", 500)), job.error
        failed = failures.handed_up(job.extras.failures, job.jid)
    reply = Reply(
        meta.parent_jid,
        meta.parent_aid,
        meta.parent_dad,
        meta.origin[1] if meta.origin else meta.version,
        said,
        code,
        Raw(state.encode_value(data)),
        f"{job.jid}:{job.rev}:{len(turn.effects)}",
        0,
        turn.lineage.last if turn.lineage is not None else "",
        failed,
    )
    if meta.origin:
        turn.effects.append(abroad.sent(meta.origin[0], reply))
    else:
        turn.append_to_job(meta.parent_jid, reply)


def _expire_ms(turn: Turn) -> int:
    """How long the record is kept; 0 for ever.

    A rule that fails, or gives no such time, is the default: the job has ended.
    """
    job = turn.job
    graph = turn.program.graph(job.meta.topic)
    if job.meta.expire_ms >= 0:
        return job.meta.expire_ms
    default = EXPIRE_DEFAULT_S * 1000
    if graph is None or graph.expire is None:
        return job.extras.discard_ms or default
    value = graph.expire
    if not isinstance(value, (int, float)):
        value = _resolved(turn, graph, "expire")
    if isinstance(value, (int, float)) and value <= 0:
        return job.extras.discard_ms
    try:
        return parse(value)
    except DurationInvalid:
        return default


def _is_persistent(turn: Turn) -> bool:
    graph = turn.program.graph(turn.job.meta.topic)
    if graph is None or graph.persistent is None:
        return False
    return _resolved(turn, graph, "persistent") is True


def _resolved(turn: Turn, graph: GraphPlan, name: Literal["expire", "persistent"]) -> Any:
    node = turn.program.node(graph.trigger)
    payload = turn.job.outputs.get(node.id + ",0", UNDEFINED)
    others = turn.program.graph_reads(graph)
    context = build(turn.job, node, ",0", input=payload, output=payload, also=others)
    try:
        return turn.program.graph_rule(graph, name)(context, turn.env)
    except MappingError:
        return None
