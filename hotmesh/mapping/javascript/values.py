"""Undefined, kinds of values, truth and strict equality.

How JavaScript's values look here: undefined is `UNDEFINED` and null is `None`; a number is an int
or a float and never a bool; an array is a list, an object a dict with text keys, a date a `Date`
(or an aware `datetime`, which is read but never changed in place). Anything else is an object that
nothing is known about.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Final, final

from hotmesh.mapping.javascript.dates import Date

TEXT_MAX: Final = 4 * 1024 * 1024
"""Units of a text that a function may build: four times the largest payload, so that only a mistake
meets it.
"""

ELEMENTS_MAX: Final = 1_000_000
"""Elements of an array that a function may build, and members that a value may have in all when it
is turned into text.
"""

DEPTH_MAX: Final = 200
"""Levels of arrays and objects that are followed; a cyclic value meets it as well."""

SAFE: Final = 2**53
"""Up to here a double holds every integer."""


class WrongType(TypeError):
    """A value that the function can't work on: JavaScript's TypeError. Safe to show."""


class OutOfRange(ValueError):
    """Outside of what is allowed: JavaScript's RangeError, and our limits. Safe to show."""


@final
class Undefined:
    """The type of `UNDEFINED`. It is false, copies to itself and pickles to itself."""

    __slots__ = ()
    _one: Undefined | None = None

    def __new__(cls) -> Undefined:
        if cls._one is None:
            cls._one = super().__new__(cls)
        return cls._one

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "UNDEFINED"

    def __copy__(self) -> Undefined:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Undefined:
        return self

    def __reduce__(self) -> tuple[type[Undefined], tuple[()]]:
        return Undefined, ()


UNDEFINED: Final = Undefined()


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_date(value: Any) -> bool:
    return isinstance(value, (Date, datetime))


def is_nullish(value: Any) -> bool:
    return value is None or value is UNDEFINED


def is_object(value: Any) -> bool:
    """Whether JavaScript would call it an object: not null, undefined, text, number or boolean."""
    return not (is_nullish(value) or isinstance(value, (str, int, float)))


def kind(value: Any) -> str:
    """What a value is, for messages, with its article. Never shows the value itself."""
    if value is UNDEFINED:
        return "undefined"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, list):
        return "an array"
    return "a date" if is_date(value) else "an object"


def truthy(value: Any) -> bool:
    if value is None or value is UNDEFINED or value is False:
        return False
    if isinstance(value, str):
        return value != ""
    if isinstance(value, (int, float)):
        return value != 0 and value == value
    return True


def double(value: float) -> float:
    """The double nearest to a number, infinite when an integer is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def strict_equal(left: Any, right: Any) -> bool:
    """JavaScript's `===`: same type and value; arrays and objects by identity."""
    if isinstance(left, str):
        return isinstance(right, str) and left == right
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (int, float)):
        if not isinstance(right, (int, float)):
            return False
        return left == right or (abs(left) > SAFE and double(left) == double(right))
    return left is right


def copied(value: Any) -> Any:
    """A deep copy of arrays, objects and dates; shared parts stay shared."""
    return _copied(value, {}, DEPTH_MAX)


def _copied(value: Any, seen: dict[int, Any], depth: int) -> Any:
    if isinstance(value, Date):
        return Date(value.ms, value.zone)
    if not isinstance(value, (list, dict)):
        return value
    if id(value) in seen:
        return seen[id(value)]
    if not depth:
        raise OutOfRange(f"the value is nested deeper than {DEPTH_MAX} levels")
    if isinstance(value, list):
        array: list[Any] = []
        seen[id(value)] = array
        array.extend([_copied(item, seen, depth - 1) for item in value])
        return array
    members: dict[str, Any] = {}
    seen[id(value)] = members
    for key, item in value.items():
        members[key] = _copied(item, seen, depth - 1)
    return members
