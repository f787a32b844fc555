"""A result before the end (`persist`, `persistent`), and branches that end together
(`statusThreshold`).
"""

from __future__ import annotations

import pytest
from core_run import Run, graph

from hotmesh.core import Publish
from hotmesh.core.ending import RETIRED_MS
from hotmesh.core.state import OPEN, RESULT, decode_value
from hotmesh.messages import ChildStart, Reply, Retire

ACTIVITIES = """
t: {type: trigger}
a: {type: worker, topic: a, persist: '{$self.output.data.last}', job: {maps: {a: 1}}}
b: {type: worker, topic: b, job: {maps: {b: 2}}}
"""
EDGES = "t: [{to: a}, {to: b}]"


def completed(*, more: str = "expire: 30", **options: object) -> Run:
    run = Run(graph(ACTIVITIES, EDGES, more=f"publishes: run.done\n{more}"), **options)  # type: ignore[arg-type]
    run.reply(run.work("a"), {"last": True})
    return run


def test_a_job_gives_its_result_while_a_branch_goes_on() -> None:
    run = completed()

    assert run.status == 1
    assert decode_value(run.stored.fields[RESULT]) == [{"a": 1}, None]
    told = [e for e in run.outcome.effects if isinstance(e, Publish)]
    assert [e.channel for e in told] == ["caller", "topic"]
    assert run.stored.expires_at_ms is None


def test_its_caller_and_its_parent_are_told_once() -> None:
    parent = ChildStart("j1", "run", "1", reply_to_nothing(), "p1", "w", ",0,0")
    run = completed(parent=parent)

    assert [e.code for e in run.pop_entries() if isinstance(e, Reply)] == [200]
    run.reply(run.work("b"))

    assert run.status == 0
    assert not [e for e in run.pop_entries() if isinstance(e, Reply)]
    told = [e for e in run.outcome.effects if isinstance(e, Publish)]
    assert [e.channel for e in told] == ["topic"]
    assert run.data == {"a": 1, "b": 2}
    assert decode_value(run.stored.fields[RESULT]) == [{"a": 1}, None]


def test_its_time_begins_with_the_result_and_ends_what_goes_on() -> None:
    run = completed()
    began_ms = run.now_ms
    assert [type(t) for t in run.timers()] == [Retire]

    run.fire()

    assert run.now_ms == began_ms + 30_000
    assert (run.status, run.error) == (0, None)
    assert run.stored.expires_at_ms == run.now_ms + RETIRED_MS


def test_the_end_of_the_last_branch_takes_the_timer_back() -> None:
    run = completed()

    run.reply(run.work("b"))

    assert run.timers() == []
    assert run.stored.expires_at_ms == run.now_ms + 30_000


def test_a_timer_of_an_earlier_job_of_that_id_ends_nothing() -> None:
    run = completed()

    run.take(Retire("j1", "1", run.job.meta.created_ms - 1))

    assert run.status == 1


@pytest.mark.parametrize("more", ["expire: 30\npersistent: true", "expire: 0"])
def test_a_persistent_job_is_kept_until_its_last_branch_has_ended(more: str) -> None:
    run = completed(more=more)

    assert run.timers() == []
    run.reply(run.work("b"))
    assert run.status == 0


def test_a_rule_says_whether_it_is_persistent() -> None:
    run = completed(more="expire: 30\npersistent: '{t.output.data.keep}'", data={"keep": True})

    assert run.timers() == []


def test_a_result_of_a_failed_job_is_its_error() -> None:
    run = Run(graph(ACTIVITIES.replace("'{$self.output.data.last}'", "true"), EDGES))
    run.reply(run.work("a"), {"message": "no"}, status="error", code=418)

    assert decode_value(run.stored.fields[RESULT]) == [{}, {"message": "no", "code": 418}]


def test_persist_on_the_last_activity_is_the_end() -> None:
    run = Run(graph(ACTIVITIES, EDGES))
    run.reply(run.work("b"))
    run.reply(run.work("a"), {"last": True})

    assert run.status == 0
    assert RESULT not in run.stored.fields


def test_a_persist_that_is_false_changes_nothing() -> None:
    run = Run(graph(ACTIVITIES, EDGES))
    run.reply(run.work("a"), {"last": False})

    assert run.status == 1
    assert "z" not in run.stored.fields


def reply_to_nothing() -> object:
    from hotmesh.payload import encode

    return encode({}, what="x")


# -- statusThreshold

WATCH = """
t: {type: trigger}
w: {type: worker, topic: w}
s: {type: hook, sleep: 5}
x: {type: hook, statusThreshold: 1, job: {maps: {entered: true}}}
"""
WATCH_EDGES = "t: [{to: w}, {to: s}]\ns: [{to: x}]"


def test_an_activity_is_entered_while_more_than_its_threshold_are_open() -> None:
    run = Run(graph(WATCH, WATCH_EDGES))

    run.fire()

    assert run.status == 1
    assert run.data == {"entered": True}


def test_the_last_branch_ends_the_job_instead() -> None:
    run = Run(graph(WATCH, WATCH_EDGES))
    run.reply(run.work("w"))

    run.fire()

    assert run.status == 0
    assert run.data == {}
    assert run.ended() == 1


def test_branches_up_to_the_threshold_are_ended_together() -> None:
    activities = (
        WATCH.replace("statusThreshold: 1", "statusThreshold: 3") + "\nz: {type: hook, sleep: 60}"
    )
    run = Run(graph(activities, WATCH_EDGES.replace("{to: s}", "{to: s}, {to: z}")))

    run.fire()

    assert run.status == 0
    assert run.timers() == []
    assert run.leg("w,0,0").state == OPEN  # it was not answered
    run.reply(run.work("w"))
    assert run.status == 0
    assert run.ended() == 1


def test_a_threshold_that_is_no_number_fails_the_activity() -> None:
    run = Run(
        graph(
            WATCH.replace("statusThreshold: 1", "statusThreshold: '{t.output.data.n}'"), WATCH_EDGES
        )
    )

    run.fire()

    assert run.error is not None and "resolved to no number" in run.error["message"]
    assert run.status == 1
