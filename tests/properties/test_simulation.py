"""Whatever is delivered twice, late, in another order or to another process, whoever dies when:
each job ends once, as in the run in order.

A failure names its scenario and seed; run it again with
`check(Simulation(seeded(SEED), Choices.seeded(SEED)))`. HOTMESH_SIM_EXAMPLES=20000 is a long run.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory import Violation
from simulator import Choices, Simulation, check, check_stopped, undisturbed
from strategies import EXAMPLES, KINDS, Part, Scenario, profile, scenarios, seeded

pytestmark = pytest.mark.timeout(3_600 if EXAMPLES else 120)

# Signals have a property of their own below: a repeated delivery sends one again.
# A signal for a job that was interrupted waits in its slot until it is forgotten: that is no
# left-over.
STOPPED_KINDS = tuple(k for k in KINDS if k != "wait")

SHAPES = {
    "single worker": (Part("work"),),
    "chain": (Part("work"), Part("work", 1), Part("pass", 2), Part("work", 3)),
    "fan-out of 2": (Part("work"), Part("work")),
    "fan-out of 6": tuple(Part("work") for _ in range(6)),
    "fan-out below a worker": (Part("work"), *(Part("work", 1) for _ in range(4))),
    "pass-through hooks": (Part("pass"), Part("pass", 1), Part("pass", 2), Part("pass", 1)),
    "conditions by code": (Part("fail"), Part("work", 1), Part("fail", 2), Part("pass", 3)),
    "an error that nothing takes": (Part("work"), Part("fail_open", 1), Part("work", 1)),
    "await two deep": (
        Part("await"),
        Part("await", 1, inside=True),
        Part("work", 2, inside=True),
        Part("work", 1),
    ),
    "awaits side by side": (
        Part("await"),
        Part("await"),
        Part("work", 1, inside=True),
        Part("fail", 2, inside=True),
    ),
    "sleep": (Part("sleep"), Part("work", 1), Part("sleep", 2), Part("work")),
    "pending": (Part("pend", arg=3), Part("work", 1), Part("pend", 2)),
    "retry": (Part("retry", arg=3), Part("work", 1), Part("retry", arg=2)),
    "each": (Part("each", arg=1), Part("each", arg=3), Part("work", 1)),
    "join": (Part("join", arg=3), Part("join", 1, arg=1), Part("join", 2, arg=2)),
    "loop": (Part("loop", arg=3), Part("work", 1), Part("work")),
    "all at once": tuple(Part(kind) for kind in KINDS),
}
STEPS_MAX = (1_000, 1, 2)
SEEDS = EXAMPLES // len(SHAPES) or 30


def seed_check(scenario: Scenario, seed: int) -> Simulation:
    """One run; a failure names what repeats it."""
    simulation = Simulation(scenario, Choices.seeded(seed))
    try:
        check(simulation)
    except Violation as exc:
        pytest.fail(f"seed {seed}, {scenario!r}: {exc}", pytrace=False)
    return simulation


@profile(100)
@given(scenarios(KINDS), st.binary(max_size=600))
def test_any_deliveries_end_in_the_state_of_the_run_in_order(
    scenario: Scenario, choices: bytes
) -> None:
    check(Simulation(scenario, Choices(choices)))


def test_any_deliveries_of_many_random_models_end_in_the_state_of_the_run_in_order() -> None:
    for seed in range(EXAMPLES or 500):
        seed_check(seeded(seed, KINDS), seed)


@pytest.mark.parametrize("steps_max", STEPS_MAX)
@pytest.mark.parametrize("shape", SHAPES)
def test_any_deliveries_of_a_shape_end_in_the_state_of_the_run_in_order(
    shape: str, steps_max: int
) -> None:
    scenario = Scenario(SHAPES[shape], payloads=(3, 40), steps_max=steps_max)

    for seed in range(SEEDS):
        seed_check(scenario, seed)


@pytest.mark.parametrize("shape", ["await two deep", "awaits side by side", "all at once"])
def test_jobs_in_other_partitions_are_reached_by_an_outbox_that_repeats_itself(shape: str) -> None:
    scenario = Scenario(SHAPES[shape], payloads=(1, 2, 3), partitions=3)

    for seed in range(SEEDS * 2):
        seed_check(scenario, seed)


@pytest.mark.parametrize(
    "steps_max",
    [
        1_000,
        pytest.param(
            2,
        ),
    ],
)
def test_a_job_that_is_interrupted_at_any_moment_ends_once_and_changes_no_more(
    steps_max: int,
) -> None:
    met: Counter[str] = Counter()

    for seed in range(EXAMPLES or 200):
        drawn = seeded(seed, STOPPED_KINDS)
        scenario = Scenario(drawn.parts, payloads=(1, 2), steps_max=steps_max)
        simulation = Simulation(scenario, Choices.seeded(seed), stop="job-0")
        try:
            check_stopped(simulation)
        except Violation as exc:
            pytest.fail(f"seed {seed}, {scenario!r}: {exc}", pytrace=False)
        met += simulation.met

    assert met["stop applied"] > 20
    assert met["stop stale"] > 1


def test_the_runs_meet_everything_that_they_are_meant_to_meet() -> None:
    """A run of chaos that never met a stale decision, say, would prove nothing about it."""
    met: Counter[str] = Counter()

    for seed in range(120):
        met += seed_check(seeded(seed, KINDS), seed).met

    wanted = {
        *("crash", "lost reply", "claimed", "read again", "stale", "duplicate", "lost", "retried"),
        *("entry.late", "entry.repeated", "step.bounded", "continued", "timer", "forwarded"),
        *("answer dropped", "applied", "loaded whole"),
    }
    assert not wanted - {name for name, count in met.items() if count}


def test_the_undisturbed_run_calls_every_worker_once() -> None:
    scenario = Scenario((Part("retry", arg=2), Part("work", 1), Part("loop", arg=2)))

    result = undisturbed(scenario)

    assert set(result.calls.values()) == {1}
    assert len(result.calls) == 3 + 1 + 3
    assert result.jobs["job-0"]["status"] == 0


def test_the_same_seed_gives_the_same_run() -> None:
    runs = [Simulation(seeded(5, KINDS), Choices.seeded(5)) for _ in range(2)]

    for run in runs:
        check(run)

    assert list(runs[0].log) == list(runs[1].log)


@pytest.mark.parametrize(
    ("broken", "parts"),
    [
        pytest.param("rev", tuple(Part("work") for _ in range(3)), id="no rev compare"),
        pytest.param("ack_first", (Part("work"), Part("work", 1)), id="ack before apply"),
        pytest.param("closed_leg", (Part("work"), Part("work", 1)), id="no closed-leg check"),
        pytest.param("seen", (Part("pend", arg=2),), id="duplicate reply accepted"),
        pytest.param("new", (Part("await"), Part("work", 1)), id="a job id used twice"),
    ],
)
def test_a_core_or_server_without_one_of_its_checks_is_caught(
    broken: str, parts: tuple[Part, ...]
) -> None:
    scenario = Scenario(parts)
    undisturbed(scenario)

    def violates(seed: int) -> bool:
        try:
            check(Simulation(scenario, Choices.seeded(seed), broken={broken}))
        except Violation:
            return True
        return False

    assert any(violates(seed) for seed in range(100))


@pytest.mark.parametrize("partitions", [1, 2])
def test_a_signal_wakes_one_hook_once(partitions: int) -> None:
    parts = (Part("wait", arg=1), Part("work", 1), Part("wait", arg=2))
    scenario = Scenario(parts, payloads=(5, 6), partitions=partitions)

    for seed in range(150):
        seed_check(scenario, seed)


def test_a_pending_answer_after_a_retry_is_applied_once() -> None:
    scenario = Scenario((Part("stubborn", arg=1), Part("work", 1)))

    for seed in range(400):
        seed_check(scenario, seed)
