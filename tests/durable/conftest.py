"""Durable functions on the real server, each test in both modes: with runs kept in memory, and with
every turn replayed (`max_cached=0`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from durable_env import Durable


@pytest.fixture(params=["sticky", "replayed"])
async def durable(
    request: pytest.FixtureRequest, redis_url: str, app_id: str
) -> AsyncIterator[Durable]:
    """A namespace of its own; workers keep runs in memory, or replay every turn."""
    options = {} if request.param == "sticky" else {"max_cached": 0}
    env = Durable(redis_url, app_id, **options)
    yield env
    await env.close()
