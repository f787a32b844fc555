"""Text as sequences of UTF-16 units.

A Python text holds code points. Positions and lengths here are in units, so an operation first
takes `units(text)`, in which a character above U+FFFF is two surrogates, and puts `paired` around
what it built. Both return their argument as it is when there is nothing to do, which for ASCII
costs one flag.
"""

from __future__ import annotations

import re
import sys
from array import array
from typing import Final

from hotmesh.mapping.javascript.values import TEXT_MAX, OutOfRange

WHITESPACE: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""What JavaScript trims. Python's own notion has U+001C to U+001F and U+0085 as well, and lacks
U+FEFF.
"""

_ASTRAL: Final = re.compile("[\U00010000-\U0010ffff]")
_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_UTF_16: Final = "utf-16-le" if sys.byteorder == "little" else "utf-16-be"


def units(text: str) -> str:
    """The text with one character per UTF-16 unit."""
    if text.isascii() or not _ASTRAL.search(text):
        return text
    return "".join(map(chr, array("H", text.encode(_UTF_16, "surrogatepass"))))


def paired(text: str) -> str:
    """The text of units: neighbouring halves of a pair become one character again."""
    if text.isascii() or not _PAIR.search(text):
        return text
    return text.encode(_UTF_16, "surrogatepass").decode(_UTF_16, "surrogatepass")


def unit_count(text: str) -> int:
    return len(text) if text.isascii() else len(units(text))


def encodable(text: str) -> str:
    """The text with every half of a pair replaced by U+FFFD, as JavaScript writes UTF-8."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return _SURROGATE.sub("\ufffd", text)


def allow_text(length: float) -> None:
    """Refuse to build a text of more than `TEXT_MAX` units."""
    if length > TEXT_MAX:
        raise OutOfRange(f"the text would have more than {TEXT_MAX:,} units")


def joined(parts: list[str], separator: str = "") -> str:
    """The parts in one text, halves of pairs that meet included."""
    allow_text(sum(map(len, parts)) + len(separator) * max(len(parts) - 1, 0))
    return paired(separator.join(parts))
