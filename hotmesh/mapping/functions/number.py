"""`{@number.…}`: tests, parsing and layout of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from hotmesh.mapping.functions import conditional
from hotmesh.mapping.functions.math import FUNCTIONS as MATH
from hotmesh.mapping.javascript import (
    UNDEFINED,
    OutOfRange,
    WrongType,
    is_number,
    kind,
    to_number,
    to_string,
)
from hotmesh.mapping.javascript.numbers import (
    digits_of,
    exponent_form,
    float_prefix,
    int_prefix,
    laid_out,
    number_text,
    to_int32,
    to_integer,
)

DIGITS_MAX: Final = 100


def is_finite(x: Any = UNDEFINED) -> bool:
    return is_number(x) and math.isfinite(x)


def is_integer(x: Any = UNDEFINED) -> bool:
    return is_number(x) and math.isfinite(x) and x == int(x)


def is_nan(x: Any = UNDEFINED) -> bool:
    return is_number(x) and x != x


def is_even(x: Any = UNDEFINED) -> bool:
    value = to_number(x)
    return math.isfinite(value) and value % 2 == 0


def is_odd(x: Any = UNDEFINED) -> bool:
    """Whatever leaves a remainder, a fraction and infinity included."""
    value = to_number(x)
    return value == value and not is_even(value)


def parse_float(x: Any = UNDEFINED) -> float:
    return float_prefix(to_string(x))


def parse_int(x: Any = UNDEFINED, radix: Any = UNDEFINED) -> float:
    return int_prefix(to_string(x), to_int32(to_number(radix)))


def _number(value: Any) -> float:
    if is_number(value):
        return float(value)
    raise WrongType(
        f"this works on a number, not on {kind(value)}; unary.positive turns text into one"
    )


def _digits(value: Any, least: int) -> int:
    count = to_integer(to_number(value))
    if not least <= count <= DIGITS_MAX:
        raise OutOfRange(f"the number of digits is between {least} and {DIGITS_MAX}")
    return int(count)


def _rounded(value: float, places: int) -> int:
    """A positive number times ten to `places`, as an integer.

    The exact value is rounded, halves away from zero.
    """
    top, bottom = value.as_integer_ratio()
    if places >= 0:
        top *= 10**places
    else:
        bottom *= 10**-places
    return (2 * top + bottom) // (2 * bottom)


def to_fixed(x: Any, digits: Any = UNDEFINED) -> str:
    value, places = _number(x), _digits(digits, 0)
    if not abs(value) < 1e21:
        return number_text(value)
    text = str(_rounded(abs(value), places)).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{text[:-places]}.{text[-places:]}" if places else sign + text


def _significant(value: float, count: int) -> tuple[str, int]:
    """So many digits of a positive number, and the exponent of the first."""
    exponent = digits_of(value)[1] - 1
    digits = str(_rounded(value, count - 1 - exponent))
    if len(digits) < count:
        # The shortest digits round up to a power of ten that the exact value does not reach.
        exponent -= 1
        digits = str(_rounded(value, count - 1 - exponent))
    return (digits, exponent) if len(digits) == count else (digits[:count], exponent + 1)


def to_exponential(x: Any, digits: Any = UNDEFINED) -> str:
    value = _number(x)
    if not math.isfinite(value):
        return number_text(value)
    places = _digits(digits, 0)
    sign = "-" if value < 0 else ""
    if value == 0:
        text, exponent = "0" * (places + 1), 0
    elif digits is UNDEFINED:
        text, place = digits_of(abs(value))
        exponent = place - 1
    else:
        text, exponent = _significant(abs(value), places + 1)
    return sign + exponent_form(text, exponent)


def to_precision(x: Any, digits: Any = UNDEFINED) -> str:
    value = _number(x)
    if digits is UNDEFINED or not math.isfinite(value):
        return number_text(value)
    count = _digits(digits, 1)
    text, exponent = ("0" * count, 0) if value == 0 else _significant(abs(value), count)
    sign = "-" if value < 0 else ""
    if exponent < -6 or exponent >= count:
        return sign + exponent_form(text, exponent)
    return sign + laid_out(text, exponent + 1)


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "gt": conditional.greater_than,
    "gte": conditional.greater_than_or_equal,
    "isEven": is_even,
    "isFinite": is_finite,
    "isInteger": is_integer,
    "isNaN": is_nan,
    "isOdd": is_odd,
    "lt": conditional.less_than,
    "lte": conditional.less_than_or_equal,
    "max": MATH["max"],
    "min": MATH["min"],
    "parseFloat": parse_float,
    "parseInt": parse_int,
    "pow": MATH["pow"],
    "round": MATH["round"],
    "toExponential": to_exponential,
    "toFixed": to_fixed,
    "toPrecision": to_precision,
}
