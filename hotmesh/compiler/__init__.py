"""Model → Plan (data, stored, numbered) → Program (closures, per process)."""

from hotmesh.compiler.compile import Compiled, compile_model
from hotmesh.compiler.diff import Difference, difference
from hotmesh.compiler.link import Node, Program, link, waits
from hotmesh.compiler.plan import (
    EXPIRE_DEFAULT_S,
    ActivityPlan,
    EdgePlan,
    GraphPlan,
    HookPlan,
    Plan,
    RulePlan,
    StatsPlan,
)
from hotmesh.compiler.plan import decode as decode_plan
from hotmesh.compiler.plan import encode as encode_plan

__all__ = [
    "EXPIRE_DEFAULT_S",
    "ActivityPlan",
    "Compiled",
    "Difference",
    "EdgePlan",
    "GraphPlan",
    "HookPlan",
    "Node",
    "Plan",
    "Program",
    "RulePlan",
    "StatsPlan",
    "compile_model",
    "decode_plan",
    "difference",
    "encode_plan",
    "link",
    "waits",
]
