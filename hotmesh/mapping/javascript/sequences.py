"""The methods that text and arrays share by name; each does what its argument's kind says."""

from __future__ import annotations

from typing import Any

from hotmesh.mapping.javascript.convert import to_number, to_string
from hotmesh.mapping.javascript.numbers import clamped, counted
from hotmesh.mapping.javascript.text import paired, units
from hotmesh.mapping.javascript.values import UNDEFINED, WrongType, is_nullish, kind, strict_equal


def text_of(value: Any) -> str:
    """The argument of a method that only text has."""
    if isinstance(value, str):
        return value
    hint = "" if is_nullish(value) else "; string.concat with one argument turns anything into text"
    raise WrongType(f"this works on text, not on {kind(value)}{hint}")


def array_of(value: Any) -> list[Any]:
    """The argument of a method that only arrays have."""
    if isinstance(value, list):
        return value
    raise WrongType(f"this works on an array, not on {kind(value)}")


def _either(value: Any) -> Any:
    if isinstance(value, (str, list)):
        return value
    raise WrongType(f"this works on text or an array, not on {kind(value)}")


def slice_(value: Any, start: Any = UNDEFINED, end: Any = UNDEFINED) -> Any:
    row = units(value) if isinstance(value, str) else _either(value)
    first = counted(to_number(start), len(row))
    last = len(row) if end is UNDEFINED else counted(to_number(end), len(row))
    part = row[first:last]
    return paired(part) if isinstance(part, str) else part


def includes(value: Any, sought: Any = UNDEFINED, start: Any = UNDEFINED) -> bool:
    if isinstance(_either(value), str):
        row = units(value)
        return units(to_string(sought)) in row[clamped(to_number(start), len(row)) :]
    elements = value[counted(to_number(start), len(value)) :]
    if sought != sought:
        return any(element != element for element in elements)
    return any(strict_equal(element, sought) for element in elements)


def index_of(value: Any, sought: Any = UNDEFINED, start: Any = UNDEFINED) -> int:
    if isinstance(_either(value), str):
        row = units(value)
        return row.find(units(to_string(sought)), clamped(to_number(start), len(row)))
    for index in range(counted(to_number(start), len(value)), len(value)):
        if strict_equal(value[index], sought):
            return index
    return -1


def last_index_of(value: Any, sought: Any = UNDEFINED, start: Any = UNDEFINED) -> int:
    """On an array an absent `start` counts as 0; on text it means the end."""
    position = to_number(start)
    if isinstance(_either(value), str):
        row, part = units(value), units(to_string(sought))
        last = len(row) if position != position else clamped(position, len(row))
        return row.rfind(part, 0, last + len(part))
    last = counted(position, len(value))
    if position < 0 and position + len(value) < 0:
        return -1
    for index in range(min(last, len(value) - 1), -1, -1):
        if strict_equal(value[index], sought):
            return index
    return -1
