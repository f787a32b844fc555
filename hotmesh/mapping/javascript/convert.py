"""Conversions between kinds of values, and the comparisons and the `+` that are built on them."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Final

from hotmesh.mapping.javascript.dates import Date, full_text, ms_of
from hotmesh.mapping.javascript.numbers import number_of_text, number_text, tidy
from hotmesh.mapping.javascript.text import joined, units
from hotmesh.mapping.javascript.values import (
    DEPTH_MAX,
    SAFE,
    UNDEFINED,
    OutOfRange,
    double,
    is_date,
    is_nullish,
    is_number,
    is_object,
    strict_equal,
)

_NUMBERS: Final = frozenset({int, float})
"""The exact types that most operands have; a bool is none of them."""


def to_number(value: Any) -> float:
    """The number that a value counts as; NaN for undefined, objects and most text."""
    if isinstance(value, int):
        return int(value) if -SAFE <= value <= SAFE else double(value)
    if isinstance(value, float):
        return value
    if isinstance(value, str):
        return number_of_text(value)
    if value is None:
        return 0
    if isinstance(value, list):
        return number_of_text(to_string(value))
    return ms_of(value) if isinstance(value, (Date, datetime)) else math.nan


def to_string(value: Any) -> str:
    """The text of anything; of an array its elements joined by commas."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if value is UNDEFINED:
        return "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number_text(value)
    if isinstance(value, list):
        return join(value, ",")
    if isinstance(value, Date):
        return full_text(value.ms, value.zone)
    if isinstance(value, datetime):
        return full_text(ms_of(value), "UTC")
    return "[object Object]"


def join(elements: list[Any], separator: str) -> str:
    """The elements as texts, null and undefined as nothing."""
    return _join(elements, separator, {}, DEPTH_MAX)


def _join(elements: list[Any], separator: str, seen: dict[int, str], depth: int) -> str:
    if not depth:
        raise OutOfRange(f"the array is nested deeper than {DEPTH_MAX} levels")
    parts = []
    for element in elements:
        if isinstance(element, list):
            # An array that occurs many times is turned into text once: its copies double with every
            # level.
            if id(element) not in seen:
                seen[id(element)] = _join(element, ",", seen, depth - 1)
            parts.append(seen[id(element)])
        else:
            parts.append("" if is_nullish(element) else to_string(element))
    return joined(parts, separator)


def to_primitive(value: Any) -> Any:
    """Arrays, objects and dates as text; everything else as it is."""
    return to_string(value) if is_object(value) else value


def add(left: Any, right: Any) -> Any:
    """JavaScript's `+`: text as soon as one side is text, an object or a date; else a sum."""
    if type(left) in _NUMBERS and type(right) in _NUMBERS:
        return tidy(to_number(left) + to_number(right))
    left, right = to_primitive(left), to_primitive(right)
    if isinstance(left, str) or isinstance(right, str):
        return joined([to_string(left), to_string(right)])
    return tidy(to_number(left) + to_number(right))


def less(left: Any, right: Any) -> bool | None:
    """JavaScript's `<`; None where two values can't be ordered."""
    if not (type(left) in _NUMBERS and type(right) in _NUMBERS):
        left = ms_of(left) if is_date(left) else to_primitive(left)
        right = ms_of(right) if is_date(right) else to_primitive(right)
        if isinstance(left, str) and isinstance(right, str):
            return units(left) < units(right)
    a, b = to_number(left), to_number(right)
    return None if a != a or b != b else a < b


def loose_equal(left: Any, right: Any) -> bool:
    """JavaScript's `==`."""
    if is_nullish(left) or is_nullish(right):
        return is_nullish(left) and is_nullish(right)
    if is_object(left) and is_object(right):
        return left is right
    left, right = to_primitive(left), to_primitive(right)
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    if isinstance(left, bool) and isinstance(right, bool):
        return left is right
    return strict_equal(to_number(left), to_number(right))


def property_key(value: Any) -> str:
    return value if isinstance(value, str) else to_string(value)


def is_plain_number(value: Any) -> bool:
    """A number that is not NaN."""
    return is_number(value) and value == value
