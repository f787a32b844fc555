"""Durable workflows in tests: time that is skipped, activities alone, histories replayed.

async with DurableEnvironment(workflows=[order], activities=[charge]) as env:
    assert await env.client.workflow.execute(order, "a") == "shipped"  # sleeps for 30 days
"""

from __future__ import annotations

from hotmesh.testing.activity_environment import ActivityEnvironment
from hotmesh.testing.durable_environment import DurableEnvironment
from hotmesh.testing.replayer import Replayed, Replayer, ReplayFailed, replay

__all__ = [
    "ActivityEnvironment",
    "DurableEnvironment",
    "ReplayFailed",
    "Replayed",
    "Replayer",
    "replay",
]
