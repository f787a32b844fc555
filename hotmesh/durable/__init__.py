"""Code-first workflows: ordinary async functions that survive crashes, deploys and months of
sleep.

`activity` and `workflow` are modules with what the code of each may call, and decorators.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotmesh.durable.client import Client
    from hotmesh.durable.errors import (
        ActivityError,
        ApplicationError,
        ChildWorkflowError,
        FatalError,
        MaxedError,
        NonDeterminismError,
        TimeoutFailure,
        WorkflowAlreadyStarted,
        WorkflowCancelled,
        WorkflowFailed,
        WorkflowInterrupted,
        WorkflowNotFound,
    )
    from hotmesh.durable.handle import WorkflowHandle
    from hotmesh.durable.interceptors import (
        ActivityInterceptor,
        Call,
        ClientInterceptor,
        WorkflowInterceptor,
    )
    from hotmesh.durable.modules import activity as activity
    from hotmesh.durable.modules import workflow as workflow
    from hotmesh.durable.options import HOTMESH_RETRY, RetryPolicy
    from hotmesh.durable.schedules import ScheduleAction, ScheduleHandle, ScheduleSpec
    from hotmesh.durable.worker import Worker

_PUBLIC = {
    "hotmesh.durable.client": ("Client",),
    "hotmesh.durable.errors": (
        "ActivityError",
        "ApplicationError",
        "ChildWorkflowError",
        "FatalError",
        "MaxedError",
        "NonDeterminismError",
        "TimeoutFailure",
        "WorkflowAlreadyStarted",
        "WorkflowCancelled",
        "WorkflowFailed",
        "WorkflowInterrupted",
        "WorkflowNotFound",
    ),
    "hotmesh.durable.handle": ("WorkflowHandle",),
    "hotmesh.durable.interceptors": (
        "ActivityInterceptor",
        "Call",
        "ClientInterceptor",
        "WorkflowInterceptor",
    ),
    "hotmesh.durable.options": ("HOTMESH_RETRY", "RetryPolicy"),
    "hotmesh.durable.schedules": ("ScheduleAction", "ScheduleHandle", "ScheduleSpec"),
    "hotmesh.durable.worker": ("Worker",),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = [
    "HOTMESH_RETRY",
    "ActivityError",
    "ActivityInterceptor",
    "ApplicationError",
    "Call",
    "ChildWorkflowError",
    "Client",
    "ClientInterceptor",
    "FatalError",
    "MaxedError",
    "NonDeterminismError",
    "RetryPolicy",
    "ScheduleAction",
    "ScheduleHandle",
    "ScheduleSpec",
    "TimeoutFailure",
    "Worker",
    "WorkflowAlreadyStarted",
    "WorkflowCancelled",
    "WorkflowFailed",
    "WorkflowHandle",
    "WorkflowInterceptor",
    "WorkflowInterrupted",
    "WorkflowNotFound",
    "activity",
    "workflow",
]


def __getattr__(name: str) -> Any:
    if name in ("activity", "workflow"):
        return importlib.import_module(f"hotmesh.durable.{name}")
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'hotmesh.durable' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
