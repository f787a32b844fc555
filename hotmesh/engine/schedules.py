"""Schedules: a record with a timer, whose firing starts workflows and sets the next.

A schedule is one hash with a revision, as a job is. Whatever happens to it (its timer, the end of
a run that it started, a word of a client) is one decision on one revision and one script, which
starts, stops and sets the next timer with it. So no time is started twice, by however many engines.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from hotmesh.core.durable import records as r
from hotmesh.core.durable import schedule as s
from hotmesh.core.state import REV
from hotmesh.errors import Overloaded
from hotmesh.ids import derive
from hotmesh.log import get_logger
from hotmesh.run_messages import RunInput, RunStart, RunStop, ScheduleTick, encode_run
from hotmesh.store import Entry, Store, Verdict
from hotmesh.store.encode import Command, text
from hotmesh.store.runs import RunCommand, Runs

if TYPE_CHECKING:
    from hotmesh.engine.handle import Engine

log = get_logger("hotmesh.engine")

PLAN, STATE = "d", "s"
TRIES_MAX = 10


class Schedule(Struct, frozen=True):
    """A schedule as it was read."""

    id: str
    rev: str
    plan: s.Plan
    state: s.State


class ScheduleCommand(RunCommand):
    """One `apply` on a schedule in the making."""

    __slots__ = ()

    def __init__(self, store: Store, schedule_id: str, entry_stream: str = "") -> None:
        self.store, self.jid, self.run_id = store, schedule_id, ""
        self.partition = store.keys.of(schedule_id)
        Command.__init__(self, self.partition.schedule(schedule_id), entry_stream)


async def load(store: Store, schedule_id: str) -> Schedule | None:
    """A schedule, or None."""
    key = store.keys.of(schedule_id).schedule(schedule_id)
    rev, plan, state = (await Runs(store).execute([("HMGET", key, REV, PLAN, STATE)]))[0]
    if rev is None:
        return None
    return Schedule(schedule_id, rev.decode(), s.decode_plan(plan), s.decode_state(state))


def write(
    store: Store,
    before: Schedule | None,
    schedule_id: str,
    plan: s.Plan,
    decision: s.Decision,
    entry: Entry | None = None,
) -> tuple[Any, ...]:
    """The script of a decision: record, starts, stops, the next timer."""
    command = ScheduleCommand(store, schedule_id, entry.stream if entry else "")
    state, rev = decision.state, before.rev if before else ""
    command.set(
        {
            REV: str(int(rev or 0) + 1).encode(),
            PLAN: s.encode_plan(plan),
            STATE: s.encode_state(state),
        }
    )
    if before is None:
        at = command.key(command.partition.schedules)
        command.ops.append(["rank", at, text(schedule_id.encode()), str(store.clock.now_ms())])
    for jid in decision.cancels:
        record = r.encode_input(r.CancelAsked(f"the next run of schedule {schedule_id} is due"))
        rid = derive(schedule_id, jid, rev, "cancel")
        command.post(jid, encode_run(RunInput(jid, "", "", record, rid)))
    for jid in decision.terminates:
        reason = f"the next run of schedule {schedule_id} is due"
        command.post(jid, encode_run(RunStop(jid, "", "terminated", reason)))
    for jid, at_ms, reuse in decision.starts:
        command.post(jid, encode_run(_start(plan, schedule_id, jid, at_ms, rev, reuse)))
    before_ms = before.state.next_ms if before and not before.state.paused else 0
    _set_timer(command, plan, before_ms, 0 if state.paused else state.next_ms)
    group, ids, consumer = "", [], ""
    if entry is not None:
        group, ids, consumer = entry.group, [i.decode() for i in entry.ids], entry.consumer
    return command.build(["entry", rev, group, ids, consumer])


def _start(plan: s.Plan, schedule_id: str, jid: str, at_ms: int, rev: str, reuse: str) -> RunStart:
    begin = r.decode_item(plan.begin)
    assert isinstance(begin, r.Begin)
    begin = msgspec.structs.replace(
        begin,
        run_id=secrets.token_hex(16),
        seed=secrets.randbits(63),
        schedule=schedule_id,
    )
    return RunStart(jid, r.encode_input(begin), derive(schedule_id, str(at_ms), rev), reuse)


def _set_timer(command: RunCommand, plan: s.Plan, before_ms: int, next_ms: int) -> None:
    if before_ms and before_ms != next_ms:
        command.untimer(encode_run(ScheduleTick(command.jid, before_ms)))
    if next_ms:
        late = s.delay_of(command.jid, plan.spec, next_ms)
        after_ms = max(0, next_ms + late - command.store.clock.now_ms())
        command.timer(encode_run(ScheduleTick(command.jid, next_ms)), after_ms)


async def change(
    store: Store, schedule_id: str, decide: Callable[[Schedule], tuple[s.Plan, s.Decision]]
) -> Schedule | None:
    """Decide on a schedule until nobody else has changed it meanwhile.

    Returns:
        The schedule before; None when there is none.

    Raises:
        Overloaded: It changed too often.
    """
    for _ in range(TRIES_MAX):
        found = await load(store, schedule_id)
        if found is None:
            return None
        plan, decision = decide(found)
        command = write(store, found, schedule_id, plan, decision)
        if (await Runs(store).run([command]))[0] == Verdict.APPLIED:
            return found
    raise Overloaded(f"schedule {schedule_id!r} changed {TRIES_MAX} times in a row; try again")


async def fire(engine: Engine, tick: ScheduleTick, entry: Entry) -> None:
    """A time has come, or a run that a schedule started has ended.

    Raises:
        Overloaded: The schedule keeps changing; the entry is left for the lease.
    """
    store = engine.store
    for _ in range(TRIES_MAX):
        found = await load(store, tick.jid)
        decision = _decide(found, tick, store.clock.now_ms()) if found else None
        if found is None or decision is None:
            await store.acknowledge(entry)
            return
        command = write(store, found, tick.jid, found.plan, decision, entry)
        verdict = (await Runs(store).run([command]))[0]
        if verdict == Verdict.APPLIED:
            for jid, _, _ in decision.starts:
                log.info("schedule.started", schedule=tick.jid, job=jid)
            return
        if verdict == Verdict.LOST:
            return
    raise Overloaded(f"schedule {tick.jid!r} changed {TRIES_MAX} times in a row")


def _decide(found: Schedule, tick: ScheduleTick, now_ms: int) -> s.Decision | None:
    """None for an event that comes too late."""
    if tick.ended:
        if tick.ended not in found.state.running:
            return None
        return s.ended(found.id, found.state, tick.ended, now_ms)
    if found.state.paused or tick.at_ms != found.state.next_ms:
        return None
    return s.due(found.id, found.plan, found.state, now_ms)
