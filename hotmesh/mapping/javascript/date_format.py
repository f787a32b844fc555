"""`toLocaleDateString` and its kin: American English, and plain figures in a few others.

Python's standard library has no locale data. What would need it is refused with an error that says
so, never guessed.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from hotmesh.mapping.javascript.convert import to_string
from hotmesh.mapping.javascript.dates import MONTHS, WEEKDAYS, Fields, fields_of, local_ms
from hotmesh.mapping.javascript.values import (
    UNDEFINED,
    OutOfRange,
    WrongType,
    kind,
    truthy,
)

DATE_FIELDS: Final = ("weekday", "year", "month", "day")
TIME_FIELDS: Final = ("hour", "minute", "second")
_ALLOWED: Final = {
    "weekday": ("long", "short", "narrow"),
    "year": ("numeric", "2-digit"),
    "month": ("numeric", "2-digit", "long", "short", "narrow"),
    "day": ("numeric", "2-digit"),
    "hour": ("numeric", "2-digit"),
    "minute": ("numeric", "2-digit"),
    "second": ("numeric", "2-digit"),
    "dateStyle": ("full", "long", "medium", "short"),
    "timeStyle": ("full", "long", "medium", "short"),
    "hourCycle": ("h11", "h12", "h23", "h24"),
}
_STYLES: Final = {
    "full": {"weekday": "long", "year": "numeric", "month": "long", "day": "numeric"},
    "long": {"year": "numeric", "month": "long", "day": "numeric"},
    "medium": {"year": "numeric", "month": "short", "day": "numeric"},
    "short": {"year": "2-digit", "month": "numeric", "day": "numeric"},
}
_TAG: Final = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")


class Figures(NamedTuple):
    """How a language writes a date in figures, and what stands between date and time."""

    order: str
    separator: str
    padded: bool
    joint: str


_AMERICAN: Final = Figures("mdy", "/", False, ", ")
_GERMAN: Final = Figures("dmy", ".", False, ", ")
_FRENCH: Final = Figures("dmy", "/", True, " ")
_LOCALES: Final = {
    "en-US": _AMERICAN,
    "en": _AMERICAN,
    "en-GB": Figures("dmy", "/", True, ", "),
    "de": _GERMAN,
    "de-DE": _GERMAN,
    "fr": _FRENCH,
    "fr-FR": _FRENCH,
}
_WITH_WEEKDAY: Final = (
    {"weekday"},
    {"weekday", "month", "day"},
    {"weekday", "year", "month", "day"},
)


def localized(ms: float, locale: Any, options: Any, zone: str, defaults: str) -> str:
    """A moment as text for people.

    Args:
        locale: A language tag, an array whose first tag counts, or undefined for `en-US`.
        options: An object as `Intl.DateTimeFormat` takes it, or undefined.
        zone: The zone unless the options name another.
        defaults: `date`, `time` or `all`: what is shown when the options name no field of that
            kind.
    """
    style = _style(locale)
    chosen = _options(options)
    _check_zone(chosen, zone)
    wanted = _wanted(chosen, defaults)
    if ms != ms:
        return "Invalid Date"
    at = fields_of(local_ms(ms, chosen.get("timeZone", zone)))
    date, time = _date(at, wanted, style), _time(at, wanted, chosen, style)
    if not date or not time:
        return date or time
    spelled = style is _AMERICAN and wanted.get("month") == "long"
    return f"{date} at {time}" if spelled else date + style.joint + time


def _style(locale: Any) -> Figures:
    if locale is UNDEFINED or locale == []:
        return _AMERICAN
    tags = locale if isinstance(locale, list) else [locale]
    for tag in tags:
        if not isinstance(tag, str):
            raise WrongType(f"a locale is a language tag such as 'en-US', not {kind(tag)}")
        if not _TAG.fullmatch(tag):
            raise OutOfRange("a locale is a language tag such as 'en-US'")
    if tags[0] not in _LOCALES:
        raise OutOfRange(f"dates can be written for {', '.join(_LOCALES)} only")
    return _LOCALES[tags[0]]


def _options(options: Any) -> dict[str, Any]:
    if options is UNDEFINED:
        return {}
    if not isinstance(options, dict):
        raise WrongType(f"the options are an object, not {kind(options)}")
    chosen: dict[str, Any] = {}
    for name, value in options.items():
        if value is UNDEFINED:
            continue
        if name in _ALLOWED:
            chosen[name] = to_string(value)
            if chosen[name] not in _ALLOWED[name]:
                raise OutOfRange(f"{name} is one of {', '.join(_ALLOWED[name])}")
        elif name == "timeZone":
            chosen[name] = to_string(value)
        elif name == "hour12":
            chosen[name] = truthy(value)
        else:
            raise OutOfRange(
                "an option of date formats that is not known here; see docs/reference/pipes.md"
            )
    if {"dateStyle", "timeStyle"} & chosen.keys() and chosen.keys() & {*DATE_FIELDS, *TIME_FIELDS}:
        raise WrongType("dateStyle and timeStyle can't be combined with single fields")
    return chosen


def _check_zone(chosen: dict[str, Any], zone: str) -> None:
    name = chosen.get("timeZone", zone)
    try:
        local_ms(0, name)
    except LookupError as exc:
        raise OutOfRange("timeZone is the IANA name of a zone, such as 'Europe/Paris'") from exc


def _wanted(chosen: dict[str, Any], defaults: str) -> dict[str, str]:
    """The fields to show and how, from options, styles and defaults."""
    date_style, time_style = chosen.get("dateStyle"), chosen.get("timeStyle")
    if (date_style and defaults == "time") or (time_style and defaults == "date"):
        raise WrongType("dateStyle has no place in a time, and timeStyle none in a date")
    if date_style or time_style:
        wanted = dict(_STYLES[date_style]) if date_style else {}
        if time_style:
            names = TIME_FIELDS[:2] if time_style == "short" else TIME_FIELDS
            wanted |= dict.fromkeys(names, "numeric")
        return wanted
    wanted = {name: chosen[name] for name in (*DATE_FIELDS, *TIME_FIELDS) if name in chosen}
    asked_date = any(name in wanted for name in DATE_FIELDS)
    asked_time = any(name in wanted for name in TIME_FIELDS)
    if defaults == "date" and not asked_date:
        wanted |= dict.fromkeys(DATE_FIELDS[1:], "numeric")
    elif defaults == "time" and not asked_time:
        wanted |= dict.fromkeys(TIME_FIELDS, "numeric")
    elif defaults == "all" and not (asked_date or asked_time):
        wanted |= dict.fromkeys((*DATE_FIELDS[1:], *TIME_FIELDS), "numeric")
    return wanted


def _check_fields(fields: set[str]) -> None:
    """Refuse combinations for which no language has a pattern: ICU then lists them in brackets."""
    dates, times = fields & {*DATE_FIELDS}, fields & {*TIME_FIELDS}
    odd = {"year", "day"} <= dates and "month" not in dates
    odd = odd or ("weekday" in dates and dates not in _WITH_WEEKDAY)
    odd = odd or (dates == {"weekday"} and bool(times))
    if odd or ({"hour", "second"} <= times and "minute" not in times):
        raise OutOfRange("this combination of fields can't be written; add the field between them")


def _date(at: Fields, wanted: dict[str, str], style: Figures) -> str:
    _check_fields(set(wanted))
    month = wanted.get("month")
    if style is not _AMERICAN and (month in ("long", "short", "narrow") or "weekday" in wanted):
        raise OutOfRange("names of months and weekdays are known for the locale en-US only")
    weekday = _name(WEEKDAYS[at.weekday], wanted["weekday"]) if "weekday" in wanted else ""
    day = _figure(at.day, wanted["day"], style.padded) if "day" in wanted else ""
    year = ""
    if "year" in wanted:
        year = str(at.year) if wanted["year"] == "numeric" else f"{at.year % 100:02d}"
    if month in ("long", "short", "narrow"):
        rest = " ".join(part for part in (_name(MONTHS[at.month], month), day) if part)
        parts = [weekday, rest, year] if day else [weekday, f"{rest} {year}".strip()]
        return ", ".join(part for part in parts if part)
    figures = {
        "m": _figure(at.month + 1, month, style.padded) if month else "",
        "d": day,
        "y": year,
    }
    date = style.separator.join(figures[name] for name in style.order if figures[name])
    return ", ".join(part for part in (weekday, date) if part)


def _time(at: Fields, wanted: dict[str, str], chosen: dict[str, Any], style: Figures) -> str:
    parts = [name for name in TIME_FIELDS if name in wanted]
    american = style is _AMERICAN
    cycle = chosen.get("hourCycle", "h12" if american else "h23")
    if "hour12" in chosen:
        cycle = "h12" if chosen["hour12"] else ("h24" if american else "h23")
    hours = {
        "h11": at.hour % 12,
        "h12": at.hour % 12 or 12,
        "h23": at.hour,
        "h24": at.hour or 24,
    }[cycle]
    padded = cycle in ("h23", "h24")
    texts = []
    for name in parts:
        if name == "hour":
            texts.append(_figure(hours, wanted["hour"], padded))
        else:
            # Alone, minutes and seconds are never padded; beside other fields they always are.
            texts.append(f"{getattr(at, name):02d}" if len(parts) > 1 else str(getattr(at, name)))
    half = (" PM" if at.hour > 11 else " AM") if "hour" in wanted and not padded else ""
    return ":".join(texts) + half


def _figure(value: int, width: str, padded: bool) -> str:
    return f"{value:02d}" if padded or width == "2-digit" else str(value)


def _name(name: str, width: str) -> str:
    return {"long": name, "short": name[:3], "narrow": name[:1]}[width]
