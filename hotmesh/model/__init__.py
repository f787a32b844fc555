"""The YAML language: a typed model, its loader with positions, and its checks.

Pure: nothing here does I/O but reading files.
"""

from hotmesh.model.activities import (
    Activity,
    Await,
    Cycle,
    Hook,
    Interrupt,
    Io,
    Measure,
    Signal,
    Stats,
    Trigger,
    Value,
    Worker,
)
from hotmesh.model.check import check
from hotmesh.model.loader import Loaded, load
from hotmesh.model.schema import json_schema
from hotmesh.model.scope import Doubt, MappingCheck
from hotmesh.model.types import (
    App,
    Conditions,
    Graph,
    HookRule,
    Match,
    RetryPolicy,
    Transition,
    retry_rules,
    validates,
)

__all__ = [
    "Activity",
    "App",
    "Await",
    "Conditions",
    "Cycle",
    "Doubt",
    "Graph",
    "Hook",
    "HookRule",
    "Interrupt",
    "Io",
    "Loaded",
    "MappingCheck",
    "Match",
    "Measure",
    "RetryPolicy",
    "Signal",
    "Stats",
    "Transition",
    "Trigger",
    "Value",
    "Worker",
    "check",
    "json_schema",
    "load",
    "retry_rules",
    "validates",
]
