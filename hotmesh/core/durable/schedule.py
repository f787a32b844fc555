"""When a schedule starts workflows, and what becomes of a start while an earlier run goes on.

Pure: the time comes in, and what is decided goes out as a new state with starts and stops.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from hotmesh.mapping import six_fields

Overlap: TypeAlias = Literal[
    "skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow"
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES_MAX = 1_000
"""Times that one decision looks at; the next one goes on from there."""
SKIPS_MAX = 10_000
"""Times in a row that a skip list may take out before a schedule counts as over."""
BUFFER_MAX, RECENT_MAX, RUNNING_MAX = 1_000, 10, 1_000


class Spec(Struct, array_like=True, frozen=True):
    """The times of a schedule: those of all its expressions and intervals together.

    Attributes:
        every: Intervals as (every, offset), in milliseconds since 1970.
        start_ms, end_ms: No time before or after; 0 for none.
        jitter_ms: Each start comes up to so much later than its time.
        skip, skip_ms, skip_days: Cron expressions, times, and days in ISO 8601, that are left out.
    """

    cron: tuple[str, ...] = ()
    every: tuple[tuple[int, int], ...] = ()
    zone: str = "UTC"
    start_ms: int = 0
    end_ms: int = 0
    jitter_ms: int = 0
    skip: tuple[str, ...] = ()
    skip_ms: tuple[int, ...] = ()
    skip_days: tuple[str, ...] = ()


class Plan(Struct, array_like=True, frozen=True, tag="schedule1"):
    """A schedule, as it was made.

    Attributes:
        begin: The first record of the runs that it starts; each gets an id and a seed of its own.
        catch_up_ms: A time that was missed by more is not made up for.
    """

    spec: Spec
    begin: bytes
    overlap: Overlap = "skip"
    catch_up_ms: int = 3_600_000


class State(Struct, array_like=True, frozen=True, tag="schedulestate1"):
    """How a schedule stands.

    Attributes:
        next_ms: The time that its timer is set for; 0 when there is none.
        running: Workflow ids of starts that have not ended.
        buffer: Times that wait for a run to end, and whether their id may be used again.
        recent: The last starts: (workflow id, its time, when it was started).
        missed, skipped, started: Times too late to make up for; left out because a run went on;
            and those that were started.
    """

    paused: bool = False
    note: str = ""
    next_ms: int = 0
    running: tuple[str, ...] = ()
    buffer: tuple[tuple[int, str], ...] = ()
    recent: tuple[tuple[str, int, int], ...] = ()
    missed: int = 0
    skipped: int = 0
    started: int = 0


class Decision(Struct):
    """What is to be done, and the state after it.

    Attributes:
        starts: Workflow id, its time, and whether its id may be used again.
    """

    state: State
    starts: list[tuple[str, int, str]] = []
    cancels: list[str] = []
    terminates: list[str] = []


encode_plan = encode_state = msgspec.msgpack.Encoder().encode
decode_plan = msgspec.msgpack.Decoder(Plan).decode
decode_state = msgspec.msgpack.Decoder(State).decode


# -- times


def next_time(spec: Spec, after_ms: int) -> int:
    """The first time after another, both in milliseconds since 1970; 0 for none.

    A local time that a change of the clocks leaves out is left out here; one that comes twice
    counts once, the first time.
    """
    after_ms = max(after_ms, spec.start_ms - 1)
    for _ in range(SKIPS_MAX):
        found = [_next_interval(every, offset, after_ms) for every, offset in spec.every]
        found += [ms for c in spec.cron if (ms := _next_cron(c, spec.zone, after_ms))]
        if not found:
            return 0
        at_ms = min(found)
        if spec.end_ms and at_ms > spec.end_ms:
            return 0
        if not _is_skipped(spec, at_ms):
            return at_ms
        after_ms = at_ms
    return 0


def times(spec: Spec, after_ms: int, until_ms: int = 0) -> Iterator[int]:
    """All times after another, up to one."""
    while at_ms := next_time(spec, after_ms):
        if until_ms and at_ms > until_ms:
            return
        yield at_ms
        after_ms = at_ms


def _next_interval(every: int, offset: int, after_ms: int) -> int:
    return ((after_ms - offset) // every + 1) * every + offset


def _next_cron(expression: str, zone: str, after_ms: int) -> int:
    from cronsim import CronSim, CronSimError

    tz = ZoneInfo(zone)
    local = (EPOCH + timedelta(milliseconds=after_ms)).astimezone(tz).replace(tzinfo=None)
    try:
        # In local time without a zone: what the clocks leave out or repeat is decided here.
        for found in islice(CronSim(six_fields(expression), local), TIMES_MAX * 10):
            moment = found.replace(tzinfo=tz, fold=0).astimezone(UTC)
            at_ms = (moment - EPOCH) // timedelta(milliseconds=1)
            exists = moment.astimezone(tz).replace(tzinfo=None) == found
            if exists and at_ms > after_ms:
                return at_ms
    except (CronSimError, OverflowError):
        return 0
    return 0


def _is_skipped(spec: Spec, at_ms: int) -> bool:
    if at_ms in spec.skip_ms:
        return True
    if spec.skip_days:
        moment = EPOCH + timedelta(milliseconds=at_ms)
        if moment.astimezone(ZoneInfo(spec.zone)).date().isoformat() in spec.skip_days:
            return True
    return any(_next_cron(c, spec.zone, at_ms - 1) == at_ms for c in spec.skip)


def delay_of(schedule_id: str, spec: Spec, at_ms: int) -> int:
    """How much later than its time a start comes: the same for whoever asks."""
    if not spec.jitter_ms:
        return 0
    return zlib.crc32(f"{schedule_id}@{at_ms}".encode()) % (spec.jitter_ms + 1)


def workflow_id_of(schedule_id: str, at_ms: int) -> str:
    """The id of the workflow of one time."""
    moment = EPOCH + timedelta(milliseconds=at_ms)
    precision = "milliseconds" if at_ms % 1000 else "seconds"
    return f"{schedule_id}-{moment.replace(tzinfo=None).isoformat(timespec=precision)}Z"


# -- decisions


def due(schedule_id: str, plan: Plan, state: State, now_ms: int) -> Decision:
    """Start what is due, and find the next time."""
    decision = Decision(state)
    at_ms, looked = state.next_ms, 0
    while at_ms and at_ms + delay_of(schedule_id, plan.spec, at_ms) <= now_ms:
        if looked == TIMES_MAX:
            break
        looked += 1
        if at_ms < now_ms - plan.catch_up_ms:
            decision.state = _with(decision.state, missed=decision.state.missed + 1)
        else:
            offer(schedule_id, decision, at_ms, now_ms, plan.overlap)
        at_ms = next_time(plan.spec, at_ms)
    decision.state = _with(decision.state, next_ms=at_ms)
    return decision


def offer(
    schedule_id: str,
    decision: Decision,
    at_ms: int,
    now_ms: int,
    overlap: Overlap,
    reuse: str = "reject",
) -> None:
    """A time has come: start its workflow, or do what the overlap policy says."""
    state = decision.state
    is_free = not state.running and not state.buffer
    if is_free or (overlap == "allow" and len(state.running) < RUNNING_MAX):
        _start(schedule_id, decision, at_ms, now_ms, reuse)
    elif overlap == "terminate_other":
        decision.terminates += state.running
        decision.state = _with(state, running=())
        _start(schedule_id, decision, at_ms, now_ms, reuse)
    elif overlap == "cancel_other":
        decision.cancels += state.running
        skipped = state.skipped + len(state.buffer)
        decision.state = _with(state, buffer=((at_ms, reuse),), skipped=skipped)
    elif (overlap == "buffer_one" and not state.buffer) or (
        overlap == "buffer_all" and len(state.buffer) < BUFFER_MAX
    ):
        decision.state = _with(state, buffer=(*state.buffer, (at_ms, reuse)))
    else:
        decision.state = _with(state, skipped=state.skipped + 1)


def ended(schedule_id: str, state: State, workflow_id: str, now_ms: int) -> Decision:
    """A run has ended, or could not be started: start what waited for it."""
    running = tuple(jid for jid in state.running if jid != workflow_id)
    decision = Decision(_with(state, running=running))
    pump(schedule_id, decision, now_ms)
    return decision


def pump(schedule_id: str, decision: Decision, now_ms: int) -> None:
    """Start the first time that waits, when nothing keeps it from starting."""
    state = decision.state
    if state.buffer and not state.running and not state.paused:
        (at_ms, reuse), *rest = state.buffer
        decision.state = _with(state, buffer=tuple(rest))
        _start(schedule_id, decision, at_ms, now_ms, reuse)


def _start(schedule_id: str, decision: Decision, at_ms: int, now_ms: int, reuse: str) -> None:
    jid, state = workflow_id_of(schedule_id, at_ms), decision.state
    decision.starts.append((jid, at_ms, reuse))
    decision.state = _with(
        state,
        running=(*(r for r in state.running if r != jid), jid),
        recent=(*state.recent, (jid, at_ms, now_ms))[-RECENT_MAX:],
        started=state.started + 1,
    )


_with = msgspec.structs.replace
