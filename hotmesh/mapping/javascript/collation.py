"""The order in which people expect text, close to the root of the Unicode collation.

Three levels: base characters (blanks, punctuation, symbols, currency, digits, letters, case aside),
then accents, then case with lower before upper. Scripts are in code point order, which for the
common ones is that of the collation.
"""

from __future__ import annotations

import unicodedata
from typing import Final, TypeAlias

_SIGNS: Final = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"
_PLACES: Final = {char: chr(place) for place, char in enumerate(_SIGNS)}
_SPELLED: Final = {"æ": "ae", "œ": "oe", "ø": "o\u0338", "ł": "l\u0335"}
_SYMBOLS: Final = frozenset("`^+<=>|~")
_GROUPS: Final = {"Z": "0", "C": "0", "P": "1", "S": "2", "N": "4"}

Key: TypeAlias = tuple[str, str, str]
"""Base characters as pairs of group and place; a NUL and the accents of each; `a`, `b` for a
capital, `c` for a compatibility form.
"""


def collation_key(text: str) -> Key:
    """A key for `sorted`; texts with equal keys count as equal."""
    if text.isascii():
        return text.lower().translate(_ASCII), "\0" * len(text), text.translate(_CASES)
    bases: list[str] = []
    accents: list[str] = []
    cases: list[str] = []
    for char in unicodedata.normalize("NFD", text):
        if unicodedata.combining(char):
            accents.append(char)
            continue
        small = char.lower()
        plain = _SPELLED.get(small) or unicodedata.normalize("NFKD", char).casefold()
        cased = "ab" if plain == small else "cd"
        for base in plain:
            if unicodedata.combining(base):
                accents.append(base)
                continue
            bases.append(_rank(base))
            accents.append("\0")
            cases.append(cased[char != small])
    return "".join(bases), "".join(accents), "".join(cases)


def _rank(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Nd":
        return "4" + chr(unicodedata.digit(char))
    if char in _PLACES:
        # Some signs that Unicode calls symbols are sorted with its punctuation, and the reverse.
        group = "3" if char == "$" else "2" if char in _SYMBOLS else "0" if char == " " else "1"
        return group + _PLACES[char]
    return ("3" if category == "Sc" else _GROUPS.get(category[0], "5")) + char


_CASES: Final = {code: "b" if 65 <= code <= 90 else "a" for code in range(128)}
_ASCII: Final = {code: _rank(chr(code)) for code in range(128)}
