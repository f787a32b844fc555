"""Rules of a model in a few words: `when sum + tax > 50`, for labels.

It reads what the mapping language wrote, never runs it, and makes something of any value.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from hotmesh.pictures.words import clean

TEXT_MAX = 160
"""Characters of a rule in words; the model itself is the place for more."""

_REFERENCE = re.compile(r"\{([^{}@\s][^{}\s]*)\}")
_FUNCTION = re.compile(r"\{@([^{}\s]+)\}")
_WORD = re.compile(r"[^\W\d][\w.-]*")
_DEPTH_MAX, _ARGS_MAX = 8, 16

_INFIX = {
    "math.add": "+",
    "math.subtract": "−",
    "math.multiply": "×",
    "math.divide": "÷",
    "string.concat": "&",
    "conditional.equality": "=",
    "conditional.strict_equality": "=",
    "conditional.inequality": "≠",
    "conditional.strict_inequality": "≠",
    "conditional.greater_than": ">",
    "conditional.greater_than_or_equal": "≥",
    "conditional.less_than": "<",
    "conditional.less_than_or_equal": "≤",
    "conditional.nullish": "or else",
    "logical.and": "and",
    "logical.or": "or",
}
_COMPARE = ("=", "≠", ">", "<", "≥", "≤")
_ARITHMETIC = ("+", "−", "×", "÷", "&")


def value_text(rule: Any, *, here: str = "") -> str:
    """A rule in words.

    Args:
        here: An activity that needs no naming: `{here.output.data.x}` is just `x`.
    """
    return _cut(_value(rule, here).text)


def condition_text(conditions: Any, *, here: str = "") -> str:
    """The conditions of a transition in words; "" for none."""
    if not isinstance(conditions, dict):
        return "" if conditions is None else _cut(_value(conditions, here).text)
    code, said = _codes(conditions.get("code")), _matches(conditions, here)
    if not said:
        return _cut(code)
    return _cut(f"{code} and {said}" if code else f"when {said}")


def _codes(code: Any) -> str:
    if code is None:
        return ""
    codes = code if isinstance(code, (list, tuple)) else [code]
    return "code " + " or ".join(clean(c) for c in codes)


def _matches(conditions: dict[str, Any], here: str) -> str:
    matches = conditions.get("match")
    if not isinstance(matches, (list, tuple)) or not matches:
        return ""
    either = conditions.get("gate") == "or" and len(matches) > 1
    said = (" or " if either else " and ").join(_match(m, here) for m in matches)
    return f"({said})" if either and conditions.get("code") is not None else said


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1].rstrip() + "…"


def _match(match: Any, here: str) -> str:
    if not isinstance(match, dict):
        return _value(match, here).text
    said, expected = _value(match.get("actual"), here), match.get("expected")
    if isinstance(expected, bool) and said.sign in _COMPARE:
        return said.text if expected else f"not ({said.text})"
    return f"{said.within('=')} = {_value(expected, here).text}"


class _Said(NamedTuple):
    """An expression in words. `sign` is the operator that binds it least, "" for one without."""

    text: str
    sign: str = ""

    def within(self, sign: str) -> str:
        """It as an operand: in parentheses unless it binds tighter."""
        tighter = self.sign in _ARITHMETIC and sign not in _ARITHMETIC
        same = self.sign == sign and sign in ("+", "&", "and", "or")
        return self.text if not self.sign or tighter or same else f"({self.text})"


def _value(rule: Any, here: str, depth: int = 0) -> _Said:
    if depth > _DEPTH_MAX:
        return _Said("…")
    if isinstance(rule, str):
        return _Said(_text(rule, here))
    if isinstance(rule, dict):
        rows = rule.get("@pipe")
        if isinstance(rows, (list, tuple)):
            return _pipe(rows, here, depth)
        names = "…" if "@reduce" in rule else ", ".join(map(clean, rule))
        return _Said(f"reduce({names})" if "@reduce" in rule else f"{{{names}}}")
    if isinstance(rule, (list, tuple)):
        return _Said("[" + ", ".join(_value(r, here, depth + 1).text for r in rule[:4]) + "]")
    if rule is None or isinstance(rule, (bool, int, float)):
        return _Said(json.dumps(rule))
    return _Said(clean(rule))


def _text(text: str, here: str) -> str:
    if found := _REFERENCE.fullmatch(text):
        return clean(_reference(found[1].split("."), here))
    if found := _FUNCTION.fullmatch(text):
        name = found[1]
        return clean(name.removeprefix("symbol.") if name.startswith("symbol.") else f"{name}()")
    shown = clean(text)
    plain = _WORD.fullmatch(shown) and shown not in ("true", "false", "null")
    return shown if plain else f"“{shown}”"


def _reference(path: list[str], here: str) -> str:
    """`a.output.data.x` is `a.x`, `a.hook.data.x` `a.hook.x`, `$job.data.x` `job.x`."""
    owner, rest = path[0], path[1:]
    if owner == "$app":
        return ".".join(rest) or "app"
    if owner == "$job":
        return ".".join(["job", *(rest[1:] if rest[:1] in (["data"], ["metadata"]) else rest)])
    side = rest[0] if rest else ""
    if side in ("input", "output", "hook") and rest[1:2] in (["data"], ["metadata"]):
        rest = rest[2:]
    names = [] if owner in ("$self", here) else [owner]
    if side == "hook" and names:
        names.append("hook")
    return ".".join([*names, *rest]) or (side if owner == "$self" else owner)


def _function(cell: Any) -> str | None:
    found = _FUNCTION.fullmatch(cell) if isinstance(cell, str) else None
    return found[1] if found else None


def _pipe(rows: Any, here: str, depth: int) -> _Said:
    """Rows as nested calls: the result of a row is the first argument of the next."""
    args: list[_Said] = []
    nested = False
    for row in rows:
        if isinstance(row, dict):
            inner = _value(row, here, depth + 1)
            args, nested = [*args, inner] if nested else [inner], True
            continue
        cells = list(row) if isinstance(row, (list, tuple)) else [row]
        name = _function(cells[0]) if cells else None
        if name is not None:
            args, cells = [_call(name, args)], cells[1:]
        args += [_value(cell, here, depth + 1) for cell in cells]
        # A long pipe would double its text with every row.
        args, nested = [_Said(_cut(a.text), a.sign) for a in args[:_ARGS_MAX]], False
    return args[0] if args else _Said("")


def _call(name: str, args: list[_Said]) -> _Said:
    sign = _INFIX.get(name)
    if sign is not None and len(args) >= 2:
        return _Said(f" {sign} ".join(a.within(sign) for a in args), sign)
    if name == "conditional.ternary" and len(args) == 3:
        yes, no = args[1].within("?"), args[2].within("?")
        return _Said(f"{args[0].within('?')} ? {yes} : {no}", "?")
    if not args and name.startswith("symbol."):
        return _Said(clean(name.removeprefix("symbol.")))
    return _Said(f"{clean(name.rpartition('.')[2])}({', '.join(a.text for a in args)})")
