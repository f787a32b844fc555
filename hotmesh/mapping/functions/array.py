"""`{@array.…}`. Some work in place: the array in the context changes, and later cells and rules see
it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from typing import Any, Final

from hotmesh.mapping.env import Env
from hotmesh.mapping.javascript import (
    UNDEFINED,
    WrongType,
    is_nullish,
    is_number,
    less,
    property_key,
    to_number,
    to_string,
    truthy,
)
from hotmesh.mapping.javascript.convert import is_plain_number, join
from hotmesh.mapping.javascript.numbers import clamped, counted
from hotmesh.mapping.javascript.objects import (
    allow_change,
    allow_elements,
    allow_growth,
    allow_removal,
    member,
)
from hotmesh.mapping.javascript.sequences import array_of, index_of, last_index_of, slice_
from hotmesh.mapping.javascript.text import joined


def get(env: Env, a: Any = UNDEFINED, i: Any = UNDEFINED) -> Any:
    """The element or member `i`; 0 stands for an index that is absent or false."""
    if type(a) is list and type(i) is int:
        return a[i] if 0 <= i < len(a) else UNDEFINED
    return member(a, property_key(i) if truthy(i) else "0", env.marks)


def length(env: Env, a: Any = UNDEFINED) -> Any:
    return member(a, "length", env.marks)


def concat(a: Any, b: Any = UNDEFINED) -> Any:
    if isinstance(a, str):
        return joined([a, to_string(b)])
    array = array_of(a)
    allow_elements(len(array) + (len(b) if isinstance(b, list) else 1))
    return [*array, *b] if isinstance(b, list) else [*array, b]


def join_(a: Any, separator: Any = UNDEFINED) -> str:
    return join(array_of(a), "," if separator is UNDEFINED else to_string(separator))


def pop(env: Env, a: Any) -> Any:
    allow_removal(array_of(a), env.marks)
    return a.pop() if a else UNDEFINED


def shift(env: Env, a: Any) -> Any:
    allow_removal(array_of(a), env.marks)
    return a.pop(0) if a else UNDEFINED


def push(env: Env, a: Any, *items: Any) -> Any:
    """Appends in place and gives the array (the first releases gave its length)."""
    allow_growth(array_of(a), env.marks)
    allow_elements(len(a) + len(items))
    a.extend(items)
    return a


def unshift(env: Env, a: Any, *items: Any) -> int:
    allow_growth(array_of(a), env.marks)
    allow_elements(len(a) + len(items))
    a[:0] = items
    return len(a)


def reverse(env: Env, a: Any) -> Any:
    allow_change(array_of(a), env.marks)
    a.reverse()
    return a


def splice(
    env: Env, a: Any, start: Any = UNDEFINED, count: Any = UNDEFINED, *items: Any
) -> list[Any]:
    first = counted(to_number(start), len(array_of(a)))
    last = first + clamped(to_number(count), len(a) - first)
    if last - first > len(items):
        allow_removal(a, env.marks)
    elif last - first < len(items):
        allow_growth(a, env.marks)
    allow_change(a, env.marks)
    allow_elements(len(a) + len(items))
    removed: list[Any] = a[first:last]
    a[first:last] = items
    return removed


def sort(env: Env, a: Any, order: Any = UNDEFINED) -> Any:
    """Sorts in place: numbers by value, texts as people do, null first, undefined always last.

    An order other than `ASCENDING` counts as descending.
    """
    allow_change(array_of(a), env.marks)
    descending = order is not UNDEFINED and order != "ASCENDING"
    rest = [UNDEFINED] * sum(element is UNDEFINED for element in a)
    present = [element for element in a if element is not UNDEFINED]
    if all(isinstance(element, str) for element in present):
        # Loads the character tables, which nothing else here needs.
        from hotmesh.mapping.javascript.collation import collation_key

        present.sort(key=collation_key, reverse=descending)
    elif all(is_plain_number(element) for element in present):
        present.sort(reverse=descending)
    else:
        compare = _ordered_after if descending else _ordered
        present.sort(key=cmp_to_key(compare))
    a[:] = present + rest
    return a


def _ordered(left: Any, right: Any) -> int:
    if is_nullish(left) or is_nullish(right):
        return (right is None) - (left is None)
    if isinstance(left, str) and isinstance(right, str):
        from hotmesh.mapping.javascript.collation import collation_key

        one, other = collation_key(left), collation_key(right)
        return (one > other) - (one < other)
    if is_number(left) and is_number(right):
        return bool(left > right) - bool(left < right)
    return -1 if less(left, right) else int(bool(less(right, left)))


def _ordered_after(left: Any, right: Any) -> int:
    return _ordered(right, left)


def needs_callback(*_: Any) -> Any:
    """Stands for the functions that take a function, which no pipe can supply. The compiler refuses
    them.
    """
    raise WrongType("this takes a function, which a pipe can't give it; use a row {'@reduce': […]}")


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "concat": concat,
    "every": needs_callback,
    "filter": needs_callback,
    "find": needs_callback,
    "findIndex": needs_callback,
    "forEach": needs_callback,
    "get": get,
    "indexOf": index_of,
    "join": join_,
    "lastIndexOf": last_index_of,
    "length": length,
    "map": needs_callback,
    "pop": pop,
    "push": push,
    "reduce": needs_callback,
    "reverse": reverse,
    "shift": shift,
    "slice": slice_,
    "some": needs_callback,
    "sort": sort,
    "splice": splice,
    "unshift": unshift,
}
