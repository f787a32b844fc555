"""`{@unary.…}`: JavaScript's operators with one operand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hotmesh.mapping.javascript import UNDEFINED, to_number, truthy
from hotmesh.mapping.javascript.numbers import tidy, to_int32


def not_(x: Any = UNDEFINED) -> bool:
    return not truthy(x)


def positive(x: Any = UNDEFINED) -> float:
    return tidy(to_number(x))


def negative(x: Any = UNDEFINED) -> float:
    return tidy(-float(to_number(x)))


def bitwise_not(x: Any = UNDEFINED) -> int:
    return ~to_int32(to_number(x))


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "bitwise_not": bitwise_not,
    "negative": negative,
    "not": not_,
    "positive": positive,
}
