"""`{@string.…}`: methods of text. Positions and lengths are in UTF-16 units, as in JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from hotmesh.mapping.env import STEPS_MAX, Env
from hotmesh.mapping.javascript import UNDEFINED, OutOfRange, is_nullish, to_number, to_string
from hotmesh.mapping.javascript.numbers import clamped, to_integer
from hotmesh.mapping.javascript.objects import allow_elements
from hotmesh.mapping.javascript.sequences import (
    includes,
    index_of,
    last_index_of,
    slice_,
    text_of,
)
from hotmesh.mapping.javascript.text import (
    WHITESPACE,
    allow_text,
    joined,
    paired,
    unit_count,
    units,
)


def char_at(s: Any, i: Any = UNDEFINED) -> str:
    row, place = units(text_of(s)), to_integer(to_number(i))
    return row[int(place)] if 0 <= place < len(row) else ""


def concat(*values: Any) -> str:
    """All as one text; null and undefined are nothing."""
    return joined(["" if is_nullish(value) else to_string(value) for value in values])


def starts_with(s: Any, sought: Any = UNDEFINED, start: Any = UNDEFINED) -> bool:
    row = units(text_of(s))
    return row.startswith(units(to_string(sought)), clamped(to_number(start), len(row)))


def ends_with(s: Any, sought: Any = UNDEFINED, length: Any = UNDEFINED) -> bool:
    row = units(text_of(s))
    end = len(row) if length is UNDEFINED else clamped(to_number(length), len(row))
    return row[:end].endswith(units(to_string(sought)))


def substring(s: Any, start: Any = UNDEFINED, end: Any = UNDEFINED) -> str:
    row = units(text_of(s))
    first = clamped(to_number(start), len(row))
    last = len(row) if end is UNDEFINED else clamped(to_number(end), len(row))
    return paired(row[min(first, last) : max(first, last)])


def split(s: Any, separator: Any = UNDEFINED) -> list[str]:
    text = text_of(s)
    if separator is UNDEFINED:
        return [text]
    row, between = units(text), units(to_string(separator))
    allow_elements(row.count(between) + 1)
    if not between:
        return list(row)
    parts = row.split(between)
    return parts if row is text else [paired(part) for part in parts]


def to_lower_case(s: Any) -> str:
    return text_of(s).lower()


def to_upper_case(s: Any) -> str:
    return text_of(s).upper()


def trim(s: Any) -> str:
    return text_of(s).strip(WHITESPACE)


def trim_start(s: Any) -> str:
    return text_of(s).lstrip(WHITESPACE)


def trim_end(s: Any) -> str:
    return text_of(s).rstrip(WHITESPACE)


def _padding(s: str, length: Any, pad: Any) -> str:
    """The units that are missing up to a length."""
    missing = to_integer(to_number(length)) - unit_count(s)
    filler = " " if pad is UNDEFINED else units(to_string(pad))
    if missing <= 0 or not filler:
        return ""
    allow_text(missing)
    return (filler * (int(missing) // len(filler) + 1))[: int(missing)]


def pad_start(s: Any, length: Any = UNDEFINED, pad: Any = UNDEFINED) -> str:
    return joined([_padding(text_of(s), length, pad), s])


def pad_end(s: Any, length: Any = UNDEFINED, pad: Any = UNDEFINED) -> str:
    return joined([text_of(s), _padding(s, length, pad)])


def repeat(s: Any, times: Any = UNDEFINED) -> str:
    text, count = text_of(s), to_number(times)
    if count < 0 or to_integer(count) == float("inf"):
        raise OutOfRange("text can be repeated a finite number of times, not a negative one")
    allow_text(len(text) * to_integer(count))
    return paired(text * int(to_integer(count)) if text else "")


_TEMPLATE: Final = re.compile(r"\$[$&`']")


def replace(s: Any, find: Any = UNDEFINED, replacement: Any = UNDEFINED) -> str:
    """Replaces the first occurrence of a text, which is never a pattern."""
    row, sought = units(text_of(s)), units(to_string(find))
    start = row.find(sought)
    if start < 0:
        return text_of(s)
    before, after = row[:start], row[start + len(sought) :]
    meaning = {"$$": "$", "$&": sought, "$`": before, "$'": after}
    template = units(to_string(replacement))
    longest = max(len(sought), len(before), len(after), 1)
    allow_text(len(template) + template.count("$") * longest)
    return joined([before, _TEMPLATE.sub(lambda found: meaning[found[0]], template), after])


def search(env: Env, s: Any, pattern: Any = UNDEFINED) -> int:
    """Where a regular expression first matches, or -1."""
    # Compiles its tables on import, and few models have a pattern.
    from hotmesh.mapping.javascript import regex

    source = "" if pattern is UNDEFINED else units(to_string(pattern))
    place, steps = regex.find(source, units(text_of(s)), STEPS_MAX - env.steps)
    env.spend(steps)
    return place


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "charAt": char_at,
    "concat": concat,
    "endsWith": ends_with,
    "includes": includes,
    "indexOf": index_of,
    "lastIndexOf": last_index_of,
    "padEnd": pad_end,
    "padStart": pad_start,
    "repeat": repeat,
    "replace": replace,
    "search": search,
    "slice": slice_,
    "split": split,
    "startsWith": starts_with,
    "substring": substring,
    "toLowerCase": to_lower_case,
    "toUpperCase": to_upper_case,
    "trim": trim,
    "trimEnd": trim_end,
    "trimStart": trim_start,
}
