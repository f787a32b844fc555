"""Clients and names of their own for tests of streams."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

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
