"""Cycles, joins, and an activity for each item of a list."""

from __future__ import annotations

from typing import Any

import pytest
from core_run import ChildStart, Limits, Redeliver, Run, graph, one_graph, reply_to
from msgspec.structs import replace

from hotmesh.core.items import ITEMS_MAX
from hotmesh.core.state import DONE, JOINING
from hotmesh.messages import Interrupt
from hotmesh.payload import decode

CYCLE = graph(
    """
    t: {type: trigger}
    pivot: {type: hook, cycle: true, output: {maps: {turn: 0}}}
    w:
      type: worker
      topic: w
      input: {maps: {turn: '{pivot.output.data.turn}'}}
      job: {maps: {last: '{$self.output.data.turn}'}}
    again: {type: cycle, ancestor: pivot, input: {maps: {turn: '{w.output.data.turn}'}}}
    out: {type: hook, job: {maps: {out: '{w.output.data.turn}'}}}
    """,
    """
    t: [{to: pivot}]
    pivot: [{to: w}]
    w: [{to: again, conditions: {code: 201}}, {to: out, conditions: {code: 200}}]
    """,
)


def test_a_cycle_enters_its_ancestor_in_a_new_generation() -> None:
    run = Run(CYCLE)

    for turn in (1, 2, 3):
        run.reply(run.works("w")[-1], {"turn": turn}, code=201)

    assert [w.dad for w in run.works("w")] == [",0,0,0", ",0,1,0", ",0,2,0", ",0,3,0"]
    assert [decode(w.data)["turn"] for w in run.works("w")] == [0, 1, 2, 3]
    assert (run.status, run.data) == (1, {"last": 3})


def test_a_cycle_that_ends_leaves_a_balanced_status() -> None:
    run = Run(CYCLE)
    for turn in (1, 2):
        run.reply(run.works("w")[-1], {"turn": turn}, code=201)

    run.reply(run.works("w")[-1], {"turn": 9})

    assert (run.status, run.ended(), run.data) == (0, 1, {"last": 9, "out": 9})


def test_an_answer_of_an_earlier_round_changes_nothing() -> None:
    run = Run(CYCLE)
    first = run.works("w")[0]
    run.reply(first, {"turn": 1}, code=201)

    outcome = run.reply(first, {"turn": 5}, rid="another")

    assert outcome.effects == []


def test_a_cycle_that_never_ends_is_ended() -> None:
    run = Run(
        graph(
            """
            t: {type: trigger}
            pivot: {type: hook, cycle: true}
            again: {type: cycle, ancestor: pivot}
            """,
            """
            t: [{to: pivot}]
            pivot: [{to: again}]
            """,
        ),
        limits=Limits(steps_max=5_000),
    )
    run.go_on()

    assert (run.status, run.ended()) == (0, 1)
    assert "does not end" in (run.error or {})["message"]


# -- joins


def join(how: str, parents: int = 2, **more: str) -> str:
    names = [f"p{i}" for i in range(parents)]
    workers = "\n".join(f"{n}: {{type: worker, topic: {n}}}" for n in names)
    targets = ", ".join(f"{{to: {n}}}" for n in names)
    edges = "\n".join(f"{n}: [{{to: j{more.get('when', '')}}}]" for n in names)
    return graph(
        f"t: {{type: trigger}}\n{workers}\n"
        f"j: {{type: hook, join: {how}, job: {{maps: {{p0: '{{p0.output.data.n}}', j: 1}}}}}}",
        f"t: [{targets}]\n{edges}",
    )


@pytest.mark.parametrize(("how", "after"), [("all", 3), ("any", 1), ("2", 2)])
def test_a_join_goes_on_when_enough_of_its_parents_have_come(how: str, after: int) -> None:
    run = Run(join(how, parents=3))

    for i in range(3):
        assert ("j" in run.data) == (i >= after)
        run.reply(run.work(f"p{i}"), {"n": i})

    assert (run.status, run.ended()) == (0, 1)
    assert run.data == {"p0": 0, "j": 1}
    assert run.entered().count("j") == 1


def test_a_join_for_all_goes_on_without_a_parent_that_takes_another_way() -> None:
    run = Run(join("all", when=", conditions: {code: 200}"))
    run.reply(run.work("p0"), {"n": 1})
    assert run.leg("j,0,0").state == JOINING

    run.reply(run.work("p1"), {}, code=404)

    assert (run.status, run.data) == (0, {"p0": 1, "j": 1})


def test_a_join_for_more_parents_than_can_come_fails() -> None:
    run = Run(join("2", when=", conditions: {code: 200}"))
    run.reply(run.work("p0"), {"n": 1})

    run.reply(run.work("p1"), {}, code=404)

    assert (run.status, run.data) == (0, {})
    assert (run.error or {})["code"] == 424


def test_both_parents_in_one_batch_enter_the_join_once() -> None:
    run = Run(join("all"))

    run.take(*(reply_to(run.work(f"p{i}"), {"n": i}) for i in range(2)))

    assert (run.status, run.entered().count("j")) == (0, 1)


@pytest.mark.parametrize("steps_max", [1, 2])
def test_a_join_at_the_bound_of_steps_is_entered_once(steps_max: int) -> None:
    run = Run(join("all", parents=3), limits=Limits(steps_max=steps_max))
    run.go_on()

    for i in range(3):
        run.reply(run.work(f"p{i}"), {"n": i})
        run.go_on()

    assert (run.status, run.entered().count("j"), run.ended()) == (0, 1, 1)


def test_a_parent_that_comes_twice_counts_once() -> None:
    run = Run(join("all"))
    run.reply(run.work("p0"), {"n": 1}, status="pending", rid="p")

    run.reply(run.work("p0"), {"n": 2})

    assert "j" not in run.data
    assert run.status == 2


def test_an_interrupted_job_enters_no_join() -> None:
    run = Run(join("all"))
    run.reply(run.work("p0"), {"n": 1})

    run.take(Interrupt("j1", "1"))
    run.reply(run.work("p1"), {"n": 1})

    assert (run.data, run.ended()) == ({}, 1)


# -- each


def each(kind: str = "worker", concurrency: int = 2, **more: str) -> str:
    child = one_graph("sub", "st: {type: trigger, job: {maps: {n: '{$self.output.data.n}'}}}")
    return (
        graph(
            f"""
            t: {{type: trigger}}
            e:
              type: {kind}
              topic: sub
              each: '{{t.output.data.items}}'
              concurrency: {concurrency}
              {more.get("more", "")}
              input: {{maps: {{n: '{{$self.input.data.item}}', i: '{{$self.input.data.index}}'}}}}
              job: {{maps: {{all: '{{$self.output.data}}'}}}}
            after: {{type: hook, job: {{maps: {{first: '{{e.output.data.0.n}}'}}}}}}
            """,
            """
            t: [{to: e}]
            e: [{to: after, conditions: {code: 200}}]
            """,
        )
        + "\n"
        + child
    )


def items(count: int) -> dict[str, Any]:
    return {"items": [10 * i for i in range(count)]}


@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (1, 3, 0, 2, 4), (0, 2, 4, 1, 3)])
def test_results_come_in_the_order_of_the_items(order: tuple[int, ...], partial: bool) -> None:
    run = Run(each(), items(5), partial=partial)
    open_max = 0

    for index in order:
        open_max = max(open_max, len(run.works()) - order.index(index))
        [work] = [w for w in run.works() if w.dad == f",0,{index}"]
        run.reply(work, {"n": decode(work.data)["n"] + 1})

    assert run.data["all"] == [{"n": 10 * i + 1} for i in range(5)]
    assert (run.status, run.data["first"], run.ended()) == (0, 1, 1)
    assert open_max <= 2
    assert not [f for f in run.stored.fields if f.endswith(("/r", "/i"))]


def test_no_items_give_an_empty_list_at_once() -> None:
    run = Run(each(), items(0))

    assert (run.status, run.data["all"]) == (0, [])


@pytest.mark.parametrize("value", [None, 7, {"a": 1}, "text"])
def test_each_of_what_is_no_list_fails(value: Any) -> None:
    run = Run(each(), {"items": value})

    assert (run.status, run.works()) == (0, [])
    assert "no list" in (run.error or {})["message"]


def test_each_has_a_bound() -> None:
    run = Run(each(), {"items": [0] * (ITEMS_MAX + 1)})

    assert (run.status, run.works()) == (0, [])


def test_an_item_answered_again_counts_once() -> None:
    run = Run(each(), items(4))
    work = run.works()[0]
    run.reply(work, {"n": 1})

    outcome = run.reply(work, {"n": 2}, rid="another")

    assert outcome.effects == []
    assert len(run.works()) == 3


def test_an_item_that_fails_fails_the_activity_and_tells_which() -> None:
    run = Run(each(), items(4))

    run.reply(run.works()[1], {"message": "no"}, status="error", code=418)

    assert run.status == 0
    assert run.error == {"message": "no", "code": 418, "index": 1}
    assert run.reply(run.works()[0], {"n": 1}).effects == []
    assert not [f for f in run.stored.fields if f.endswith(("/r", "/i"))]


def test_an_item_is_sent_again_while_the_activity_waits() -> None:
    run = Run(each(), items(3))
    again = Redeliver(replace(run.works()[0], attempt=1))

    run.take(again)

    assert [(w.dad, w.attempt) for w in run.works()] == [(",0,0", 0), (",0,1", 0), (",0,0", 1)]


def test_children_for_each_item_have_ids_of_their_own() -> None:
    run = Run(each("await", concurrency=3), items(3))

    starts = run.pop_entries()
    assert len({s.jid for s in starts}) == 3
    for start in reversed(starts):
        run.reply(start, {"n": decode(start.data)["i"]})

    assert run.data["all"] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert run.status == 0


def test_descend_ends_the_children_of_each_item() -> None:
    run = Run(each("await", concurrency=3), items(3))
    children = {s.jid for s in run.pop_entries()}

    run.take(Interrupt("j1", "1", descend=True))

    assert {e.jid for e in run.entries()} == children


def test_the_legs_of_a_joined_activity_are_closed() -> None:
    run = Run(join("all"))

    for i in range(2):
        run.reply(run.work(f"p{i}"), {"n": i})

    assert {leg.state for leg in run.job.legs.values()} == {DONE}
    assert run.job.extras.joining == ()


def test_the_record_of_a_join_says_which_legs_led_to_it() -> None:
    activities = """
    t: {type: trigger}
    p: {type: hook}
    w: {type: worker, topic: w}
    again: {type: cycle, ancestor: p}
    v: {type: worker, topic: v}
    j: {type: hook, join: all}
    """
    edges = """
    t: [{to: p}, {to: v}]
    p: [{to: w}]
    w: [{to: again, conditions: {code: 500}}, {to: j}]
    v: [{to: j, conditions: {code: 201}}]
    """
    run = Run(graph(activities, edges))

    run.reply(run.work("w"), {"message": "no"}, status="error", rid="1")
    assert run.job.arrived == {"j,0,0": ["w,0,0,0"]}
    run.reply(run.work("w"), rid="2")
    run.reply(run.work("v"))

    assert run.status == 0
    assert run.job.arrived == {"j,0,0": ["w,0,0,0", "w,0,1,0"]}


def test_a_loop_over_an_await_starts_a_child_a_turn_and_reads_its_own_turn() -> None:
    activities = """
    t: {type: trigger}
    p: {type: hook}
    a: {type: await, topic: run, input: {maps: {n: '{p.output.data.n}'}}}
    h: {type: hook, job: {maps: {last: '{a.output.data.n}'}}}
    again: {type: cycle, ancestor: p, input: {maps: {n: '{a.output.data.n}'}}}
    """
    edges = """
    t: [{to: p}]
    p: [{to: a}]
    a: [{to: h}]
    h:
      - to: again
        conditions:
          match:
            - expected: true
              actual: {'@pipe': [['{a.output.data.n}', 3], ['{@conditional.less_than}']]}
    """
    run = Run(graph(activities, edges))
    seen = []

    for n in (1, 2, 3):
        (start,) = [e for e in run.pop_entries() if isinstance(e, ChildStart)]
        seen.append((start.parent_dad, decode(start.data)))
        run.take(reply_to(start, {"n": n}, rid=f"r{n}"))

    assert seen == [(",0,0,0", {}), (",0,1,0", {"n": 1}), (",0,2,0", {"n": 2})]
    assert (run.status, run.data) == (0, {"last": 3})
