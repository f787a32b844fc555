"""What failed in a job, as a tree over the jobs that it awaits."""

from __future__ import annotations

from core_run import Run, graph, reply_to

from hotmesh.core.failures import FAILURES_MAX, MESSAGE_CHARS_MAX, TREE_MAX, handed_up
from hotmesh.messages import ChildStart, Failure, Interrupt, Reply
from hotmesh.payload import encode

PARENT = "t: {type: trigger}\na: {type: await, topic: run}\nok: {type: hook}"
CHILD = "t: {type: trigger}\nw: {type: worker, topic: w}\nv: {type: worker, topic: v}"


def child(jid: str = "c1") -> Run:
    parent = ChildStart(jid, "run", "1", encode({}, what="x"), "j1", "a", ",0,0")
    return Run(graph(CHILD, "t: [{to: w}, {to: v}]"), jid=jid, parent=parent)


def answer_of(run: Run) -> Reply:
    return next(e for e in run.pop_entries() if isinstance(e, Reply))


def failed_child() -> Run:
    run = child()
    run.reply(run.work("w"), {"message": "no"}, status="error", code=418)
    run.reply(run.work("v"), {"message": "nor this"}, status="error", code=419)
    return run


def test_a_failed_activity_is_a_failure_of_its_job() -> None:
    run = failed_child()

    assert run.job.extras.failures == (
        Failure(418, "no", "w", ",0,0"),
        Failure(419, "nor this", "v", ",0,0"),
    )


def test_what_failed_in_a_child_lies_below_the_await() -> None:
    run = Run(graph(PARENT.replace("ok: {type: hook}", ""), "t: [{to: a}]"))

    run.take(answer_of(failed_child()))

    (top,) = run.job.extras.failures
    assert (top.code, top.message, top.aid, top.handled) == (419, "nor this", "a", False)
    assert [(f.jid, f.aid, f.code) for f in top.children] == [("c1", "w", 418), ("c1", "v", 419)]
    assert run.error == {"message": "nor this", "code": 419}  # as before


def test_an_interrupt_is_a_failure_without_an_activity() -> None:
    run = child()

    run.take(Interrupt("c1", reason="enough"))

    assert run.job.extras.failures == (Failure(410, "enough"),)
    assert answer_of(run).failures == (Failure(410, "enough", jid="c1"),)


def test_an_interrupt_without_an_error_is_none() -> None:
    run = child()

    run.take(Interrupt("c1", throw=False))

    assert run.job.extras.failures == ()
    assert answer_of(run).failures == ()


def test_a_handled_failure_is_kept_for_what_failed_below_it() -> None:
    edges = "t: [{to: a}]\na: [{to: ok, conditions: {code: '4**'}}]"
    run = Run(graph(PARENT, edges))

    run.take(answer_of(failed_child()))

    (top,) = run.job.extras.failures
    assert top.handled and len(top.children) == 2
    assert (run.status, run.error) == (0, None)


def test_a_handled_failure_alone_costs_the_record_nothing() -> None:
    run = Run(
        graph(
            "t: {type: trigger}\nw: {type: worker, topic: w}\nok: {type: hook}",
            "t: [{to: w}]\nw: [{to: ok, conditions: {code: 418}}]",
        )
    )

    run.reply(run.work("w"), {"message": "no"}, status="error", code=418)

    assert "z" not in run.stored.fields


def test_a_child_that_succeeds_hands_nothing_up() -> None:
    run = child()
    for name in ("w", "v"):
        run.reply(run.work(name))

    assert answer_of(run).failures == ()


def test_an_item_that_fails_has_its_tree_too() -> None:
    activities = "t: {type: trigger}\na: {type: await, topic: run, each: [1, 2]}"
    run = Run(graph(activities, "t: [{to: a}]"))
    failure = Failure(418, "no", "w", ",0,0", jid="c1")
    start = next(e for e in run.pop_entries() if isinstance(e, ChildStart))

    reply = reply_to(start, {"message": "no"}, status="error", code=418)
    run.take(Reply(*[getattr(reply, f) for f in Reply.__struct_fields__[:-1]], (failure,)))

    assert run.job.extras.failures[0].children == (failure,)


def test_the_failures_of_a_job_are_bounded() -> None:
    many = "\n".join(f"w{i}: {{type: worker, topic: w}}" for i in range(FAILURES_MAX + 5))
    edges = ", ".join(f"{{to: w{i}}}" for i in range(FAILURES_MAX + 5))
    run = Run(graph(f"t: {{type: trigger}}\n{many}", f"t: [{edges}]"))

    for work in run.works():
        run.reply(work, {"message": "x" * 10_000}, status="error", code=418)

    failures = run.job.extras.failures
    assert [f.aid for f in failures] == [f"w{i}" for i in range(5, FAILURES_MAX + 5)]
    assert all(len(f.message) <= MESSAGE_CHARS_MAX + 2 for f in failures)


def test_a_tree_that_is_handed_up_is_bounded_from_below() -> None:
    leaf = tuple(Failure(500, "x", f"l{i}") for i in range(20))
    middle = tuple(Failure(500, "x", f"m{i}", children=leaf) for i in range(20))
    failures = tuple(Failure(500, "x", f"t{i}", children=middle[:2]) for i in range(2))

    found = handed_up(failures, "j1")

    count = len(found) + sum(len(f.children) for f in found)
    assert count == 6 <= TREE_MAX
    assert not any(m.children for f in found for m in f.children)
    assert {f.jid for f in found} == {"j1"}


def test_a_deep_tree_is_cut_at_its_bound() -> None:
    chain: tuple[Failure, ...] = ()
    for level in range(200):
        chain = (Failure(500, "x", str(level), children=chain),)

    found, depth = handed_up(chain, "j1"), 0
    while found:
        found, depth = found[0].children, depth + 1

    assert depth == TREE_MAX
