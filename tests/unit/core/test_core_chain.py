"""Run to quiescence, and the bound on its steps."""

from __future__ import annotations

import pytest
from core_run import Continue, Limits, Run, graph

from hotmesh.core import FieldsSet
from hotmesh.core.state import DONE
from hotmesh.messages import Interrupt

HOOKS = 50


def chain(count: int, tail: str = "") -> str:
    """A trigger, so many hooks in a row, each one more than the one before, and a tail."""
    activities = ["t: {type: trigger}"]
    transitions = ["t: [{to: h0}]"]
    for i in range(count):
        before = "t.output.data.n" if i == 0 else f"h{i - 1}.output.data.n"
        rule = f"{{'@pipe': [['{{{before}}}', 1], ['{{@math.add}}']]}}"
        activities.append(
            f"h{i}: {{type: hook, output: {{maps: {{n: {rule}}}}}, "
            f"job: {{maps: {{h{i}: '{{$self.output.data.n}}'}}}}}}"
        )
        if i + 1 < count or tail:
            transitions.append(f"h{i}: [{{to: {f'h{i + 1}' if i + 1 < count else 'w'}}}]")
    if tail:
        activities.append(tail)
    return graph("\n".join(activities), "\n".join(transitions))


def test_a_chain_of_hooks_is_one_outcome() -> None:
    run = Run(chain(HOOKS), {"n": 0})

    assert (run.status, run.job.rev, run.ended()) == (0, 1, 1)
    assert run.data == {f"h{i}": i + 1 for i in range(HOOKS)}
    assert len([e for e in run.outcome.effects if isinstance(e, FieldsSet)]) == 1


def test_a_chain_stops_where_it_must_wait() -> None:
    run = Run(
        chain(3, "w: {type: worker, topic: w, input: {maps: {n: '{h2.output.data.n}'}}}"), {"n": 4}
    )

    assert (run.status, run.job.rev) == (1, 1)
    assert bytes(run.work("w").data) == b"\x81\xa1n\x07"


@pytest.mark.parametrize("steps_max", [1, 2, 7, HOOKS - 1])
def test_a_longer_chain_goes_on_with_entries_of_its_own(steps_max: int) -> None:
    run = Run(chain(HOOKS), {"n": 0}, limits=Limits(steps_max=steps_max))
    assert run.status == 1

    count = run.go_on()

    assert count == (HOOKS - 1) // steps_max
    assert (run.status, run.ended()) == (0, 1)
    assert run.data == {f"h{i}": i + 1 for i in range(HOOKS)}


def test_a_continuation_delivered_again_enters_nothing_twice() -> None:
    run = Run(chain(6), {"n": 0}, limits=Limits(steps_max=2))
    [first] = run.pop_entries()
    assert isinstance(first, Continue)
    run.take(first)

    run.take(first)
    run.go_on()

    assert (run.status, run.ended()) == (0, 1)
    assert sorted(run.entered()) == ["h0", "h1", "h2", "h3", "h4", "h5", "t"]


def test_continuations_in_any_order_enter_each_activity_once() -> None:
    activities = ["t: {type: trigger}"] + [f"h{i}: {{type: hook}}" for i in range(9)]
    targets = ", ".join(f"{{to: h{i}}}" for i in range(9))
    run = Run(graph("\n".join(activities), f"t: [{targets}]"), limits=Limits(steps_max=2))

    waiting = run.pop_entries()
    for _ in range(20):
        for entry in reversed([*waiting, *waiting]):
            run.take(entry)
        waiting = run.pop_entries()
        if not waiting:
            break

    assert (run.status, run.ended()) == (0, 1)
    assert len(run.entered()) == 10


def test_a_continuation_of_an_interrupted_job_enters_nothing() -> None:
    run = Run(chain(4), {"n": 0}, limits=Limits(steps_max=2))
    [entry] = run.pop_entries()
    run.take(Interrupt("j1", "1"))
    before = dict(run.stored.fields)

    outcome = run.take(entry)

    assert outcome.effects == []
    assert run.stored.fields == before


def test_a_turn_of_many_events_shares_the_bound() -> None:
    model = graph(
        """
        t: {type: trigger}
        a: {type: worker, topic: a}
        b: {type: worker, topic: b}
        c: {type: hook, job: {maps: {c: 1}}}
        d: {type: hook, job: {maps: {d: 1}}}
        """,
        """
        t: [{to: a}, {to: b}]
        a: [{to: c}]
        b: [{to: d}]
        """,
    )
    run = Run(model, limits=Limits(steps_max=1))
    run.go_on()

    run.reply(run.work("a"))
    run.reply(run.work("b"))
    run.go_on()

    assert (run.status, run.data) == (0, {"c": 1, "d": 1})
    assert run.leg("c,0,0,0").state == DONE
