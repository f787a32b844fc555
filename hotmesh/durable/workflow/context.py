"""Whose code is running."""

from __future__ import annotations

import asyncio
from typing import cast

from hotmesh.durable.errors import NotInWorkflowError
from hotmesh.durable.loop import DeterministicLoop
from hotmesh.durable.run import Run


def current(call: str) -> Run:
    """The run whose code is running.

    Raises:
        NotInWorkflowError: None is.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise NotInWorkflowError(f"workflow.{call}") from None
    if not isinstance(loop, DeterministicLoop):
        raise NotInWorkflowError(f"workflow.{call}")
    return cast(Run, loop.host)


def in_workflow() -> bool:
    """Whether the caller is the code of a workflow."""
    try:
        return isinstance(asyncio.get_running_loop(), DeterministicLoop)
    except RuntimeError:
        return False
