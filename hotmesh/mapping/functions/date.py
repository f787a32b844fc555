"""`{@date.…}`. Months count from 0; without UTC in its name a function is local."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from hotmesh.mapping.env import Env
from hotmesh.mapping.javascript import (
    UNDEFINED,
    Date,
    OutOfRange,
    WrongType,
    is_number,
    kind,
    to_number,
    to_string,
    truthy,
)
from hotmesh.mapping.javascript.date_format import localized
from hotmesh.mapping.javascript.date_parse import STRICT, ms_of_text
from hotmesh.mapping.javascript.dates import (
    clipped,
    date_text,
    fields_of,
    full_text,
    iso_text,
    local_ms,
    ms_of,
    ms_of_parts,
    utc_ms,
)
from hotmesh.mapping.javascript.numbers import int_prefix, to_integer
from hotmesh.mapping.javascript.zones import local_offset_ms

Function = Callable[..., Any]


def _moment(value: Any) -> float:
    """The milliseconds of a date input: a date, milliseconds, strict ISO text, or other text.

    Text that is not strict ISO counts as milliseconds, as far as it is a number.
    """
    if isinstance(value, (Date, datetime)):
        return ms_of(value)
    if is_number(value):
        return clipped(value)
    if isinstance(value, str):
        if STRICT.fullmatch(value):
            return ms_of_text(value, "UTC")
        ms = int_prefix(value, 0)
        if ms == ms:
            return clipped(ms)
        raise OutOfRange(
            "the text is neither a date (YYYY-MM-DD, or with THH:MM:SSZ) nor milliseconds"
        )
    raise WrongType(f"a date is a date, milliseconds or text, not {kind(value)}")


# -- reading ---------------------------------------------------------------------------------------


def _utc(field: str) -> Function:
    def read(d: Any) -> float:
        ms = _moment(d)
        value: float = getattr(fields_of(ms), field) if ms == ms else math.nan
        return value

    return read


def _local(field: str) -> Function:
    def read(env: Env, d: Any) -> float:
        ms = local_ms(_moment(d), env.tz)
        value: float = getattr(fields_of(ms), field) if ms == ms else math.nan
        return value

    return read


def get_time(d: Any) -> float:
    return _moment(d)


def get_timezone_offset(env: Env, d: Any) -> float:
    """Minutes by which the local clock is behind UTC."""
    ms = _moment(d)
    return int(-local_offset_ms(int(ms), env.tz) / 60_000) if ms == ms else math.nan


def now(env: Env) -> int:
    return env.now_ms


# -- setting ---------------------------------------------------------------------------------------

_PARTS: Final = ("year", "month", "day", "hour", "minute", "second", "milli")


def _store(d: Any, ms: float) -> float:
    if isinstance(d, Date):
        d.ms = ms
    return ms


def _parts_of(ms: float, given: tuple[Any, ...], first: str, count: int) -> list[float] | None:
    """The parts of a moment with `count` of them replaced; None for an invalid one."""
    values = [to_number(value) for value in (*given, *[UNDEFINED] * count)[:count]]
    if ms != ms and first != "year":
        return None
    at = fields_of(ms if ms == ms else 0)
    parts: list[float] = [getattr(at, name) for name in _PARTS]
    start = _PARTS.index(first)
    parts[start : start + count] = values
    return parts


def _set_utc(first: str, count: int) -> Function:
    """A setter of `count` parts from `first` on; one that is not given makes the date invalid."""

    def write(d: Any, *values: Any) -> float:
        parts = _parts_of(_moment(d), values, first, count)
        return _store(d, clipped(ms_of_parts(parts)) if parts else math.nan)

    return write


def _set_local(first: str, count: int) -> Function:
    def write(env: Env, d: Any, *values: Any) -> float:
        parts = _parts_of(local_ms(_moment(d), env.tz), values, first, count)
        ms = clipped(utc_ms(ms_of_parts(parts), env.tz)) if parts else math.nan
        return _store(d, ms)

    return write


def set_time(d: Any, ms: Any = UNDEFINED) -> float:
    _moment(d)
    return _store(d, clipped(to_number(ms)))


# -- making ----------------------------------------------------------------------------------------


def from_iso_string(env: Env, x: Any = UNDEFINED) -> Date:
    if isinstance(x, (Date, datetime)):
        return Date(ms_of(x), env.tz)
    ms = ms_of_text(to_string(x), env.tz) if isinstance(x, (str, list)) else to_number(x)
    return Date(ms, env.tz)


def parse(env: Env, x: Any = UNDEFINED) -> float:
    return ms_of_text(to_string(x), env.tz)


def utc(*values: Any) -> float:
    """Milliseconds of year, month, day, hour, minute, second, milliseconds; all are needed."""
    parts = [to_number(value) for value in (*values, *[UNDEFINED] * 7)[:7]]
    if 0 <= to_integer(parts[0]) <= 99 and parts[0] == parts[0]:
        parts[0] = 1900 + to_integer(parts[0])
    return clipped(ms_of_parts(parts))


# -- writing ---------------------------------------------------------------------------------------


def to_iso_string(d: Any) -> str:
    text = iso_text(_moment(d))
    if text is None:
        raise OutOfRange("an invalid date has no ISO text")
    return text


def to_json(d: Any) -> str | None:
    return iso_text(_moment(d))


def to_isox_string(env: Env, d: Any = UNDEFINED) -> str:
    """The digits of the ISO text, `20240310142536.789`; the present when no date is given."""
    text = to_iso_string(d if truthy(d) else env.now_ms)
    return "".join(char for char in text if char not in "TZ-:")


def yyyymmdd(env: Env) -> str:
    return to_iso_string(env.now_ms)[:10]


def to_date_string(env: Env, d: Any) -> str:
    return date_text(_moment(d), env.tz)


def to_text(env: Env, d: Any) -> str:
    return full_text(_moment(d), env.tz)


def _localized(defaults: str) -> Function:
    def write(env: Env, d: Any, locale: Any = UNDEFINED, options: Any = UNDEFINED) -> str:
        return localized(_moment(d), locale, options, env.tz, defaults)

    return write


FUNCTIONS: Final[dict[str, Function]] = {
    "UTC": utc,
    "fromISOString": from_iso_string,
    "getDate": _local("day"),
    "getDay": _local("weekday"),
    "getFullYear": _local("year"),
    "getHours": _local("hour"),
    "getMilliseconds": _local("milli"),
    "getMinutes": _local("minute"),
    "getMonth": _local("month"),
    "getSeconds": _local("second"),
    "getTime": get_time,
    "getTimezoneOffset": get_timezone_offset,
    "getUTCDate": _utc("day"),
    "getUTCDay": _utc("weekday"),
    "getUTCFullYear": _utc("year"),
    "getUTCHours": _utc("hour"),
    "getUTCMilliseconds": _utc("milli"),
    "getUTCMinutes": _utc("minute"),
    "getUTCMonth": _utc("month"),
    "getUTCSeconds": _utc("second"),
    "now": now,
    "parse": parse,
    "setDate": _set_local("day", 1),
    "setFullYear": _set_local("year", 3),
    "setHours": _set_local("hour", 4),
    "setMilliseconds": _set_local("milli", 1),
    "setMinutes": _set_local("minute", 3),
    "setMonth": _set_local("month", 2),
    "setSeconds": _set_local("second", 2),
    "setTime": set_time,
    "setUTCDate": _set_utc("day", 1),
    "setUTCFullYear": _set_utc("year", 3),
    "setUTCHours": _set_utc("hour", 4),
    "setUTCMilliseconds": _set_utc("milli", 1),
    "setUTCMinutes": _set_utc("minute", 3),
    "setUTCMonth": _set_utc("month", 2),
    "setUTCSeconds": _set_utc("second", 2),
    "toDateString": to_date_string,
    "toISOString": to_iso_string,
    "toISOXString": to_isox_string,
    "toJSON": to_json,
    "toLocaleDateString": _localized("date"),
    "toLocaleString": _localized("all"),
    "toLocaleTimeString": _localized("time"),
    "toString": to_text,
    "valueOf": get_time,
    "yyyymmdd": yyyymmdd,
}
