"""Await activities and the jobs that they start; job ids."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from core_run import NOW_MS, ChildStart, Limits, Reply, Run, graph, one_graph, program

from hotmesh.core import Outcome, TimerSet, job_id_of, missed, refuse
from hotmesh.core.step import AGAIN_MS
from hotmesh.errors import MappingError, NameInvalid, PayloadInvalid, TopicNotFound
from hotmesh.mapping import Env
from hotmesh.messages import Interrupt, decode_engine_entry
from hotmesh.payload import decode

PARENT = (
    graph(
        """
        t: {type: trigger}
        a:
          type: await
          topic: sub
          input: {maps: {n: '{t.output.data.n}'}}
          job: {maps: {child: '{$self.output.data}'}}
        next: {type: hook, job: {maps: {got: '{a.output.data.doubled}'}}}
        """,
        """
        t: [{to: a}]
        a: [{to: next, conditions: {code: 200}}]
        """,
    )
    + "\n"
    + one_graph(
        "sub",
        """
        st: {type: trigger}
        sw: {type: worker, topic: sw, job: {maps: {doubled: '{$self.output.data.n}'}}}
        """,
        "st: [{to: sw}]",
    )
)
NAMED = graph("t: {type: trigger, stats: {id: '{$self.input.data.id}'}}")


def child_of(run: Run, **more: Any) -> Run:
    """The child that a job has just ordered, started."""
    [start] = [e for e in run.pop_entries() if isinstance(e, ChildStart)]
    return Run(
        run.program,
        decode(start.data),
        jid=start.jid,
        topic=start.topic,
        parent=start,
        caller="",
        **more,
    )


def test_a_child_answers_its_parent_once_with_its_data() -> None:
    parent = Run(PARENT, {"n": 4})
    child = child_of(parent)
    assert decode(child.work("sw").data) == {}

    child.reply(child.work("sw"), {"n": 8})

    [answer] = child.pop_entries()
    assert isinstance(answer, Reply)
    assert (answer.jid, answer.aid, answer.dad, answer.status) == ("j1", "a", ",0,0", "success")
    parent.take(answer)
    assert parent.data == {"child": {"doubled": 8}, "got": 8}
    assert (parent.status, parent.ended(), child.ended()) == (0, 1, 1)


def test_a_childs_answer_delivered_again_changes_nothing() -> None:
    parent = Run(PARENT, {"n": 4})
    child = child_of(parent)
    child.reply(child.work("sw"), {"n": 8})
    [answer] = child.pop_entries()
    parent.take(answer)

    outcome = parent.take(answer)

    assert outcome.effects == []


def test_a_child_that_fails_fails_the_await_with_its_code() -> None:
    parent = Run(PARENT, {"n": 4})
    child = child_of(parent)

    child.reply(child.work("sw"), {"message": "no"}, status="error", code=418)

    [answer] = child.pop_entries()
    parent.take(answer)
    assert parent.error == {"message": "no", "code": 418}
    assert parent.data == {}


def test_a_child_gets_the_same_id_at_every_decision() -> None:
    first, second = Run(PARENT, {"n": 4}), Run(PARENT, {"n": 4})

    ids = {child_of(first).jid, child_of(second).jid}

    assert len(ids) == 1


def test_children_of_different_parents_have_different_ids() -> None:
    ids = {child_of(Run(PARENT, {"n": 4}, jid=f"j{i}")).jid for i in range(20)}

    assert len(ids) == 20


def test_a_child_of_an_earlier_run_under_the_same_id_is_not_taken_for_this_ones() -> None:
    first = Run(PARENT, {"n": 4})
    old = child_of(first)
    old.reply(old.work("sw"), {"n": 8})
    old.pop_entries()
    second = Run(PARENT, {"n": 5}, now_ms=NOW_MS + 60_000)
    [start] = second.pop_entries()

    if start.jid == old.jid:
        old.take(start)
        assert old.entries() != [], "the parent hears nothing"


def test_the_start_of_a_child_that_runs_already_changes_nothing() -> None:
    parent = Run(PARENT, {"n": 4})
    [start] = parent.entries()
    child = child_of(parent)

    outcome = child.take(start)

    assert outcome.effects == []
    assert [n.kind for n in outcome.notes] == ["entry.repeated"]


def test_a_child_whose_id_another_job_has_is_an_error_of_the_await() -> None:
    parent = Run(PARENT, {"n": 4})
    [start] = parent.pop_entries()
    stranger = Run(parent.program, {"n": 1}, jid=start.jid)
    stranger.pop_entries()

    stranger.take(start)

    [answer] = stranger.pop_entries()
    parent.take(answer)
    assert (parent.error or {})["code"] == 409
    assert parent.status == 0


def test_a_child_that_can_not_begin_is_an_error_of_the_await() -> None:
    parent = Run(PARENT, {"n": 4})
    [start] = parent.pop_entries()

    outcome = refuse(start, PayloadInvalid("no such field"), parent.limits)

    [append] = outcome.effects
    parent.take(decode_engine_entry(append.payload))
    assert parent.error == {"message": "no such field", "code": 422}


def test_a_child_that_can_not_begin_and_is_not_awaited_tells_nobody() -> None:
    [start] = Run(PARENT, {"n": 4}).pop_entries()
    unheard = msgspec.structs.replace(start, answer=False)

    assert refuse(unheard, PayloadInvalid("no"), Limits()) == Outcome()


def test_an_await_of_a_topic_that_nothing_subscribes_to_fails() -> None:
    run = Run(PARENT.replace("topic: sub", "topic: '{t.output.data.topic}'"), {"topic": "nowhere"})

    assert (run.error or {})["code"] == 500
    assert "nowhere" in (run.error or {})["message"]
    assert run.entries() == []


def test_an_await_that_does_not_wait_goes_on_at_once() -> None:
    model = PARENT.replace("topic: sub\n", "topic: sub\n          await: false\n")
    run = Run(model, {"n": 1})

    [start] = run.pop_entries()
    assert (start.answer, run.status) == (False, 0)
    assert run.data["child"] == {"job_id": start.jid}
    child = Run(run.program, {"n": 1}, jid=start.jid, topic="sub", parent=start, caller="")
    child.reply(child.work("sw"), {"n": 1})
    assert child.entries() == []


def test_the_entry_of_a_child_in_another_partition_goes_through_the_outbox() -> None:
    limits = Limits(partitions=16)
    kinds = set()

    for i in range(200):
        run = Run(PARENT, {"n": 4}, jid=f"j{i}", limits=limits)
        kinds |= {kind for kind, _ in run.stored.streams}

    assert kinds == {"engine", "outbox"}


# -- job ids


def env() -> Env:
    return Env(now_ms=0, random=lambda: 0.5)


@pytest.mark.parametrize(
    ("value", "jid"),
    [
        ("order-1", "order-1"),
        ("größe {a}*", "größe {a}*"),
        (7, "7"),
        (7.0, "7"),
        (2**53, "9007199254740992"),
        (0.5, "0.5"),
    ],
)
def test_a_job_id_is_mapped_from_the_payload(value: object, jid: str) -> None:
    assert job_id_of(program(NAMED), "run", {"id": value}, env()) == jid


@pytest.mark.parametrize(("value", "jid"), [(1234567.5, "1234567.5"), (1234567.0, "1234567")])
def test_a_job_id_from_a_large_number_keeps_all_its_digits(value: float, jid: str) -> None:
    assert job_id_of(program(NAMED), "run", {"id": value}, env()) == jid


@pytest.mark.parametrize("value", ["", "x" * 257, True, [], {}, "é" * 129])
def test_what_can_be_no_job_id_is_refused(value: object) -> None:
    with pytest.raises(NameInvalid):
        job_id_of(program(NAMED), "run", {"id": value}, env())


@pytest.mark.parametrize("payload", [{}, {"id": None}])
def test_a_job_id_that_resolves_to_nothing_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(MappingError, match=r"stats\.id"):
        job_id_of(program(NAMED), "run", payload, env())


def test_a_graph_without_a_mapped_id_leaves_it_open() -> None:
    assert job_id_of(program(PARENT), "run", {}, env()) is None
    assert job_id_of(program(PARENT), "unknown", {}, env()) is None


def test_a_topic_that_nothing_subscribes_to_starts_no_job() -> None:
    with pytest.raises(TopicNotFound):
        Run(PARENT, topic="rum")


def test_an_order_from_above_is_for_the_child_of_that_parent_alone() -> None:
    start = next(e for e in Run(PARENT, {"n": 4}).pop_entries() if isinstance(e, ChildStart))
    run = Run(PARENT, {"n": 4}, jid=start.jid, parent=start)

    run.take(Interrupt(start.jid, parent="another"))
    assert run.status > 0
    run.take(Interrupt(start.jid, parent=start.parent_jid))

    assert run.status < 0


def test_an_order_from_above_for_a_child_that_has_not_begun_is_tried_again() -> None:
    order, delays = Interrupt("c1", parent="j1", descend=True), []
    while timers := [e for e in missed(order, Limits()).effects if isinstance(e, TimerSet)]:
        entry = decode_engine_entry(timers[0].entry)
        assert isinstance(entry, Interrupt)
        order = entry
        delays.append(timers[0].after_ms)

    assert delays == list(AGAIN_MS)
    assert missed(Interrupt("c1"), Limits()).effects == []
