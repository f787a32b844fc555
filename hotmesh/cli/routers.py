"""Routers of a process: those that `-A` names, and the one that a file of routes describes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from hotmesh.cli.output import UsageError
from hotmesh.cli.workers import load_object
from hotmesh.connect import Connection
from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.routing import Position, Router

log = get_logger("hotmesh.cli")

DEFAULT_NAME = "router"

Make = Callable[[], Router]


def load_routers(specs: Sequence[str]) -> list[Router]:
    """The routers that some `MODULE:OBJ` name; a module alone means its `router`.

    Raises:
        UsageError: There is no such thing, or it is no Router.
    """
    routers: list[Router] = []
    for spec in specs:
        found = load_object(spec, DEFAULT_NAME)
        several = found if isinstance(found, (list, tuple)) else [found]
        for one in several:
            if not isinstance(one, Router):
                raise UsageError(
                    f"{spec} is {type(one).__name__}; it must be a hotmesh.Router, or a list of "
                    "them"
                )
            routers.append(one)
    return routers


class Serving:
    """One router as a component of the process; it can be made anew while the process runs."""

    def __init__(self, make: Make, connection: Connection, seek: Mapping[str, Position]) -> None:
        """`seek` are sources, and where their groups go on before anything is read."""
        self.name = "router"
        self._make, self._connection = make, connection
        self.router = make()
        self._seek = {name: to for name, to in seek.items() if name in self.router.sources}
        self._next = self.router
        self._draining, self._reload = False, asyncio.Event()

    def drain(self) -> None:
        """Stop. Idempotent."""
        self._draining = True
        self._reload.set()

    def reload(self) -> None:
        """Read the routes again. When they are wrong nothing changes."""
        try:
            router = self._make()
        except HotMeshError as exc:
            log.error("routes.refused", error=str(exc))
            return
        self._next = router
        self._reload.set()

    async def run(self, started: asyncio.Event) -> None:
        """Until drained. A crash of the router is raised."""
        while not self._draining:
            self._reload.clear()
            await self.router.start(self._connection, seek=self._seek)
            self._seek = {}
            started.set()
            await self._serve(self.router)
            if not self._draining:
                self.router = self._next
                log.info("routes.loaded", sources=self.router.sources)

    async def _serve(self, router: Router) -> None:
        waiting = asyncio.create_task(self._reload.wait())
        crashed = asyncio.create_task(router.crashed())
        try:
            await asyncio.wait([waiting, crashed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            crashed.cancel()
            await router.stop()
        if crashed.done() and not crashed.cancelled():
            raise crashed.result()
