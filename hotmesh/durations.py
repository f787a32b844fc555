"""Durations as people write them: `30s`, `1 month`, `1h30m`, `PT30S`, a number of seconds, a
timedelta.

Everything inside hotmesh counts whole milliseconds; this module is the only way in and out. A
month has 30 days and a year 365: these are lengths of time, not calendar dates. Schedules that
must follow a calendar use cron.
"""

from __future__ import annotations

import re
from datetime import timedelta

from hotmesh.errors import DurationInvalid

Duration = str | int | float | timedelta

MS_MAX = (
    200 * 365 * 86_400_000
)  # 200 years: beyond it a value is a mistake, and scores stay far below 2**53

_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000
_UNITS: dict[str, int] = {
    name: size
    for names, size in (
        ("ms msec msecs millisecond milliseconds", 1),
        ("s sec secs second seconds", _SECOND),
        ("m min mins minute minutes", _MINUTE),
        ("h hr hrs hour hours", _HOUR),
        ("d day days", _DAY),
        ("w wk wks week weeks", 7 * _DAY),
        ("mo mon month months", 30 * _DAY),
        ("y yr yrs year years", 365 * _DAY),
    )
    for name in names.split()
}
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*,?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)
_ISO = re.compile(
    r"P(?:(?P<y>\d+)Y)?(?:(?P<mo>\d+)M)?(?:(?P<w>\d+)W)?(?:(?P<d>\d+)D)?"
    r"(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?",
    re.ASCII,
)


def parse(value: Duration) -> int:
    """Whole milliseconds of a duration, rounded to the nearest.

    Args:
        value: Seconds as a number, a timedelta, or text: numbers with units from `ms` to `years`,
            joined as in `1h30m`, a plain number of seconds, or ISO 8601 such as `P1DT12H`.

    Raises:
        DurationInvalid: Negative, not finite, over 200 years, or not a duration at all.
    """
    if isinstance(value, bool):
        raise DurationInvalid(f"{value!r} is not a duration; write seconds or text such as '30s'")
    if isinstance(value, timedelta):
        return _bounded(value.total_seconds() * 1000, value)
    if isinstance(value, (int, float)):
        return _bounded(value * 1000, value)
    if isinstance(value, str):
        return _bounded(_parse_text(value), value)
    raise DurationInvalid(
        f"{type(value).__name__} is not a duration; write seconds, a timedelta or text such "
        "as '30s'"
    )


def render(ms: int) -> str:
    """The shortest exact text of a duration, such as `1d12h`; `parse` reads it back to the same
    number.
    """
    if ms == 0:
        return "0s"
    parts = []
    for unit, size in (("d", _DAY), ("h", _HOUR), ("m", _MINUTE), ("s", _SECOND), ("ms", 1)):
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _parse_text(text: str) -> float:
    lowered = text.strip().lower()
    if _NUMBER.fullmatch(lowered):
        return float(lowered) * 1000
    if (
        lowered.startswith("p")
        and (iso := _ISO.fullmatch(lowered.upper()))
        and any(iso.groupdict().values())
    ):
        return sum(float(n) * _UNITS[unit] for unit, n in iso.groupdict().items() if n)
    total, at = 0.0, 0
    while at < len(lowered):
        part = _PART.match(lowered, at)
        if part is None or part[2] not in _UNITS:
            raise DurationInvalid(
                f"{text!r} is not a duration; write for example '30s', '1h30m', '1 month' "
                "or 'PT30S'"
            )
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if at == 0:
        raise DurationInvalid("an empty text is not a duration; write for example '30s'")
    return total


def _bounded(ms: float, said: Duration) -> int:
    if not 0 <= ms <= MS_MAX:  # also false for NaN
        raise DurationInvalid(f"{said!r} is out of range; a duration lies between 0 and 200 years")
    return round(ms)
