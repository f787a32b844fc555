"""Which turn runs on this thread, and the mark that a forbidden call leaves on it.

The mark outlives the exception: workflow code that swallows a `WorkflowForbiddenError` has still
done what a replay can't repeat.
"""

from __future__ import annotations

import threading
from typing import NoReturn, Protocol

from hotmesh.durable.errors_guard import WorkflowForbiddenError

__all__ = ["HERE", "Flags", "Guarded", "forbid", "mark"]


class Guarded(Protocol):
    """What a turn is marked on."""

    violated: WorkflowForbiddenError | None


class Flags:
    """The least that is `Guarded`."""

    __slots__ = ("violated",)

    def __init__(self) -> None:
        self.violated: WorkflowForbiddenError | None = None


class _Here(threading.local):
    """What runs on this thread.

    Attributes:
        flags: The flags of the guarded turn; None outside turns, and while guards are skipped.
        turn: Identifies the turn, also while guards are skipped.
    """

    flags: Guarded | None = None
    turn: object | None = None


HERE = _Here()


def mark(error: WorkflowForbiddenError) -> None:
    """Mark the turn of this thread, if there is one. The first mark stays."""
    flags = HERE.flags
    if flags is not None and flags.violated is None:
        flags.violated = error


def forbid(what: str, instead: str) -> NoReturn:
    """Mark the turn of this thread and raise.

    Raises:
        WorkflowForbiddenError: Always.
    """
    error = WorkflowForbiddenError(what, instead)
    mark(error)
    raise error
