"""What code must not do, and what becomes of a run whose code did it (rows 90-98, 122)."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from time import time as bound_before
from typing import Any

import pytest
from durable_env import Durable
from structlog.testing import capture_logs
from support import eventually

from hotmesh.durable import activity, workflow
from hotmesh.durable.errors import RegistrationError


@activity.defn
async def step(n: int) -> int:
    return n


BURIED: list[Any] = []

FORBIDDEN: dict[str, tuple[Callable[[], Any], str]] = {
    "time": (lambda: time.time(), "workflow.now()"),
    "random": (lambda: random.random(), "workflow.random()"),
    "uuid4": (lambda: uuid.uuid4(), "workflow.uuid4()"),
    "urandom": (lambda: os.urandom(4), "workflow.random()"),
    "open": (lambda: open(__file__), "activity"),  # noqa: SIM115 - it is refused
    "socket": (lambda: socket.socket(), "activity"),
    "thread": (lambda: threading.Thread(target=len).start(), "activity"),
    "sleep": (lambda: time.sleep(0.001), "sleep"),
}


async def test_90_forbidden_calls_leave_the_run_open_until_the_code_is_mended(
    durable: Durable,
) -> None:
    @workflow.defn(name="guarded")
    async def broken(what: str) -> int:
        value = await step(1)
        FORBIDDEN[what][0]()
        return value

    @workflow.defn(name="guarded")
    async def mended(what: str) -> int:
        return await step(1) + await step(2)

    first = await durable.worker(broken, activities=[step])
    handles = {what: await durable.start(broken, what) for what in FORBIDDEN}
    for what, handle in handles.items():

        async def failed(handle: Any = handle) -> str:
            return str((await handle.describe()).last_error)

        said = await eventually(failed)
        assert said.startswith("WorkflowForbiddenError"), (what, said)
        assert FORBIDDEN[what][1] in said, (what, said)
        assert await handle.status() == "running"
    await first.stop()
    await durable.worker(mended, activities=[step])
    for handle in handles.values():
        assert await handle.result(timeout="30s") == 3
        acts = [e for e in await handle.history() if e.kind == "ACT_DONE"]
        assert [e.fields["attempt"] for e in acts] == [1, 1], "no activity ran again"


async def test_122_a_swallowed_violation_still_fails_the_turn(durable: Durable) -> None:
    @workflow.defn(name="swallows")
    async def broken() -> float:
        try:
            time.time()
        except Exception:  # noqa: BLE001, S110 - what is tested
            pass
        return 1.0

    await durable.worker(broken)
    handle = await durable.start(broken)

    async def failed() -> str:
        return str((await handle.describe()).last_error)

    assert "WorkflowForbiddenError" in await eventually(failed)
    assert await handle.status() == "running"


async def test_91_logging_works_and_is_not_repeated(
    durable: Durable, caplog: pytest.LogCaptureFixture
) -> None:
    async def example() -> int:
        logging.getLogger("mine").info("plain")
        workflow.logger.info("begun")
        value = 0
        for i in range(3):
            value += await step(i)
            await workflow.sleep_for("5ms")
        workflow.logger.info("ended")
        return value

    with caplog.at_level(logging.INFO):
        await durable.worker(example, activities=[step])
        assert await durable.run(example) == 3
    said = [r.message for r in caplog.records]
    assert "plain" in said
    assert said.count("begun") == 1
    assert said.count("ended") == 1


async def _binds_time() -> None:
    bound_before()


async def _asks_now() -> None:
    datetime.now()


async def _walks_a_set() -> None:
    for name in {"a", "b"}:
        workflow.emit(name)


@pytest.mark.parametrize(
    ("code", "line"),
    [(_binds_time, 1), (_asks_now, 1), (_walks_a_set, 1)],
    ids=["bound", "now", "set"],
)
async def test_92_the_source_is_checked(durable: Durable, code: Any, line: int) -> None:
    where = f"{__file__}:{code.__code__.co_firstlineno + line}"
    with pytest.raises(RegistrationError) as caught:
        await durable.worker(code, strict=True)
    assert where in str(caught.value)
    with capture_logs() as logs:
        await durable.worker(code)
    assert any(where in e.get("finding", "") for e in logs)


async def test_93_a_turn_that_does_not_end_is_reported_and_others_go_on(
    durable: Durable,
) -> None:
    @workflow.defn(name="stuck")
    async def stuck() -> int:
        n = 0
        while n < 60_000_000:
            n += 1
        return n

    @workflow.defn(name="stuck")
    async def mended() -> int:
        return await step(7)

    async def other() -> int:
        await workflow.sleep_for("10ms")
        return await step(1)

    first = await durable.worker(stuck, other, activities=[step], deadlock_timeout="200ms")
    others = [await durable.start(other) for _ in range(3)]
    handle = await durable.start(stuck)

    async def failed() -> str:
        return str((await handle.describe()).last_error)

    said = await eventually(failed, within_s=40)
    assert "WorkflowDeadlockError" in said
    for one in others:
        assert await one.result(timeout="30s") == 1
    assert await handle.status() == "running"
    await first.stop()
    await durable.worker(mended, activities=[step])
    assert await handle.result(timeout="40s") == 7


async def test_94_evicted_runs_do_nothing_at_the_end(durable: Durable) -> None:
    threads: set[int] = set()
    evicted: list[str] = []

    async def waits() -> str:
        name = workflow.info().workflow_id
        try:
            (said,) = await workflow.wait_for_signal(f"go-{name}")
            return str(said)
        finally:
            threads.add(threading.get_ident())
            evicted.append(name)
            workflow.logger.error("must not be heard at eviction")
            await workflow.emit("ended", name)

    heard: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = heard.append  # type: ignore[method-assign]
    workflow.logger.logger.addHandler(handler)
    runs, kept = 150, 100
    cached = {"max_cached": kept} if durable.options.get("max_cached", 1) else {}
    worker = await durable.worker(waits, concurrency=200, **cached)
    handles = [await durable.start(waits) for _ in range(runs)]

    async def all_wait() -> bool:
        histories = [(await h.history()).kinds for h in handles]
        return all("WAIT" in kinds for kinds in histories)

    await eventually(all_wait, within_s=30)
    assert worker.turns is not None
    await eventually(lambda: len(evicted) >= (runs - kept if cached else runs))
    assert not heard
    if cached:
        assert worker.turns.evictions == runs - kept
        assert len(worker.turns.cache) == kept
    for handle in handles:
        kinds = (await handle.history()).kinds
        assert kinds == ["START", "TASK", "WAIT"]
    assert threads == {threading.get_ident()}
    for handle in handles:
        await durable.client.workflow.signal(f"go-{handle.workflow_id}", "x")
    assert [await h.result(timeout="30s") for h in handles] == ["x"] * runs
    workflow.logger.logger.removeHandler(handler)


async def test_95_a_run_that_clings_gives_its_place_up(durable: Durable) -> None:
    free = False

    async def clings() -> None:
        try:
            await workflow.wait_for_signal(f"never-{workflow.info().workflow_id}")
        finally:
            while not free:
                try:
                    await asyncio.sleep(0)
                except BaseException:  # noqa: BLE001, S110 - what is tested
                    pass

    worker = await durable.worker(clings, max_cached=0)
    handle = await durable.start(clings)
    assert worker.turns is not None
    await eventually(lambda: worker.turns.graveyard)
    assert len(worker.turns.graveyard) == 1
    assert handle.run_id not in worker.turns.cache
    await asyncio.wait_for(worker.stop(), 10)
    durable.workers.remove(worker)
    free = True
    BURIED.extend(worker.turns.graveyard)  # or the collector would complain of them


async def test_97_an_error_nobody_awaits_is_told_once(durable: Durable) -> None:
    async def background() -> None:
        raise RuntimeError("nobody hears this")

    async def example() -> int:
        asyncio.create_task(background(), name="helper")  # noqa: RUF006
        total = 0
        for i in range(4):
            total += await step(i)
            await workflow.sleep_for("5ms")
        return total

    await durable.worker(example, activities=[step])
    with capture_logs() as logs:
        handle = await durable.start(example)
        assert await handle.result(timeout="20s") == 6
    told = [e for e in logs if e["event"] == "task.failed"]
    assert [(e["task"], e["job"], e["log_level"]) for e in told] == [
        ("helper", handle.workflow_id, "error")
    ]


async def test_96_local_activities_of_any_length_replay_in_their_order(durable: Durable) -> None:
    async def local(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    async def example(seed: int) -> list[Any]:
        draw, order = random.Random(seed), []  # durable: ok - the seed is an argument

        async def branch(name: str) -> None:
            for i in range(3):
                await workflow.execute_local_activity(local, draw.random() * 0.01)
                order.append([name, i])

        await asyncio.gather(branch("left"), branch("right"))
        (said,) = await workflow.wait_for_signal(f"go-{workflow.info().workflow_id}")
        return [said, *order]

    first = await durable.worker(example)
    handles = [await durable.start(example, seed) for seed in range(50)]
    for handle in handles:

        async def waits(handle: Any = handle) -> bool:
            return "WAIT" in (await handle.history()).kinds

        await eventually(waits, within_s=30)
    await first.stop()
    await durable.worker(example)
    for handle in handles:
        await durable.client.workflow.signal(f"go-{handle.workflow_id}", "go")
        said, *order = await handle.result(timeout="20s")
        assert said == "go"
        assert sorted(order) == [[s, i] for s in ("left", "right") for i in range(3)]
        record = await handle.describe()
        assert record.task_failures == 0


async def test_98_handler_and_timer_race_the_same_in_every_memory(durable: Durable) -> None:
    @workflow.defn(name="race")
    class Race:
        def __init__(self) -> None:
            self.order: list[str] = []

        @workflow.run
        async def main(self) -> list[str]:
            background = asyncio.create_task(self.tick())
            await workflow.wait_condition(lambda: self.order.count("signal") == 5)
            await background
            return self.order

        async def tick(self) -> None:
            for _ in range(5):
                await workflow.sleep_for("3ms")
                await step(1)
                self.order.append("tick")

        @workflow.signal
        async def poke(self) -> None:
            await step(2)
            self.order.append("signal")

    await durable.worker(Race, activities=[step])
    for _ in range(5):
        handle = await durable.start(Race)
        for _ in range(5):
            await handle.signal("poke")
        order = await handle.result(timeout="20s")
        assert (order.count("tick"), order.count("signal")) == (5, 5)
        assert (await handle.describe()).task_failures == 0
