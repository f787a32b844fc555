"""`{@array.…}`. Some work in place: later cells and rules see the changed array."""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from typing import Any, Final

from hotmesh.mapping.env import Env
from hotmesh.mapping.javascript import (
    UNDEFINED,
    WrongType,
    is_date,
    less,
    property_key,
    to_number,
    to_primitive,
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
    present = [element for element in a if element is not UNDEFINED]
    rest = [UNDEFINED] * (len(a) - len(present))
    if all(is_plain_number(element) for element in present):
        env.spend(len(present))
        present.sort(reverse=descending)
    elif all(isinstance(element, str) for element in present):
        present.sort(key=_collation(env, present), reverse=descending)
    else:
        present = _sorted_mixed(env, present, descending)
    a[:] = present + rest
    return a


def _collation(env: Env, texts: list[str]) -> Callable[[str], Any]:
    """The key for texts, paid for beforehand: beyond ASCII every character is looked up."""
    # Loads the character tables, which nothing else here needs.
    from hotmesh.mapping.javascript.collation import collation_key

    env.spend(sum(4 + (len(text) >> 4 if text.isascii() else 4 * len(text)) for text in texts))
    return collation_key


def _sorted_mixed(env: Env, elements: list[Any], descending: bool) -> list[Any]:
    """Elements of several kinds, compared pairwise; what each compares as is worked out once."""
    texts = [element for element in elements if isinstance(element, str)]
    key_of = _collation(env, texts)
    env.spend(20 * len(elements))
    ranked = [
        (key_of(element) if isinstance(element, str) else None, _comparable(element), element)
        for element in elements
    ]

    def compare(left: tuple[Any, Any, Any], right: tuple[Any, Any, Any]) -> int:
        one, other = (right, left) if descending else (left, right)
        if one[1] is None or other[1] is None:
            return int(other[1] is None) - int(one[1] is None)
        if one[0] is not None and other[0] is not None:
            return int(one[0] > other[0]) - int(one[0] < other[0])
        return -1 if less(one[1], other[1]) else int(bool(less(other[1], one[1])))

    return [element for _, _, element in sorted(ranked, key=cmp_to_key(compare))]


def _comparable(element: Any) -> Any:
    """What an element is compared as: dates by time, arrays and objects by their text."""
    return to_number(element) if is_date(element) else to_primitive(element)


def needs_callback(*_: Any) -> Any:
    """Stands for the functions that take a function; the compiler refuses them."""
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
