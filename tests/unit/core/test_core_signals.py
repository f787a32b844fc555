"""Hooks that wait for signals, and who sends them."""

from __future__ import annotations

from typing import Any

import pytest
from core_run import NOW_MS, Limits, Run, Wake, graph, one_graph, signal

from hotmesh.core import Hear, Tell, Unhear, fold
from hotmesh.core.signals import address, bounce, registered, slot, telling
from hotmesh.core.state import DONE, OPEN
from hotmesh.errors import HookNotFound, MappingError
from hotmesh.mapping import Env
from hotmesh.messages import Interrupt, Listen, Send

HOOKS = """
s.go:
  - to: h
    conditions: {match: [{expected: '{$job.data.key}', actual: '{$self.hook.data.key}'}]}
"""
WAITING = graph(
    """
    t: {type: trigger, job: {maps: {key: '{$self.output.data.key}'}}}
    h: {type: hook, job: {maps: {n: '{$self.hook.data.n}'}}}
    more: {type: hook, job: {maps: {more: '{h.hook.data.n}'}}}
    end: {type: hook, job: {maps: {end: '{h.hook.data.n}'}}}
    """,
    """
    t: [{to: h}]
    h: [{to: more, conditions: {code: 202}}, {to: end, conditions: {code: 200}}]
    """,
    hooks=HOOKS,
)
EITHER = graph(
    """
    t: {type: trigger, job: {maps: {key: '{$self.output.data.key}'}}}
    h: {type: hook, sleep: 60, job: {maps: {n: '{$self.hook.data.n}'}}}
    """,
    "t: [{to: h}]",
    hooks=HOOKS,
)
LOOP = graph(
    """
    t: {type: trigger, job: {maps: {key: '{$self.output.data.key}'}}}
    h: {type: hook, sleep: 60, job: {maps: {n: '{$self.hook.data.n}'}}}
    w: {type: worker, topic: w}
    again: {type: cycle, ancestor: h}
    """,
    """
    t: [{to: h}]
    h: [{to: w}]
    w: [{to: again, conditions: {code: 201}}]
    """,
    hooks=HOOKS,
)


def send(run: Run, data: Any = None, **more: Any) -> None:
    """Send a signal to the slot of a run, and let the run meet it."""
    sent = signal({"key": run.data["key"], **(data or {})}, **more)
    key = str(run.data["key"])
    fold(run.stored, telling("s.go", key, sent, 600_000), run.now_ms)
    for woken in run.pop_woken():
        run.take(woken)


def test_a_hook_waits_for_its_signal_and_maps_it() -> None:
    run = Run(WAITING, {"key": "k"})
    assert (run.status, run.leg("h,0,0").state) == (1, OPEN)
    assert list(run.stored.waiters) == [("s.go", "k")]

    send(run, {"n": 5})

    assert (run.status, run.data) == (0, {"key": "k", "n": 5, "end": 5})
    assert run.stored.waiters[("s.go", "k")] == []


def test_a_signal_that_comes_early_wakes_the_hook_when_it_comes() -> None:
    run = Run(WAITING, {"key": "other"})
    early = telling("s.go", "k", signal({"n": 5}), 600_000)
    fold(run.stored, early, run.now_ms)
    late = Run(run.program, {"key": "k"}, jid="j2")
    late.stored.early, late.stored.receipts = run.stored.early, run.stored.receipts

    hear = next(e for e in late.outcome.effects if isinstance(e, Hear))
    late.stored.waiters.clear()
    fold(late.stored, hear, late.now_ms)
    for woken in late.pop_woken():
        late.take(woken)

    assert (late.status, late.data["n"]) == (0, 5)


def test_a_pending_signal_leaves_the_hook_open() -> None:
    run = Run(WAITING, {"key": "k"})

    send(run, {"n": 1}, status="pending", rid="a")
    send(run, {"n": 2}, status="pending", rid="b")
    assert (run.status, run.data["n"], run.data["more"]) == (1, 2, 2)

    send(run, {"n": 3}, rid="c")
    assert (run.status, run.data["n"], run.data["end"]) == (0, 3, 3)


def test_a_signal_that_is_sent_again_with_the_same_id_does_nothing() -> None:
    run = Run(WAITING, {"key": "k"})
    send(run, {"n": 1}, status="pending", rid="a")

    send(run, {"n": 2}, status="pending", rid="a")

    assert run.data["n"] == 1


def test_an_error_signal_fails_the_hook() -> None:
    run = Run(WAITING, {"key": "k"})

    send(run, {"message": "no"}, status="error")

    assert (run.status, (run.error or {})["code"]) == (0, 500)


def test_a_pending_signal_delivered_again_counts_once() -> None:
    run = Run(WAITING, {"key": "k"})
    fold(run.stored, telling("s.go", "k", signal({"n": 1}, status="pending"), 1), run.now_ms)
    [woken] = run.pop_woken()
    run.take(woken)

    outcome = run.take(woken)

    assert outcome.effects == []
    assert run.leg("h,0,0").generation == 1


def test_the_signal_that_closed_a_hook_is_not_sent_on_when_it_is_delivered_again() -> None:
    run = Run(WAITING, {"key": "k"})
    fold(run.stored, telling("s.go", "k", signal({"n": 1}), 1), run.now_ms)
    [woken] = run.pop_woken()
    run.take(woken)
    assert run.leg("h,0,0").state == DONE

    outcome = run.take(woken)

    assert outcome.effects == []


def test_a_signal_that_meets_a_hook_which_waits_no_more_goes_to_the_next() -> None:
    run = Run(EITHER, {"key": "k"})
    fold(run.stored, telling("s.go", "k", signal({"n": 1}), 1), run.now_ms)
    [woken] = run.pop_woken()
    run.fire()  # the timer came first

    outcome = run.take(woken)

    [tell] = [e for e in outcome.effects if isinstance(e, Tell)]
    assert (tell.topic, tell.key, tell.closes) == ("s.go", "k", True)
    assert tell.rid != woken.signal.rid  # type: ignore[union-attr]


def test_a_pending_signal_does_not_meet_a_dead_waiter_for_ever() -> None:
    run = Run(WAITING, {"key": "k"})
    [waiter] = run.stored.waiters[("s.go", "k")]
    run.take(Interrupt("j1", "1"))
    run.stored.waiters[("s.go", "k")] = [waiter]  # a registration that was delivered twice
    fold(run.stored, telling("s.go", "k", signal({}, status="pending"), 1), run.now_ms)

    rounds = 0
    while rounds < 10 and (woken := run.pop_woken()):
        rounds += 1
        run.take(*woken)

    assert rounds < 10


def test_a_timer_ends_the_wait_for_a_signal_and_takes_its_registration_back() -> None:
    run = Run(EITHER, {"key": "k"})

    run.fire()

    assert run.status == 0
    assert run.stored.waiters[("s.go", "k")] == []
    assert any(isinstance(e, Unhear) for e in run.outcome.effects)


def test_a_signal_ends_the_timer_of_its_hook() -> None:
    run = Run(EITHER, {"key": "k"})
    [wake] = run.timers()

    send(run, {"n": 2})

    assert (run.status, run.stored.timers) == (0, {})
    assert run.take(wake).effects == []


def test_a_hook_in_a_loop_waits_again_and_ignores_the_timer_of_the_wait_before() -> None:
    run = Run(LOOP, {"key": "k"})
    [first] = run.timers()
    assert isinstance(first, Wake)
    send(run, {"n": 1})
    run.reply(run.work("w"), {}, code=201)
    assert (run.status, run.leg("h,0,0").turn) == (1, 1)

    outcome = run.take(first)

    assert outcome.effects == []
    send(run, {"n": 2}, rid="s2")
    assert run.data["n"] == 2


def test_a_timer_that_fires_with_the_signal_wakes_a_hook_in_a_loop_once() -> None:
    run = Run(LOOP, {"key": "k"})
    [wake] = run.timers()
    send(run, {"n": 1})
    assert run.status == 1

    outcome = run.take(wake)

    assert outcome.effects == []


def test_an_interrupted_job_waits_for_no_signal() -> None:
    run = Run(WAITING, {"key": "k"})

    run.take(Interrupt("j1", "1"))

    assert run.stored.waiters[("s.go", "k")] == []


def test_a_hook_whose_key_resolves_to_nothing_fails_and_is_not_registered() -> None:
    run = Run(WAITING, {})

    assert (run.status, run.stored.waiters) == (0, {})
    assert "s.go" in (run.error or {})["message"] or "expected" in (run.error or {})["message"]


def test_registrations_of_other_partitions_go_there_and_come_back() -> None:
    limits = Limits(partitions=16)
    seen = set()

    for i in range(40):
        run = Run(WAITING, {"key": f"k{i}"}, jid=f"j{i}", limits=limits)
        for entry in run.entries():
            assert isinstance(entry, Listen)
            assert entry.jid == slot("s.go", f"k{i}")
            seen.add("away")
        if run.stored.waiters:
            seen.add("here")

    assert seen == {"away", "here"}


def test_a_signal_to_another_partition_travels_as_an_entry() -> None:
    sender = one_graph(
        "send",
        """
        st: {type: trigger}
        s: {type: signal, subtype: one, topic: s.go, signal: {maps: {key: '{st.output.data.key}'}}}
        """,
        "st: [{to: s}]",
    )
    seen = set()

    for i in range(40):
        run = Run(
            WAITING + "\n" + sender, {"key": f"k{i}"}, topic="send", limits=Limits(partitions=16)
        )
        tells = [e for e in run.outcome.effects if isinstance(e, Tell)]
        assert len(tells) + len(run.entries()) == 1
        seen |= {type(e) for e in (*tells, *run.entries())}

    assert seen == {Tell, Send}


def test_a_later_job_under_the_same_id_sends_a_signal_of_its_own() -> None:
    sender = one_graph(
        "send",
        """
        st: {type: trigger}
        s: {type: signal, subtype: one, topic: s.go, signal: {maps: {key: k}}}
        """,
        "st: [{to: s}]",
    )
    model = WAITING + "\n" + sender

    runs = [Run(model, {}, topic="send", now_ms=NOW_MS + i * 60_000) for i in range(2)]

    rids = {e.rid for run in runs for e in run.outcome.effects if isinstance(e, Tell)}
    assert len(rids) == 2


def test_an_address_needs_a_rule_and_a_key() -> None:
    run = Run(WAITING, {"key": "k"})
    env = Env(now_ms=0, random=lambda: 0.5)

    assert address(run.program, "s.go", {"key": 7}, env)[0] == "7"
    with pytest.raises(HookNotFound):
        address(run.program, "s.gone", {"key": 7}, env)
    with pytest.raises(MappingError):
        address(run.program, "s.go", {}, env)


def test_a_registration_names_the_partition_of_its_job() -> None:
    run = Run(WAITING, {"key": "k"})
    [waiter] = run.stored.waiters[("s.go", "k")]
    fold(run.stored, telling("s.go", "k", signal({}), 1), run.now_ms)
    [woken] = run.pop_woken()

    assert waiter.startswith(b"0:")
    assert bounce(woken, run.limits, "j1").effects
    assert registered(woken, run.limits).startswith(b"0:")
