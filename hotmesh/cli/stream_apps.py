"""Commands of topics, agents and tables: the way to the server, and apps that stay."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from hotmesh.cli.context import Context
from hotmesh.cli.output import UsageError
from hotmesh.lifecycle import Host, serve
from hotmesh.streams.app import App
from hotmesh.streams.client import Client
from hotmesh.streams.topics import TopicSpec, find, find_all


async def run(cli: Context, apps: Sequence[App]) -> int:
    """Run the agents of apps until SIGTERM or SIGINT; the exit code."""
    cli.configure_logs(stays=True)
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(cli.connection())
        hosts = []
        for app in apps:
            if app.redis is None:
                app.redis = connection
            worker = await stack.enter_async_context(app.running())
            hosts.append(worker.host)
        serving = asyncio.create_task(serve(_joined(hosts)))
        await asyncio.sleep(0)  # and `serve` listens to signals: who reads "ready" may send one
        names = ", ".join(app.id for app in apps)
        agents = sorted(name for app in apps for name in app.agents)
        cli.output.event(
            "ready",
            f"ready: agents {', '.join(agents) or '-'} of {names}, on {connection.url_masked}",
            role="app",
            app=names,
            agents=agents,
            server=connection.url_masked,
            pid=os.getpid(),
        )
        return await serving


class _Many(Host):
    """Started hosts as one."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        super().__init__([])
        self._hosts = hosts
        self.failed = asyncio.get_running_loop().create_future()
        for host in hosts:
            assert host.failed is not None
            host.failed.add_done_callback(self._crashed)

    def _crashed(self, future: asyncio.Future[BaseException]) -> None:
        if self.failed is not None and not self.failed.done() and not future.cancelled():
            self.failed.set_result(future.result())

    async def stop(self) -> None:
        await asyncio.gather(*[host.stop() for host in self._hosts])

    async def kill(self) -> None:
        await asyncio.gather(*[host.kill() for host in self._hosts])


def _joined(hosts: Sequence[Host]) -> Host:
    return hosts[0] if len(hosts) == 1 else _Many(hosts)


@asynccontextmanager
async def streams(cli: Context) -> AsyncIterator[Client]:
    """A client of the namespace's topics."""
    async with cli.connection() as connection:
        client = await Client.open(connection, namespace=cli.settings.mesh.namespace)
        try:
            yield client
        finally:
            await client.close()


async def spec_of(client: Client, topic: str) -> TopicSpec:
    """What is known of a topic.

    Raises:
        UsageError: Nobody has declared it.
    """
    found = await find(client.store, topic)
    if found is None:
        known = ", ".join(t for t in await find_all(client.store) if "~" not in t)
        raise UsageError(f"there is no topic {topic!r}; known are: {known or 'none'}")
    return found
