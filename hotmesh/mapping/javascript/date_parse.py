"""Dates from text: the strict pattern of date inputs, ISO 8601, and the free forms that V8 guesses
at.
"""

from __future__ import annotations

import math
import re
from typing import Final

from hotmesh.mapping.javascript.dates import MONTHS, clipped, ms_of_parts, utc_ms

STRICT: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}(?:\.\d{3})?Z)?",
    re.ASCII,
)
"""The only texts that the functions of the date family take as ISO; others go through parseInt."""

_ISO: Final = re.compile(
    r"(?P<year>\d{4}|[+-]\d{6})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d))?)?"
    r"(?P<time>T(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,100}))?)?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)

_TOKEN: Final = re.compile(
    r"(?P<number>\d+)|(?P<word>[A-Za-z]+)|(?P<comment>\()|(?P<sign>[^\w()])", re.ASCII
)

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
        if int(shift[1:3]) > 23 or int(shift[4:]) > 59:
            return math.nan
        minutes = int(shift[1:3]) * 60 + int(shift[4:])
        local -= (minutes if shift[0] == "+" else -minutes) * 60_000
    return clipped(local)


class _Refused(Exception):
    """The text is no date. Never leaves this module."""


class _Free:
    """Reads numbers, names of months, a time, am or pm, and a zone in any order that V8 would
    accept.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.days: list[int] = []
        self.month: int | None = None
        self.times: list[int] = []
        self.times_open = False
        self.afternoon: bool | None = None
        self.zone_sign = 0
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

    def _read(self) -> None:
        position = 0
        while position < len(self.text):
            found = _TOKEN.match(self.text, position)
            if not found:
                raise _Refused
            position = found.end()
            if found["number"]:
                position = self._number(found["number"], position)
            elif found["word"]:
                self._word(found["word"].lower(), self.text[position : position + 1])
            elif found["comment"]:
                position = self._past_comment(position)
            elif found["sign"] in "+-" and (self.zone_minutes is not None or self.times):
                self.zone_sign = -1 if found["sign"] == "-" else 1
                self.zone_minutes = self.zone_minutes or 0

    def _number(self, digits: str, position: int) -> int:
        """Take a number for a part of the zone, the time or the date; gives where reading goes
        on.
        """
        after = self.text[position : position + 1]
        value = int(digits[:9])
        if self.zone_sign:
            hours, minutes = (value, 0) if len(digits) <= 2 else divmod(value, 100)
            if after == ":" and self.text[position + 1 : position + 3].isdigit():
                minutes, position = int(self.text[position + 1 : position + 3]), position + 3
            self.zone_minutes, self.zone_sign = self.zone_sign * (hours * 60 + minutes), 0
        elif after == ":" and len(self.times) < 2:
            self.times.append(value)
            self.times_open = True
            position += 1
        elif self.times_open:
            self.times.append(value)
            self.times_open = False
            fraction = re.match(r"\.(\d+)", self.text[position:])
            if fraction and len(self.times) == 3:
                self.times.append(int(fraction[1].ljust(3, "0")[:3]))
                position += fraction.end()
        elif len(self.days) < 3:
            self.days.append(value)
        else:
            raise _Refused
        return position

    def _word(self, word: str, after: str) -> None:
        short = word[:3]
        if short in _MONTHS:
            self.month = _MONTHS[short]
        elif word in ("am", "pm") and self.times:
            self.afternoon = word == "pm"
        elif short in _ZONES and (self.days or self.times):
            self.zone_minutes = _ZONES[short] * 60
        elif word == "t" and self.days and not self.times:
            pass
        elif self.days or self.times or after.isdigit():
            # Words that mean nothing may only stand before the first number, and apart from it.
            raise _Refused

    def _past_comment(self, position: int) -> int:
        depth = 1
        while position < len(self.text) and depth:
            depth += {"(": 1, ")": -1}.get(self.text[position], 0)
            position += 1
        return position

    def _date(self) -> tuple[int, int, int]:
        if not self.days:
            raise _Refused
        first, second, third = (*self.days, 1, 1)[:3]
        is_day = 1 <= first <= 31
        if self.month is None:
            year, month, day = (third, first, second) if is_day else (first, second, third)
        elif len(self.days) == 1:
            year, month, day = 2001, self.month, first
        else:
            year, month, day = (
                (second, self.month, first) if is_day else (first, self.month, second)
            )
        if self.month is None and is_day and len(self.days) < 3:
            year = 2001
        if year < 50:
            year += 2000
        elif year < 100:
            year += 1900
        if not (1 <= month <= 12 and 1 <= day <= 31):
            raise _Refused
        return year, month, day

    def _time(self) -> tuple[int, int, int, int]:
        hour, minute, second, milli = (*self.times, 0, 0, 0, 0)[:4]
        if self.afternoon is not None:
            if not 1 <= hour <= 12:
                raise _Refused
            hour = hour % 12 + 12 * self.afternoon
        midnight = hour == 24 and not (minute or second or milli)
        if (hour > 23 and not midnight) or minute > 59 or second > 59:
            raise _Refused
        return hour, minute, second, milli
