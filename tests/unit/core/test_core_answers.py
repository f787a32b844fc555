"""What an answer does: late ones, repeated ones, conditions, errors."""

from __future__ import annotations

import pytest
from core_run import Limits, Run, graph, reply_to

from hotmesh.core.state import DONE, OPEN
from hotmesh.payload import decode

ONE = graph(
    """
    t: {type: trigger}
    w: {type: worker, topic: w, job: {maps: {x: '{$self.output.data.x}'}}}
    """,
    "t: [{to: w}]",
)
TWO = graph(
    """
    t: {type: trigger}
    a: {type: worker, topic: a, job: {maps: {a: '{$self.output.data.x}'}}}
    b: {type: worker, topic: b, job: {maps: {b: '{$self.output.data.x}'}}}
    """,
    "t: [{to: a}, {to: b}]",
)
ROUTES = graph(
    """
    t: {type: trigger}
    w: {type: worker, topic: w, job: {maps: {x: '{$self.output.data.x}'}}}
    always: {type: hook, job: {maps: {always: true}}}
    fine: {type: hook, job: {maps: {fine: true}}}
    gone: {type: hook, job: {maps: {gone: true}}}
    broken: {type: hook, job: {maps: {broken: true}}}
    seven: {type: hook, job: {maps: {seven: true}}}
    """,
    """
    t: [{to: w}]
    w:
      - {to: always}
      - {to: fine, conditions: {code: 200}}
      - {to: gone, conditions: {code: [404, 410]}}
      - {to: broken, conditions: {code: 503}}
      - {to: seven, conditions: {match: [{expected: 7, actual: '{$self.output.data.x}'}]}}
    """,
)
TAKEN = graph(
    """
    t: {type: trigger}
    w: {type: worker, topic: w}
    care: {type: hook, job: {maps: {why: '{w.output.data.message}'}}}
    """,
    """
    t: [{to: w}]
    w: [{to: care, conditions: {code: 422}}]
    """,
)
NOT_TAKEN = graph(
    """
    t: {type: trigger}
    w: {type: worker, topic: w}
    on: {type: hook, job: {maps: {on: true}}}
    """,
    """
    t: [{to: w}]
    w: [{to: on}]
    """,
)


def test_an_answer_is_mapped_and_ends_the_job() -> None:
    run = Run(ONE)
    assert (run.status, run.leg("w,0,0").state) == (1, OPEN)

    run.reply(run.work("w"), {"x": 3})

    assert (run.status, run.data, run.leg("w,0,0").state) == (0, {"x": 3}, DONE)
    assert run.ended() == 1


def test_a_late_answer_changes_nothing() -> None:
    run = Run(ONE)
    run.reply(run.work("w"), {"x": 3})
    before = dict(run.stored.fields)

    outcome = run.reply(run.work("w"), {"x": 4}, rid="another")

    assert outcome.effects == []
    assert [n.kind for n in outcome.notes] == ["entry.late"]
    assert run.stored.fields == before


def test_a_late_answer_of_a_job_that_goes_on_changes_nothing() -> None:
    run = Run(TWO)
    run.reply(run.work("a"), {"x": 1})

    outcome = run.reply(run.work("a"), {"x": 2}, rid="another")

    assert outcome.effects == []
    assert (run.status, run.data) == (1, {"a": 1})


def test_an_answer_to_an_activity_that_was_never_entered_changes_nothing() -> None:
    run = Run(ROUTES)
    stranger = reply_to(run.work("w"), {"x": 1})

    outcome = run.take(
        type(stranger)("j1", "fine", ",0,0,0", "1", "success", 200, stranger.data, "r")
    )

    assert outcome.effects == []


def test_answers_of_one_batch_are_one_transition() -> None:
    run = Run(TWO)
    rev = run.job.rev

    run.take(reply_to(run.work("a"), {"x": 1}), reply_to(run.work("b"), {"x": 2}))

    assert run.job.rev == rev + 1
    assert (run.status, run.data, run.ended()) == (0, {"a": 1, "b": 2}, 1)


def test_the_same_answer_twice_in_one_batch_counts_once() -> None:
    run = Run(ONE)
    answer = reply_to(run.work("w"), {"x": 1})

    run.take(answer, answer)

    assert (run.status, run.ended()) == (0, 1)


@pytest.mark.parametrize(
    ("answer", "data"),
    [
        (dict(data={"x": 1}), {"x": 1, "always": True, "fine": True}),
        (dict(data={"x": 7}), {"x": 7, "always": True, "fine": True, "seven": True}),
        (dict(data={"x": 1}, code=410), {"x": 1, "always": True, "gone": True}),
        (dict(data={"x": 7}, code=404), {"x": 7, "always": True, "gone": True}),
        (dict(status="error", code=404), {"always": True, "gone": True}),
        (dict(status="error", code=503), {"always": True, "broken": True}),
        (dict(status="error", code=422), {"always": True}),
    ],
)
def test_transitions_are_followed_by_code_and_match(
    answer: dict[str, object], data: dict[str, object]
) -> None:
    run = Run(ROUTES)

    run.reply(run.work("w"), **answer)  # type: ignore[arg-type]

    assert (run.status, run.data) == (0, data)


def test_an_error_that_a_transition_with_conditions_takes_is_not_the_jobs() -> None:
    run = Run(TAKEN)

    run.reply(run.work("w"), {"message": "no"}, status="error", code=422)

    assert run.error is None
    assert run.data == {"why": "no"}
    assert run.leg("w,0,0").error == {"message": "no", "code": 422}


def test_an_error_that_only_an_unconditional_transition_follows_is_the_jobs() -> None:
    run = Run(NOT_TAKEN)

    run.reply(run.work("w"), {"message": "no"}, status="error", code=422)

    assert run.error == {"message": "no", "code": 422}
    assert run.data == {"on": True}


def test_an_error_that_nothing_follows_is_the_jobs() -> None:
    run = Run(TAKEN)

    run.reply(run.work("w"), {"message": "boom", "hint": 1}, status="error", code=500)

    assert run.error == {"message": "boom", "code": 500, "hint": 1}
    assert (run.status, run.data) == (0, {})


@pytest.mark.parametrize("said", [None, "text", [1], {}, {"message": None}])
def test_an_error_always_has_a_message_and_the_code_of_the_answer(said: object) -> None:
    run = Run(TAKEN)
    answer = reply_to(run.work("w"), said if said is not None else {}, status="error", code=503)

    run.take(answer)

    assert run.error is not None
    assert set(run.error) >= {"message", "code"}
    assert run.error["code"] == 503


def test_job_maps_of_a_failed_activity_do_not_run() -> None:
    run = Run(ONE)

    run.reply(run.work("w"), {"x": 9, "message": "no"}, status="error", code=500)

    assert run.data == {}


@pytest.mark.parametrize("partial", [True, False])
def test_what_is_loaded_makes_no_difference(partial: bool) -> None:
    run = Run(ROUTES, partial=partial)

    run.reply(run.work("w"), {"x": 7})

    assert run.data == {"x": 7, "always": True, "fine": True, "seven": True}


def test_a_result_is_told_to_the_caller_and_published_once() -> None:
    model = ONE.replace("subscribes: run", "subscribes: run\n      publishes: run.done")
    run = Run(model, caller="c1")
    assert run.stored.published == []

    run.reply(run.work("w"), {"x": 1})
    run.reply(run.work("w"), {"x": 1})

    assert [(channel, name) for channel, name, _ in run.stored.published] == [
        ("caller", "c1"),
        ("topic", "run.done.j1"),
    ]


def test_a_worker_gets_its_mapped_input_and_where_it_comes_from() -> None:
    model = graph(
        """
        t: {type: trigger}
        w:
          type: worker
          topic: '{t.output.data.topic}'
          input: {maps: {n: '{t.output.data.n}', k: 1}}
        """,
        "t: [{to: w}]",
    )

    run = Run(model, {"topic": "x.y", "n": [1, 2]})

    work = run.work("w")
    assert (work.topic, work.jid, work.dad, work.attempt) == ("x.y", "j1", ",0,0", 0)
    assert decode(work.data) == {"n": [1, 2], "k": 1}


def test_the_payload_limit_holds_for_what_is_sent_to_a_worker() -> None:
    model = graph(
        """
        t: {type: trigger}
        w: {type: worker, topic: w, input: {maps: {a: '{t.output.data.a}', b: '{t.output.data.a}'}}}
        """,
        "t: [{to: w}]",
    )

    run = Run(model, {"a": "x" * 80}, limits=Limits(payload_bytes_max=120))

    assert run.works() == []
    assert run.error is not None
    assert (run.status, run.error["code"]) == (0, 413)
