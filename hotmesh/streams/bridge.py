"""Agents and workflows: an event starts a workflow, wakes one, or waits for one's result.

An agent handles an event at least once; `once` makes what it asks for happen once: it follows from
the event's origin, which stays the same over deliveries, retries and moves to another partition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from hotmesh.durations import Duration
from hotmesh.errors import SettingsInvalid

if TYPE_CHECKING:
    from hotmesh.mesh import HotMesh


class Workflows(Protocol):
    """What an app needs of workflows, of whatever kind."""

    async def start(self, name: str, data: Any, *, once: str) -> str:
        """Start one, unless `once` has started one; its id."""

    async def signal(self, name: str, data: Any, *, once: str) -> None:
        """Wake one that waits; a repeated call with the same `once` does nothing."""

    async def result(self, name: str, id: str, *, timeout: Duration | None) -> Any:
        """Wait for the end of one; what it gives.

        Raises:
            JobError: It failed.
            JobTimeout: It has not ended in time, and goes on.
        """


class MeshWorkflows:
    """Model-driven workflows: names are topics of the app's graphs and hooks."""

    def __init__(self, mesh: HotMesh) -> None:
        self._mesh = mesh

    async def start(self, name: str, data: Any, *, once: str) -> str:
        """`mesh.pub`."""
        return await self._mesh.pub(name, data, idempotency_key=once)

    async def signal(self, name: str, data: Any, *, once: str) -> None:
        """`mesh.hook`."""
        await self._mesh.hook(name, data, idempotency_key=once)

    async def result(self, name: str, id: str, *, timeout: Duration | None) -> Any:
        """`mesh.result`: the data of the job."""
        return (await self._mesh.result(name, id, timeout=timeout)).data


def workflows_of(given: Any) -> Workflows:
    """A mesh as `Workflows`; something that has their methods as it is.

    Raises:
        SettingsInvalid: It is neither.
    """
    if hasattr(given, "pub") and hasattr(given, "hook"):
        return MeshWorkflows(given)
    if all(hasattr(given, name) for name in ("start", "signal", "result")):
        found: Workflows = given
        return found
    raise SettingsInvalid(
        f"workflows are a HotMesh, or something with start, signal and result, not "
        f"{type(given).__name__}"
    )
