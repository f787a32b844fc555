"""Text for pictures: what may be shown, how wide it is, and how it is shortened."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

ELLIPSIS = "…"

# Advance widths in em of DejaVu Sans, rounded up: it is the widest of the fonts that `system-ui`
# commonly stands for, so what fits by this table fits with all of them.
_BY_WIDTH = {
    0.3: "'IJijl",
    0.35: " ,./:;\\|·",
    0.4: "()-[]ft",
    0.45: "!r",
    0.5: '"*_`',
    0.55: "?csz",
    0.6: "FLkvxy",
    0.65: "$0123456789EPSTYabdeghnopqu{}",
    0.7: "ABCKRVXZ",
    0.75: "NU",
    0.8: "&DGHOQ",
    0.85: "#+<=>^w~×→↑≤≥≠",
    0.9: "M",
    1.0: "%@Wm…",
}
_EM = {char: em for em, chars in _BY_WIDTH.items() for char in chars}
_EM_OTHER = 0.8  # nine tenths of the Latin, Greek and Cyrillic letters are narrower
_EM_WIDE = 1.4  # an emoji
BOLD = 1.14
"""How much wider the heavy face is."""

_BREAKS = " ._-/,|"


def clean(text: object) -> str:
    """Text on one line that XML and terminals can show: no control characters, no halves of
    surrogate pairs, no marks that turn the direction of what follows.
    """
    return "".join(map(_shown, str(text)))


def _shown(char: str) -> str:
    if char in "\t\n\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029":
        return " "
    if unicodedata.category(char) in ("Cc", "Cs", "Cn") or char in _BIDI:
        return "\ufffd"
    return char


_BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@lru_cache(maxsize=4096)
def _em(char: str) -> float:
    if (em := _EM.get(char)) is not None:
        return em
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0.0
    if ord(char) > 0x1F000 or unicodedata.east_asian_width(char) in "WF":
        return _EM_WIDE
    return _EM_OTHER if ord(char) < 0x530 else 1.0


def width(text: str, size: float) -> float:
    """At most how wide text is, in the unit of `size`."""
    return size * sum(map(_em, text))


def columns(text: str) -> int:
    """How many columns of a terminal text takes."""
    return sum(_columns(char) for char in text)


@lru_cache(maxsize=4096)
def _columns(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def clip(text: str, room: float, size: float) -> str:
    """Text that is no wider than `room`; an ellipsis stands for what was cut off."""
    if width(text, size) <= room:
        return text
    left = room - width(ELLIPSIS, size)
    for end, char in enumerate(text):
        left -= size * _em(char)
        if left < 0:
            return text[:end].rstrip() + ELLIPSIS
    return text


def fit(text: str, room: int) -> str:
    """The same in columns of a terminal."""
    if columns(text) <= room:
        return text
    left = room - 1
    for end, char in enumerate(text):
        left -= _columns(char)
        if left < 0:
            return text[:end] + ELLIPSIS if room > 0 else ""
    return text


def wrap(text: str, room: float, size: float, *, lines_max: int) -> tuple[str, ...]:
    """Text in at most so many lines, none wider than `room`, broken where words end if possible."""
    lines: list[str] = []
    while text and len(lines) < lines_max - 1 and width(text, size) > room:
        end = _break(text, room, size)
        lines.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return (*lines, clip(text, room, size)) if text else tuple(lines)


def balance(text: str, room: float, size: float, *, lines_max: int) -> tuple[str, ...]:
    """`wrap` in as many lines, but of about the same length: no single word in the last one."""
    lines = wrap(text, room, size, lines_max=lines_max)
    if len(lines) > 1 and not lines[-1].endswith(ELLIPSIS):
        while (room := room * 0.95) > size:
            tighter = wrap(text, room, size, lines_max=lines_max)
            if len(tighter) > len(lines) or tighter[-1].endswith(ELLIPSIS):
                break
            lines = tighter
    return lines


def _break(text: str, room: float, size: float) -> int:
    """Where the first line ends: after a separator, or within a word that is longer than a line."""
    used, best, end = 0.0, 0, 0
    for end, char in enumerate(text):
        used += size * _em(char)
        if used > room:
            break
        if char in _BREAKS and used > room / 3:
            best = end + 1
    return best or max(1, end)
