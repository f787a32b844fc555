"""The mapping language: `maps`, `@pipe` and transition conditions, compiled once to closures.

Rules are those of HotMesh, with JavaScript's semantics; docs/reference/pipes.md lists the
functions. The package is pure: the clock, randomness and the local zone come in with an `Env`. Only
`clock`, which serves `evaluate` and its kin, reads them.
"""

from hotmesh.mapping.compile import compile_maps, compile_value, references
from hotmesh.mapping.conditions import compile_condition
from hotmesh.mapping.cron import next_match_ms, six_fields
from hotmesh.mapping.env import Env
from hotmesh.mapping.evaluate import evaluate, evaluate_condition, evaluate_maps
from hotmesh.mapping.functions import FAMILIES
from hotmesh.mapping.javascript import UNDEFINED, Date, Undefined
from hotmesh.mapping.paths import is_reference
from hotmesh.mapping.plain import plain, text_of

__all__ = [
    "FAMILIES",
    "UNDEFINED",
    "Date",
    "Env",
    "Undefined",
    "compile_condition",
    "compile_maps",
    "compile_value",
    "evaluate",
    "evaluate_condition",
    "evaluate_maps",
    "is_reference",
    "next_match_ms",
    "plain",
    "references",
    "six_fields",
    "text_of",
]
