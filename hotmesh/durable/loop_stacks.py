"""Where suspended coroutines stand, as text."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

__all__ = ["stacks"]

DEPTH_MAX = 200


def stacks(tasks: Iterable[Any]) -> str:
    """One traceback per task, innermost call last."""
    return "\n".join(f"{task.get_name()}:\n{''.join(_lines(task.get_coro()))}" for task in tasks)


def _lines(coroutine: Any) -> list[str]:
    summary = traceback.StackSummary.extract((f, f.f_lineno) for f in _frames(coroutine))
    return summary.format() or ["  (not started, or not a Python coroutine)\n"]


def _frames(awaited: Any) -> Iterator[FrameType]:
    """The frames of a chain of awaits. It ends at the first thing that is not a coroutine or
    generator in Python: a future, or the step of an async generator, which hides its frame.
    """
    for _ in range(DEPTH_MAX):
        for frame_name, next_name in (
            ("cr_frame", "cr_await"),
            ("gi_frame", "gi_yieldfrom"),
            ("ag_frame", "ag_await"),
        ):
            frame = getattr(awaited, frame_name, None)
            if frame is not None:
                yield frame
                awaited = getattr(awaited, next_name)
                break
        else:
            return
