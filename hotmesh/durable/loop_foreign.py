"""Futures of other loops, awaited in workflow code.

The task itself finds out that an awaited future is not of its loop, and has a RuntimeError thrown
into its coroutine by a step like any other. Only the step's referents tell.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from hotmesh.durable.errors_guard import WorkflowForbiddenError
from hotmesh.durable.loop_refused import RefusingLoop
from hotmesh.durable.violation import mark

__all__ = ["TaskStep", "mark_if_foreign"]


class _Probe(RefusingLoop):
    """Learns the class of a task's step, which has no name in Python."""

    step: Any = None

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> None:
        self.step = callback

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """It is told that its task was never finished, which is so by intent."""


async def _nothing() -> None: ...


def _class_of_task_step() -> type:
    probe, coroutine = _Probe(), _nothing()  # type: ignore[abstract]
    task = asyncio.Task(coroutine, loop=probe)
    coroutine.close()
    step = type(probe.step)
    probe.step = None
    del task
    return step


TaskStep = _class_of_task_step()


def mark_if_foreign(step: Any) -> None:
    """Mark the turn when this step throws the error of a foreign future, and say more in it."""
    for referent in gc.get_referents(step):
        if type(referent) is RuntimeError and "attached to a different loop" in str(referent):
            refusal = WorkflowForbiddenError(
                "awaiting a future of another event loop", "an activity"
            )
            referent.args = (str(refusal),)
            referent.__cause__ = refusal
            mark(refusal)
