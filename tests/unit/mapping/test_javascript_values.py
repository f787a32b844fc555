"""JavaScript's semantics where the vectors are silent."""

from __future__ import annotations

import copy
import math
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from hotmesh.mapping import UNDEFINED, Date, Env, compile_value, evaluate
from hotmesh.mapping.javascript import strict_equal, to_number, to_string, truthy
from hotmesh.mapping.javascript.dates import days_of, fields_of
from hotmesh.mapping.javascript.regex import find
from hotmesh.mapping.javascript.text import paired, units


def call(function: str, *arguments: Any, tz: str = "UTC") -> Any:
    context = {str(index): value for index, value in enumerate(arguments)}
    cells = [f"{{{index}}}" for index in range(len(arguments))]
    env = Env(now_ms=1_710_080_736_250, random=lambda: 0.5, tz=tz)
    return compile_value({"@pipe": [cells, [f"{{@{function}}}"]]})(context, env)


def test_undefined_is_one_and_false() -> None:
    assert copy.deepcopy([UNDEFINED])[0] is UNDEFINED
    assert pickle.loads(pickle.dumps(UNDEFINED)) is UNDEFINED  # noqa: S301
    assert not UNDEFINED
    assert repr(UNDEFINED) == "UNDEFINED"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (3.0, "3"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (-1.25e-9, "-1.25e-9"),
        (-0.0, "0"),
        (2**53 + 1, "9007199254740992"),
        (10**400, "Infinity"),
        (5e-324, "5e-324"),
        (123456789012345680000, "123456789012345680000"),
    ],
)
def test_numbers_print_as_in_javascript(number: float, text: str) -> None:
    assert to_string(number) == text


def test_conversions() -> None:
    assert [to_number(text) for text in ("", " 12\n", "0b11", "-Infinity", "1e1000")] == [
        0, 12, 3, -math.inf, math.inf,
    ]  # fmt: skip
    assert all(math.isnan(to_number(text)) for text in ("1_0", "inf", "nan", "-0x1", "1 2", "٣"))
    assert [truthy(value) for value in ([], {}, "0", " ")] == [True] * 4
    assert [truthy(value) for value in (0, -0.0, math.nan, "", None, UNDEFINED, False)] == [
        False
    ] * 7
    assert strict_equal(1, 1.0) and not strict_equal(1, True) and not strict_equal([1], [1])
    assert math.isnan(to_number(datetime)) and to_number(datetime(1970, 1, 1, tzinfo=UTC)) == 0


def test_halves_of_pairs_come_apart_and_together() -> None:
    assert units("a😀") == "a\ud83d\ude00"
    assert paired("\ud83d\ude00") == "😀"
    assert call("string.split", "😀", "\ud83d") == ["", "\ude00"]
    assert call("string.concat", "\ud83d", "\ude00") == "😀"
    assert call("array.join", ["\ud83d", "\ude00"], "") == "😀"
    assert call("string.replace", "x😀", "x\ud83d", "\ud83d") == "😀"


def test_the_calendar_agrees_with_datetime() -> None:
    for days in range(-719_162, 2_932_896, 997):
        day = datetime.fromtimestamp(0, UTC).date().fromordinal(days + 719_163)
        at = fields_of(days * 86_400_000)

        assert (at.year, at.month + 1, at.day) == (day.year, day.month, day.day)
        assert days_of(day.year, day.month - 1, day.day) == days


@pytest.mark.parametrize(
    ("text", "zone", "iso"),
    [
        ("2024-03-10T02:30:00", "America/New_York", "2024-03-10T07:30:00.000Z"),
        ("2024-11-03T01:30:00", "America/New_York", "2024-11-03T05:30:00.000Z"),
        ("2024-03-10 12:00 -0500", "UTC", "2024-03-10T17:00:00.000Z"),
        ("10-Mar-2024", "UTC", "2024-03-10T00:00:00.000Z"),
        ("12:30 2024/3/10 PM", "UTC", "2024-03-10T12:30:00.000Z"),
        ("-000001/12/31", "UTC", "-000001-12-31T00:00:00.000Z"),
        ("2024-03-10T1:00", "UTC", None),
        ("Mar 10 -5", "UTC", None),
        ("2024-02-32", "UTC", None),
        ("x" * 300, "UTC", None),
    ],
)
def test_dates_are_read_as_v8_reads_them(text: str, zone: str, iso: str | None) -> None:
    date = call("date.fromISOString", text, tz=zone)

    assert isinstance(date, Date)
    assert call("date.toJSON", date) == iso


def test_a_date_made_by_a_function_prints_in_the_local_zone() -> None:
    rule = {"@pipe": [["2024-03-10"], ["{@date.fromISOString}"], ["{@string.concat}"]]}
    env = Env(now_ms=0, random=lambda: 0.5, tz="Asia/Tokyo")

    assert compile_value(rule)({}, env) == "Sun Mar 10 2024 09:00:00 GMT+0900 (Japan Standard Time)"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dateStyle": "full"}, "Sunday, March 10, 2024"),
        ({"dateStyle": "short", "timeStyle": "short"}, "3/10/24, 2:25 PM"),
        ({"weekday": "short", "month": "short", "day": "numeric"}, "Sun, Mar 10"),
        ({"year": "numeric", "month": "long"}, "March 2024"),
        ({"hour": "2-digit", "minute": "2-digit", "hour12": False}, "14:25"),
        ({"hour": "numeric"}, "2 PM"),
        ({"minute": "2-digit"}, "25"),
        ({"hour": "numeric", "timeZone": "Asia/Kolkata", "hourCycle": "h23"}, "19"),
    ],
)
def test_dates_for_people(options: dict[str, Any], text: str) -> None:
    assert call("date.toLocaleString", 1_710_080_736_789, "en-US", options) == text


@pytest.mark.parametrize(
    ("pattern", "text", "place"),
    [
        ("(?<=(\\d+)(\\d+))$", "1053", 4),
        ("(z)((a+)?(b+)?(c))*$", "zaacbbbcac", 0),
        ("(?:)*x", "yx", 1),
        ("(a*)*b", "aaac", -1),
        ("(?<n>a)\\k<n>", "baa", 1),
        ("[a-c-e]+f", "xa-ef", 1),
        ("\\07", "\07", 0),
        ("(?!a)b|c", "abc", 1),
        ("[^]", "\n", 0),
        ("[]", "x", -1),
        ("(?<!a)b", "abb", 2),
        ("(?=(a))\\1b", "ab", 0),
        ("\\c", "\\c", 0),
        ("x{,2}", "x{,2}", 0),
        ("^$", "", 0),
    ],
)
def test_regular_expressions(pattern: str, text: str, place: int) -> None:
    assert find(pattern, text, 100_000)[0] == place


@pytest.mark.parametrize(
    "pattern", ["a++", "(?P<x>a)", "(?>a)", "a**", "(?<a>x)(?<a>y)", "\\", "^*"]
)
def test_patterns_of_other_engines_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="the pattern"):
        find(pattern, "a", 1_000)


def test_cron_fields() -> None:
    now = datetime(2024, 3, 10, 14, 25, 36, 250_000, tzinfo=UTC)

    def wait(expression: str) -> Any:
        return evaluate({"@pipe": [[expression], ["{@cron.nextDelay}"]]}, {}, now=now)

    assert wait("0 0 */2 * MON") == 34_464  # either the odd day or the Monday: both are the 11th
    assert wait("? ? ? ? ?") == 24
    assert wait("@weekly") == 552_864
    for expression in ("0 0 30 2 *", "a b c d e", "* * * * * * *", "5-1 * * * *", "* " * 200):
        with pytest.raises(Exception, match="cron expression"):
            wait(expression)
