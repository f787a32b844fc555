"""How a job ends: expiry, interrupts, what is told to whom."""

from __future__ import annotations

from typing import Any

import pytest
from core_run import Run, graph, one_graph, reply_to

from hotmesh.core import Expire, FieldsSet, Publish
from hotmesh.core.ending import HINT_BYTES_MAX
from hotmesh.core.state import INTERRUPTED, decode_value
from hotmesh.durations import MS_MAX
from hotmesh.messages import Adopt, Discard, Interrupt

WORK = """
t: {type: trigger}
w: {type: worker, topic: w, timeout: 1h, job: {maps: {x: '{$self.output.data.x}'}}}
s: {type: hook, sleep: 30}
"""
EDGES = "t: [{to: w}, {to: s}]"


def with_expire(rule: str) -> str:
    return graph(
        "t: {type: trigger, job: {maps: {ttl: '{$self.output.data.ttl}'}}}", more=f"expire: {rule}"
    )


def ended_with_expire(rule: str, data: dict[str, Any]) -> Run:
    """A job whose last transition is the answer of a worker."""
    activities = """
    t: {type: trigger, job: {maps: {ttl: '{$self.output.data.ttl}'}}}
    w: {type: worker, topic: w}
    """
    run = Run(graph(activities, "t: [{to: w}]", more=f"expire: {rule}"), data)
    run.reply(run.work("w"))
    return run


def expiry(run: Run) -> int | None:
    at_ms = run.stored.expires_at_ms
    return None if at_ms is None else at_ms - run.now_ms


@pytest.mark.parametrize(
    ("rule", "data", "wanted_ms"),
    [
        ("30", {}, 30_000),
        ("'2 hours'", {}, 7_200_000),
        ("0", {}, None),
        ("-1", {}, None),
        ("'{$job.data.ttl}'", {"ttl": 9}, 9_000),
        ("'{$job.data.ttl}'", {}, 15_000),
        ("'{$job.data.ttl}'", {"ttl": 0}, None),
        ("'{$job.data.ttl}'", {"ttl": True}, 15_000),
    ],
)
def test_a_finished_job_is_kept_for_as_long_as_its_graph_says(
    rule: str, data: dict[str, Any], wanted_ms: int | None
) -> None:
    run = Run(with_expire(rule), data)

    assert expiry(run) == wanted_ms


def test_a_finished_job_is_kept_for_15_s_when_nothing_is_said() -> None:
    assert expiry(Run(graph("t: {type: trigger}"))) == 15_000


def test_the_start_of_a_job_may_say_how_long_it_is_kept() -> None:
    assert expiry(Run(with_expire("30"), expire_ms=777)) == 777


def test_a_running_job_has_no_expiry() -> None:
    assert expiry(Run(graph(WORK, EDGES))) is None


def test_expire_may_refer_to_the_payload() -> None:
    run = Run(with_expire("'{t.output.data.ttl}'"), {"ttl": 9})

    assert expiry(run) == 9_000


@pytest.mark.parametrize("ttl", [float("inf"), float("nan")])
def test_an_expire_that_is_no_finite_number_does_not_stop_the_end(ttl: float) -> None:
    run = ended_with_expire("'{$job.data.ttl}'", {"ttl": ttl})

    assert (run.status, run.ended()) == (0, 1)


def test_an_expire_is_bounded() -> None:
    run = ended_with_expire("'{$job.data.ttl}'", {"ttl": 1e20})

    assert all(e.after_ms <= MS_MAX for e in run.outcome.effects if isinstance(e, Expire))


def test_an_expire_whose_rule_fails_does_not_stop_the_end() -> None:
    rule = "{'@pipe': [['{$job.data.ttl}', 1, 2], ['{@string.repeat}']]}"

    run = ended_with_expire(rule, {"ttl": {}})

    assert (run.status, run.ended()) == (0, 1)


# -- interrupts


def test_an_interrupted_job_has_a_negative_status_an_error_and_an_expiry() -> None:
    run = Run(graph(WORK, EDGES), caller="c")

    run.take(Interrupt("j1", "1", "enough", expire_ms=2_500))

    assert run.status == 2 + INTERRUPTED
    assert run.error == {"code": 410, "message": "enough", "job_id": "j1"}
    assert expiry(run) == 2_500
    assert [(c, n) for c, n, _ in run.stored.published] == [("caller", "c")]


def test_an_interrupt_may_spare_the_error() -> None:
    run = Run(graph(WORK, EDGES))

    run.take(Interrupt("j1", "1", throw=False))

    assert run.error is None
    assert run.status < 0


def test_an_interrupt_takes_back_every_timer() -> None:
    run = Run(graph(WORK, EDGES))
    assert len(run.stored.timers) == 2

    run.take(Interrupt("j1", "1"))

    assert run.stored.timers == {}


def test_a_second_interrupt_changes_nothing() -> None:
    run = Run(graph(WORK, EDGES))
    run.take(Interrupt("j1", "1", "first"))

    outcome = run.take(Interrupt("j1", "1", "second"))

    assert outcome.effects == []
    assert (run.ended(), (run.error or {})["message"]) == (1, "first")


def test_an_answer_to_an_interrupted_job_changes_nothing() -> None:
    run = Run(graph(WORK, EDGES))
    run.take(Interrupt("j1", "1"))

    outcome = run.reply(run.work("w"), {"x": 1})

    assert outcome.effects == []


def test_an_answer_and_an_interrupt_in_one_batch_apply_in_their_order() -> None:
    run = Run(graph(WORK, EDGES))

    run.take(reply_to(run.work("w"), {"x": 1}), Interrupt("j1", "1"))

    assert (run.data, run.status, run.ended()) == ({"x": 1}, 1 + INTERRUPTED, 1)


def test_a_job_that_interrupts_itself_drops_what_was_queued() -> None:
    run = Run(
        graph(
            """
            t: {type: trigger}
            stop: {type: interrupt, reason: mine, job: {maps: {stopped: true}}}
            w: {type: worker, topic: w}
            """,
            "t: [{to: stop}, {to: w}]",
        )
    )

    assert run.status < 0
    assert run.works() == []
    assert run.data == {"stopped": True}
    assert (run.error or {})["message"] == "mine"
    assert run.ended() == 1


def nested_stop() -> str:
    """A job that awaits a child, sleeps, and interrupts itself once a worker has answered."""
    main = graph(
        """
        t: {type: trigger}
        w: {type: worker, topic: w}
        s: {type: hook, sleep: 60}
        child: {type: await, topic: sub}
        stop: {type: interrupt, descend: true}
        """,
        """
        t: [{to: w}, {to: s}, {to: child}]
        w: [{to: stop}]
        """,
    )
    return (
        main
        + "\n"
        + one_graph("sub", "st: {type: trigger}\nsw: {type: worker, topic: sw}", "st: [{to: sw}]")
    )


@pytest.mark.parametrize(
    "partial",
    [
        False,
        pytest.param(
            True,
        ),
    ],
)
def test_a_job_that_interrupts_itself_takes_everything_back_whatever_was_loaded(
    partial: bool,
) -> None:
    run = Run(nested_stop(), partial=partial)
    [child] = run.pop_entries()

    run.reply(run.work("w"))

    assert run.status < 0
    assert run.stored.timers == {}
    assert [type(e).__name__ for e in run.entries()] == ["Interrupt"]
    assert run.entries()[0].jid == child.jid


# -- dependants


def test_dependants_are_discarded_when_their_origin_has_ended() -> None:
    run = Run(graph(WORK, EDGES, more="expire: 20"))
    run.take(Adopt("j1", "d1"), Adopt("j1", "d2"), Adopt("j1", "d1"))

    run.reply(run.work("w"))
    run.fire()

    assert run.entries() == [Discard("d1", 20_000), Discard("d2", 20_000)]


def test_a_finished_dependant_expires_with_its_origin() -> None:
    run = Run(graph("t: {type: trigger}", more="expire: 0"))

    run.take(Discard("j1", 5_000))

    assert expiry(run) == 5_000


def test_a_dependant_of_a_job_that_has_ended_is_discarded_at_once() -> None:
    run = Run(graph("t: {type: trigger}", more="expire: 20"))

    run.take(Adopt("j1", "d1"))

    assert [type(e) for e in run.entries()] == [Discard]


def test_a_dependant_that_ends_after_its_origin_expires() -> None:
    run = Run(
        graph("t: {type: trigger}\nw: {type: worker, topic: w}", "t: [{to: w}]", more="expire: 0")
    )
    run.take(Discard("j1", 5_000))

    run.reply(run.work("w"))

    assert expiry(run) == 5_000


# -- what is published


def emitting(publishes: str) -> str:
    return graph(
        """
        t: {type: trigger, emit: true, job: {maps: {x: '{$self.output.data.x}'}}}
        w: {type: worker, topic: w}
        """,
        "t: [{to: w}]",
        more=f"publishes: {publishes}",
    )


def test_an_emitting_activity_publishes_the_state_so_far() -> None:
    run = Run(emitting("run.done"), {"x": 5})

    [(channel, name, hint)] = run.stored.published
    jid, topic, snapshot = decode_value(hint)
    assert (channel, name, jid, topic) == ("topic", "run.done.j1", "j1", "run.done")
    assert decode_value(snapshot) == [1, {"x": 5}]


def test_a_snapshot_too_large_for_a_hint_is_left_out() -> None:
    run = Run(emitting("run.done"), {"x": "x" * 2_000})

    [(_, _, hint)] = run.stored.published
    assert decode_value(hint) == ["j1", "run.done", b""]


def test_no_hint_is_over_its_limit() -> None:
    jid, topic = "j" * 256, "p" + "o" * 119
    sizes = range(600, 740, 7)

    hints = [Run(emitting(topic), {"x": "x" * size}, jid=jid).outcome.effects for size in sizes]

    for effects in hints:
        for effect in effects:
            if isinstance(effect, Publish):
                assert len(effect.payload) <= HINT_BYTES_MAX


def test_fields_come_first_and_publishing_last() -> None:
    run = Run(emitting("run.done"), {"x": 5}, caller="c")
    run.reply(run.work("w"))

    kinds = [type(e) for e in run.outcome.effects]

    assert kinds[0] is FieldsSet
    assert kinds[-2:] == [Publish, Publish]
    assert Publish not in kinds[:-2]


@pytest.mark.parametrize("kind", ["hook", "worker"])
def test_an_emit_rule_that_fails_is_a_failure_of_its_activity(kind: str) -> None:
    rule = "{'@pipe': [['{$job.data.none}', 1, 2], ['{@string.repeat}']]}"
    more = ", topic: a" if kind == "worker" else ""
    run = Run(
        graph(
            f"""
            t: {{type: trigger}}
            a: {{type: {kind}{more}, emit: {rule}}}
            w: {{type: worker, topic: w}}
            """,
            "t: [{to: a}, {to: w}]",
        )
    )

    if kind == "worker":
        run.reply(run.work("a"))

    assert run.status == 1
    assert run.error is not None
