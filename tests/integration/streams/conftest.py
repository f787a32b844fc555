"""Clients and names of their own for tests of streams."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import hotmesh
from hotmesh.streams.client import Client


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test has."""
    return f"t{secrets.token_hex(5)}"


@pytest.fixture
async def client(redis_url: str, namespace: str) -> AsyncIterator[Client]:
    """An open client."""
    async with await Client.open(redis_url, namespace=namespace) as opened:
        yield opened


AppFactory = Callable[..., hotmesh.App]


@pytest.fixture
def new_app(redis_url: str, namespace: str) -> AppFactory:
    """`new_app(id="shop", **options)`: an app of the test's server and namespace."""

    def make(id: str = "shop", **options: Any) -> hotmesh.App:
        return hotmesh.App(id, redis_url, namespace=namespace, **{"lease": "1s", **options})

    return make
