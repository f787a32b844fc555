"""Durable workflows and an event-driven service mesh on the Redis or Valkey that you already
run.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotmesh import durable as durable
    from hotmesh.errors import (
        ActivationFailed,
        DeliveryLost,
        DuplicateJob,
        HotMeshError,
        JobEnded,
        JobError,
        JobNotFound,
        JobTimeout,
        ModelInvalid,
        Overloaded,
        PayloadInvalid,
        Reject,
        ServerUnavailable,
        TopicNotFound,
    )
    from hotmesh.mesh import (
        DeployResult,
        HotMesh,
        JobFailure,
        JobMetadata,
        JobOutput,
        RetryPolicy,
        Settings,
        Worker,
    )
    from hotmesh.messages import StreamData, StreamMetadata, StreamResult
    from hotmesh.routing import Delivery, Match, Router
    from hotmesh.streams.app import App
    from hotmesh.streams.record import Record

# What is public, by the module that has it. Loaded when first asked for: `import hotmesh` alone
# costs next to nothing, so a command
# that only prints its version, or a module that only needs the errors, does not pay for the client
# library.
_PUBLIC = {
    "hotmesh.errors": (
        "ActivationFailed",
        "DeliveryLost",
        "DuplicateJob",
        "HotMeshError",
        "JobEnded",
        "JobError",
        "JobNotFound",
        "JobTimeout",
        "ModelInvalid",
        "Overloaded",
        "PayloadInvalid",
        "Reject",
        "ServerUnavailable",
        "TopicNotFound",
    ),
    "hotmesh.mesh": (
        "DeployResult",
        "HotMesh",
        "JobFailure",
        "JobMetadata",
        "JobOutput",
        "RetryPolicy",
        "Settings",
        "Worker",
    ),
    "hotmesh.routing": ("Delivery", "Match", "Router"),
    "hotmesh.messages": ("StreamData", "StreamMetadata", "StreamResult"),
    "hotmesh.streams.app": ("App",),
    "hotmesh.streams.record": ("Record",),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = [
    "ActivationFailed",
    "App",
    "Delivery",
    "DeliveryLost",
    "DeployResult",
    "DuplicateJob",
    "HotMesh",
    "HotMeshError",
    "JobEnded",
    "JobError",
    "JobFailure",
    "JobMetadata",
    "JobNotFound",
    "JobOutput",
    "JobTimeout",
    "Match",
    "ModelInvalid",
    "Overloaded",
    "PayloadInvalid",
    "Record",
    "Reject",
    "RetryPolicy",
    "Router",
    "ServerUnavailable",
    "Settings",
    "StreamData",
    "StreamMetadata",
    "StreamResult",
    "TopicNotFound",
    "Worker",
]


def __getattr__(name: str) -> Any:
    if name == "durable":
        return importlib.import_module("hotmesh.durable")
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'hotmesh' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
