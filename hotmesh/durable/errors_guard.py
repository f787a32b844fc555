"""What goes wrong with workflow code as code, not as business: forbidden calls and stuck turns.

Both fail the task, not the run: the run stays open and goes on when the code is mended.
"""

from __future__ import annotations

from hotmesh.errors import HotMeshError

__all__ = ["WorkflowDeadlockError", "WorkflowForbiddenError"]


class WorkflowForbiddenError(HotMeshError):
    """Workflow code did something that a replay could not repeat (I/O, a clock, a thread).

    Attributes:
        what: The call, such as `time.time()`.
        instead: What to use in its place, such as `workflow.now()`.
    """

    def __init__(self, what: str, instead: str) -> None:
        self.what, self.instead = what, instead
        super().__init__(
            f"{what} is not allowed in workflow code, because a replay could not repeat it; "
            f"use {instead}"
        )


class WorkflowDeadlockError(HotMeshError):
    """A turn of workflow code did not come to rest.

    Attributes:
        seconds: How long it had run; 0 when it was its callbacks that were counted.
        stack: Where it was, as text; empty when unknown.
    """

    def __init__(self, message: str, *, seconds: float = 0.0, stack: str = "") -> None:
        self.seconds, self.stack = seconds, stack
        super().__init__(f"{message}\n{stack}" if stack else message)
