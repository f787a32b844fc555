"""The order in which people expect text: close to that of the Unicode collation's root, without its
tables.

Three levels: base characters (blanks, punctuation, symbols, currency, digits, letters, case aside),
then accents, then case with lower before upper. Scripts are in code point order, which for the
common ones is that of the collation.
"""

from __future__ import annotations

import unicodedata
from typing import Final, TypeAlias

_ASCII: Final = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"
_PLACES: Final = {char: place for place, char in enumerate(_ASCII)}
_CLASSES: Final = {"Z": 0, "C": 0, "P": 1, "S": 2, "N": 4}

Primary: TypeAlias = tuple[tuple[int, int], ...]
Key: TypeAlias = tuple[Primary, tuple[tuple[int, ...], ...], tuple[int, ...]]


def collation_key(text: str) -> Key:
    """A key for `sorted`; texts with equal keys count as equal."""
    primary: list[tuple[int, int]] = []
    accents: list[tuple[int, ...]] = []
    cases: list[int] = []
    for char in unicodedata.normalize("NFD", text):
        if unicodedata.combining(char):
            if accents:
                accents[-1] += (ord(char),)
            continue
        plain = unicodedata.normalize("NFKD", char)
        for base in plain.casefold():
            if unicodedata.combining(base):
                continue
            primary.append(_rank(base))
            accents.append(())
            cases.append((plain != plain.lower()) + 2 * (plain != char))
    return tuple(primary), tuple(accents), tuple(cases)


def _rank(char: str) -> tuple[int, int]:
    category = unicodedata.category(char)
    if category == "Nd":
        return 4, unicodedata.digit(char)
    group = 3 if category == "Sc" else _CLASSES.get(category[0], 5)
    place = _PLACES.get(char)
    if place is None:
        return group, len(_ASCII) + ord(char)
    # Some ASCII signs that Unicode calls symbols are sorted with its punctuation, and the other way
    # round.
    return (3 if char == "$" else 2 if char in "`^+<=>|~" else 0 if char == " " else 1), place
