"""Mapped values → what can be stored as MessagePack or JSON."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from hotmesh.errors import MappingError
from hotmesh.mapping.calls import fault
from hotmesh.mapping.javascript import UNDEFINED, Date, OutOfRange, to_string
from hotmesh.mapping.javascript.dates import EPOCH, iso_text
from hotmesh.mapping.javascript.text import encodable
from hotmesh.mapping.javascript.values import DEPTH_MAX, ELEMENTS_MAX, double

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**64 - 1
"""What an integer in MessagePack can be."""

_SIMPLE: Final = frozenset({bool, float, type(None)})

_FIRST_MS: Final = -62_135_596_800_000
_LAST_MS: Final = 253_402_300_799_999
"""The years 1 to 9999, all that `datetime` has."""


def plain(value: Any) -> Any:
    """The value as it can be stored; the very same object if there is nothing to replace.

    Undefined members of objects are left out, undefined elements (and an undefined value as a
    whole) become None. A `Date` becomes an aware UTC `datetime`, an invalid one None, one beyond
    the year 9999 its ISO text. Integers beyond 64 bits become floats, halves of surrogate pairs
    U+FFFD. Floats stay as they are, -0.0, NaN and the infinities included.

    Raises:
        MappingError: The value is cyclic, nested deeper than `DEPTH_MAX`, or has more than
            `ELEMENTS_MAX` members.
    """
    if type(value) is not dict and type(value) is not list:
        return None if value is UNDEFINED else _scalar(value)
    # Looking comes first and is all that almost every value needs; then the whole is built anew.
    if _is_plain(value, DEPTH_MAX, _Count()):
        return value
    return _made_plain(value, DEPTH_MAX, _Count())


def text_of(value: Any) -> str:
    """The text of a mapped value as JavaScript makes it, for names and keys: `3`, `true`, `a,b`.

    Raises:
        MappingError: An array that is cyclic, nested too deeply, or too long as text.
    """
    try:
        return encodable(to_string(value))
    except (OutOfRange, RecursionError) as exc:
        raise fault(exc, "") from exc


class _Count:
    """How many members may still be visited: parts that are shared count every time they occur."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = ELEMENTS_MAX

    def enter(self, container: Any, depth: int) -> None:
        self.left -= 1 + len(container)
        if self.left < 0 or not depth:
            raise MappingError(
                f"the value is cyclic, nested deeper than {DEPTH_MAX} levels, "
                f"or has more than {ELEMENTS_MAX:,} members"
            )


def _is_plain(container: Any, depth: int, count: _Count) -> bool:
    count.enter(container, depth)
    if isinstance(container, dict):
        for key in container:
            if not (type(key) is str and key.isascii()) and _scalar(key) is not key:
                return False
        container = container.values()
    for item in container:
        kind = type(item)
        if kind in _SIMPLE or (kind is str and item.isascii()):
            continue
        if kind is dict or kind is list:
            if not _is_plain(item, depth - 1, count):
                return False
        elif item is UNDEFINED or _scalar(item) is not item:
            return False
    return True


def _made_plain(value: Any, depth: int, count: _Count) -> Any:
    if type(value) is dict:
        count.enter(value, depth)
        return {
            _scalar(key): _made_plain(item, depth - 1, count)
            for key, item in value.items()
            if item is not UNDEFINED
        }
    if type(value) is list:
        count.enter(value, depth)
        return [_made_plain(item, depth - 1, count) for item in value]
    return None if value is UNDEFINED else _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if INT_MIN <= value <= INT_MAX else double(value)
    return _moment(value) if isinstance(value, Date) else value


def _moment(date: Date) -> datetime | str | None:
    if date.ms != date.ms:
        return None
    if not _FIRST_MS <= date.ms <= _LAST_MS:
        return iso_text(date.ms)
    return EPOCH + timedelta(milliseconds=date.ms)
