"""Own properties of objects, arrays and text, and the marks that freezing and defining leave.

A dict can't say that it is frozen or that a member is hidden, and it must stay the very dict that
the context holds. So that knowledge stands beside it, in a table of the pass (`Marks`), and a
hidden member's value with it: nothing that walks the dict sees it. Almost no pass has a mark, hence
every function first asks whether there are any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from hotmesh.mapping.javascript.convert import to_number
from hotmesh.mapping.javascript.text import unit_count, units
from hotmesh.mapping.javascript.values import (
    ELEMENTS_MAX,
    UNDEFINED,
    OutOfRange,
    WrongType,
    is_object,
    kind,
    truthy,
)

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")
INDEX_MAX: Final = 2**32 - 2


class Attributes(NamedTuple):
    """What may be done with one member."""

    writable: bool = True
    enumerable: bool = True
    configurable: bool = True


class Mark:
    """What is known about one object beyond its members.

    `holder` keeps it alive, so that its id stays its own.
    """

    __slots__ = ("attributes", "extensible", "frozen", "hidden", "holder", "sealed")

    def __init__(self, holder: Any) -> None:
        self.holder = holder
        self.extensible, self.sealed, self.frozen = True, False, False
        self.attributes: dict[str, Attributes] = {}
        self.hidden: dict[str, Any] = {}


Marks: TypeAlias = dict[int, Mark]


def index_of(key: str) -> int | None:
    """The number that a key is in its only spelling: `0`, `17`; None for `01` or `-1`."""
    if not key or not "0" <= key[0] <= "9" or not _INDEX.fullmatch(key):
        return None
    index = int(key)
    return index if index <= INDEX_MAX else None


def ordered(keys: list[str]) -> list[str]:
    """Keys in JavaScript's order: indexes first, ascending, then the others as they came."""
    if not any("0" <= key[:1] <= "9" for key in keys):
        return keys
    indexes = [key for key in keys if index_of(key) is not None]
    return sorted(indexes, key=int) + [key for key in keys if index_of(key) is None]


def keys_of(value: Any) -> list[str]:
    """The keys that a loop over the value sees."""
    if isinstance(value, dict):
        return ordered([key if isinstance(key, str) else str(key) for key in value])
    return [key for key, _ in pairs_of(value)]


def pairs_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values in key order; what is no object, array or text has none."""
    if isinstance(value, dict):
        return ((key, value.get(key, UNDEFINED)) for key in keys_of(value))
    if not isinstance(value, (str, list)):
        return iter(())
    row = units(value) if isinstance(value, str) else value.copy()
    allow_elements(len(row))
    return ((str(index), item) for index, item in enumerate(row))


def names_of(value: Any, marks: Marks | None) -> list[str]:
    """All keys, those that loops don't see included."""
    keys = keys_of(value)
    mark = marks.get(id(value)) if marks else None
    if mark:
        keys = ordered(keys + list(mark.hidden))
    return [*keys, "length"] if isinstance(value, (list, str)) else keys


def member(value: Any, key: str, marks: Marks | None) -> Any:
    """An own property, UNDEFINED if there is none. Nothing is inherited."""
    if isinstance(value, dict):
        if key in value:
            return value[key]
    elif isinstance(value, (list, str)):
        if key == "length":
            return unit_count(value) if isinstance(value, str) else len(value)
        index = index_of(key)
        row = units(value) if isinstance(value, str) else value
        return row[index] if index is not None and index < len(row) else UNDEFINED
    mark = marks.get(id(value)) if marks else None
    return mark.hidden.get(key, UNDEFINED) if mark else UNDEFINED


def attributes(value: Any, key: str, marks: Marks | None) -> Attributes | None:
    """What may be done with an own property; None if there is none."""
    mark = marks.get(id(value)) if marks else None
    if isinstance(value, (list, str)):
        fixed = isinstance(value, str) or (mark is not None and mark.frozen)
        if key == "length":
            return Attributes(writable=not fixed, enumerable=False, configurable=False)
        index = index_of(key)
        if index is None or index >= (unit_count(value) if isinstance(value, str) else len(value)):
            return None
        if isinstance(value, str):
            return Attributes(writable=False, enumerable=True, configurable=False)
    elif not (isinstance(value, dict) and key in value) and not (mark and key in mark.hidden):
        return None
    if mark is None:
        return Attributes()
    own = mark.attributes.get(key, Attributes())
    return Attributes(
        own.writable and not mark.frozen, own.enumerable, own.configurable and not mark.sealed
    )


def assign(target: Any, key: str, value: Any, marks: Marks | None) -> None:
    """Set a property, as an assignment in strict code does: in place, or `WrongType`."""
    own = attributes(target, key, marks) if marks else None
    if own and not own.writable:
        raise WrongType("the member is read-only: its object was frozen, or it was defined so")
    if marks and own is None:
        allow_growth(target, marks)
    if isinstance(target, dict):
        mark = marks.get(id(target)) if marks else None
        (mark.hidden if mark and key in mark.hidden else target)[key] = value
    elif isinstance(target, list):
        _assign_element(target, key, value)
    else:
        raise WrongType(f"members can be set on objects and arrays, not on {kind(target)}")


def _assign_element(target: list[Any], key: str, value: Any) -> None:
    index = index_of(key)
    if key == "length":
        length = to_number(value)
        if not (length == int(length) and 0 <= length <= ELEMENTS_MAX):
            raise OutOfRange(f"the length of an array is a whole number up to {ELEMENTS_MAX:,}")
        del target[int(length) :]
        target.extend([UNDEFINED] * (int(length) - len(target)))
    elif index is None:
        raise WrongType("an array has numbered elements only; use an object for other keys")
    elif index < len(target):
        target[index] = value
    else:
        allow_elements(index + 1)
        target.extend([UNDEFINED] * (index - len(target)))
        target.append(value)


def define(target: Any, key: str, descriptor: Any, marks: Marks) -> None:
    """`Object.defineProperty`: set a member and what may be done with it.

    Attributes that are not named are off.
    """
    if not is_object(descriptor) or isinstance(descriptor, list):
        raise WrongType(f"a property descriptor is an object, not {kind(descriptor)}")
    if not isinstance(target, (dict, list)):
        raise WrongType(f"properties can be defined on objects and arrays, not on {kind(target)}")
    if isinstance(descriptor, dict) and ("get" in descriptor or "set" in descriptor):
        raise WrongType("a property descriptor can't have get or set: there are no functions here")
    given = descriptor if isinstance(descriptor, dict) else {}
    before = attributes(target, key, marks)
    if before is None:
        allow_growth(target, marks)
    elif not before.configurable and not (before.writable and given.keys() == {"value"}):
        raise WrongType(
            "the member can't be redefined: its object was sealed, or it was defined so"
        )
    default = before or Attributes(False, False, False)
    named = {name: truthy(given[name]) for name in Attributes._fields if name in given}
    value = given.get("value", member(target, key, marks))
    if isinstance(target, list):
        _assign_element(target, key, value)
        if key == "length":
            return
    mark = marks.setdefault(id(target), Mark(target))
    after = default._replace(**named)
    mark.attributes[key] = after
    if isinstance(target, dict):
        mark.hidden.pop(key, None)
        if after.enumerable:
            target[key] = value
        else:
            target.pop(key, None)
            mark.hidden[key] = value


def is_fixed(value: Any, marks: Marks | None, *, read_only: bool) -> bool:
    """`Object.isSealed`, or `isFrozen` with `read_only`; scalars are both."""
    if not is_object(value):
        return True
    mark = marks.get(id(value)) if marks else None
    if mark is None or mark.extensible:
        return False
    names = [name for name in names_of(value, marks) if name != "length"]
    owns = [attributes(value, name, marks) or Attributes() for name in names]
    return not any(own.configurable or (read_only and own.writable) for own in owns)


# -- limits and marks of arrays that are changed in place ------------------------------------------


def allow_elements(length: int) -> None:
    """Refuse to build an array of more than `ELEMENTS_MAX` elements."""
    if length > ELEMENTS_MAX:
        raise OutOfRange(f"the array would have more than {ELEMENTS_MAX:,} elements")


def allow_growth(target: Any, marks: Marks | None) -> None:
    mark = marks.get(id(target)) if marks else None
    if mark and not mark.extensible:
        raise WrongType(
            "nothing can be added: the object was frozen, sealed or made not extensible"
        )


def allow_removal(target: Any, marks: Marks | None) -> None:
    mark = marks.get(id(target)) if marks else None
    if mark and mark.sealed:
        raise WrongType("nothing can be removed: the object was frozen or sealed")


def allow_change(target: Any, marks: Marks | None) -> None:
    mark = marks.get(id(target)) if marks else None
    if mark and mark.frozen:
        raise WrongType("nothing can be changed: the object was frozen")
