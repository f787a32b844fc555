"""Schedules on the real server: they start workflows, once each, whatever engines there are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from durable_env import Durable
from support import eventually

from hotmesh.durable import (
    ApplicationError,
    ScheduleAction,
    ScheduleHandle,
    ScheduleSpec,
    workflow,
)
from hotmesh.durable.schedules import ScheduleExists, ScheduleNotFound
from hotmesh.errors import SettingsInvalid

HOURLY = ScheduleSpec(every="1h")
OFTEN = ScheduleSpec(every="100ms")


async def quick(*args: Any) -> str:
    return "done"


async def waits() -> str:
    await workflow.wait_for_signal(f"go-{workflow.info().workflow_id}")
    return "gone"


async def create(durable: Durable, fn: Any, id: str = "s", **options: Any) -> ScheduleHandle:
    given: dict[str, Any] = {"spec": HOURLY, "action": ScheduleAction(fn), **options}
    return await durable.client.schedule.create(id, **given)


async def test_a_schedule_starts_workflows_at_its_times(durable: Durable) -> None:
    await durable.worker(quick)
    schedule = await create(durable, quick, spec=OFTEN, overlap="allow")

    await eventually(lambda: _started(schedule, 3))
    await schedule.pause()

    found = await schedule.describe()
    assert found.recent[0].at > found.recent[1].at
    for run in found.recent:
        milliseconds = run.at.microsecond // 1000
        assert milliseconds % 100 == 0
        text = run.at.strftime("%Y-%m-%dT%H:%M:%S")
        assert run.workflow_id == f"s-{text}{f'.{milliseconds:03}' if milliseconds else ''}Z"
    first = durable.client.workflow.get_handle(found.recent[-1].workflow_id)
    assert await first.result(timeout="20s") == "done"


async def _started(schedule: ScheduleHandle, number: int) -> bool:
    return (await schedule.describe()).started >= number


async def test_two_engines_start_nothing_twice(durable: Durable) -> None:
    seen: list[str] = []

    async def noting() -> None:
        seen.append(workflow.info().run_id)

    first = await durable.worker(noting, max_cached=100)
    await durable.worker(noting, max_cached=100)
    schedule = await create(durable, noting, spec=OFTEN, overlap="allow")

    await eventually(lambda: _started(schedule, 8), within_s=20)
    await schedule.pause()
    found = await schedule.describe()
    await eventually(lambda: _is_idle(schedule))

    assert len(set(seen)) == found.started
    assert await durable.client.workflow.count() == found.started
    assert first is not None


async def _is_idle(schedule: ScheduleHandle) -> bool:
    found = await schedule.describe()
    return not found.running and not found.buffered


async def test_the_default_skips_times_while_a_run_goes_on(durable: Durable) -> None:
    await durable.worker(waits)
    schedule = await create(durable, waits, spec=OFTEN)

    await eventually(lambda: _skipped(schedule, 2))

    assert (await schedule.describe()).started == 1
    await schedule.pause()
    (running,) = (await schedule.describe()).running
    await eventually(lambda: _is_waiting(durable, running))
    await durable.client.workflow.get_handle(running).signal(f"go-{running}")
    await eventually(lambda: _is_idle(schedule))


async def _skipped(schedule: ScheduleHandle, number: int) -> bool:
    return (await schedule.describe()).skipped >= number


async def _is_waiting(durable: Durable, workflow_id: str) -> bool:
    return await durable.client.workflow.count(f"workflow_id = '{workflow_id}'") == 1


@pytest.mark.parametrize("overlap", ["buffer_all", "cancel_other", "terminate_other"])
async def test_what_a_trigger_does_to_a_run_that_goes_on(durable: Durable, overlap: Any) -> None:
    await durable.worker(waits)
    schedule = await create(durable, waits, overlap=overlap)
    await schedule.trigger()
    old = (await schedule.describe()).running[0]
    await eventually(lambda: _is_waiting(durable, old))

    await schedule.trigger()

    if overlap == "buffer_all":
        assert len((await schedule.describe()).buffered) == 1
        await durable.client.workflow.get_handle(old).signal(f"go-{old}")
    await eventually(lambda: _runs_another(schedule, old))
    ended = durable.client.workflow.get_handle(old)
    expected = {"buffer_all": "completed", "cancel_other": "canceled"}.get(overlap, "terminated")
    await eventually(lambda: _has_status(ended, expected))


async def _runs_another(schedule: ScheduleHandle, old: str) -> bool:
    running = (await schedule.describe()).running
    return len(running) == 1 and running[0] != old


async def _has_status(handle: Any, status: str) -> bool:
    return await handle.status() == status


async def test_a_paused_schedule_starts_nothing_but_what_is_triggered(durable: Durable) -> None:
    await durable.worker(quick)
    schedule = await create(durable, quick, spec=OFTEN, paused=True, note="later")

    found = await schedule.describe()
    assert (found.paused, found.note, found.next) == (True, "later", ())
    await schedule.trigger()
    await eventually(lambda: _is_idle(schedule))
    assert (await schedule.describe()).started == 1

    await schedule.unpause("now")
    await eventually(lambda: _started(schedule, 3))
    assert (await schedule.describe()).note == "now"


async def test_a_backfill_starts_the_times_of_a_period(durable: Durable) -> None:
    await durable.worker(quick)
    schedule = await create(durable, quick, paused=False)
    start = datetime(2026, 1, 1, tzinfo=UTC)

    assert await schedule.backfill(start, start + timedelta(hours=3)) == 4
    await eventually(lambda: _is_idle(schedule))

    found = await schedule.describe()
    assert [run.workflow_id for run in reversed(found.recent)] == [
        f"s-2026-01-01T0{hour}:00:00Z" for hour in range(4)
    ]
    assert await durable.client.workflow.count("status = 'completed'") == 4
    with pytest.raises(SettingsInvalid, match="at most 1,000"):
        await schedule.backfill(start, start + timedelta(days=365))


async def test_a_schedule_is_described_changed_listed_and_deleted(durable: Durable) -> None:
    schedule = await create(
        durable, quick, spec=ScheduleSpec(cron="0 3 * * *", time_zone="Europe/Vienna")
    )
    await create(durable, waits, "t")

    found = await schedule.describe()
    assert (found.workflow, found.overlap, found.time_zone) == ("quick", "skip", "Europe/Vienna")
    assert len(found.next) == 10
    assert {t - found.next[0] for t in found.next} >= {timedelta(0)}
    assert {d.id for d in await durable.client.schedule.list()} == {"s", "t"}

    await schedule.update(spec=HOURLY, overlap="allow", action=ScheduleAction(waits))
    found = await schedule.describe()
    assert (found.workflow, found.overlap, found.every) == ("waits", "allow", ((3_600_000, 0),))
    assert found.next[1] - found.next[0] == timedelta(hours=1)

    with pytest.raises(ScheduleExists):
        await create(durable, quick)
    await schedule.delete()
    with pytest.raises(ScheduleNotFound):
        await schedule.describe()
    with pytest.raises(ScheduleNotFound):
        await schedule.pause()
    assert [d.id for d in await durable.client.schedule.list()] == ["t"]
    point = await durable.client.open()
    timers = await point.runs.execute([("ZCARD", point.store.keys.of("s").timers)])
    assert timers == [1]  # that of the other


async def test_arguments_and_attributes_reach_the_run(durable: Durable) -> None:
    async def example(a: int, b: str) -> list[Any]:
        return [a, b]

    await durable.worker(example)
    schedule = await create(
        durable,
        example,
        action=ScheduleAction(example, args=[1, "x"], search_attributes={"by": "s"}),
    )
    await schedule.trigger()
    await eventually(lambda: _is_idle(schedule))
    (run,) = (await schedule.describe()).recent
    assert await durable.client.workflow.get_handle(run.workflow_id).result() == [1, "x"]
    assert await durable.client.workflow.count("by = 's'") == 1


async def test_a_start_whose_id_is_taken_does_not_hold_the_schedule_up(durable: Durable) -> None:
    await durable.worker(waits)
    taken = "s-2026-01-01T00:00:00Z"
    await durable.start(waits, workflow_id=taken)
    schedule = await create(durable, waits)
    start = datetime(2026, 1, 1, tzinfo=UTC)

    await schedule.backfill(start, start)

    await eventually(lambda: _is_idle(schedule))


async def test_a_workflow_with_a_cron_starts_again_by_itself(durable: Durable) -> None:
    seen: list[Any] = []

    async def example(name: str) -> int:
        seen.append(workflow.info().last_result)
        if len(seen) == 2:
            raise ApplicationError("this one fails")
        return len(seen)

    await durable.worker(example, max_cached=100)
    handle = await durable.start(example, "x", workflow_id="w", cron="* * * * * *")

    await eventually(lambda: len(seen) >= 4, within_s=20)
    await handle.cancel()
    last = await handle.result(timeout="20s")  # its code has no point at which it could cancel

    assert last == len(seen)
    assert seen[:4] == [None, 1, 1, 3]


async def test_a_cron_that_never_matches_is_refused(durable: Durable) -> None:
    with pytest.raises(SettingsInvalid, match="no cron expression"):
        await durable.start(quick, cron="0 0 30 2 *")
