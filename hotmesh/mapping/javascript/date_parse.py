"""Dates from text: the strict pattern, ISO 8601, and the free forms that V8 guesses at."""

from __future__ import annotations

import math
import re
from typing import Final

from hotmesh.mapping.javascript.dates import MONTHS, clipped, ms_of_parts, utc_ms
from hotmesh.mapping.javascript.text import WHITESPACE

STRICT: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}(?:\.\d{3})?Z)?",
    re.ASCII,
)
"""The only texts that the functions of the date family take as ISO; others go through parseInt."""

_ISO: Final = re.compile(
    r"(?P<year>\d{4}|[+-]\d{6})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d))?)?"
    r"(?P<time>T(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,100}))?)?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)

_SIGNED_YEAR: Final = re.compile(r"[+-]\d{6}(?!\d)", re.ASCII)
_TOKEN: Final = re.compile(
    rf"(?P<number>[0-9]+)|(?P<word>[^\x00-@{WHITESPACE}]+)|(?P<comment>\()|(?P<sign>[+-])|(?P<other>.)",
    re.DOTALL,
)
_OFFSET: Final = re.compile(r"(\d{1,2}):(\d{1,2})(?!\d)|(\d{1,2})(\d\d)?(?!\d)", re.ASCII)
_FRACTION: Final = re.compile(r"\.(\d+)", re.ASCII)

_ZONES: Final = {
    "utc": 0, "gmt": 0, "ut": 0, "z": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7,
    "mdt": -6, "pst": -8, "pdt": -7,
}  # fmt: skip
_MONTHS: Final = {name[:3].lower(): number for number, name in enumerate(MONTHS, 1)}
LENGTH_MAX: Final = 200


def ms_of_text(text: str, zone: str) -> float:
    """`Date.parse`: milliseconds, NaN for what is no date.

    Args:
        zone: The local zone, in which a date-time without one is meant.
    """
    if len(text) > LENGTH_MAX:
        return math.nan
    found = _ISO.fullmatch(text)
    return _ms_of_iso(found, zone) if found else _Free(text).ms(zone)


def _ms_of_iso(found: re.Match[str], zone: str) -> float:
    year = int(found["year"])
    if found["year"] == "-000000":
        return math.nan
    month, day = int(found["month"] or 1), int(found["day"] or 1)
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    milli = int((found["fraction"] or "0").ljust(3, "0")[:3])
    if not (1 <= month <= 12 and 1 <= day <= 31) or minute > 59 or second > 59:
        return math.nan
    if hour > 24 or (hour == 24 and (minute or second or milli)):
        return math.nan
    local = ms_of_parts([year, month - 1, day, hour, minute, second, milli])
    if found["time"] and not found["zone"]:
        return clipped(utc_ms(local, zone))
    shift = found["zone"]
    if shift and shift != "Z":
        if int(shift[1:3]) > 23 or int(shift[-2:]) > 59:
            return math.nan
        minutes = int(shift[1:3]) * 60 + int(shift[-2:])
        local -= (minutes if shift[0] == "+" else -minutes) * 60_000
    return clipped(local)


class _Refused(Exception):
    """The text is no date. Never leaves this module."""


class _Free:
    """Reads numbers, months, a time, am or pm, and a zone in the orders that V8 accepts."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.days: list[int] = []
        self.month: int | None = None
        self.times: list[int] = []
        self.times_open = False
        self.afternoon: bool | None = None
        self.zone_minutes: int | None = None

    def ms(self, zone: str) -> float:
        try:
            self._read()
            year, month, day = self._date()
            hour, minute, second, milli = self._time()
        except _Refused:
            return math.nan
        local = ms_of_parts([year, month - 1, day, hour, minute, second, milli])
        if self.zone_minutes is None:
            return clipped(utc_ms(local, zone))
        return clipped(local - self.zone_minutes * 60_000)

    def _skip(self, char: str) -> bool:
        found = self.text.startswith(char, self.at)
        self.at += found
        return found

    def _read(self) -> None:
        year = _SIGNED_YEAR.match(self.text)
        if year:
            self.days.append(int(year[0]))
            self.at = year.end()
            self._skip("-")
        while self.at < len(self.text):
            found = _TOKEN.match(self.text, self.at)
            assert found is not None  # the last alternative takes anything
            self.at = found.end()
            if found["number"]:
                self._number(int(found["number"][:9]))
            elif found["word"]:
                self._word(found["word"].lower())
            elif found["comment"]:
                self._comment()
            elif found["sign"] and (self.zone_minutes == 0 or self.times):
                self._offset(-1 if found["sign"] == "-" else 1)
            elif found[0] in "+-)" and (self.days or self.times):
                raise _Refused

    def _number(self, value: int) -> None:
        """Take a number for a part of the time or of the date."""
        if self._skip(":"):
            if len(self.times) > 1:
                raise _Refused
            self.times.append(value)
            self.times_open = True
        elif self.times_open:
            self.times.append(value)
            self.times_open = False
            fraction = _FRACTION.match(self.text, self.at)
            if fraction and len(self.times) == 3:
                self.times.append(int(fraction[1].ljust(3, "0")[:3]))
                self.at = fraction.end()
            after = self.text[self.at : self.at + 1]
            if after and after not in WHITESPACE + "Zz+-":
                raise _Refused
        elif len(self.days) < 3:
            self.days.append(value)
            self._skip("-")
        else:
            raise _Refused

    def _offset(self, sign: int) -> None:
        found = _OFFSET.match(self.text, self.at)
        if not found:
            raise _Refused
        self.at = found.end()
        hours, minutes = int(found[1] or found[3]), int(found[2] or found[4] or 0)
        self.zone_minutes = sign * (hours * 60 + minutes)

    def _word(self, word: str) -> None:
        if word[:3] in _MONTHS:
            self.month = _MONTHS[word[:3]]
            self._skip("-")
        elif word in ("am", "pm") and self.times:
            self.afternoon = word == "pm"
        elif word in _ZONES and (self.days or self.times):
            self.zone_minutes = _ZONES[word] * 60
        elif self.days or self.times or self.text[self.at : self.at + 1].isdigit():
            # Words that mean nothing may only stand before the first number, and apart from it.
            raise _Refused

    def _comment(self) -> None:
        depth = 1
        while self.at < len(self.text) and depth:
            depth += {"(": 1, ")": -1}.get(self.text[self.at], 0)
            self.at += 1

    def _date(self) -> tuple[int, int, int]:
        """Year, month and day. Parts that are missing count as 1, and years below 100 as recent."""
        if not self.days:
            raise _Refused
        first, second, third = (*self.days, 1, 1)[:3]
        day_first = 1 <= first <= 31
        if self.month is None:
            year, month, day = (third, first, second) if day_first else (first, second, third)
        else:
            year, day = (second, first) if day_first else (first, second)
            month = self.month
        if 0 <= year < 100:
            year += 2000 if year < 50 else 1900
        if not (1 <= month <= 12 and 1 <= day <= 31):
            raise _Refused
        return year, month, day

    def _time(self) -> tuple[int, int, int, int]:
        hour, minute, second, milli = (*self.times, 0, 0, 0, 0)[:4]
        if self.afternoon is not None:
            if hour > 12:
                raise _Refused
            hour = hour % 12 + 12 * self.afternoon
        midnight = hour == 24 and not (minute or second or milli)
        if (hour > 23 and not midnight) or minute > 59 or second > 59:
            raise _Refused
        return hour, minute, second, milli
