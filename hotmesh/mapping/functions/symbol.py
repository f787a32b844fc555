"""`{@symbol.…}`: values that a rule can't write as a literal, new each time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from hotmesh.mapping.env import Env
from hotmesh.mapping.javascript import UNDEFINED, Date, Undefined


def null() -> None:
    return None


def undefined() -> Undefined:
    return UNDEFINED


def whitespace() -> str:
    return " "


def object_() -> dict[str, Any]:
    return {}


def array() -> list[Any]:
    return []


def pos_infinity() -> float:
    return math.inf


def neg_infinity() -> float:
    return -math.inf


def not_a_number() -> float:
    return math.nan


def date(env: Env) -> Date:
    return Date(env.now_ms, env.tz)


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "NaN": not_a_number,
    "array": array,
    "date": date,
    "negInfinity": neg_infinity,
    "null": null,
    "object": object_,
    "posInfinity": pos_infinity,
    "undefined": undefined,
    "whitespace": whitespace,
}
