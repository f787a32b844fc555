"""Delayed interrupts: of the own job, of another, of one that ends first."""

from __future__ import annotations

from typing import Any

import pytest
from core_run import Run, graph, signal

from hotmesh.core import fold, scrub
from hotmesh.core.ending import ALARMS_MAX
from hotmesh.core.state import INTERRUPTED, decode_value
from hotmesh.errors import Overloaded
from hotmesh.messages import Interrupt, Reply, encode_entry

ACTIVITIES = """
t: {type: trigger}
limit: {type: interrupt, after: '{t.output.data.after}', reason: too slow, code: 504, expire: 60}
w: {type: worker, topic: w}
"""
EDGES = "t: [{to: limit}]\nlimit: [{to: w}]"


def limited(after: Any = "1h") -> Run:
    return Run(graph(ACTIVITIES, EDGES), {"after": after})


def test_a_job_that_is_too_slow_ends_with_its_error() -> None:
    run = limited()
    began_ms = run.now_ms
    assert [w.aid for w in run.works()] == ["w"]

    run.fire()

    assert run.now_ms == began_ms + 3_600_000
    assert run.status == INTERRUPTED + 1
    assert run.error == {"code": 504, "message": "too slow", "job_id": "j1"}
    assert run.stored.expires_at_ms == run.now_ms + 60_000


def test_the_end_of_the_job_takes_the_timer_back() -> None:
    run = limited()

    run.reply(run.work("w"))

    assert run.status == 0
    assert run.timers() == []


def test_a_timer_that_was_popped_before_the_end_changes_nothing() -> None:
    run = limited()
    due = run.timers()[0]
    run.reply(run.work("w"))

    outcome = run.take(due)

    assert outcome.effects == []


def test_a_timer_of_an_earlier_job_of_that_id_ends_nothing() -> None:
    run = limited()
    other = Run(run.program, {"after": 10}, now_ms=run.now_ms + 1)

    other.take(run.timers()[0])

    assert other.status == 1


@pytest.mark.parametrize("after", [0, None, -5])
def test_without_a_time_it_is_at_once(after: Any) -> None:
    run = limited(after)

    assert run.status == INTERRUPTED
    assert run.works() == []


def test_a_time_that_is_none_fails_the_activity() -> None:
    run = limited("soon")

    assert run.error is not None and "after of interrupt 'limit'" in run.error["message"]


def order(rid: str = "r", **more: Any) -> Interrupt:
    return Interrupt("j1", after_ms=5_000, rid=rid, **more)


def test_an_order_of_another_job_is_answered_and_waits() -> None:
    run = Run(graph("t: {type: trigger}\nw: {type: worker, topic: w}", "t: [{to: w}]"))

    run.take(order(sender=("j0", "stop", ",0,0", "1")))

    (reply,) = [e for e in run.pop_entries() if isinstance(e, Reply)]
    assert decode_value(reply.data) == {"interrupted": False, "scheduled": True}
    assert run.status == 1
    run.fire()
    assert run.status == INTERRUPTED + 1


def test_an_order_that_comes_twice_sets_one_timer() -> None:
    run = Run(graph("t: {type: trigger}\nw: {type: worker, topic: w}", "t: [{to: w}]"))

    run.take(order(), order(), order("other"))

    assert len(run.timers()) == len(run.job.extras.alarms) == 2


def test_orders_are_bounded() -> None:
    run = Run(graph("t: {type: trigger}\nw: {type: worker, topic: w}", "t: [{to: w}]"))
    run.take(*(order(str(i)) for i in range(ALARMS_MAX)))

    with pytest.raises(Overloaded):
        run.take(order("one more"))


def test_an_activity_that_stops_another_later_says_so() -> None:
    activities = """
    t: {type: trigger}
    stop:
      type: interrupt
      target: j9
      after: 5
      job: {maps: {said: '{$self.output.data.scheduled}'}}
    """
    run = Run(graph(activities, "t: [{to: stop}]"))
    (sent,) = run.pop_entries()
    assert (sent.jid, sent.after_ms, bool(sent.rid)) == ("j9", 5_000, True)

    other = Run(graph("t: {type: trigger}\nw: {type: worker, topic: w}", "t: [{to: w}]"), jid="j9")
    other.take(sent)
    (reply,) = [e for e in other.pop_entries() if isinstance(e, Reply)]
    run.take(reply)

    assert run.data == {"said": True}
    assert run.status == 0


def test_a_signal_that_ends_the_job_in_time_takes_the_timer_back() -> None:
    activities = """
    t: {type: trigger}
    limit: {type: interrupt, after: 60}
    h: {type: hook}
    """
    hooks = "go: [{to: h, conditions: {match: [{expected: k, actual: '{$self.hook.data.k}'}]}}]"
    run = Run(graph(activities, "t: [{to: limit}, {to: h}]", hooks=hooks))
    waiter = next(iter(run.stored.waiters.values()))[0]
    run.stored.woken.append((waiter, encode_entry(signal())))

    run.take(*run.pop_woken())

    assert run.status == 0
    assert run.timers() == []


def test_a_job_that_is_scrubbed_leaves_no_timer() -> None:
    run = limited()

    for effect in scrub(run.program, run.job, run.env, run.limits).effects:
        fold(run.stored, effect, run.now_ms)

    assert run.timers() == []
