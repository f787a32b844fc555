"""When schedules are due, and what overlapping runs do to them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
import pytest

from hotmesh.core.durable import schedule as s
from hotmesh.durable.schedules import ScheduleSpec
from hotmesh.errors import SettingsInvalid

DAY_MS = 86_400_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def first(spec: ScheduleSpec, after: str, number: int = 3) -> list[str]:
    found = islice(s.times(spec.compiled(), at(after)), number)
    return [(s.EPOCH + timedelta(milliseconds=ms)).strftime("%m-%dT%H:%M:%S") for ms in found]


def test_a_cron_expression_gives_its_times() -> None:
    assert first(ScheduleSpec(cron="0 3 * * *"), "2026-01-01") == [
        "01-01T03:00:00",
        "01-02T03:00:00",
        "01-03T03:00:00",
    ]
    assert first(ScheduleSpec(cron="*/20 0 3 * * *"), "2026-01-01", 2) == [
        "01-01T03:00:00",
        "01-01T03:00:20",
    ]


def test_intervals_and_expressions_are_put_together() -> None:
    spec = ScheduleSpec(cron=["30 0 * * *"], every=["20m", ("1h", "5m")])
    assert first(spec, "2026-01-01", 5) == [
        "01-01T00:05:00",
        "01-01T00:20:00",
        "01-01T00:30:00",
        "01-01T00:40:00",
        "01-01T01:00:00",
    ]


def test_start_end_and_skips_bound_the_times() -> None:
    spec = ScheduleSpec(
        every="1d",
        start=datetime(2026, 1, 3),
        end=datetime(2026, 1, 9, tzinfo=UTC),
        skip=[date(2026, 1, 4), datetime(2026, 1, 6), "0 0 8 * *"],
    )
    assert [t[:5] for t in first(spec, "2026-01-01", 10)] == ["01-03", "01-05", "01-07", "01-09"]
    assert [t[:5] for t in first(spec, "2027-01-01", 10)] == []


def test_a_day_is_skipped_in_its_year_only() -> None:
    spec = ScheduleSpec(cron="0 12 1 1 *", skip=[date(2027, 1, 1)])
    found = list(islice(s.times(spec.compiled(), at("2025-06-01")), 2))
    assert found == [at("2026-01-01T12:00"), at("2028-01-01T12:00")]


def test_a_local_time_that_does_not_exist_is_left_out() -> None:
    """Vienna sets its clocks from 2:00 to 3:00 on 29 March 2026."""
    spec = ScheduleSpec(cron="30 2 * * *", time_zone="Europe/Vienna")
    assert first(spec, "2026-03-27T12:00") == [
        "03-28T01:30:00",
        "03-30T00:30:00",
        "03-31T00:30:00",
    ]


def test_a_local_time_that_comes_twice_counts_once() -> None:
    """Vienna sets its clocks from 3:00 to 2:00 on 25 October 2026."""
    spec = ScheduleSpec(cron="30 2 * * *", time_zone="Europe/Vienna")
    assert first(spec, "2026-10-23T12:00") == [
        "10-24T00:30:00",
        "10-25T00:30:00",
        "10-26T01:30:00",
    ]
    # Asked in the hour that comes again, nothing of it is left.
    assert first(spec, "2026-10-25T01:10:00", 1) == ["10-26T01:30:00"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "needs cron= or every="),
        ({"cron": "x"}, "no cron expression"),
        ({"cron": "0 0 30 2 *"}, "no cron expression"),
        ({"cron": "* * * *", "skip": ["nope"]}, "no cron expression"),
        ({"every": "1ms"}, "at least 10 ms"),
        ({"every": "1h", "time_zone": "Mars/Base"}, "time_zone='Mars/Base'"),
        ({"every": "1h", "start": datetime(2026, 2, 1), "end": datetime(2026, 1, 1)}, "after"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingsInvalid, match=why):
        ScheduleSpec(**options).compiled()


def test_jitter_is_the_same_for_all_and_bounded() -> None:
    spec = ScheduleSpec(every="1h", jitter="10s").compiled()
    delays = [s.delay_of("a", spec, n * 3_600_000) for n in range(200)]
    assert delays == [s.delay_of("a", spec, n * 3_600_000) for n in range(200)]
    assert 0 <= min(delays) < 2_000 < 8_000 < max(delays) <= 10_000


def plan(overlap: s.Overlap, every: str = "1s") -> s.Plan:
    return s.Plan(ScheduleSpec(every=every).compiled(), b"", overlap)


@pytest.mark.parametrize(
    ("overlap", "starts", "cancels", "terminates", "buffered", "skipped"),
    [
        ("skip", 0, 0, 0, 0, 3),
        ("buffer_one", 0, 0, 0, 1, 2),
        ("buffer_all", 0, 0, 0, 3, 0),
        ("cancel_other", 0, 3, 0, 1, 2),
        ("terminate_other", 3, 0, 3, 0, 0),
        ("allow", 3, 0, 0, 0, 0),
    ],
)
def test_three_times_while_a_run_goes_on(
    overlap: s.Overlap, starts: int, cancels: int, terminates: int, buffered: int, skipped: int
) -> None:
    state = s.State(next_ms=1_000, running=("old",))

    decision = s.due("x", plan(overlap), state, 3_500)

    assert len(decision.starts) == starts
    assert len(decision.cancels) == cancels
    assert len(decision.terminates) == terminates
    assert len(decision.state.buffer) == buffered
    assert decision.state.skipped == skipped
    assert decision.state.next_ms == 4_000


def test_what_waits_starts_when_the_run_ends() -> None:
    state = s.due("x", plan("buffer_all"), s.State(next_ms=1_000, running=("old",)), 2_500).state

    decision = s.ended("x", state, "old", 3_000)

    assert [jid for jid, _, _ in decision.starts] == ["x-1970-01-01T00:00:01Z"]
    assert decision.state.running == ("x-1970-01-01T00:00:01Z",)
    assert decision.state.buffer == ((2_000, "reject"),)


def test_nothing_that_waits_starts_while_it_is_paused() -> None:
    state = s.State(paused=True, running=("old",), buffer=((1_000, "reject"),))
    assert s.ended("x", state, "old", 3_000).starts == []


def test_times_beyond_the_catch_up_are_counted_as_missed() -> None:
    given = msgspec.structs.replace(plan("allow", "1h"), catch_up_ms=2 * 3_600_000)

    decision = s.due("x", given, s.State(next_ms=3_600_000), DAY_MS)

    assert decision.state.missed == 21
    assert len(decision.starts) == 3
    assert decision.state.next_ms == DAY_MS + 3_600_000


def test_a_long_absence_is_made_up_for_in_steps() -> None:
    decision = s.due("x", plan("allow"), s.State(next_ms=1_000), DAY_MS)
    assert decision.state.missed == s.TIMES_MAX
    assert decision.state.next_ms == (s.TIMES_MAX + 1) * 1_000


def test_ids_name_the_time() -> None:
    assert s.workflow_id_of("n", at("2026-01-31T12:00")) == "n-2026-01-31T12:00:00Z"
    assert s.workflow_id_of("n", at("2026-01-31T12:00") + 5) == "n-2026-01-31T12:00:00.005Z"
