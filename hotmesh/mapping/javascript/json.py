"""JSON as JavaScript writes and reads it."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Final

from hotmesh.mapping.javascript.convert import property_key, to_number, to_string
from hotmesh.mapping.javascript.dates import Date, iso_text, ms_of
from hotmesh.mapping.javascript.numbers import clamped, number_text, tidy
from hotmesh.mapping.javascript.objects import keys_of
from hotmesh.mapping.javascript.text import allow_text, paired, units
from hotmesh.mapping.javascript.values import (
    DEPTH_MAX,
    ELEMENTS_MAX,
    UNDEFINED,
    OutOfRange,
    is_number,
)

_ESCAPED: Final = re.compile('[\x00-\x1f"\\\\\ud800-\udfff]')
_SHORT: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\f": "\\f",
    "\r": "\\r",
}


def quoted(text: str) -> str:
    """A JSON text: only quotes, backslashes, control characters and halves of pairs are escaped."""
    if not _ESCAPED.search(text):
        return f'"{text}"'
    return (
        '"'
        + _ESCAPED.sub(lambda found: _SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}", text)
        + '"'
    )


class _Writer:
    """Writes one value, and counts, so that shared parts can't multiply without end."""

    def __init__(self, names: list[str] | None, gap: str) -> None:
        self.names, self.gap = names, gap
        self.size = self.nodes = 0

    def write(self, value: Any, level: int) -> str | None:
        """The JSON of a value at a level of nesting; None for undefined."""
        self.nodes += 1
        if self.nodes > ELEMENTS_MAX:
            raise OutOfRange(f"the value has more than {ELEMENTS_MAX:,} members")
        text = self._scalar(value)
        if text is None and isinstance(value, (list, dict)):
            if level >= DEPTH_MAX:
                raise OutOfRange(f"the value is cyclic or nested deeper than {DEPTH_MAX} levels")
            text = (
                self._array(value, level) if isinstance(value, list) else self._object(value, level)
            )
        elif text is None:
            return None if value is UNDEFINED else "{}"
        self.size += len(text) if not isinstance(value, (list, dict)) else 2 + len(value)
        allow_text(self.size)
        return text

    def _scalar(self, value: Any) -> str | None:
        if isinstance(value, str):
            return quoted(value)
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "true" if value else "false"
        if is_number(value):
            return number_text(value) if abs(value) < float("inf") else "null"
        if isinstance(value, (Date, datetime)):
            text = iso_text(ms_of(value))
            return "null" if text is None else f'"{text}"'
        return None

    def _array(self, value: list[Any], level: int) -> str:
        return self._enclosed(
            "[", [self.write(item, level + 1) or "null" for item in value], "]", level
        )

    def _object(self, value: dict[str, Any], level: int) -> str:
        colon = '": ' if self.gap else '":'
        keys = keys_of(value) if self.names is None else [key for key in self.names if key in value]
        parts = []
        for key in keys:
            text = self.write(value.get(key, UNDEFINED), level + 1)
            if text is not None:
                parts.append(quoted(key)[:-1] + colon + text)
        return self._enclosed("{", parts, "}", level)

    def _enclosed(self, opening: str, parts: list[str], closing: str, level: int) -> str:
        if not parts or not self.gap:
            return opening + ",".join(parts) + closing
        inner = "\n" + self.gap * (level + 1)
        self.size += len(inner) * len(parts)
        allow_text(self.size)
        return opening + inner + ("," + inner).join(parts) + "\n" + self.gap * level + closing


def stringify(value: Any, replacer: Any = UNDEFINED, space: Any = UNDEFINED) -> Any:
    """`JSON.stringify`.

    Args:
        replacer: An array of the keys to keep, at all depths and in this order; anything else keeps
            all.
        space: Blanks per level, at most ten, or text of which ten units count.
    """
    names = None
    if isinstance(replacer, list):
        names = list(
            dict.fromkeys(
                property_key(key) for key in replacer if isinstance(key, str) or is_number(key)
            )
        )
    gap = ""
    if is_number(space):
        gap = " " * clamped(to_number(space), 10)
    elif isinstance(space, str):
        gap = paired(units(space)[:10])
    text = _Writer(names, gap).write(value, 0)
    return UNDEFINED if text is None else text


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(
    parse_constant=_refused,
    parse_int=lambda digits: tidy(float(digits)),
    parse_float=lambda digits: tidy(float(digits)),
)
_BLANKS: Final = " \t\n\r"


def parse(value: Any) -> Any:
    """`JSON.parse`: strict, numbers as doubles; what is not text is made text first."""
    text = to_string(value).strip(_BLANKS)
    try:
        result = _DECODER.decode(text)
    except RecursionError as exc:
        raise OutOfRange("the JSON is nested too deeply") from exc
    except ValueError as exc:
        # The decoder's message ends in a position; it never shows the text itself.
        raise OutOfRange(
            f"this is not JSON: {getattr(exc, 'msg', 'a value that JSON does not have')}"
        ) from exc
    return result
