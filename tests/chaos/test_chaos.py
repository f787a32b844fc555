"""Kill, stop, cut and restart everything under load: nothing is lost, nothing is done twice.

`make test-chaos`; `SEED=n` repeats a run: the same jobs, the same faults at the same times.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import breakage
import pytest
from checker import Record, Summary, check, summary
from nemesis import KINDS, Done, schedule
from orchestrator import Phase, World, insist
from shapes import NAP_S_MAX, Job, make_jobs

pytestmark = [pytest.mark.chaos]

CALM_JOBS, CALM_S = 80, 4.0
JOBS, SECONDS, FAULTS = 1_000, 54.0, 36
SHOWN_MAX = 30
QUIET_S = 3.0
"""The last jobs are started when the faults are over: each fault has some to hit."""


@pytest.fixture(scope="session")
def seed() -> Iterator[int]:
    """`SEED`, or a new one; printed either way."""
    value = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    print(f"\nSEED={value}")
    yield value


def report(world: World, record: Record, done: list[Done], seconds: float) -> Summary:
    """Print what happened."""
    seen = summary(record)
    by_kind = {k: [sum(d.fault.kind == k for d in done), 0] for k in KINDS}
    for d in done:
        by_kind[d.fault.kind][1] += d.bit
    print(f"\n{seen}\nin {seconds:.1f} s")
    if done:
        print("faults (done, bit):", {k: tuple(v) for k, v in by_kind.items() if v[0]})
        print((world.home / "faults.log").read_text())
    print("log events:", world.events())
    return seen


def verdict(world: World, violations: list[str]) -> None:
    """Fail with all that is needed to find out why."""
    if violations:
        shown = "\n".join(violations[:SHOWN_MAX])
        print(f"logs: {world.home}\n{world.tails()}")
        pytest.fail(f"{len(violations)} violations:\n{shown}")


@pytest.mark.timeout(170)
async def test_nothing_is_lost_and_nothing_is_done_twice(seed: int, tmp_path: Path) -> None:
    async with World(tmp_path, partitions=1 + seed % 2).running() as world:
        began = time.monotonic()
        calm, _ = await world.run(Phase(make_jobs(seed, CALM_JOBS, CALM_S, name="calm")))
        report(world, calm, [], time.monotonic() - began)
        violations = [f"calm: {v}" for v in check(calm)]
        verdict(world, violations)

        began = time.monotonic()
        jobs = make_jobs(seed, JOBS, SECONDS, name="load")
        faults = schedule(seed, FAULTS, SECONDS - QUIET_S)
        record, done = await world.run(Phase(jobs, faults))
        seen = report(world, record, done, time.monotonic() - began)
        violations = check(record)
        violations += [f"after expiry: {k}: {v}" for k, v in (await world.expired()).items()]
        verdict(world, violations)

        # This must happen sometimes, or the run has shown nothing.
        missed = set(KINDS) - {d.fault.kind for d in done if d.bit}
        assert not missed, f"faults that never hit anything: {sorted(missed)}"
        assert len(done) >= 30
        assert seen.jobs >= 1_000
        assert seen.repeated_calls, "no call was ever delivered again"
        assert world.events().get("entries.claimed"), "nothing was ever claimed"


@pytest.mark.timeout(60)
async def test_several_partitions_with_several_engines(seed: int, tmp_path: Path) -> None:
    async with World(tmp_path, partitions=2).running() as world:
        began = time.monotonic()
        jobs = make_jobs(seed, 120, 5.0, name="parts", shapes=("signal", "nest", "pend"))
        faults = schedule(seed, 6, 5.0, kinds=("kill_engine", "kill_fused", "cut", "kill_normal"))
        record, done = await world.run(Phase(jobs, faults, drain_s=8))
        report(world, record, done, time.monotonic() - began)
        verdict(world, check(record))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("deaf", ["killed", "dropped"])
async def test_who_hears_nothing_still_gets_every_result(
    seed: int, tmp_path: Path, deaf: str
) -> None:
    roles = ("engine-1", "worker-1")
    async with World(tmp_path, roles_wanted=roles).running() as world:
        stop = asyncio.Event()
        killed = 0

        async def kill_pubsub() -> None:
            nonlocal killed
            while not stop.is_set():
                killed += await world.admin("CLIENT", "KILL", "TYPE", "pubsub")
                await asyncio.sleep(0.1)

        if deaf == "dropped":
            _drop_hints(world)
        jobs = [
            job
            for job in make_jobs(seed, 150, 3.0, name=deaf)
            if job.shape not in ("sleep", "pend") and job.payload["nap"] <= NAP_S_MAX
        ]

        async def one(job: Job) -> None:
            deadline = time.monotonic() + 30
            await asyncio.sleep(job.at_s)
            if job.signal_after_s is not None:
                await world._signal(job, deadline)
            output = await insist(
                lambda: world.mesh.pubsub(
                    job.topic, job.payload, job_id=job.id, idempotency_key=job.id, timeout=25
                ),
                deadline,
            )
            assert output.data == job.data

        async with asyncio.TaskGroup() as tasks:
            killing = tasks.create_task(kill_pubsub()) if deaf == "killed" else None
            waiting = [tasks.create_task(one(job)) for job in jobs]
            await asyncio.wait(waiting)
            stop.set()
        assert killing is None or killed > 10


def _drop_hints(world: World) -> None:
    """The client's handlers hear nothing any more."""
    world.mesh._results._hint = lambda channel, payload: None  # type: ignore[method-assign]
    world.mesh._results._gap = lambda: None  # type: ignore[method-assign]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("variant", breakage.VARIANTS)
async def test_the_checker_catches_a_broken_engine(seed: int, tmp_path: Path, variant: str) -> None:
    world = World(tmp_path, broken=variant)
    async with world.running():
        began = time.monotonic()
        jobs = make_jobs(seed, 120, 4.0, name=variant, shapes=("fan", "fan2", "join", "chain"))
        faults = schedule(seed, 6, 4.0, kinds=("kill_engine", "kill_fused"))
        record, done = await world.run(Phase(jobs, faults, drain_s=3.5))
        report(world, record, done, time.monotonic() - began)
        violations = check(record)
        print(f"{len(violations)} violations, such as:", *violations[:3], sep="\n  ")
        assert violations
