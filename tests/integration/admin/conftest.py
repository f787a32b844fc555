"""An admin over real HTTP, on a mesh with an engine and a worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
import pytest

from hotmesh import HotMesh, StreamData, Worker
from hotmesh.admin import Admin, parse_address
from hotmesh.lifecycle import Host

MODEL = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: work.do
      activities:
        start: {type: trigger}
        work: {type: worker, topic: work, input: {maps: {n: '{start.output.data.n}'}}}
      transitions:
        start: [{to: work}]
"""

Open = Callable[..., Awaitable[httpx.AsyncClient]]


async def work(message: StreamData) -> dict[str, int]:
    return {"n": message.data["n"]}


@pytest.fixture
async def mesh(mesh_factory: Callable[..., Awaitable[HotMesh]], app_id: str) -> HotMesh:
    """A mesh with an engine, a worker and an active model."""
    mesh = await mesh_factory(workers=[Worker("work", work)])
    await mesh.deploy(MODEL.replace("APP", app_id))
    await mesh.activate("1")
    return mesh


@pytest.fixture
async def serve(app_id: str) -> AsyncIterator[Open]:
    """`await serve(mesh, token=…)`: an HTTP client of an admin on a free port."""
    async with AsyncExitStack() as stack:

        async def open_(mesh: HotMesh | None, *, token: str | None = None) -> httpx.AsyncClient:
            admin = Admin(app_id, "engine", parse_address("0", token=token), token=token)
            if mesh is not None:
                admin.attach(mesh)
            host = Host([[admin]])
            await host.start()
            stack.push_async_callback(host.stop)
            url = admin.address.url
            return await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=10))

        yield open_
