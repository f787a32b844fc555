"""`{@cron.…}`: how long until a cron expression matches next."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hotmesh.mapping.env import Env
from hotmesh.mapping.javascript import UNDEFINED, OutOfRange
from hotmesh.mapping.javascript.dates import EPOCH

FLOOR_S: Final = 5
"""The shortest delay: timers closer than this were more precise than the original could keep."""

LENGTH_MAX: Final = 200

_NAMED: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_DEFAULTS: Final = ("0", "*", "*", "*", "*", "*")
_FIELD: Final = re.compile(r"[0-9A-Za-z*?,/#-]{1,100}")
_RANGES: Final = {3: "1-31", 5: "0-7"}


def next_delay(env: Env, expression: Any = UNDEFINED) -> int:
    """Whole seconds until the next match, in UTC, at least `FLOOR_S`; -1 for what is not text."""
    if not isinstance(expression, str):
        return -1
    wait_ms = next_match_ms(expression, env.now_ms) - env.now_ms
    return max((wait_ms + 500) // 1_000, FLOOR_S)


def next_match_ms(expression: str, after_ms: int) -> int:
    """When a cron expression matches next after a time; both in milliseconds since 1970, UTC.

    Raises:
        OutOfRange: It is no cron expression, or one that never matches.
    """
    # Loads slowly for what it is (calendar and locale), and few models have a cron expression.
    from cronsim import CronSim, CronSimError

    now = EPOCH + timedelta(milliseconds=after_ms)
    try:
        following: datetime = next(CronSim(six_fields(expression), now))
    except (CronSimError, StopIteration, OverflowError) as exc:
        raise OutOfRange("this is not a cron expression that ever matches") from exc
    return (following.astimezone(UTC) - EPOCH) // timedelta(milliseconds=1)


def six_fields(expression: str) -> str:
    """The expression with seconds first; fields that are missing on the left are filled in."""
    if len(expression) > LENGTH_MAX:
        raise OutOfRange("this is too long for a cron expression")
    fields = _NAMED.get(expression.strip(), expression).split()
    if len(fields) > len(_DEFAULTS) or not all(_FIELD.fullmatch(field) for field in fields):
        raise OutOfRange("this is not a cron expression: five fields, or six with seconds first")
    fields = [*_DEFAULTS[: len(_DEFAULTS) - len(fields)], *fields]
    for place, whole in _RANGES.items():
        # A leading star makes cronsim ask for day of month *and* day of week; here either suffices.
        if fields[place].startswith("*/"):
            fields[place] = whole + fields[place][1:]
    return " ".join("*" if field == "?" else field for field in fields)


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {"nextDelay": next_delay}
