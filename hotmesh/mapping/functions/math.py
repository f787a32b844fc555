"""`{@math.…}`: doubles; where Python raises, these give NaN or an infinity."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, Final

from hotmesh.mapping.env import Env
from hotmesh.mapping.javascript import (
    UNDEFINED,
    OutOfRange,
    WrongType,
    is_number,
    strict_equal,
    to_number,
)
from hotmesh.mapping.javascript.convert import add as plus
from hotmesh.mapping.javascript.numbers import tidy, to_int32, to_uint32

Real = Callable[[float], float]


def _real(function: Real, *, poles: dict[float, float] | None = None) -> Callable[..., float]:
    """A function of one number: NaN outside of its domain, infinite at a pole."""

    def apply(x: Any = UNDEFINED) -> float:
        value = to_number(x)
        if value != value:
            return math.nan
        if poles and value in poles:
            return poles[value]
        try:
            return tidy(function(value))
        except ValueError:
            return math.nan
        except OverflowError:
            return math.copysign(math.inf, function(math.copysign(1, value)))

    return apply


def _whole(function: Callable[[float], int]) -> Real:
    """A rounding function that leaves infinities alone and keeps the sign of what becomes zero."""

    def apply(value: float) -> float:
        if math.isinf(value):
            return value
        result = float(function(value))
        return math.copysign(result, value) if result == 0 else result

    return apply


def _nearest(value: float) -> int:
    """The nearest integer, halves upwards.

    Adding one half first would round 0.49999999999999994 up.
    """
    below = math.floor(value)
    return below + 1 if value - below >= 0.5 else below


def _sign(value: float) -> float:
    return math.copysign(1, value) if value else value


def _cube_root(value: float) -> float:
    """Cube root; of a cube exactly, which the C library is not everywhere."""
    root = math.cbrt(value)
    whole = float(round(root)) if abs(root) < 1e15 else root
    return whole if whole and whole**3 == value else root


def _float32(value: float) -> float:
    packed: float = struct.unpack("f", struct.pack("f", value))[0]
    return packed


def random(env: Env) -> float:
    return env.random()


def add(*numbers: Any) -> Any:
    total: Any = 0
    for number in numbers:
        if isinstance(number, list):
            raise WrongType("an array can't be added; use @reduce to add its elements")
        total = plus(total, number)
    return total


def _operands(numbers: tuple[Any, ...]) -> list[Any]:
    """The arguments with arrays among them spread out, one level deep."""
    flat: list[Any] = []
    for number in numbers:
        flat.extend(number if isinstance(number, list) else [number])
    if not flat:
        raise OutOfRange("this needs at least one number")
    return flat


def subtract(*numbers: Any) -> Any:
    result, *rest = _operands(numbers)
    for number in rest:
        result = tidy(to_number(result) - to_number(number))
    return result


def multiply(*numbers: Any) -> float:
    if not numbers:
        raise OutOfRange("this needs at least one number")
    result = 1.0
    for number in numbers:
        if isinstance(number, list):
            raise WrongType("an array can't be multiplied; use @reduce to multiply its elements")
        result *= float(to_number(number))
    return tidy(result)


def divide(*numbers: Any) -> Any:
    """A divisor that is the number 0 gives NaN; null and text give an infinity instead."""
    result, *rest = _operands(numbers)
    if to_number(result) != to_number(result):
        return math.nan
    for number in rest:
        if is_number(number) and strict_equal(number, 0):
            return math.nan
        result = tidy(_quotient(to_number(result), to_number(number)))
    return result


def _quotient(dividend: float, divisor: float) -> float:
    if divisor:
        return dividend / divisor
    if dividend == 0 or dividend != dividend:
        return math.nan
    return math.copysign(math.inf, dividend) * math.copysign(1, divisor)


def power(base: Any = UNDEFINED, exponent: Any = UNDEFINED) -> float:
    x, y = float(to_number(base)), float(to_number(exponent))
    if y == 0:
        return 1
    if x != x or y != y or (abs(x) == 1 and math.isinf(y)):
        return math.nan
    try:
        return tidy(math.pow(x, y))
    except (ValueError, OverflowError):
        if x < 0 and not y.is_integer() and x > -math.inf:
            return math.nan
        negative = math.copysign(1, x) < 0 and y % 2 == 1
        return -math.inf if negative else math.inf


def arc_tangent(y: Any = UNDEFINED, x: Any = UNDEFINED) -> float:
    return tidy(math.atan2(to_number(y), to_number(x)))


def hypotenuse(*numbers: Any) -> float:
    return tidy(math.hypot(*[to_number(number) for number in numbers]))


def largest(*numbers: Any) -> float:
    """NaN if any is; -Infinity without arguments; 0 is above -0."""
    values = [to_number(number) for number in numbers]
    if any(value != value for value in values):
        return math.nan
    return tidy(max(values, key=_by_size, default=-math.inf))


def smallest(*numbers: Any) -> float:
    values = [to_number(number) for number in numbers]
    if any(value != value for value in values):
        return math.nan
    return tidy(min(values, key=_by_size, default=math.inf))


def _by_size(value: float) -> tuple[float, float]:
    return value, math.copysign(1, value)


def count_leading_zeros(x: Any = UNDEFINED) -> int:
    return 32 - to_uint32(to_number(x)).bit_length()


def multiply_int32(a: Any = UNDEFINED, b: Any = UNDEFINED) -> int:
    return to_int32(to_uint32(to_number(a)) * to_uint32(to_number(b)))


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "abs": _real(abs),
    "acos": _real(math.acos),
    "acosh": _real(math.acosh),
    "add": add,
    "asin": _real(math.asin),
    "asinh": _real(math.asinh),
    "atan": _real(math.atan),
    "atan2": arc_tangent,
    "atanh": _real(math.atanh, poles={1: math.inf, -1: -math.inf}),
    "cbrt": _real(_cube_root),
    "ceil": _real(_whole(math.ceil)),
    "clz32": count_leading_zeros,
    "cos": _real(math.cos),
    "cosh": _real(math.cosh),
    "divide": divide,
    "exp": _real(math.exp),
    "expm1": _real(math.expm1),
    "floor": _real(_whole(math.floor)),
    "fround": _real(_float32),
    "hypot": hypotenuse,
    "imul": multiply_int32,
    "log": _real(math.log, poles={0: -math.inf}),
    "log10": _real(math.log10, poles={0: -math.inf}),
    "log1p": _real(math.log1p, poles={-1: -math.inf}),
    "log2": _real(math.log2, poles={0: -math.inf}),
    "max": largest,
    "min": smallest,
    "multiply": multiply,
    "pow": power,
    "random": random,
    "round": _real(_whole(_nearest)),
    "sign": _real(_sign),
    "sin": _real(math.sin),
    "sinh": _real(math.sinh),
    "sqrt": _real(math.sqrt),
    "subtract": subtract,
    "tan": _real(math.tan),
    "tanh": _real(math.tanh),
    "trunc": _real(_whole(math.trunc)),
}
