"""The checker finds each kind of violation in a record that is right but for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from checker import Call, Outcome, Record, check
from nemesis import KINDS, TARGETS, schedule
from shapes import SHAPES, make_jobs

JOB = make_jobs(1, 1, 1.0, name="x", shapes=("retry",))[0]
ENDED = 1_000.0


def good() -> Record:
    """A job that has gone well."""
    calls = [
        Call(JOB.id, JOB.id, "retry_w", ",0,0", attempt, f"g{attempt}", 1)
        for attempt in range(JOB.calls["retry_w"])
    ]
    outcome = Outcome(JOB, accepted=True, data=JOB.data, again=JOB.data, ended=ENDED)
    return Record([outcome], calls, Counter([JOB.id]), is_calm=True)


def _unfinished(record: Record) -> Record:
    return replace(record, outcomes=[Outcome(JOB, accepted=True, error="it hangs")])


def _dead(record: Record) -> Record:
    return replace(record, outcomes=[Outcome(JOB, accepted=True, error="JobError(999)")])


def _refused(record: Record) -> Record:
    return replace(record, outcomes=[Outcome(JOB, error="it was refused")])


def _wrong(record: Record) -> Record:
    return replace(record, outcomes=[replace(record.outcomes[0], data={"v": -1})])


def _changed(record: Record) -> Record:
    return replace(record, outcomes=[replace(record.outcomes[0], again={"v": -1})])


def _left_out(record: Record) -> Record:
    return replace(record, calls=record.calls[1:])


def _again(record: Record) -> Record:
    return replace(record, calls=[*record.calls, record.calls[0]])


def _ordered_twice(record: Record) -> Record:
    return replace(record, calls=[*record.calls, replace(record.calls[0], guid="other")])


def _too_far(record: Record) -> Record:
    return replace(record, calls=[*record.calls, replace(record.calls[0], dad=",0,1")])


def _heard_twice(record: Record) -> Record:
    return replace(record, published=Counter([JOB.id, JOB.id]))


def _unheard(record: Record) -> Record:
    return replace(record, published=Counter(), deaf=[(ENDED + 1, ENDED + 2)])


def _left(record: Record) -> Record:
    return replace(record, quiet={"timers": 1})


def _died(record: Record) -> Record:
    return replace(record, deaths=["engine-1"])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_unfinished, "has no result: it hangs"),
        (_dead, "undeliverable"),
        (_refused, "never accepted"),
        (_wrong, "gave {'v': -1}"),
        (_changed, "when read again"),
        (_left_out, "made the calls"),
        (_again, "without any fault"),
        (_ordered_twice, "more than once"),
        (_too_far, "made the calls"),
        (_heard_twice, "published 2 times"),
        (_unheard, "not heard"),
        (_left, "left on the server"),
        (_died, "died by itself"),
    ],
)
def test_each_violation_is_found(spoil: Callable[[Record], Record], said: str) -> None:
    assert check(good()) == []
    assert any(said in violation for violation in check(spoil(good())))


def test_faults_excuse_what_they_must() -> None:
    under_faults = replace(good(), is_calm=False, deaf=[(ENDED - 1, ENDED + 1)])
    assert check(replace(_again(under_faults), published=Counter())) == []
    assert check(_ordered_twice(under_faults)) != []


def test_seed_repeats_jobs_and_faults() -> None:
    assert make_jobs(7, 200, 9.0, name="x") == make_jobs(7, 200, 9.0, name="x")
    assert make_jobs(7, 200, 9.0, name="x") != make_jobs(8, 200, 9.0, name="x")
    assert {job.shape for job in make_jobs(7, 200, 9.0, name="x")} == set(SHAPES)
    faults = schedule(7, 36, 60.0)
    assert faults == schedule(7, 36, 60.0)
    assert faults != schedule(8, 36, 60.0)
    assert {fault.kind for fault in faults} == set(KINDS)
    assert all(f.target in TARGETS[f.kind] for f in faults if f.target)
