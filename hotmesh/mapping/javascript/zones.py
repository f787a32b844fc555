"""Offsets and English names of time zones.

`zoneinfo` is imported on first use: most processes evaluate in UTC and never need it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from hotmesh.mapping.javascript.zone_names import ZONE_NAMES

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

CYCLE_MS: Final = 146_097 * 86_400_000
"""400 years: the Gregorian calendar repeats, weekdays included."""

FIRST_MS: Final = -62_072_000_000_000  # in the year 3
LAST_MS: Final = 253_300_000_000_000  # in the year 9996


def local_offset_ms(ms: int, zone: str) -> int:
    """How far a local clock is ahead of UTC at a moment."""
    if zone == "UTC":
        return 0
    moment = _epoch + timedelta(milliseconds=_within(ms))
    return _offset_ms(moment.astimezone(_zone(zone)))


def utc_of_local(local: int, zone: str) -> int:
    """The moment at which a local clock shows `local`, the earlier one where there are two."""
    if zone == "UTC":
        return local
    shown = (_epoch + timedelta(milliseconds=_within(local))).replace(tzinfo=_zone(zone))
    return local - _offset_ms(shown)


def long_name(ms: int, zone: str) -> str:
    """`Eastern Standard Time`; `GMT+03:00` for a zone whose name is not known."""
    if zone == "UTC":
        return "Coordinated Universal Time"
    offset = local_offset_ms(ms, zone)
    names = ZONE_NAMES.get(zone)
    if names is None:
        minutes = abs(offset) // 60_000
        return f"GMT{'-' if offset < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"
    # Winter and summer differ by hemisphere and some zones call summer their standard, so the
    # larger offset of the year decides, not the zone's own flag.
    year = (_epoch + timedelta(milliseconds=_within(ms))).year
    usual = min(
        _offset_ms(datetime(year, month, 1, tzinfo=UTC).astimezone(_zone(zone))) for month in (1, 7)
    )
    return names[1] if offset > usual else names[0]


def _within(ms: int) -> int:
    """The same moment in a year that `datetime` knows: zones repeat with the calendar."""
    if ms < FIRST_MS:
        return ms + (FIRST_MS - ms + CYCLE_MS - 1) // CYCLE_MS * CYCLE_MS
    if ms > LAST_MS:
        return ms - (ms - LAST_MS + CYCLE_MS - 1) // CYCLE_MS * CYCLE_MS
    return ms


def _offset_ms(moment: datetime) -> int:
    offset = moment.utcoffset()
    assert offset is not None
    return offset // timedelta(milliseconds=1)


_epoch = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    """The zone's rules; `LookupError` for a name that this machine's database does not have."""
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (ValueError, OSError) as exc:
        raise LookupError(f"no time zone {name!r}") from exc
