"""A host that fires timers in order of their time, and how tests run a program on the loop."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from hotmesh.durable.loop import DeterministicLoop, DurableTimer


class Host:
    """Keeps timers, and what was told about them."""

    def __init__(self) -> None:
        self.started: list[DurableTimer] = []
        self.cancelled: list[DurableTimer] = []

    def timer_started(self, handle: DurableTimer) -> None:
        handle.seq = len(self.started)
        self.started.append(handle)

    def timer_cancelled(self, handle: DurableTimer) -> None:
        self.cancelled.append(handle)

    def next_due(self) -> DurableTimer | None:
        waiting = [timer for timer in self.started if timer.waiting]
        return min(waiting, key=lambda timer: (timer.when_s, timer.seq), default=None)


def new_loop(name: str = "run") -> tuple[DeterministicLoop, Host]:
    host = Host()
    return DeterministicLoop(host, name=name), host


def run_on(loop: DeterministicLoop, host: Host, main: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end, time passing from timer to timer."""
    task = loop.create_task(main)
    loop.run_until_quiescent()
    while not task.done():
        due = host.next_due()
        assert due is not None, f"nothing will ever wake the program:\n{loop.stacks()}"
        loop.now_s = due.when_s
        loop.fire(due)
        loop.run_until_quiescent()
    return task.result()


def run(main: Coroutine[Any, Any, Any]) -> Any:
    loop, host = new_loop()
    return run_on(loop, host, main)
