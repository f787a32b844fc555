"""Random models of all kinds under random schedules: each step of the engine is one that the
reference interpreter allows, with the same effect, and nothing is left undone.

A failure names its model and seed. `HOTMESH_PROPERTY_EXAMPLES=20000` is a long run, with models
that differ each time unless `HOTMESH_PROPERTY_SEED` says otherwise.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import Violation
from random_models import KINDS, Piece, RandomModel, random_models, seeded_model
from reference import Impossible, World
from replay import follow
from simulator import Choices, Simulation
from strategies import profile

from hotmesh.core import context, joins, legs, step
from hotmesh.core.state import Job, Leg

EXAMPLES = int(os.environ.get("HOTMESH_PROPERTY_EXAMPLES", "0"))
pytestmark = pytest.mark.timeout(7_200 if EXAMPLES else 120)


def first_seed() -> int:
    """0 where nothing is set, so that a run can be repeated; else a new one, which is printed."""
    if not EXAMPLES:
        return 0
    seed = int(os.environ.get("HOTMESH_PROPERTY_SEED", "0")) or random.SystemRandom().randrange(
        2**40
    )
    print(f"HOTMESH_PROPERTY_SEED={seed}")
    return seed


def run_seed(seed: int, **options: Any) -> tuple[Simulation, World]:
    """One model of one seed, on a schedule of the same; now and then its first job is stopped."""
    model, stop = seeded_model(seed), "job-0" if seed % 7 == 0 else ""
    simulation = Simulation(model, Choices.seeded(seed), stop=stop, **options)
    try:
        return simulation, follow(simulation, model, stop=stop)
    except Violation as exc:
        raise Violation(f"seed {seed}: {exc}") from None


@settings(profile(EXAMPLES // 4 or 60), derandomize=not EXAMPLES)
@given(random_models(), st.binary(max_size=600), st.booleans())
def test_a_drawn_model_does_on_any_schedule_what_the_reference_allows(
    model: RandomModel, choices: bytes, stops: bool
) -> None:
    stop = "job-0" if stops else ""

    follow(Simulation(model, Choices(choices), stop=stop), model, stop=stop)


def test_a_seeded_model_does_on_any_schedule_what_the_reference_allows() -> None:
    start = first_seed()

    for seed in range(start, start + (EXAMPLES or 400)):
        run_seed(seed)


@pytest.mark.parametrize("kind", KINDS)
def test_models_full_of_one_kind_do_what_the_reference_allows(kind: str) -> None:
    kinds = (kind, kind, "work", "pass", "wait", "await", "loop")

    for seed in range(EXAMPLES // 20 or 12):
        model = seeded_model(seed, kinds)
        follow(Simulation(model, Choices.seeded(seed)), model)


def test_the_runs_meet_everything_that_they_are_meant_to_meet() -> None:
    met: Counter[str] = Counter()

    for seed in range(150):
        simulation, world = run_seed(seed)
        met += simulation.met
        for job in world.jobs.values():
            met["interrupted"] += job.interrupted
            met["stopped by another"] += job.interrupted and job.jid not in ("job-0",)
            met["child"] += job.parent is not None
            met["interim"] += sum(1 for told in job.published if told)
            met["failed"] += job.error is not None
            met["joined"] += len(job.joins)
            met["came later"] += any(not leg.waiting and leg.mail for leg in job.legs)
            met.update(f"code {code}" for _, _, code in job.codes)
            kinds = world.graphs[job.topic].activities
            met.update(f"type {kinds[aid]['type']}" for aid, _, _ in job.codes)
            turns = [dad for _, dad, _ in job.codes if dad.strip(",0")]
            met["turn"] += len(turns)

    wanted = {"crash", "lost reply", "stale", "entry.late", "entry.repeated", "step.bounded"}
    wanted |= {"interrupted", "stopped by another", "child", "interim", "failed", "joined", "turn"}
    wanted |= {"came later", *(f"code {code}" for code in (200, 202, 422, 424, 500, 503, 504))}
    types = ("worker", "hook", "await", "signal", "cycle", "interrupt")
    wanted |= {f"type {name}" for name in types}
    assert not wanted - {name for name, count in met.items() if count}


# -- faults that were found so


FAULTS = {
    "a join behind another waits for it": [
        Piece("pass", after=(0,)),
        Piece("work", after=(0, 1), edges=(0, 6)),
        Piece("work", after=(1, 2)),
    ],
    "a cycle to a worker that answers again": [
        Piece("pend", after=(0,), arg=2),
        Piece("pass", after=(1,)),
        Piece("loop", after=(2,), arg=0, reads=0),
    ],
    "the output of a hook in its second turn": [
        Piece("either", after=(0,)),
        Piece("loop", after=(1,), arg=0, reads=0),
        Piece("work", after=(1,), reads=1),
    ],
    "the output of a hook that failed": [
        Piece("wait", after=(0,)),
        Piece("sleep", after=(1,)),
        Piece("work", after=(2,), reads=1),
    ],
    "what did not run before a join has no dimension": [
        Piece("work", after=(0,), edges=(6,)),
        Piece("pass", after=(0,)),
        Piece("work", after=(1, 2), reads=1),
    ],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_was_found_stays_away(fault: str) -> None:
    for seed in range(20):
        signals = [(0, k % 3) for k in range(seed % 4)]
        model = RandomModel(FAULTS[fault], payloads=(7, 9), signals=signals, steps_max=1 + seed % 3)
        follow(Simulation(model, Choices.seeded(seed)), model)


# -- whether the checks can fail


def join_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A join that goes on is entered twice."""
    go_on = joins._go_on

    def twice(turn: Any, node: Any, base: str, leg: Leg, *, earlier: list[str]) -> None:
        go_on(turn, node, base, leg, earlier=earlier)
        turn.job.status += 1
        turn.queue.append((node, base))

    monkeypatch.setattr(joins, "_go_on", twice)


def wrong_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """References find the first turn, whatever turn this is."""

    def first_turn(job: Job, node: Any, dad: str, other: Any) -> str:
        return str(other.zero)

    monkeypatch.setattr(context, "locate", first_turn)


def stale_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer of an earlier wait ends a later one."""
    wake = step._wake

    def any_turn(turn: Any, event: Any) -> None:
        leg = turn.job.legs.get(event.aid + event.dad)
        wake(turn, event if leg is None else msgspec.structs.replace(event, turn=leg.turn))

    monkeypatch.setattr(step, "_wake", any_turn)


def maps_on_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that a transition handles stays on the job all the same."""
    choose = legs.choose

    def never_handled(turn: Any, node: Any, context: Any, code: int) -> tuple[list[str], bool]:
        return choose(turn, node, context, code)[0], False

    monkeypatch.setattr(legs, "choose", never_handled)


MUTATIONS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a join goes on twice": join_twice,
    "references find the wrong turn": wrong_turn,
    "a stale timer counts": stale_timers,
    "a handled error stays": maps_on_errors,
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_core_with_a_fault_is_caught(mutation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTATIONS[mutation](monkeypatch)

    with pytest.raises((Violation, KeyError, ValueError)):
        for seed in range(400):
            run_seed(seed)


def test_the_reference_refuses_what_nothing_leads_to() -> None:
    model = RandomModel([Piece("work")])
    world = World(model.model, model.script)
    job = world.start("j", "g0", {"n": 1})
    world.enter(job, "a0", ",0,0")

    with pytest.raises(Impossible, match="nothing leads"):
        world.enter(job, "a0", ",0,0")
