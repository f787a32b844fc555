"""Scenarios 40 to 59: signals, updates and queries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from durable_env import Durable
from support import eventually

from hotmesh.durable import activity, workflow
from hotmesh.durable.errors import (
    QueryFailedError,
    SignalConflictError,
    UpdateFailedError,
    WorkflowClosedError,
)

released = asyncio.Event


@activity.defn
async def echo(value: Any) -> Any:
    return value


async def test_40_a_signal_right_after_the_start_is_seen(durable: Durable) -> None:
    async def example() -> Any:
        return (await workflow.wait_for_signal("s"))[0]

    handle = await durable.start(example)
    await handle.signal("s", 1)
    await durable.worker(example)
    assert await handle.result(timeout="10s") == 1


async def test_41_signals_wait_for_their_handler(durable: Durable) -> None:
    async def example() -> list[int]:
        for i in range(3):
            await echo(i)
        got: list[int] = []
        workflow.logger.info("registering")
        set_handler = workflow.set_signal_handler
        set_handler("s", got.append)
        await workflow.wait_condition(lambda: len(got) == 3)
        return got

    handle = await durable.start(example)
    for i in range(3):
        await handle.signal("s", i)
    await durable.worker(example, activities=[echo])
    assert await handle.result(timeout="10s") == [0, 1, 2]


@workflow.defn
class Collector:
    def __init__(self) -> None:
        self.got: list[Any] = []

    @workflow.run
    async def main(self, wanted: int) -> list[Any]:
        await workflow.wait_condition(lambda: len(self.got) >= wanted)
        return list(self.got)

    @workflow.signal
    def put(self, value: Any) -> None:
        self.got.append(value)


async def test_42_signals_of_one_batch_are_all_handled_first(durable: Durable) -> None:
    handle = await durable.start(Collector, 1)
    await handle.signal("put", 1)
    await handle.signal("put", 2)
    await durable.worker(Collector)
    assert await handle.result(timeout="10s") == [1, 2]


async def test_43_a_thousand_signallers(durable: Durable) -> None:
    count = 1000 if durable.options.get("max_cached") is None else 200
    await durable.worker(Collector)
    handle = await durable.start(Collector, count)
    await asyncio.gather(*(handle.signal("put", i) for i in range(count)))
    got = await handle.result(timeout="30s")
    assert sorted(got) == list(range(count))
    sent = [e.fields["args"][0] for e in await handle.history() if e.kind == "SIGNAL"]
    assert sent == got, "the order is that of the history"


async def test_44_signals_with_one_dedup_key_count_once(durable: Durable) -> None:
    @workflow.defn(name="chain")
    class Chain:
        def __init__(self) -> None:
            self.got: list[Any] = []

        @workflow.run
        async def main(self, before: list[Any]) -> list[Any]:
            await workflow.wait_condition(lambda: "next" in self.got)
            seen = [*before, *self.got]
            if len([s for s in seen if s == "next"]) < 2:
                workflow.continue_as_new(seen)
            return seen

        @workflow.signal
        def put(self, value: Any) -> None:
            self.got.append(value)

    await durable.worker(Chain)
    handle = await durable.start(Chain, [])
    await handle.signal("put", "a", dedup="k")
    await handle.signal("put", "a", dedup="k")
    await handle.signal("put", "next")
    await eventually(lambda: _continued(handle))
    await handle.signal("put", "a", dedup="k")
    await handle.signal("put", "next")
    assert await handle.result(timeout="10s") == ["a", "next", "next"]


async def _continued(handle: Any) -> bool:
    point = await handle._client.open()
    head = (await point.runs.heads([handle.workflow_id]))[0]
    return bool(head and head.run_id != handle.run_id)


async def test_45_a_signal_by_name_is_kept(durable: Durable) -> None:
    async def example(name: str) -> Any:
        return (await workflow.wait_for_signal(name))[0]

    await durable.worker(example)
    name = f"early-{durable.namespace}"
    await durable.client.workflow.signal(name, "kept")
    assert await durable.run(example, name) == "kept"


async def test_46_a_second_waiter_is_told(durable: Durable) -> None:
    async def example(name: str) -> Any:
        try:
            return (await workflow.wait_for_signal(name))[0]
        except SignalConflictError as exc:
            return f"taken: {exc.name}"

    await durable.worker(example)
    name = f"one-{durable.namespace}"
    first = await durable.start(example, name)
    await eventually(lambda: _waits(durable, first))
    assert await durable.run(example, name) == f"taken: {name}"
    await durable.client.workflow.signal(name, "mine")
    assert await first.result(timeout="10s") == "mine"


async def _waits(durable: Durable, handle: Any) -> bool:
    return any(e.kind == "WAIT" for e in await handle.history())


async def test_47_a_wait_that_ended_leaves_no_registration(durable: Durable) -> None:
    async def example(name: str) -> Any:
        first = await workflow.condition(name, timeout="30ms")
        return [first, await workflow.condition(name, timeout="5s")]

    await durable.worker(example)
    name = f"late-{durable.namespace}"
    handle = await durable.start(example, name)
    await eventually(lambda: _timed_out(handle))
    await durable.client.workflow.signal(name, "second")
    assert await handle.result(timeout="10s") == [False, "second"]


async def _timed_out(handle: Any) -> bool:
    return any(e.kind == "TIMER_FIRED" for e in await handle.history())


async def test_48_signal_with_start_makes_one_run(durable: Durable) -> None:
    await durable.worker(Collector)
    workflow_id = f"w-{durable.namespace}"
    handles = await asyncio.gather(
        *(
            durable.client.workflow.signal_with_start(
                Collector, 20, workflow_id=workflow_id, signal=("put", i)
            )
            for i in range(20)
        )
    )
    assert len({h.run_id for h in handles}) == 1
    got = await handles[0].result(timeout="10s")
    assert sorted(got) == list(range(20))


async def test_49_a_signal_before_the_end_is_handled(durable: Durable) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    @activity.defn
    async def last() -> None:
        entered.set()
        await leave.wait()

    @workflow.defn(name="ending")
    class Ending:
        def __init__(self) -> None:
            self.got: list[Any] = []

        @workflow.run
        async def main(self) -> list[Any]:
            await last()
            return self.got

        @workflow.signal
        def put(self, value: Any) -> None:
            self.got.append(value)

    await durable.worker(Ending, activities=[last])
    handle = await durable.start(Ending)
    await entered.wait()
    await handle.signal("put", 1)
    leave.set()
    assert await handle.result(timeout="10s") == [1]


async def test_51_a_signal_that_does_not_fit_is_dropped(durable: Durable) -> None:
    @workflow.defn(name="typed")
    class Typed:
        def __init__(self) -> None:
            self.total = 0

        @workflow.run
        async def main(self) -> int:
            await workflow.wait_condition(lambda: self.total > 0)
            return self.total

        @workflow.signal
        def add(self, n: int) -> None:
            self.total += n

    await durable.worker(Typed)
    handle = await durable.start(Typed)
    await handle.signal("add", "not a number")
    await handle.signal("add", 3)
    assert await handle.result(timeout="10s") == 3


@workflow.defn
class Account:
    def __init__(self) -> None:
        self.balance = 0
        self.closed = False
        self.validated = 0

    @workflow.run
    async def main(self) -> int:
        await workflow.wait_condition(lambda: self.closed)
        return self.balance

    @workflow.update
    async def deposit(self, n: int) -> int:
        await echo(n)
        self.balance += n
        return self.balance

    @deposit.validator
    def check(self, n: int) -> None:
        if n <= 0:
            raise ValueError("must be positive")

    @workflow.update
    async def fail(self) -> None:
        raise ValueError("in the handler")

    @workflow.update
    async def close(self) -> str:
        self.closed = True
        return "closed"

    @workflow.update
    async def forever(self) -> None:
        await workflow.sleep_for("1 hour")

    @workflow.signal
    def end(self) -> None:
        self.closed = True

    @workflow.query
    def value(self) -> int:
        return self.balance

    @workflow.query
    def naughty(self) -> Any:
        return echo(1)


async def test_52_a_query_leaves_no_trace(durable: Durable) -> None:
    await durable.worker(Account, activities=[echo])
    handle = await durable.start(Account)
    await handle.update("deposit", 5)
    before = len(list(await handle.history()))
    assert await handle.query("value") == 5
    assert len(list(await handle.history())) == before


async def test_53_a_query_can_do_nothing(durable: Durable) -> None:
    await durable.worker(Account, activities=[echo])
    handle = await durable.start(Account)
    with pytest.raises(QueryFailedError, match="only read"):
        await handle.query("naughty")
    with pytest.raises(QueryFailedError, match="value"):
        await handle.query("unknown")
    assert await handle.update("close") == "closed"
    assert await handle.result(timeout="10s") == 0


async def test_54_an_ended_run_answers_from_its_history(durable: Durable) -> None:
    first = await durable.worker(Account, activities=[echo])
    handle = await durable.start(Account)
    await handle.update("deposit", 7)
    await handle.signal("end")
    assert await handle.result(timeout="10s") == 7
    await first.stop()
    await durable.worker(Account, activities=[echo])
    assert await handle.query("value") == 7


async def test_55_a_rejected_update_is_not_recorded(durable: Durable) -> None:
    await durable.worker(Account, activities=[echo])
    handle = await durable.start(Account)
    await handle.update("deposit", 1)
    before = [e.kind for e in await handle.history()]
    with pytest.raises(UpdateFailedError, match="positive") as caught:
        await handle.update("deposit", -1)
    assert caught.value.rejected
    assert [e.kind for e in await handle.history()] == before
    with pytest.raises(UpdateFailedError, match="in the handler") as caught:
        await handle.update("fail")
    assert not caught.value.rejected


async def test_57_an_update_sent_twice_is_one(durable: Durable) -> None:
    await durable.worker(Account, activities=[echo])
    handle = await durable.start(Account)
    answers = await asyncio.gather(
        handle.update("deposit", 4, update_id="u"), handle.update("deposit", 4, update_id="u")
    )
    assert answers == [4, 4]
    assert await handle.query("value") == 4


async def test_58_an_update_may_end_the_run(durable: Durable) -> None:
    await durable.worker(Account, activities=[echo])
    handle = await durable.start(Account)
    assert await handle.update("close") == "closed"
    assert await handle.result(timeout="10s") == 0


async def test_59_an_update_in_flight_hears_of_the_end(durable: Durable) -> None:
    await durable.worker(Account, activities=[echo])
    handle = await durable.start(Account)
    waiting = asyncio.create_task(handle.update("forever"))
    await eventually(lambda: _accepted(handle))
    await handle.signal("end")
    with pytest.raises(WorkflowClosedError):
        await waiting


async def _accepted(handle: Any) -> bool:
    return any(e.kind == "UPD_ACCEPT" for e in await handle.history())
