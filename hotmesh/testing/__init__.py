"""What users test with, on a real server: the embedded one.

Nothing here imitates Redis. Fixtures for pytest come with the package (`hotmesh.testing.plugin`);
everything can be used without pytest too. Names are loaded when they are first asked for: pytest
imports this in every run, also in those that have nothing to do with hotmesh.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotmesh.testing.clock import restore_time, skip_time
    from hotmesh.testing.durable import (
        ActivityEnvironment,
        DurableEnvironment,
        Replayed,
        Replayer,
        ReplayFailed,
        replay,
    )
    from hotmesh.testing.names import app_id_of
    from hotmesh.testing.routers import Handled, RouterClient
    from hotmesh.testing.server import embedded_server
    from hotmesh.testing.tracing import Spans, capture_spans
    from hotmesh.testing.waiting import eventually

_MODULES = {
    "ActivityEnvironment": "durable",
    "DurableEnvironment": "durable",
    "Handled": "routers",
    "ReplayFailed": "durable",
    "Replayed": "durable",
    "Replayer": "durable",
    "RouterClient": "routers",
    "Spans": "tracing",
    "app_id_of": "names",
    "capture_spans": "tracing",
    "embedded_server": "server",
    "eventually": "waiting",
    "replay": "durable",
    "restore_time": "clock",
    "skip_time": "clock",
}

__all__ = [
    "ActivityEnvironment",
    "DurableEnvironment",
    "Handled",
    "ReplayFailed",
    "Replayed",
    "Replayer",
    "RouterClient",
    "Spans",
    "app_id_of",
    "capture_spans",
    "embedded_server",
    "eventually",
    "replay",
    "restore_time",
    "skip_time",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'hotmesh.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"hotmesh.testing.{module}"), name)
    globals()[name] = value
    return value
