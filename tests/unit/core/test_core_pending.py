"""Answers that keep an activity open, time limits, retries."""

from __future__ import annotations

from core_run import Redeliver, Run, Wake, graph, reply_to
from msgspec.structs import replace

from hotmesh.core.state import DONE, OPEN, SEEN_MAX

PENDING = graph(
    """
    t: {type: trigger}
    w: {type: worker, topic: w, job: {maps: {n: '{$self.output.data.n}'}}}
    tick: {type: worker, topic: tick, input: {maps: {n: '{w.output.data.n}'}}}
    end: {type: hook, job: {maps: {last: '{w.output.data.n}'}}}
    """,
    """
    t: [{to: w}]
    w:
      - {to: tick, conditions: {code: 202}}
      - {to: end, conditions: {code: 200}}
    """,
)
LIMITED = graph(
    """
    t: {type: trigger}
    w: {type: worker, topic: w, timeout: 5s}
    late: {type: hook, job: {maps: {late: true}}}
    """,
    """
    t: [{to: w}]
    w: [{to: late, conditions: {code: 504}}]
    """,
)
LOOP = graph(
    """
    t: {type: trigger}
    w: {type: worker, topic: w, timeout: 5s}
    slow: {type: worker, topic: slow}
    again: {type: cycle, ancestor: w}
    """,
    """
    t: [{to: w}]
    w: [{to: slow}]
    slow: [{to: again, conditions: {code: 201}}]
    """,
)


def test_each_pending_answer_is_a_generation_of_its_own() -> None:
    run = Run(PENDING)
    work = run.work("w")

    for n in range(3):
        run.reply(work, {"n": n}, status="pending", rid=f"p{n}")

    assert [w.dad for w in run.works("tick")] == [",0,0,0", ",0,1,0", ",0,2,0"]
    assert (run.leg("w,0,0").generation, run.leg("w,0,0").state, run.status) == (3, OPEN, 4)
    assert run.data == {"n": 2}


def test_the_final_answer_closes_and_lies_in_the_next_generation() -> None:
    run = Run(PENDING)
    work = run.work("w")
    run.reply(work, {"n": 1}, status="pending", rid="p")

    run.reply(work, {"n": 2})

    assert (run.leg("w,0,0").state, run.data) == (DONE, {"n": 2, "last": 2})
    assert run.status == 1  # the tick still runs
    assert run.leg("end,0,1,0").state == DONE


def test_every_generation_sees_its_own_answer() -> None:
    run = Run(PENDING)
    work = run.work("w")

    for n in (5, 6):
        run.reply(work, {"n": n}, status="pending", rid=f"p{n}")

    assert [bytes(w.data) for w in run.works("tick")] == [b"\x81\xa1n\x05", b"\x81\xa1n\x06"]


def test_a_pending_answer_delivered_again_counts_once() -> None:
    run = Run(PENDING)
    answer = reply_to(run.work("w"), {"n": 1}, status="pending", rid="p")
    run.take(answer)

    outcome = run.take(answer)

    assert outcome.effects == []
    assert [n.kind for n in outcome.notes] == ["entry.repeated"]
    assert run.leg("w,0,0").generation == 1


def test_pending_answers_are_told_apart_by_their_ids_not_by_their_data() -> None:
    run = Run(PENDING)

    for rid in ("p1", "p2"):
        run.reply(run.work("w"), {"n": 1}, status="pending", rid=rid)

    assert run.leg("w,0,0").generation == 2


def test_the_last_answers_are_remembered_and_no_more() -> None:
    run = Run(PENDING)
    work = run.work("w")

    for n in range(SEEN_MAX + 5):
        run.reply(work, {"n": n}, status="pending", rid=f"p{n}")

    assert run.leg("w,0,0").seen == [f"p{n}" for n in range(5, SEEN_MAX + 5)]


def test_a_pending_answer_after_the_final_one_changes_nothing() -> None:
    run = Run(PENDING)
    run.reply(run.work("w"), {"n": 2})

    outcome = run.reply(run.work("w"), {"n": 3}, status="pending", rid="p")

    assert outcome.effects == []
    assert run.data == {"n": 2, "last": 2}


def test_an_activity_that_is_not_answered_in_time_fails_with_504() -> None:
    run = Run(LIMITED)
    [wake] = run.timers()
    assert isinstance(wake, Wake)
    assert list(run.stored.timers.values()) == [run.now_ms + 5_000]

    run.fire()

    assert (run.status, run.data, run.error) == (0, {"late": True}, None)


def test_an_answer_takes_its_time_limit_back() -> None:
    run = Run(LIMITED)

    run.reply(run.work("w"), {})

    assert run.stored.timers == {}


def test_a_pending_answer_leaves_the_time_limit_as_it_is() -> None:
    run = Run(LIMITED)
    before = dict(run.stored.timers)

    run.reply(run.work("w"), {}, status="pending", rid="p")

    assert run.stored.timers == before


def test_a_time_limit_that_fires_with_the_answer_changes_nothing() -> None:
    run = Run(LIMITED)
    [wake] = run.timers()
    run.reply(run.work("w"), {})

    outcome = run.take(wake)

    assert outcome.effects == []


def test_a_call_is_sent_again_for_as_long_as_its_activity_waits() -> None:
    run = Run(PENDING)
    again = Redeliver(replace(run.work("w"), attempt=1))

    run.take(again)
    assert [w.attempt for w in run.works("w")] == [0, 1]

    run.reply(run.work("w"), {"n": 1})
    outcome = run.take(again)
    assert outcome.effects == []


def test_a_late_time_limit_of_the_target_of_a_cycle_changes_nothing() -> None:
    run = Run(LOOP)
    [wake] = run.timers()
    run.reply(run.work("w"), {})
    assert run.status == 1

    outcome = run.take(wake)

    assert outcome.effects == []
    assert run.status == 1


def test_a_late_retry_of_the_target_of_a_cycle_changes_nothing() -> None:
    run = Run(LOOP)
    again = Redeliver(replace(run.work("w"), attempt=1))
    run.reply(run.work("w"), {})

    outcome = run.take(again)

    assert outcome.effects == []
