"""Durable functions on the real server, each test in both modes: with runs kept in memory, and with
every turn replayed (`max_cached=0`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hotmesh.durable import Client, Worker


class Durable:
    """A client and workers of one namespace, closed when the test ends.

    Attributes:
        options: What workers get unless a test says otherwise.
    """

    def __init__(self, redis_url: str, namespace: str, **options: Any) -> None:
        self.redis_url, self.namespace, self.options = redis_url, namespace, options
        self.client = Client(redis_url, namespace)
        self.workers: list[Worker] = []
        self.clients = [self.client]

    async def worker(self, *workflows: Any, **options: Any) -> Worker:
        """A worker that serves until the test ends."""
        given = {"lease": "2s", "grace": "1s", **self.options, **options}
        worker = await Worker.create(
            self.redis_url, namespace=self.namespace, workflows=workflows, **given
        )
        self.workers.append(worker)
        await worker.start()
        return worker

    def new_client(self) -> Client:
        """Another client."""
        self.clients.append(Client(self.redis_url, self.namespace))
        return self.clients[-1]

    async def start(self, workflow: Any, *args: Any, **options: Any) -> Any:
        """Start a workflow."""
        return await self.client.workflow.start(workflow, *args, **options)

    async def run(self, workflow: Any, *args: Any, **options: Any) -> Any:
        """Start a workflow and give its result."""
        return await (await self.start(workflow, *args, **options)).result(timeout="20s")

    async def close(self) -> None:
        """Stop all."""
        for worker in reversed(self.workers):
            await worker.stop()
        for client in self.clients:
            await client.close()


@pytest.fixture(params=["sticky", "replayed"])
async def durable(
    request: pytest.FixtureRequest, redis_url: str, app_id: str
) -> AsyncIterator[Durable]:
    """A namespace of its own; workers keep runs in memory, or replay every turn."""
    options = {} if request.param == "sticky" else {"max_cached": 0}
    env = Durable(redis_url, app_id, **options)
    yield env
    await env.close()
