"""What users test their workflows with: skipped time, activities alone, replays (row 116)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from durable_env import Durable
from support import eventually

from hotmesh.durable import RetryPolicy, activity, workflow
from hotmesh.errors import PayloadInvalid, SettingsInvalid
from hotmesh.testing.durable import (
    ActivityEnvironment,
    DurableEnvironment,
    Replayer,
    ReplayFailed,
    replay,
)

DAY_MS = 86_400_000


@activity.defn(heartbeat_timeout="2s", start_to_close_timeout="3s")
async def work(seconds: float) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        activity.heartbeat(until)
        await asyncio.sleep(0.01)
    return "worked"


async def month() -> list[Any]:
    begun = workflow.now()
    first = await work(1)
    await workflow.sleep_for("30 days")
    second = await work(0.01)
    return [first, second, (workflow.now() - begun).days]


@pytest.fixture(params=[1_000, 0], ids=["sticky", "replayed"])
async def env(
    request: pytest.FixtureRequest, redis_url: str, app_id: str
) -> AsyncIterator[DurableEnvironment]:
    async with DurableEnvironment(
        redis_url,
        namespace=app_id,
        workflows=[month, Sleeper, with_activity],
        activities=[work, flaky],
        max_cached=request.param,
    ) as made:
        yield made


@workflow.defn
class Sleeper:
    def __init__(self) -> None:
        self.naps = 0

    @workflow.run
    async def main(self, naps: int) -> int:
        for _ in range(naps):
            await workflow.sleep_for("1 day")
            self.naps += 1
        return self.naps

    @workflow.query
    def taken(self) -> int:
        return self.naps


@activity.defn(retry=RetryPolicy(initial_interval="1 hour", maximum_attempts=4))
async def flaky() -> int:
    if activity.info().attempt < 4:
        raise ValueError("not yet")
    return activity.info().attempt


async def with_activity() -> int:
    both = asyncio.gather(work(0.3), workflow.sleep_for("1 hour"))
    await both
    return await flaky()


async def test_116_a_month_passes_at_once(env: DurableEnvironment) -> None:
    handle = await env.client.workflow.start(month)
    assert await handle.result(timeout="20s") == ["worked", "worked", 30]
    history = await handle.history()
    attempts = [e.fields["attempt"] for e in history if e.kind == "ACT_DONE"]
    assert attempts == [1, 1], "no time limit ended an attempt"
    assert 30 * DAY_MS <= env.skipped_ms + 2_000 < 31 * DAY_MS


async def test_116_time_waits_for_an_activity(env: DurableEnvironment) -> None:
    """The timer beside a running activity is not jumped to."""
    handle = await env.client.workflow.start(with_activity)
    assert await handle.result(timeout="20s") == 4
    answers = [e for e in await handle.history() if e.kind in ("ACT_DONE", "TIMER_FIRED")]
    assert [e.kind for e in answers] == ["ACT_DONE", "TIMER_FIRED", "ACT_DONE"]


async def test_time_passes_only_as_far_as_a_test_sleeps(env: DurableEnvironment) -> None:
    began = env.now
    handle = await env.client.workflow.start(Sleeper, 100)
    await env.sleep("36h")
    assert env.now - began >= timedelta(hours=36)
    assert env.now - began < timedelta(hours=37)
    assert await handle.query("taken") == 1
    await env.sleep("48h")
    assert await handle.query("taken") == 3
    await handle.terminate()


async def test_time_can_be_held(env: DurableEnvironment) -> None:
    with env.no_skipping():
        handle = await env.client.workflow.start(Sleeper, 1)
        waiting = asyncio.ensure_future(handle.result(timeout="20s"))

        async def sleeps() -> bool:
            return "TIMER" in (await handle.history()).kinds

        await eventually(sleeps)
        assert env.skipped_ms == 0
    assert await waiting == 1
    assert env.skipped_ms > 0


async def test_several_workers_share_the_clock(env: DurableEnvironment) -> None:
    await env.worker(workflows=[month, Sleeper], activities=[work], max_cached=0)
    handles = [await env.client.workflow.start(Sleeper, 20) for _ in range(5)]
    assert [await h.result(timeout="30s") for h in handles] == [20] * 5


# -- activities alone


async def test_an_activity_alone() -> None:
    @activity.defn
    async def counts(upto: int) -> list[Any]:
        info = activity.info()
        for i in range(*info.heartbeat_details, upto):
            activity.heartbeat(i)
        return [info.name, info.attempt]

    alone = ActivityEnvironment(attempt=3, heartbeat_details=(2,))
    assert await alone.run(counts, 5) == ["counts", 3]
    assert alone.heartbeats == [(2,), (3,), (4,)]


async def test_an_async_activity_is_cancelled_with_a_reason() -> None:
    async def waits() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return activity.cancel_reason()
        return ""

    alone = ActivityEnvironment()
    running = asyncio.ensure_future(alone.run(waits))
    await eventually(lambda: alone._running)
    await asyncio.sleep(0)
    alone.cancel("GONE")
    assert await running == "GONE"


async def test_a_plain_activity_sees_cancellation_and_shutdown() -> None:
    def waits() -> list[Any]:
        assert activity.wait_cancelled(10)
        return [activity.cancel_reason(), activity.shutting_down()]

    alone = ActivityEnvironment()
    running = asyncio.ensure_future(alone.run(waits))
    await eventually(lambda: alone._running)
    alone.shutdown()
    alone.cancel()
    assert await running == ["REQUESTED", True]


async def test_an_activity_alone_raises_what_it_raises() -> None:
    def fails() -> None:
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        await ActivityEnvironment().run(fails)


# -- replays


@workflow.defn(name="replayed")
async def recorded(n: int) -> int:
    await work(0)
    await workflow.sleep_for("1ms")
    return n


@workflow.defn(name="replayed")
async def changed(n: int) -> int:
    await workflow.sleep_for("1ms")
    await work(0)
    return n


async def _history(durable: Durable) -> Any:
    await durable.worker(recorded, activities=[work])
    handle = await durable.start(recorded, 3)
    await handle.result(timeout="20s")
    return await handle.history()


async def test_a_history_is_replayed_in_every_form(durable: Durable) -> None:
    history = await _history(durable)
    replayer = Replayer([recorded])
    for given in (history, history.to_json(), list(history.items)):
        (outcome,) = replayer.replay(given)
        assert outcome.ok, outcome
        assert outcome.turns == 3
    assert len(replay([history, history.to_json()], workflows=[recorded])) == 2


async def test_a_history_is_replayed_under_other_hash_seeds(durable: Durable) -> None:
    history = await _history(durable)
    outcomes = Replayer([recorded]).replay(history, hash_seeds=(0, 1))
    assert [(o.ok, o.hash_seed) for o in outcomes] == [(True, None), (True, 0), (True, 1)]
    (_, seeded) = Replayer([changed]).replay(history, hash_seeds=(7,))
    assert not seeded.ok
    assert seeded.kind == "NonDeterminismError"


async def test_a_changed_workflow_fails_its_replay(durable: Durable) -> None:
    history = await _history(durable)
    (outcome,) = Replayer([changed]).replay(history)
    assert not outcome.ok
    assert "history holds ACT 1 work, the code asked for TIMER 1" in outcome.error
    assert f"{__file__}:{changed.__code__.co_firstlineno + 2}" in outcome.error
    with pytest.raises(ReplayFailed, match="TIMER 1"):
        replay(history, workflows=[changed])
    (unknown,) = Replayer([Sleeper]).replay(history)
    assert unknown.kind == "UnknownWorkflowError"


def test_what_is_no_history_is_refused() -> None:
    with pytest.raises(PayloadInvalid):
        Replayer([recorded]).replay("{}")
    with pytest.raises(PayloadInvalid):
        Replayer([recorded]).replay([[b"garbage"]])


async def test_a_local_workflow_has_no_child_process(durable: Durable) -> None:
    @workflow.defn(name="replayed")
    async def local(n: int) -> int:
        return n

    history = await _history(durable)
    with pytest.raises(SettingsInvalid, match="top of a module"):
        Replayer([local]).replay(history, hash_seeds=(1,))
