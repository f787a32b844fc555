"""The recorded vectors of the mapping language: reading, decoding and comparing them.

They were recorded by running the original, and stand in `vectors/*.json` beside this file. JSON
can't carry every value that JavaScript has, so an object with exactly one key that is known here
(`$undefined`, `$nan`, `$inf`, `$negzero`, `$date`) is an encoded value, at any depth. Any test that
compares with recorded values can use `decode` and `same`.
"""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

from hotmesh.mapping import UNDEFINED, Date, Env

FOLDER = Path(__file__).parent / "vectors"
COUNTS = {"pipes": 3272, "pipes_later": 282, "mapper": 65, "conditions": 41}
ALIASES = ("$self", "$job")


def load(name: str) -> list[dict[str, Any]]:
    """The vectors of a file, still encoded; fails when any is missing."""
    vectors: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text())
    assert len(vectors) >= COUNTS[name], f"{name}.json has {len(vectors)} of {COUNTS[name]} vectors"
    return vectors


def decode(value: Any) -> Any:
    """The Python form of an encoded value; always a new copy."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key == "$undefined":
            return UNDEFINED
        if key == "$nan":
            return math.nan
        if key == "$inf":
            return inner * math.inf
        if key == "$negzero":
            return -0.0
        if key == "$date":
            return Date(math.nan if inner is None else instant_ms(inner))
    return {key: decode(item) for key, item in value.items()}


def instant_ms(text: str) -> int:
    """Milliseconds since 1970 of an ISO text with `Z`."""
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def same(got: Any, expected: Any, *, approx: bool = False) -> bool:
    """Whether two decoded values are one: doubles, no boolean for a number, undefined apart from
    null.

    Args:
        approx: Numbers may differ by one part in 10**12.
    """
    if isinstance(expected, dict):
        return (
            isinstance(got, dict)
            and got.keys() == expected.keys()
            and all(same(got[key], expected[key], approx=approx) for key in expected)
        )
    if isinstance(expected, list):
        return (
            isinstance(got, list)
            and len(got) == len(expected)
            and all(
                same(one, other, approx=approx) for one, other in zip(got, expected, strict=True)
            )
        )
    if isinstance(expected, Date):
        return isinstance(got, Date) and same(got.ms, expected.ms)
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        return _same_number(got, expected, approx)
    return type(got) is type(expected) and bool(got == expected)


def _same_number(got: Any, expected: float, approx: bool) -> bool:
    if isinstance(got, bool) or not isinstance(got, (int, float)):
        return False
    one, other = float(got), float(expected)
    if math.isnan(other):
        return math.isnan(one)
    if other == 0:
        return one == 0 and math.copysign(1, one) == math.copysign(1, other)
    return one == other or (approx and math.isclose(one, other, rel_tol=1e-12))


def context_of(vector: dict[str, Any]) -> dict[str, Any]:
    """A vector's own context, with `$self` and `$job` bound if it says so."""
    context: dict[str, Any] = decode(vector["context"])
    if "self" in vector:
        context["$self"] = context.get(vector["self"], UNDEFINED)
        context["$job"] = context
    return context


def without_aliases(context: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in context.items() if key not in ALIASES}


def env_of(vector: dict[str, Any]) -> Env:
    """The clock and zone that a vector was recorded with."""
    now = instant_ms(vector["now"]) if "now" in vector else 1_710_080_736_250
    return Env(now_ms=now, random=lambda: 0.5, tz=vector.get("tz", "UTC"))
