"""`{@bitwise.…}`: on signed 32-bit integers, as JavaScript's operators are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hotmesh.mapping.javascript import UNDEFINED, to_number
from hotmesh.mapping.javascript.numbers import to_int32, to_uint32


def _signed(value: Any) -> int:
    return to_int32(to_number(value))


def _shift(value: Any) -> int:
    return to_uint32(to_number(value)) & 31


def and_(a: Any = UNDEFINED, b: Any = UNDEFINED) -> int:
    return _signed(a) & _signed(b)


def or_(a: Any = UNDEFINED, b: Any = UNDEFINED) -> int:
    return _signed(a) | _signed(b)


def xor(a: Any = UNDEFINED, b: Any = UNDEFINED) -> int:
    return _signed(a) ^ _signed(b)


def left_shift(a: Any = UNDEFINED, b: Any = UNDEFINED) -> int:
    return to_int32(_signed(a) << _shift(b))


def right_shift(a: Any = UNDEFINED, b: Any = UNDEFINED) -> int:
    return _signed(a) >> _shift(b)


def unsigned_right_shift(a: Any = UNDEFINED, b: Any = UNDEFINED) -> int:
    return to_uint32(to_number(a)) >> _shift(b)


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "and": and_,
    "leftShift": left_shift,
    "or": or_,
    "rightShift": right_shift,
    "unsignedRightShift": unsigned_right_shift,
    "xor": xor,
}
