"""JavaScript's Date: milliseconds since 1970 UTC, changed in place by setters.

`datetime` ends at the years 1 and 9999 and can't be invalid, so the calendar here is arithmetic on
integers.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from hotmesh.mapping.javascript.zones import local_offset_ms, long_name, utc_of_local

MS_MAX: Final = 8_640_000_000_000_000
DAY_MS: Final = 86_400_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
WEEKDAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


class Date:
    """A moment, or an invalid one.

    Attributes:
        ms: Whole milliseconds since 1970 UTC; NaN when invalid.
        zone: The zone that it prints in when a function turns it into text.
    """

    __slots__ = ("ms", "zone")

    def __init__(self, ms: float, zone: str = "UTC") -> None:
        self.ms = clipped(ms)
        self.zone = zone

    def __repr__(self) -> str:
        return f"Date({iso_text(self.ms) or 'invalid'})"


class Fields(NamedTuple):
    """The parts of a moment; `month` counts from 0, `weekday` from Sunday."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    milli: int
    weekday: int


def clipped(ms: float) -> float:
    """Cut to whole milliseconds; NaN when outside of what a Date can hold."""
    if not -MS_MAX <= ms <= MS_MAX:
        return math.nan
    return int(ms)


def ms_of(value: Date | datetime) -> float:
    if isinstance(value, Date):
        return value.ms
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(milliseconds=1)


def days_of(year: int, month: int, day: int) -> int:
    """Days since 1970 of a date whose month and day may lie outside of their ranges."""
    year, month = year + month // 12, month % 12
    # Years are counted from March, so that the leap day comes last.
    shifted = year - (month < 2)
    era, in_era = divmod(shifted, 400)
    in_year = (153 * ((month + 10) % 12) + 2) // 5
    return era * 146_097 + in_era * 365 + in_era // 4 - in_era // 100 + in_year + day - 1 - 719_468


def fields_of(ms: float) -> Fields:
    """The parts of a valid moment in UTC; add a zone's offset first for local parts."""
    days, rest = divmod(int(ms), DAY_MS)
    era, in_era_days = divmod(days + 719_468, 146_097)
    in_era = (
        in_era_days - in_era_days // 1_460 + in_era_days // 36_524 - in_era_days // 146_096
    ) // 365
    in_year = in_era_days - (365 * in_era + in_era // 4 - in_era // 100)
    shifted = (5 * in_year + 2) // 153
    month = (shifted + 2) % 12
    return Fields(
        year=era * 400 + in_era + (month < 2),
        month=month,
        day=in_year - (153 * shifted + 2) // 5 + 1,
        hour=rest // 3_600_000,
        minute=rest // 60_000 % 60,
        second=rest // 1_000 % 60,
        milli=rest % 1_000,
        weekday=(days + 4) % 7,
    )


def ms_of_parts(parts: list[float]) -> float:
    """Milliseconds of year, month (from 0), day, hour, minute, second and milliseconds.

    Parts outside of their ranges run over into their neighbours; fractions are cut.
    """
    if not all(math.isfinite(part) for part in parts):
        return math.nan
    year, month, day, hour, minute, second, milli = (int(part) for part in parts)
    return (
        days_of(year, month, day) * DAY_MS
        + hour * 3_600_000
        + minute * 60_000
        + second * 1_000
        + milli
    )


def local_ms(ms: float, zone: str) -> float:
    """What a local clock shows, as if it were UTC."""
    return ms if ms != ms else ms + local_offset_ms(int(ms), zone)


def utc_ms(local: float, zone: str) -> float:
    """The reverse of `local_ms`; hours that a clock skips or repeats are read as before."""
    if not -MS_MAX - DAY_MS <= local <= MS_MAX + DAY_MS:
        return math.nan
    return utc_of_local(int(local), zone)


def iso_text(ms: float) -> str | None:
    """`2024-03-10T14:25:36.789Z`; None when invalid."""
    if ms != ms:
        return None
    at = fields_of(ms)
    year = f"{at.year:04d}" if 0 <= at.year <= 9999 else f"{at.year:+07d}"
    return (
        f"{year}-{at.month + 1:02d}-{at.day:02d}"
        f"T{at.hour:02d}:{at.minute:02d}:{at.second:02d}.{at.milli:03d}Z"
    )


def date_text(ms: float, zone: str) -> str:
    """`Sun Mar 10 2024`."""
    if ms != ms:
        return "Invalid Date"
    at = fields_of(local_ms(ms, zone))
    year = f"{at.year:04d}" if at.year >= 0 else f"{at.year:05d}"
    return f"{WEEKDAYS[at.weekday][:3]} {MONTHS[at.month][:3]} {at.day:02d} {year}"


def full_text(ms: float, zone: str) -> str:
    """`Sun Mar 10 2024 14:25:36 GMT+0000 (Coordinated Universal Time)`: what a Date is as text."""
    if ms != ms:
        return "Invalid Date"
    offset = local_offset_ms(int(ms), zone)
    at = fields_of(ms + offset)
    minutes = abs(offset) // 60_000
    return (
        f"{date_text(ms, zone)} {at.hour:02d}:{at.minute:02d}:{at.second:02d} "
        f"GMT{'-' if offset < 0 else '+'}{minutes // 60:02d}{minutes % 60:02d} "
        f"({long_name(int(ms), zone)})"
    )
