"""The end of a run that is not done: everything is closed now, on this thread."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from loop_host import new_loop


class Evicted(BaseException):
    pass


def test_finally_blocks_run_now_on_this_thread_and_order_nothing() -> None:
    loop, host = new_loop()
    log: list[Any] = []

    async def clean_up(i: int) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            try:
                await asyncio.sleep(1)
            except Evicted:
                log.append((i, threading.get_ident()))
                raise

    for i in range(3):
        loop.create_task(clean_up(i))
    loop.run_until_quiescent()

    assert loop.tear_down(Evicted("gone")) == []
    assert log == [(i, threading.get_ident()) for i in range(3)]
    assert host.started == []
    assert loop.is_closed()
    assert loop.uncollected_errors() == []
    assert asyncio._get_running_loop() is None


@pytest.mark.parametrize("evicted", [Evicted, Evicted("one")])
def test_timers_and_conditions_raise_from_then_on(evicted: Any) -> None:
    loop, host = new_loop()
    loop.tear_down(evicted)

    with pytest.raises(Evicted):
        loop.call_later(1, print)
    with pytest.raises(Evicted):
        loop.call_at(1, print)
    with pytest.raises(Evicted):
        loop.wait_condition(lambda: True)
    assert host.started == []


def test_open_timers_are_taken_back_by_those_who_wait() -> None:
    loop, host = new_loop()
    loop.create_task(asyncio.sleep(5))
    loop.run_until_quiescent()

    loop.tear_down(Evicted)

    assert host.cancelled == host.started
    assert len(host.started) == 1


def test_a_task_that_never_started_does_not_start() -> None:
    loop, _ = new_loop()
    loop.create_task(_fail_if_run())

    assert loop.tear_down(Evicted) == []


async def _fail_if_run() -> None:
    raise AssertionError("ran")


def test_tasks_that_are_made_while_it_ends_end_too() -> None:
    loop, _ = new_loop()
    log: list[str] = []

    async def late() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            log.append("late")

    async def main() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.create_task(late())

    loop.create_task(main())
    loop.run_until_quiescent()

    assert loop.tear_down(Evicted) == []
    assert log == ["late"]


def test_a_task_that_refuses_to_end_is_returned_and_left_in_peace() -> None:
    loop, _ = new_loop()
    refused = 0

    async def stubborn() -> None:
        nonlocal refused
        while True:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                refused += 1

    task = loop.create_task(stubborn())
    loop.create_task(asyncio.Event().wait())
    loop.run_until_quiescent()

    assert loop.tear_down(Evicted, rounds=10, seconds=60) == [task]
    assert refused == 10
    assert not task.done()
    graveyard.append((loop, task))


graveyard: list[Any] = []  # so that the collector doesn't close it


def test_a_task_that_spins_is_given_up_after_the_time() -> None:
    loop, _ = new_loop()

    async def spins() -> None:
        while True:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                continue

    task = loop.create_task(spins())
    with pytest.raises(Exception, match="coming to rest"):
        loop.run_until_quiescent(max_handles=10)

    assert loop.tear_down(Evicted, seconds=0.05) == [task]
    graveyard.append((loop, task))


def test_suspended_async_generators_are_closed() -> None:
    loop, _ = new_loop()
    log: list[str] = []

    async def numbers(label: str) -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            log.append(label)

    kept = []

    async def main() -> None:
        kept.append(numbers("kept"))
        await anext(kept[0])
        async for _ in numbers("used"):
            await asyncio.get_running_loop().create_future()

    loop.create_task(main())
    loop.run_until_quiescent()

    assert loop.tear_down(Evicted) == []
    assert sorted(log) == ["kept", "used"]


def test_nothing_is_left_for_the_collector(caplog: pytest.LogCaptureFixture) -> None:
    loop, _ = new_loop()

    async def fails() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise OSError("late")

    async def main() -> None:
        await asyncio.gather(fails(), fails(), asyncio.Event().wait())

    loop.create_task(main())
    loop.run_until_quiescent()
    loop.tear_down(Evicted)
    del loop
    gc.collect()

    assert caplog.records == []


def test_it_may_be_called_twice_and_inside_another_loop() -> None:
    async def outer() -> None:
        loop, _ = new_loop()
        loop.create_task(asyncio.sleep(3))
        loop.run_until_quiescent()
        assert loop.tear_down(Evicted) == []
        assert loop.tear_down(Evicted) == []
        assert asyncio.current_task() is not None

    asyncio.run(outer())


def test_stacks_show_where_each_task_waits() -> None:
    loop, _ = new_loop()

    async def innermost() -> None:
        await asyncio.sleep(60)

    async def inner() -> None:
        await innermost()

    async def main() -> None:
        await asyncio.gather(inner(), asyncio.Event().wait())

    loop.create_task(main(), name="main")
    loop.run_until_quiescent()
    loop.create_task(main(), name="new")

    text = loop.stacks()

    assert text.index("main:") < text.index("in main") < text.index("in innermost")
    assert "await asyncio.sleep(60)" in text
    assert "new:" in text
    loop.tear_down(Evicted)
