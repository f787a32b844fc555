"""Children in another app: what leaves, what is admitted, what comes back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from core_run import Limits, Run, graph, program, reply_to

from hotmesh.core import Append, admit
from hotmesh.core.abroad import DOOMED, named
from hotmesh.core.state import INTERRUPTED, decode_value
from hotmesh.errors import TopicNotFound
from hotmesh.messages import Begun, ChildStart, Interrupt, Reply, Visit, decode_engine_entry

HERE = graph(
    """
    t: {type: trigger}
    go:
      type: await
      app: far
      topic: run
      await: '{t.output.data.wait}'
      input: {maps: {id: '{t.output.data.id}'}}
      job: {maps: {got: '{$self.output.data}'}}
    """,
    "t: [{to: go}]",
)
ITEMS = graph(
    "t: {type: trigger}\ngo: {type: await, app: far, topic: run, each: [1, 2]}", "t: [{to: go}]"
)
FAR = graph(
    "t: {type: trigger, stats: {id: '{$self.input.data.id}'}}\nh: {type: hook, sleep: 60}",
    "t: [{to: h}]",
).replace("id: core", "id: far", 1)


def started(*, wait: bool = True, id: str = "mine") -> Run:
    return Run(HERE, {"wait": wait, "id": id})


def sent(run: Run) -> list[tuple[str, Any]]:
    """What left for other apps by this transition, by app."""
    return [
        (e.name, decode_engine_entry(e.payload))
        for e in run.outcome.effects
        if isinstance(e, Append) and e.stream == "outbox"
    ]


def admitted(visit: Visit, limits: Limits = Limits()) -> tuple[Append, ChildStart]:  # noqa: B008
    run = started()
    effect = admit(program(FAR), visit, run.env, limits)
    entry = decode_engine_entry(effect.payload)
    assert isinstance(entry, ChildStart)
    return effect, entry


def child(start: ChildStart) -> Run:
    return Run(FAR, decode_value(start.data), jid=start.jid, parent=start)


def visit_of(run: Run) -> Visit:
    ((app, visit),) = sent(run)
    assert app == "@far"
    assert isinstance(visit, Visit)
    return visit


def test_the_order_says_where_it_comes_from() -> None:
    run = started()

    start = visit_of(run).start

    assert start.origin == ("core", "1")
    assert run.leg("go,0,0").key == named("far")


def test_the_other_app_settles_version_and_id() -> None:
    visit = visit_of(started())

    effect, start = admitted(visit)

    assert (start.jid, start.version, effect.rid) == ("mine", "1", visit.jid)
    assert effect.stream == "engine"
    assert admitted(visit, Limits(partitions=64))[0].stream == "outbox"


def test_a_topic_that_is_not_there_is_refused() -> None:
    visit = visit_of(started())
    elsewhere = msgspec.structs.replace(
        visit, start=msgspec.structs.replace(visit.start, topic="other")
    )

    with pytest.raises(TopicNotFound):
        admitted(elsewhere)


def test_the_child_tells_its_id_and_later_its_result() -> None:
    run = started()
    there = child(admitted(visit_of(run))[1])
    ((app, begun),) = sent(there)
    assert (app, begun) == ("@core", Begun("j1", "go", ",0,0", "1", "far", "mine"))

    run.take(begun)
    assert run.leg("go,0,0").key == named("far", "mine")
    there.fire()
    ((_, reply),) = sent(there)
    run.take(reply)

    assert run.status == 0
    assert run.data == {"got": {}}


def test_who_does_not_wait_goes_on_with_the_id() -> None:
    run = started(wait=False)
    there = child(admitted(visit_of(run))[1])

    ((_, reply),) = sent(there)
    assert isinstance(reply, Reply)
    run.take(reply)

    assert run.data == {"got": {"job_id": "mine"}}
    there.fire()
    assert sent(there) == []


def test_an_interrupt_goes_down() -> None:
    run = started()
    run.take(Begun("j1", "go", ",0,0", "1", "far", "mine"))

    run.take(Interrupt("j1", reason="enough", descend=True))

    ((app, order),) = sent(run)
    assert (app, order.jid, order.reason, order.descend) == ("@far", "mine", "enough", True)


def test_an_interrupt_waits_for_an_id_that_is_not_known_yet() -> None:
    run = started()

    run.take(Interrupt("j1", descend=True))
    assert sent(run) == []
    assert run.leg("go,0,0").key == named("far", DOOMED)
    run.take(Begun("j1", "go", ",0,0", "1", "far", "mine"))

    ((app, order),) = sent(run)
    assert (app, order.jid) == ("@far", "mine")
    assert run.status < INTERRUPTED / 2


def test_an_interrupt_that_does_not_descend_leaves_the_child_alone() -> None:
    run = started()

    run.take(Interrupt("j1"))
    run.take(Begun("j1", "go", ",0,0", "1", "far", "mine"))

    assert sent(run) == []


def test_items_are_known_and_stopped_one_by_one() -> None:
    run = Run(ITEMS)
    assert len(sent(run)) == 2
    run.take(Begun("j1", "go", ",0,0", "1", "far", "c0"))

    run.take(Interrupt("j1", descend=True))
    assert [order.jid for _, order in sent(run)] == ["c0"]
    run.take(Begun("j1", "go", ",0,1", "1", "far", "c1"))

    assert [order.jid for _, order in sent(run)] == ["c1"]


def test_a_start_that_comes_twice_is_told_from_another_one() -> None:
    run = started()
    start = admitted(visit_of(run))[1]
    there = child(start)

    there.take(start)
    assert sent(there) == []
    there.take(msgspec.structs.replace(start, origin=("third", "1")))

    ((app, refusal),) = sent(there)
    assert (app, refusal.code) == ("@third", 409)


def test_the_own_app_is_no_other_one() -> None:
    run = Run(
        HERE.replace("app: far", "app: core").replace("topic: run", "topic: 'run'"), {"wait": True}
    )

    assert [type(e) for e in run.pop_entries()] == [ChildStart]


def test_a_result_of_this_app_is_still_taken() -> None:
    run = Run(HERE.replace("app: far", "app: core"), {"wait": True})
    (start,) = run.pop_entries()

    run.take(reply_to(start, {"x": 1}))

    assert run.data == {"got": {"x": 1}}
