"""Where in a stream to begin: the first entry, the end, an entry's id, or a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from hotmesh.durations import parse
from hotmesh.errors import DurationInvalid, SettingsInvalid

Position: TypeAlias = str | int | datetime | timedelta

_ID = re.compile(r"(\d{1,20})-(\d{1,20})", re.ASCII)
_SEQ_MAX = 2**64 - 1


def after_of(position: Position, now_ms: int) -> str:
    """The id after which a group reads, so that it begins at a position.

    Args:
        position: `earliest`, `latest`, an entry's id such as `1700000000000-0` (that entry
            included), a time (a datetime, ISO 8601 text or milliseconds since 1970), or how long
            ago (a timedelta, or text such as `2h`).
        now_ms: The server's clock.

    Raises:
        SettingsInvalid: It is none of these.
    """
    if position == "earliest":
        return "0"
    if position == "latest":
        return "$"
    if isinstance(position, str) and (found := _ID.fullmatch(position)):
        return _before(int(found[1]), int(found[2]))
    return _before(_ms_of(position, now_ms), 0)


def check_position(position: Position) -> Position:
    """The position, if it is one.

    Raises:
        SettingsInvalid: It is none.
    """
    after_of(position, 0)
    return position


def _ms_of(position: Position, now_ms: int) -> int:
    if isinstance(position, bool):
        pass  # said below
    elif isinstance(position, int) and position >= 0:
        return position
    elif isinstance(position, datetime):
        at = position if position.tzinfo is not None else position.replace(tzinfo=UTC)
        return max(0, int(at.timestamp() * 1000))
    elif isinstance(position, timedelta):
        return max(0, now_ms - parse(position))
    elif isinstance(position, str):
        try:
            return _ms_of(datetime.fromisoformat(position), now_ms)
        except ValueError:
            pass
        try:
            return max(0, now_ms - parse(position))
        except DurationInvalid:
            pass
    raise SettingsInvalid(
        f"{position!r:.80} is no position in a stream; write 'earliest', 'latest', an entry's id, "
        "a time such as '2026-11-25T08:00:00Z', or how long ago, such as '2h'"
    )


def _before(ms: int, seq: int) -> str:
    if seq > 0:
        return f"{ms}-{seq - 1}"
    return f"{ms - 1}-{_SEQ_MAX}" if ms > 0 else "0"
