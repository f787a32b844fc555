"""The transition: one event (or several of one job) + the state it needs → effects and notes. Pure.

A turn takes its events in order and carries on through everything that does not leave the engine,
until each branch waits for something from outside, or has ended, or the bound on steps is reached
and an entry of its own goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec
from msgspec import Raw

from hotmesh.compiler import Node, Program
from hotmesh.core import abroad, ending, items, joins, legs, signals, start, waits
from hotmesh.core.activities import ENTER, SEND
from hotmesh.core.context import base_of, build, generation_of
from hotmesh.core.effects import Append, Delete, Expire, TimerDrop, TimerSet
from hotmesh.core.events import Event, Start
from hotmesh.core.outcome import Outcome
from hotmesh.core.state import (
    JOINED,
    OPEN,
    SEEN_MAX,
    Job,
    Leg,
    decode_value,
    encode_value,
    split_leg,
)
from hotmesh.core.turn import Limits, Turn
from hotmesh.errors import DuplicateJob, HotMeshError, MappingError, TopicNotFound
from hotmesh.ids import derive, partition_of
from hotmesh.mapping import Env
from hotmesh.messages import (
    Adopt,
    Begun,
    ChildStart,
    Continue,
    Discard,
    Interrupt,
    Redeliver,
    Reply,
    Retire,
    Wake,
    Woken,
    encode_entry,
)

AGAIN_MS = (1_000, 10_000, 60_000)
"""After what times a child is looked for that was not there to be interrupted.

Together they are longer than an entry stays with an engine that has died.
"""

ORPHAN_MS = 1_000
"""How long a finished job is kept whose parent was over before it began."""


def begin(program: Program, event: Start, env: Env, limits: Limits) -> tuple[Job, Outcome]:
    """Start a job.

    Raises:
        TopicNotFound: No graph subscribes to the topic.
        PayloadInvalid, MappingError: The trigger refuses the payload; nothing has happened.
    """
    graph = program.graph(event.topic)
    if graph is None:
        raise TopicNotFound(
            topic=event.topic,
            app_id=program.app_id,
            version=program.version,
            near=program.near(event.topic),
        )
    job = start.create(program, graph, event, env)
    turn = Turn(program, job, env, limits)
    start.enter(turn, program.node(graph.trigger), event)
    _run(turn)
    _end(turn)
    return job, turn.outcome()


def advance(
    program: Program, job: Job, events: Sequence[Event], env: Env, limits: Limits
) -> Outcome:
    """Fold events into a running job, in order. What is late, repeated or of no concern changes
    nothing.

    An interrupt of a job that has ended is such a case: the outcome has no effects.
    """
    turn = Turn(program, job, env, limits)
    for event in events:
        was_open = job.status > 0
        _take(turn, event)
        _run(turn)
        if was_open:
            _end(turn)
    return turn.outcome()


def _take(turn: Turn, event: Event) -> None:
    match event:
        case Reply():
            _reply(turn, event)
        case Wake():
            _wake(turn, event)
        case Redeliver():
            _redeliver(turn, event)
        case Continue():
            _continue(turn, event)
        case Woken():
            _woken(turn, event)
        case Interrupt():
            _interrupt(turn, event)
        case Adopt():
            if turn.job.status > 0:
                turn.adopt(event.child)
            else:
                turn.effects += orphan(event, turn.limits).effects
        case Discard():
            if turn.job.status > 0:
                turn.discard(event.after_ms)
            else:
                turn.effects.append(Expire(event.after_ms))
        case ChildStart():
            _child_exists(turn, event)
        case Begun():
            abroad.begun(turn, event)
        case Retire():
            if turn.job.status > 0:
                ending.retire(turn, event)
        case _:
            assert_never(event)


def scrub(program: Program, job: Job, env: Env, limits: Limits) -> Outcome:
    """Delete a job, with what it still waits for.

    Nobody is told; answers that come later find nothing.
    """
    turn = Turn(program, job, env, limits)
    for name, leg in job.legs.items():
        if leg.state == OPEN and job.status > 0:
            aid, base = split_leg(name)
            waits.end(turn, program.node(aid), base, leg)
    turn.effects += [TimerDrop(alarm) for alarm in job.extras.alarms]
    return Outcome([*turn.effects, Delete()])


def refuse(start: ChildStart, exc: HotMeshError, limits: Limits) -> Outcome:
    """What a child that can't begin gives: an error for the activity that awaits it."""
    refusal = _refusal(start, str(exc), exc.code)
    if start.origin is not None:
        return Outcome([abroad.sent(start.origin[0], refusal)])
    if not start.answer:
        return Outcome()
    there = partition_of(start.parent_jid, limits.partitions)
    here = partition_of(start.jid, limits.partitions)
    payload = encode_entry(refusal)
    where = ("engine", "") if there == here else ("outbox", str(there))
    return Outcome([Append(*where, payload)])  # type: ignore[arg-type]  # both are literals


def answer_interrupt(order: Interrupt, limits: Limits, *, running: bool) -> Outcome:
    """Tell the activity that asked for an interrupt whether its target was still running."""
    if order.sender is None:
        return Outcome()
    jid, aid, dad, version = order.sender
    said = {"interrupted": False, "scheduled": running} if order.after_ms else None
    data = Raw(encode_value(said or {"interrupted": running}))
    rid = derive(order.jid, *order.sender)
    payload = encode_entry(Reply(jid, aid, dad, version, "success", 200, data, rid))
    there = partition_of(jid, limits.partitions)
    if there == partition_of(order.jid, limits.partitions):
        return Outcome([Append("engine", "", payload)])
    return Outcome([Append("outbox", str(there), payload)])


def missed(order: Interrupt, limits: Limits) -> Outcome:
    """There is no job to interrupt. Who waits to hear of it is told; an order from above is tried
    again, because the child's start may still be on its way.
    """
    if order.parent and order.tries < len(AGAIN_MS):
        again = msgspec.structs.replace(order, tries=order.tries + 1)
        return Outcome([TimerSet(encode_entry(again), AGAIN_MS[order.tries])])
    return answer_interrupt(order, limits, running=False)


def orphan(adopt: Adopt, limits: Limits) -> Outcome:
    """The job that was named as a parent is over: tell the dependant, which ends its record with
    it.
    """
    payload = encode_entry(Discard(adopt.child, ORPHAN_MS))
    there = partition_of(adopt.child, limits.partitions)
    if there == partition_of(adopt.jid, limits.partitions):
        return Outcome([Append("engine", "", payload)])
    return Outcome([Append("outbox", str(there), payload)])


def _refusal(start: ChildStart, message: str, code: int) -> Reply:
    return Reply(
        start.parent_jid,
        start.parent_aid,
        start.parent_dad,
        start.origin[1] if start.origin else start.version,
        "error",
        code,
        Raw(encode_value({"message": message, "code": code})),
        f"{start.jid}:refused",
        0,
        start.trace,
    )


def _child_exists(turn: Turn, start: ChildStart) -> None:
    """A child's id is taken: by this very start, delivered again, or by another job, which its
    parent must hear.
    """
    meta = turn.job.meta
    mine = (meta.parent_jid, meta.parent_aid, meta.parent_dad, meta.nonce, _app(meta.origin))
    theirs = (
        start.parent_jid,
        start.parent_aid,
        start.parent_dad,
        start.nonce,
        _app(start.origin),
    )
    if mine == theirs or not (start.answer or start.origin):
        turn.note("entry.repeated")
        return
    exc = DuplicateJob(turn.job.jid)
    refusal = _refusal(start, str(exc), exc.code)
    if start.origin is not None:
        turn.effects.append(abroad.sent(start.origin[0], refusal))
    else:
        turn.append_to_job(start.parent_jid, refusal)


def _app(origin: tuple[str, str] | None) -> str:
    return origin[0] if origin is not None else ""


def _interrupt(turn: Turn, order: Interrupt) -> None:
    meta = turn.job.meta
    meant = order.nonce in (0, meta.created_ms) and order.parent in ("", meta.parent_jid)
    running = meant and turn.job.status > 0
    if not running:
        turn.note("entry.late")
    elif order.after_ms:
        ending.interrupt_later(turn, order)
    else:
        ending.interrupt(turn, order)
    turn.effects += answer_interrupt(order, turn.limits, running=running).effects


def _reply(turn: Turn, event: Reply) -> None:
    found = _open_leg(turn, event.aid, event.dad, trace=event.trace)
    if found is None:
        return
    node, base, leg = found
    if leg.items:
        items.answer(turn, node, base, leg, event, SEND[node.type])
        return
    if event.rid in leg.seen:
        turn.note("entry.repeated", node, base, leg=leg)
        return
    if event.status == "pending":
        leg.seen = [*leg.seen[1 - SEEN_MAX :], event.rid]
    leg.attempt = event.attempt
    if event.status != "pending":
        waits.end(turn, node, base, leg)
    data = decode_value(event.data)
    below = event.failures
    legs.take(turn, node, base, leg, data=data, status=event.status, code=event.code, below=below)


def _wake(turn: Turn, event: Wake) -> None:
    found = _open_leg(turn, event.aid, event.dad)
    if found is None:
        return
    node, base, leg = found
    if event.turn != leg.turn:
        turn.note("entry.late", node, base, leg=leg)
        return
    _split(turn, leg)
    waits.end(turn, node, base, leg)
    if event.what == "sleep":
        legs.take(turn, node, base, leg, data={"timestamp": turn.env.now_ms}, hook=True)
        return
    message = f"activity {node.id!r} gave no answer within {node.timeout_ms} ms"
    legs.fail(turn, node, base, leg, {"message": message, "code": 504}, 504)


def _woken(turn: Turn, event: Woken) -> None:
    signal = event.signal
    assert signal is not None
    known = turn.job.legs.get(event.aid + base_of(event.dad))
    if known is not None and signal.rid in known.seen:
        turn.note("entry.repeated")
        return
    found = _open_leg(turn, event.aid, event.dad, signal=signal.trace)
    if found is None or event.turn != found[2].turn or not found[2].key:
        # The wait is over, so this signal is for whoever waits next.
        turn.effects += signals.bounce(event, turn.limits, turn.job.jid, turn.program).effects
        return
    node, base, leg = found
    _split(turn, leg)
    leg.seen = [*leg.seen[1 - SEEN_MAX :], signal.rid]
    if signal.status != "pending":
        waits.end(turn, node, base, leg, heard=True)
    data, code = decode_value(signal.data), signal.code
    legs.take(turn, node, base, leg, data=data, status=signal.status, code=code, hook=True)


def _redeliver(turn: Turn, event: Redeliver) -> None:
    work = event.work
    found = _open_leg(turn, work.aid, work.dad)
    if found is None:
        return
    node, base, leg = found
    mark = f"again{work.dad}/{work.attempt}"
    if mark in leg.seen:  # this timer was handled before; the call is out there
        turn.note("entry.repeated", node, base, leg=leg)
    else:
        leg.seen = [*leg.seen[1 - SEEN_MAX :], mark]
        turn.set_leg(node, base, leg)
        turn.effects.append(Append("worker", work.topic, encode_entry(work)))


def _continue(turn: Turn, event: Continue) -> None:
    if turn.job.status <= 0:
        turn.note("entry.late")
        return
    if turn.lineage is not None:
        names = (aid + dad for aid, dad in event.steps)
        turn.lineage.resumed(event.trace, list(zip(names, event.parents, strict=False)))
    for aid, dad in event.steps:
        leg = turn.job.legs.get(aid + dad)
        if leg is None or leg.state == JOINED:
            turn.queue.append((turn.program.node(aid), dad))


def _openers(turn: Turn, steps: tuple[tuple[str, str], ...]) -> tuple[str, tuple[str, ...]]:
    """The trace of a chain that is cut, and the span that opened each of its next steps."""
    if turn.lineage is None:
        return "", ()
    return turn.lineage.last, tuple(turn.lineage.opener(aid + dad) for aid, dad in steps)


def _open_leg(
    turn: Turn, aid: str, dad: str, *, trace: str = "", signal: str = ""
) -> tuple[Node, str, Leg] | None:
    """The leg that an answer is for; None when the job or the leg has ended, which makes the
    answer late.
    """
    base = base_of(dad)
    leg = turn.job.legs.get(aid + base)
    if leg is None or leg.state != OPEN or turn.job.status <= 0:
        turn.note("entry.late")
        return None
    if turn.lineage is not None:
        here = aid + generation_of(base, leg.generation)
        began = here if leg.turn else aid + base
        turn.lineage.answered(here, began, kept=leg.trace, trace=trace, signal=signal)
    return turn.program.node(aid), base, leg


def _split(turn: Turn, leg: Leg) -> None:
    """Begin a trace with the leg that is woken, if it has waited that long."""
    split_ms = turn.limits.trace_split_ms
    if turn.lineage is not None and 0 < split_ms < turn.env.now_ms - leg.changed_ms:
        turn.lineage.split()


def _run(turn: Turn) -> None:
    """Enter what is queued until nothing is, or the bound is reached."""
    job = turn.job
    while turn.queue:
        if turn.steps >= turn.limits.steps_max:
            steps = tuple((node.id, dad) for node, dad in turn.queue)
            turn.queue.clear()
            rid = derive(job.jid, str(job.rev), str(len(turn.effects)))
            entry = Continue(job.jid, turn.program.version, steps, rid, *_openers(turn, steps))
            turn.effects.append(Append("engine", "", encode_entry(entry)))
            turn.note("step.bounded")
            return
        node, dad = turn.queue.popleft()
        turn.steps += 1
        try:
            if node.threshold is not None and _falls_short(turn, node, dad):
                ending.close(turn)
                return
            ENTER[node.type](turn, node, dad)
        except HotMeshError as exc:
            # What a rule or a payload did wrong is the activity's failure; transitions may route
            # it.
            legs.refuse(turn, node, dad, exc, code=500 if isinstance(exc, TopicNotFound) else None)


def _falls_short(turn: Turn, node: Node, dad: str) -> bool:
    """Whether no more than `statusThreshold` activities are open, this one included."""
    assert node.threshold is not None
    value = node.threshold(build(turn.job, node, dad), turn.env)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise MappingError(f"statusThreshold of activity {node.id!r} resolved to no number")
    return turn.job.status <= value


def _end(turn: Turn) -> None:
    job = turn.job
    while job.extras.joining and job.status == len(job.extras.joining):
        joins.settle(turn)
        _run(turn)
    if job.status == 0:
        ending.finish(turn)
