"""Schedules: workflows that start by themselves, by the calendar or at intervals.

await client.schedule.create(
    "nightly",
    spec=ScheduleSpec(cron="0 3 * * *", time_zone="Europe/Vienna"),
    action=ScheduleAction(report, args=["all"], task_queue="reports"),
)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Struct

from hotmesh.core.durable import records as r
from hotmesh.core.durable import schedule as s
from hotmesh.core.durable.schedule import Overlap
from hotmesh.durable import payloads
from hotmesh.durable.definition import MARK, WorkflowOptions, name_of
from hotmesh.durable.errors import DurableError
from hotmesh.durable.options import RetryPolicy, workflow_rules
from hotmesh.durations import Duration
from hotmesh.durations import parse as parse_duration
from hotmesh.engine import schedules as engine
from hotmesh.errors import MappingError, SettingsInvalid
from hotmesh.ids import check_topic
from hotmesh.mapping import next_match_ms
from hotmesh.run_messages import NIL, ScheduleTick, encode_run
from hotmesh.store import Verdict
from hotmesh.store.encode import text

if TYPE_CHECKING:
    from hotmesh.durable.client import Client

EVERY_MS_MIN = 10
BACKFILL_MAX = s.BUFFER_MAX
NEXT_SHOWN = 10
LIST_MAX = 10_000


class ScheduleNotFound(DurableError):
    """There is no schedule of an id."""

    code = 404

    def __init__(self, schedule_id: str) -> None:
        self.schedule_id = schedule_id
        super().__init__(f"there is no schedule {schedule_id!r}")


class ScheduleExists(DurableError):
    """A schedule has the id already."""

    code = 409

    def __init__(self, schedule_id: str) -> None:
        self.schedule_id = schedule_id
        super().__init__(f"schedule {schedule_id!r} exists already; update it, or take another id")


class ScheduleSpec(Struct, frozen=True, kw_only=True):
    """When a schedule starts its workflow: at all the times of its expressions and intervals.

    Attributes:
        cron: Expressions of five fields, or six with seconds first. A local time that does not
            exist, because clocks are set forward, is left out; one that comes twice counts once.
        every: Intervals; a pair is an interval and its offset. They count from 1970, in UTC.
        time_zone: Of the expressions; an IANA name.
        start, end: No time before or after; a time without a zone is UTC.
        jitter: Each start comes up to so much later than its time.
        skip: What is left out: cron expressions, times, and whole days.
    """

    cron: str | Sequence[str] = ()
    every: Duration | Sequence[Duration | tuple[Duration, Duration]] = ()
    time_zone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    jitter: Duration | None = None
    skip: Sequence[str | datetime | date] = ()

    def compiled(self) -> s.Spec:
        """As it is stored.

        Raises:
            SettingsInvalid: It names no time, or one of its parts can't be understood.
        """
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
            raise SettingsInvalid(
                f"time_zone={self.time_zone!r:.80} is not known here; take a name such as "
                "'Europe/Vienna'"
            ) from exc
        cron = (self.cron,) if isinstance(self.cron, str) else tuple(self.cron)
        days = [x for x in self.skip if isinstance(x, date) and not isinstance(x, datetime)]
        texts = [x for x in self.skip if isinstance(x, str)]
        for expression in (*cron, *texts):
            check_cron(expression)
        spec = s.Spec(
            cron=cron,
            every=tuple(_intervals(self.every)),
            zone=self.time_zone,
            start_ms=_ms_of(self.start),
            end_ms=_ms_of(self.end),
            jitter_ms=parse_duration(self.jitter) if self.jitter is not None else 0,
            skip=tuple(texts),
            skip_days=tuple(d.isoformat() for d in days),
            skip_ms=tuple(_ms_of(x) for x in self.skip if isinstance(x, datetime)),
        )
        if not spec.cron and not spec.every:
            raise SettingsInvalid("a schedule needs cron= or every=")
        if spec.end_ms and spec.end_ms <= spec.start_ms:
            raise SettingsInvalid("the end of a schedule must lie after its start")
        return spec


class ScheduleAction(Struct, frozen=True, kw_only=False):
    """What a schedule starts; the options are those of `client.workflow.start`."""

    workflow: Any
    args: Sequence[Any] = ()
    task_queue: str | None = None
    retry: RetryPolicy | None = None
    run_timeout: Duration | None = None
    execution_timeout: Duration | None = None
    expire: Duration | None = "24h"
    search_attributes: dict[str, Any] | None = None
    memo: dict[str, Any] | None = None


class ScheduledRun(Struct, frozen=True, kw_only=True):
    """A start: its workflow, the time it stands for, and when it was started."""

    workflow_id: str
    at: datetime
    started_at: datetime


class ScheduleDescription(Struct, frozen=True, kw_only=True):
    """What is known of a schedule.

    Attributes:
        next: The next ten times.
        recent: The last ten starts.
        running: Workflows that it started and that have not ended.
        buffered: Times that wait for a run to end.
        started, missed, skipped: Times that were started, that came too late to make up for, and
            that were left out because a run went on.
    """

    id: str
    workflow: str
    task_queue: str
    cron: tuple[str, ...]
    every: tuple[tuple[int, int], ...]
    time_zone: str
    overlap: Overlap
    paused: bool
    note: str
    next: tuple[datetime, ...]
    recent: tuple[ScheduledRun, ...]
    running: tuple[str, ...]
    buffered: tuple[datetime, ...]
    started: int
    missed: int
    skipped: int


class ScheduleClient:
    """`client.schedule`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create(
        self,
        id: str,
        *,
        spec: ScheduleSpec,
        action: ScheduleAction,
        overlap: Overlap = "skip",
        catch_up: Duration = "1h",
        paused: bool = False,
        note: str = "",
    ) -> ScheduleHandle:
        """Make a schedule. Workflows that it starts have the id `<schedule>-<time>`.

        Args:
            overlap: When a run still goes on: `skip` the time; `buffer_one` or `buffer_all` start
                it afterwards; `cancel_other` or `terminate_other` end the run first; `allow` both.
            catch_up: Times that nobody was there for are made up for up to so much later.

        Raises:
            ScheduleExists: The id is taken.
            SettingsInvalid: The spec or an option makes no sense.
        """
        from hotmesh.durable.client import check_workflow_id

        point = await self._client.open()
        store = point.store
        plan = s.Plan(
            spec.compiled(),
            await self._begin(action),
            check_overlap(overlap),
            parse_duration(catch_up),
        )
        state = s.State(
            paused=paused, note=note, next_ms=s.next_time(plan.spec, store.clock.now_ms())
        )
        command = engine.write(store, None, check_workflow_id(id), plan, s.Decision(state))
        if (await point.runs.run([command]))[0] != Verdict.APPLIED:
            raise ScheduleExists(id)
        return ScheduleHandle(self._client, id)

    def get_handle(self, id: str) -> ScheduleHandle:
        """A handle by the id alone. Nothing is looked up."""
        return ScheduleHandle(self._client, id)

    async def list(self, *, limit: int = 1_000) -> list[ScheduleDescription]:
        """Schedules, the latest made first."""
        if not 1 <= limit <= LIST_MAX:
            raise SettingsInvalid(f"limit lies between 1 and {LIST_MAX:,}, not {limit}")
        point = await self._client.open()
        commands: list[tuple[Any, ...]] = [
            ("ZREVRANGE", p.schedules, 0, limit - 1, "WITHSCORES")
            for p in point.store.keys.partitions
        ]
        rows: list[tuple[float, str]] = []
        for reply in await point.runs.execute(commands):
            rows += [(float(reply[i + 1]), reply[i].decode()) for i in range(0, len(reply), 2)]
        found = []
        for _, id in sorted(rows, reverse=True)[:limit]:
            schedule = await engine.load(point.store, id)
            if schedule is not None:
                found.append(_description(schedule, point.store.clock.now_ms()))
        return found

    async def _begin(self, action: ScheduleAction) -> bytes:
        from hotmesh.durable.client import encode_attributes

        kind = name_of(action.workflow)
        options: WorkflowOptions | None = getattr(action.workflow, MARK, None)
        queue = action.task_queue or (options.task_queue if options else None) or "default"
        args = payloads.encode_args(action.args, f"workflow {kind!r}")
        memo = NIL
        if action.memo:
            memo = await self._client.pack(payloads.encode(action.memo, "the memo"))
        begin = r.Begin(
            kind,
            await self._client.pack(args),
            check_topic(queue),
            "",
            0,
            run_ms=_duration(action.run_timeout),
            execution_ms=_duration(action.execution_timeout),
            keep_ms=-1 if action.expire is None else parse_duration(action.expire),
            retry=workflow_rules(action.retry or (options.retry if options else None)),
            memo=memo,
            attributes=encode_attributes(action.search_attributes),
        )
        return r.encode_input(begin)


class ScheduleHandle:
    """One schedule, by its id. Every call raises `ScheduleNotFound` when there is none."""

    def __init__(self, client: Client, id: str) -> None:
        self._client, self.id = client, id

    def __repr__(self) -> str:
        return f"<schedule {self.id!r}>"

    async def describe(self) -> ScheduleDescription:
        """What is known of it."""
        point = await self._client.open()
        found = await engine.load(point.store, self.id)
        if found is None:
            raise ScheduleNotFound(self.id)
        return _description(found, point.store.clock.now_ms())

    async def pause(self, note: str = "") -> None:
        """Start nothing until it is unpaused; what runs goes on."""
        await self._change(lambda found, now: _noted(found.state, note, paused=True))

    async def unpause(self, note: str = "") -> None:
        """Go on with the next time from now; times of the pause are not made up for."""

        def decide(found: engine.Schedule, now_ms: int) -> s.Decision:
            decision = _noted(found.state, note, paused=False)
            following = s.next_time(found.plan.spec, now_ms)
            decision.state = msgspec.structs.replace(decision.state, next_ms=following)
            s.pump(self.id, decision, now_ms)
            return decision

        await self._change(decide)

    async def trigger(self, *, overlap: Overlap | None = None) -> None:
        """Start it now, as if a time had come, paused or not.

        Args:
            overlap: Instead of the schedule's own policy.
        """
        given = check_overlap(overlap) if overlap else None

        def decide(found: engine.Schedule, now_ms: int) -> s.Decision:
            decision = s.Decision(found.state)
            s.offer(self.id, decision, now_ms, now_ms, given or found.plan.overlap)
            return decision

        await self._change(decide)

    async def backfill(
        self, start: datetime, end: datetime, *, overlap: Overlap = "buffer_all"
    ) -> int:
        """Start all its times from `start` to `end`, both included, as if they came now; how many.

        Raises:
            SettingsInvalid: There are more than 1,000.
        """
        first, last = _ms_of(start), _ms_of(end)
        given, number = check_overlap(overlap), 0

        def decide(found: engine.Schedule, now_ms: int) -> s.Decision:
            nonlocal number
            decision = s.Decision(found.state)
            spec = msgspec.structs.replace(found.plan.spec, start_ms=0, end_ms=0)
            wanted = list(islice(s.times(spec, first - 1, last), BACKFILL_MAX + 1))
            if len(wanted) > BACKFILL_MAX:
                raise SettingsInvalid(
                    f"a backfill starts at most {BACKFILL_MAX:,} times; take a shorter period"
                )
            for at_ms in wanted:
                s.offer(self.id, decision, at_ms, now_ms, given, "allow")
            number = len(wanted)
            return decision

        await self._change(decide)
        return number

    async def update(
        self,
        *,
        spec: ScheduleSpec | None = None,
        action: ScheduleAction | None = None,
        overlap: Overlap | None = None,
        catch_up: Duration | None = None,
    ) -> None:
        """Change what is given. Runs that have begun are not touched.

        Raises:
            SettingsInvalid: The spec or an option makes no sense.
        """
        changed: dict[str, Any] = {}
        if spec is not None:
            changed["spec"] = spec.compiled()
        if action is not None:
            changed["begin"] = await self._client.schedule._begin(action)
        if overlap is not None:
            changed["overlap"] = check_overlap(overlap)
        if catch_up is not None:
            changed["catch_up_ms"] = parse_duration(catch_up)
        point = await self._client.open()

        def decide(found: engine.Schedule) -> tuple[s.Plan, s.Decision]:
            plan = msgspec.structs.replace(found.plan, **changed)
            state = found.state
            if spec is not None:
                following = s.next_time(plan.spec, point.store.clock.now_ms())
                state = msgspec.structs.replace(state, next_ms=following)
            return plan, s.Decision(state)

        if await engine.change(point.store, self.id, decide) is None:
            raise ScheduleNotFound(self.id)

    async def delete(self) -> None:
        """Forget it; workflows that it started go on."""
        point = await self._client.open()
        for _ in range(engine.TRIES_MAX):
            found = await engine.load(point.store, self.id)
            if found is None:
                raise ScheduleNotFound(self.id)
            command = engine.ScheduleCommand(point.store, self.id)
            at = command.key(command.partition.schedules)
            command.ops.append(["rank", at, text(self.id.encode()), ""])
            if found.state.next_ms:
                command.untimer(encode_run(ScheduleTick(self.id, found.state.next_ms)))
            command.ops.append(["delete"])
            built = command.build(["entry", found.rev, "", [], ""])
            if (await point.runs.run([built]))[0] == Verdict.APPLIED:
                return

    async def _change(self, decide: Callable[[engine.Schedule, int], s.Decision]) -> None:
        point = await self._client.open()
        store = point.store
        found = await engine.change(
            store, self.id, lambda seen: (seen.plan, decide(seen, store.clock.now_ms()))
        )
        if found is None:
            raise ScheduleNotFound(self.id)


def _noted(state: s.State, note: str, *, paused: bool) -> s.Decision:
    return s.Decision(msgspec.structs.replace(state, paused=paused, note=note))


def _description(found: engine.Schedule, now_ms: int) -> ScheduleDescription:
    plan, state = found.plan, found.state
    begin = r.decode_item(plan.begin)
    assert isinstance(begin, r.Begin)
    following = () if state.paused else islice(s.times(plan.spec, now_ms), NEXT_SHOWN)
    return ScheduleDescription(
        id=found.id,
        workflow=begin.workflow,
        task_queue=begin.queue,
        cron=plan.spec.cron,
        every=plan.spec.every,
        time_zone=plan.spec.zone,
        overlap=plan.overlap,
        paused=state.paused,
        note=state.note,
        next=tuple(_time(ms) for ms in following),
        recent=tuple(
            ScheduledRun(workflow_id=jid, at=_time(at_ms), started_at=_time(started_ms))
            for jid, at_ms, started_ms in reversed(state.recent)
        ),
        running=state.running,
        buffered=tuple(_time(at_ms) for at_ms, _ in state.buffer),
        started=state.started,
        missed=state.missed,
        skipped=state.skipped,
    )


def check_overlap(overlap: str) -> Overlap:
    """The policy, if it is one.

    Raises:
        SettingsInvalid: It is none.
    """
    known = get_args(Overlap)
    if overlap not in known:
        raise SettingsInvalid(f"overlap is one of {', '.join(known)}, not {overlap!r:.80}")
    return cast(Overlap, overlap)


def check_cron(expression: str) -> str:
    """The expression, if it can match.

    Raises:
        SettingsInvalid: It is none, or never matches.
    """
    try:
        next_match_ms(expression, 0)
    except (MappingError, ValueError, AttributeError) as exc:
        raise SettingsInvalid(
            f"{expression!r:.80} is no cron expression that ever matches: five fields, or six "
            "with seconds first"
        ) from exc
    return expression


def _intervals(
    given: Duration | Sequence[Duration | tuple[Duration, Duration]],
) -> list[tuple[int, int]]:
    each = [given] if isinstance(given, (str, int, float, timedelta)) else list(given)
    found = []
    for one in each:
        every, offset = one if isinstance(one, tuple) else (one, 0)
        every_ms = parse_duration(every)
        if every_ms < EVERY_MS_MIN:
            raise SettingsInvalid(f"every= is at least {EVERY_MS_MIN} ms, not {every!r}")
        found.append((every_ms, parse_duration(offset) % every_ms if offset else 0))
    return found


def _ms_of(moment: datetime | None) -> int:
    if moment is None:
        return 0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - s.EPOCH) // timedelta(milliseconds=1)


def _duration(duration: Duration | None) -> int:
    return 0 if duration is None else parse_duration(duration)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


__all__ = [
    "Overlap",
    "ScheduleAction",
    "ScheduleClient",
    "ScheduleDescription",
    "ScheduleExists",
    "ScheduleHandle",
    "ScheduleNotFound",
    "ScheduleSpec",
    "ScheduledRun",
]
