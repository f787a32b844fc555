"""Numbers as doubles: how they print, how text becomes one, 32-bit integers, positions."""

from __future__ import annotations

import math
import re
from typing import Final

from hotmesh.mapping.javascript.text import WHITESPACE
from hotmesh.mapping.javascript.values import SAFE, double

# Written so that no two parts can match the same digit: text comes from data, and must not make
# this slow.
_DECIMAL: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_BASED: Final = re.compile(r"0(?:[xX]([0-9a-fA-F]+)|[oO]([0-7]+)|[bB]([01]+))")


def tidy(value: float) -> float:
    """A result as it is handed out: an int where a double is one exactly, except -0.

    Workers are Python: they should see 3, not 3.0, and never an integer that JavaScript could not
    have counted to.
    """
    if isinstance(value, int):
        return value if -SAFE <= value <= SAFE else double(value)
    if value.is_integer() and -SAFE <= value <= SAFE and (value or math.copysign(1, value) > 0):
        return int(value)
    return value


def digits_of(value: float) -> tuple[str, int]:
    """The shortest digits of a positive finite number and its point: 0.d1d2… x 10^place."""
    mantissa, _, exponent = repr(float(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    stripped = digits.lstrip("0")
    place = len(whole) - (len(digits) - len(stripped)) + int(exponent or 0)
    return stripped.rstrip("0") or "0", place


def number_text(value: float) -> str:
    """A number as JavaScript prints it: `3`, `0.1`, `1e+21`, `1e-7`, `NaN`, `-Infinity`."""
    if isinstance(value, int):
        if -SAFE <= value <= SAFE:
            return str(int(value))
        value = double(value)
    if value != value:
        return "NaN"
    if value < 0:
        return "-" + number_text(-value)
    if math.isinf(value):
        return "Infinity"
    if value == 0:
        return "0"
    digits, place = digits_of(value)
    if -6 < place <= 21:
        return laid_out(digits, place)
    return exponent_form(digits, place - 1)


def laid_out(digits: str, place: int) -> str:
    """Digits with a point at `place`, zeros filled in on either side."""
    if place <= 0:
        return "0." + "0" * -place + digits
    if place >= len(digits):
        return digits + "0" * (place - len(digits))
    return f"{digits[:place]}.{digits[place:]}"


def exponent_form(digits: str, exponent: int) -> str:
    point = "." if len(digits) > 1 else ""
    return f"{digits[0]}{point}{digits[1:]}e{exponent:+d}"


def number_of_text(text: str) -> float:
    """What `+text` gives: NaN unless the whole of it, blanks aside, is a number."""
    text = text.strip(WHITESPACE)
    if not text:
        return 0
    if _DECIMAL.fullmatch(text):
        return tidy(float(text))
    based = _BASED.fullmatch(text)
    if based:
        return tidy(int(based[based.lastindex or 0], {1: 16, 2: 8, 3: 2}[based.lastindex or 0]))
    if text in ("Infinity", "+Infinity"):
        return math.inf
    return -math.inf if text == "-Infinity" else math.nan


def float_prefix(text: str) -> float:
    """`parseFloat`: the longest number that the text begins with, else NaN."""
    text = text.lstrip(WHITESPACE)
    found = _DECIMAL.match(text)
    if found:
        return tidy(float(found[0]))
    sign = -1 if text.startswith("-") else 1
    if text[text.startswith(("+", "-")) :].startswith("Infinity"):
        return sign * math.inf
    return math.nan


def int_prefix(text: str, radix: int) -> float:
    """`parseInt`: the longest run of digits of a radix that the text begins with, else NaN.

    Args:
        radix: 0 means 10, or 16 after `0x`.
    """
    text = text.lstrip(WHITESPACE)
    sign = -1 if text.startswith("-") else 1
    text = text[text.startswith(("+", "-")) :]
    if radix in (0, 16) and text[:2] in ("0x", "0X"):
        text, radix = text[2:], 16
    radix = radix or 10
    if not 2 <= radix <= 36:
        return math.nan
    end = 0
    while end < len(text) and _digit(text[end]) < radix:
        end += 1
    if not end:
        return math.nan
    digits = text[:end].lstrip("0") or "0"
    if radix == 10:
        return tidy(sign * float(digits))
    # Longer than this it is infinite even in base 2; the conversion is bounded with it.
    return tidy(sign * (double(int(digits, radix)) if len(digits) <= 1_100 else math.inf))


def _digit(char: str) -> int:
    return int(char, 36) if char.isascii() and char.isalnum() else 36


def to_integer(value: float) -> float:
    """Cut towards zero; NaN is 0, infinities stay."""
    if value != value:
        return 0
    return value if math.isinf(value) else int(value)


def to_uint32(value: float) -> int:
    if not math.isfinite(value):
        return 0
    return int(value) & 0xFFFFFFFF


def to_int32(value: float) -> int:
    unsigned = to_uint32(value)
    return unsigned - 0x100000000 if unsigned & 0x80000000 else unsigned


def clamped(value: float, length: int) -> int:
    """A position between 0 and `length`."""
    return int(min(max(to_integer(value), 0), length))


def counted(value: float, length: int) -> int:
    """A position between 0 and `length`, where negative ones count from the end."""
    whole = to_integer(value)
    return int(max(whole + length, 0) if whole < 0 else min(whole, length))
