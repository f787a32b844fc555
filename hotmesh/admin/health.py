"""Live and ready. Live: the event loop answers. Ready: everything that this process is there for
does its work, and what does not is named.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from msgspec import Struct

from hotmesh.errors import HotMeshError
from hotmesh.lifecycle import Component
from hotmesh.mesh import HotMesh
from hotmesh.router import Router

SERVER_S = 2.0
"""How long the server may take to answer before it counts as away."""


class Check(Struct, frozen=True, kw_only=True):
    """One thing that must hold; `reason` says why it does not."""

    name: str
    ok: bool
    reason: str = ""


class Health(Struct, frozen=True, kw_only=True):
    """Whether work may be sent here."""

    ready: bool
    checks: tuple[Check, ...]


async def look(mesh: HotMesh | None) -> Health:
    """See what holds now."""
    if mesh is None:
        starting = Check(name="start", ok=False, reason="the process has not joined the mesh yet")
        return Health(ready=False, checks=(starting,))
    checks = [await _server(mesh), *_components(mesh)]
    return Health(ready=all(check.ok for check in checks), checks=tuple(checks))


async def _server(mesh: HotMesh) -> Check:
    try:
        async with asyncio.timeout(SERVER_S):
            await mesh.store.transport.execute("PING")
    except TimeoutError:
        return Check(name="server", ok=False, reason=f"no answer within {SERVER_S:g} s")
    except HotMeshError as exc:
        return Check(name="server", ok=False, reason=str(exc))
    return Check(name="server", ok=True)


def _components(mesh: HotMesh) -> Iterator[Check]:
    failed = mesh.host.failed
    if failed is not None and failed.done():
        yield Check(name="components", ok=False, reason=f"one has failed: {failed.result()!r}")
    for component in mesh.host.components:
        if router := router_of(component):
            yield _reading(component.name, router)


def router_of(component: Component) -> Router | None:
    """What a component reads with, if it reads streams."""
    found = getattr(component, "router", None)
    return found if isinstance(found, Router) else None


def _reading(name: str, router: Router) -> Check:
    if router.state in ("draining", "drained"):
        return Check(name=name, ok=False, reason="it drains: the process is about to stop")
    silent_s = time.monotonic() - router.read_at
    limit_s = (router.settings.lease_ms + router.settings.block_ms) / 1000
    is_busy = router.state == "paused" or len(router.held) >= router.settings.capacity
    if silent_s > limit_s and not is_busy:
        reason = f"no read has succeeded for {silent_s:.0f} s"
        return Check(name=name, ok=False, reason=reason)
    return Check(name=name, ok=True)
