"""What `hotmesh worker -A module:app` runs: agents over the partitions that this process holds."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

from hotmesh.errors import HotMeshError
from hotmesh.lifecycle import Component, Host
from hotmesh.log import get_logger
from hotmesh.streams.closing import Closer
from hotmesh.streams.deltas import deltas_agent
from hotmesh.streams.lease import Held, Ownership
from hotmesh.streams.part import AgentPart
from hotmesh.streams.partition import Run
from hotmesh.streams.peek import Peek
from hotmesh.streams.reading import Reading
from hotmesh.streams.replica import Replicas
from hotmesh.streams.schedule import Schedule

if TYPE_CHECKING:
    from hotmesh.streams.app import App
    from hotmesh.streams.client import Client

log = get_logger("hotmesh.streams")

LOOK_S = 0.2
"""How often windows that have closed are looked for, and full readers looked after."""


class Running:
    """One partition as it runs here."""

    def __init__(self, run: Run, closer: Closer) -> None:
        self.run, self.closer = run, closer
        self.parts: list[tuple[Reading, AgentPart]] = []


class StreamWorker:
    """The agents of an app in this process. Implements `Partitions`."""

    def __init__(self, app: App, client: Client) -> None:
        self._app, self._client = app, client
        self._peek = Peek(client.connection.address)
        copied = [t for t in app.tables.values() if t.is_global and t.window is None]
        self._replicas = Replicas(client, copied)
        self._running: dict[int, Running] = {}
        self.ownership = Ownership(
            client.connection, client.store, app.id, self, count=app.count, lease_ms=app.lease_ms
        )
        agents = list(app.agents.values())
        if app.tables and app.count > 1:
            agents.append(deltas_agent(app))
        self._readings = [Reading(a, client, app.lease_ms, self.ownership.is_valid) for a in agents]
        routers: list[Component] = [r.router for r in self._readings]
        last: list[Component] = [Schedule(app, client), _Looking(self)]
        # Stopped from the last to the first: partitions are let go of while readers still run.
        self.host = Host([[self._replicas], routers, [self.ownership], last])

    async def start(self) -> None:
        """Start to take partitions."""
        await self.host.start()

    async def stop(self) -> None:
        """Finish what is in hand, and let go of everything."""
        await self.host.stop()
        self._peek.close()

    async def kill(self) -> None:
        """End now. Others find what is in hand."""
        await self.host.kill()
        for running in self._running.values():
            running.run.void()
            for _, part in running.parts:
                await part.stop(0)
            await running.run.stop()
        self._peek.close()

    @property
    def partitions(self) -> list[int]:
        """Those that run here."""
        return sorted(self._running)

    async def settled(self) -> None:
        """Return when everything that is complete so far is committed."""
        for running in list(self._running.values()):
            await running.run.settled()

    # -- Partitions

    async def gained(self, held: Held) -> None:
        """Begin to run a partition."""
        run = Run(self._client, self._app.id, held, self._peek, self._replicas, self._void)
        running = self._running[held.number] = Running(run, Closer(run, self._client.store))
        await run.start(list(self._app.tables.values()))
        for reading in self._readings:
            await self._begin(reading, running)
        await self._tell("assigned", held.number)

    async def _begin(self, reading: Reading, running: Running) -> None:
        agent, run = reading.agent, running.run
        part = AgentPart(agent, run, agent.group, reading.router.freed)
        running.parts.append((reading, part))
        for topic in agent.topics:
            spec = await topic.declare()
            if run.number < spec.partitions:
                part.add(topic)
        if self._app.count > 1 and self._app.tables:
            await agent.routed.declare()
            part.add(agent.routed)
        await part.start(await self._attempts(run, agent.group))
        for source in part.added:
            agent.specs[source.topic.name] = await source.topic.declare()
        part.drop_beyond(agent.specs)
        await reading.begin(part)

    async def _attempts(self, run: Run, group: str) -> dict[bytes, int]:
        flat = await self._client.connection.transport.execute("HGETALL", run.slot.attempts(group))
        return {flat[i]: int(flat[i + 1]) for i in range(0, len(flat), 2)}

    async def let_go(self, held: Held) -> None:
        """Finish what is in hand, and stop running a partition."""
        await self._end(held.number, self._app.grace_s)

    async def lost(self, held: Held) -> None:
        """Stop at once: it is another's."""
        running = self._running.get(held.number)
        if running is not None and running.run.held is held:
            running.run.void()
            await self._end(held.number, 0)

    async def _end(self, number: int, grace_s: float) -> None:
        running = self._running.get(number)
        if running is None:
            return
        for reading, part in running.parts:
            await reading.end(part)
        await asyncio.gather(*[part.stop(grace_s) for _, part in running.parts])
        await running.run.stop()
        self._running.pop(number, None)
        await self._tell("revoked", number)

    def _void(self, held: Held) -> None:
        """A commit was refused."""
        self.ownership.doubt(held)

    async def _tell(self, what: str, number: int) -> None:
        for function in self._app.hooks[what]:
            try:
                result = function(number)
                if inspect.isawaitable(result):
                    await result
            except Exception as exc:
                log.warning("hook.failed", hook=what, exc_info=exc)

    # -- looking

    async def look(self) -> None:
        """Report windows that have closed; let readers that were full look again."""
        for running in list(self._running.values()):
            try:
                await running.run.trim()
                await running.closer.look()
            except HotMeshError as exc:
                log.warning("windows.look_failed", error=str(exc))
        for reading in self._readings:
            reading.router.freed()


class _Looking:
    """A component that looks again and again."""

    name = "windows"

    def __init__(self, worker: StreamWorker) -> None:
        self._worker = worker
        self._draining = asyncio.Event()

    def drain(self) -> None:
        self._draining.set()

    async def run(self, started: asyncio.Event) -> None:
        started.set()
        while not self._draining.is_set():
            await self._worker.look()
            try:
                await asyncio.wait_for(self._draining.wait(), LOOK_S)
            except TimeoutError:
                pass
