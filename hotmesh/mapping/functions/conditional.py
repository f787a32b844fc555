"""`{@conditional.…}`: comparisons and choices. All arguments are evaluated before one is chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hotmesh.mapping.javascript import (
    UNDEFINED,
    is_nullish,
    less,
    loose_equal,
    strict_equal,
    truthy,
)


def ternary(condition: Any = UNDEFINED, yes: Any = UNDEFINED, no: Any = UNDEFINED) -> Any:
    return yes if truthy(condition) else no


def equality(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    return loose_equal(a, b)


def inequality(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    return not loose_equal(a, b)


def strict_equality(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    return strict_equal(a, b)


def strict_inequality(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    return not strict_equal(a, b)


def greater_than(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    return less(b, a) is True


def greater_than_or_equal(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    return less(a, b) is False


def less_than(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    return less(a, b) is True


def less_than_or_equal(a: Any = UNDEFINED, b: Any = UNDEFINED) -> bool:
    return less(b, a) is False


def nullish(a: Any = UNDEFINED, b: Any = UNDEFINED) -> Any:
    return b if is_nullish(a) else a


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "equality": equality,
    "greater_than": greater_than,
    "greater_than_or_equal": greater_than_or_equal,
    "inequality": inequality,
    "less_than": less_than,
    "less_than_or_equal": less_than_or_equal,
    "nullish": nullish,
    "strict_equality": strict_equality,
    "strict_inequality": strict_inequality,
    "ternary": ternary,
}
