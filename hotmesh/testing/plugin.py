"""Fixtures for pytest, there as soon as hotmesh is installed; their names begin with `hotmesh_`.

    hotmesh_url     the URL of an embedded server, one per session (and process of pytest-xdist);
                    HOTMESH_TEST_REDIS_URL names another one
    hotmesh_app_id  an app id, or namespace, that no other test has
    hotmesh_mesh    `await hotmesh_mesh(**options)`: a mesh of that app, stopped at the end
    hotmesh_router  `await hotmesh_router(router)`: a `RouterClient` of a router, stopped at the end
    hotmesh_durable `await hotmesh_durable(workflows=[…], activities=[…])`: a `DurableEnvironment`,
                    left at the end
    hotmesh_spans   `capture_spans()` for the test
    skip_time       the function `hotmesh.testing.skip_time`; time is restored at the end

The three that are awaited need pytest-asyncio (or anyio's plugin). Nothing is imported or started
before a test asks for it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from hotmesh import HotMesh, Router
    from hotmesh.durations import Duration
    from hotmesh.testing import DurableEnvironment, RouterClient
    from hotmesh.testing.tracing import Spans

F = TypeVar("F", bound=Callable[..., Any])


def async_fixture(function: F) -> F:
    """A fixture of pytest-asyncio, in all its modes; a plain one, which anyio's plugin takes."""
    try:
        from pytest_asyncio import fixture
    except ImportError:
        fixture = pytest.fixture  # type: ignore[assignment]  # the same use of it
    made: F = fixture(function)  # type: ignore[assignment]  # pytest's type is its own
    return made


URL_VARIABLE = "HOTMESH_TEST_REDIS_URL"


@pytest.fixture(scope="session")
def hotmesh_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the server that the tests of this process share."""
    from hotmesh.testing.server import embedded_server

    if url := os.environ.get(URL_VARIABLE):
        yield url
        return
    with embedded_server(tmp_path_factory.mktemp("hotmesh")) as url:
        yield url


@pytest.fixture
def hotmesh_app_id(request: pytest.FixtureRequest) -> str:
    """An app id that no other test has."""
    from hotmesh.testing.names import app_id_of

    return app_id_of(request.node.name)


@async_fixture
async def hotmesh_mesh(
    hotmesh_url: str, hotmesh_app_id: str
) -> AsyncIterator[Callable[..., Awaitable[HotMesh]]]:
    """`await hotmesh_mesh(**options)`: `HotMesh.init` for the test's server and app id."""
    from hotmesh import HotMesh, Settings

    opened: list[HotMesh] = []

    async def make(**options: Any) -> HotMesh:
        defaults: dict[str, Any] = {
            "app_id": hotmesh_app_id,
            "redis": hotmesh_url,
            "settings": Settings(grace="1s"),
        }
        mesh = await HotMesh.init(**{**defaults, **options})
        opened.append(mesh)
        return mesh

    yield make
    for mesh in reversed(opened):
        await mesh.stop()


@async_fixture
async def hotmesh_router() -> AsyncIterator[Callable[[Router], Awaitable[RouterClient]]]:
    """`client = await hotmesh_router(router)`: started, and stopped at the end."""
    from hotmesh.testing.routers import RouterClient

    opened: list[RouterClient] = []

    async def make(router: Router) -> RouterClient:
        client = RouterClient(router)
        await client.__aenter__()
        opened.append(client)
        return client

    yield make
    for client in reversed(opened):
        await client.__aexit__(None, None, None)


@async_fixture
async def hotmesh_durable(
    hotmesh_url: str, hotmesh_app_id: str
) -> AsyncIterator[Callable[..., Awaitable[DurableEnvironment]]]:
    """`env = await hotmesh_durable(workflows=[…], activities=[…])`: in a namespace of the test's
    own, with time that is skipped.
    """
    from hotmesh.testing.durable import DurableEnvironment

    opened: list[DurableEnvironment] = []

    async def make(**options: Any) -> DurableEnvironment:
        defaults: dict[str, Any] = {"namespace": hotmesh_app_id}
        env = DurableEnvironment(hotmesh_url, **{**defaults, **options})
        await env.__aenter__()
        opened.append(env)
        return env

    yield make
    for env in reversed(opened):
        await env.__aexit__(None, None, None)


@pytest.fixture
def hotmesh_spans() -> Iterator[Spans]:
    """Every span that the test's code draws."""
    from hotmesh.testing.tracing import capture_spans

    with capture_spans() as spans:
        yield spans


@pytest.fixture
def skip_time() -> Iterator[Callable[[Duration], None]]:
    """Let time pass at once, for meshes and routers of this process; restored at the end."""
    from hotmesh.testing.clock import restore_time
    from hotmesh.testing.clock import skip_time as skip

    yield skip
    restore_time()
