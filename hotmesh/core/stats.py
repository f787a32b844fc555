"""What a trigger measures: counts, sums and indexes under a job key and a time slot, written with
the job's start.

A constant number of additions per job, whatever the number of jobs. Minimum, maximum and median
are read from the values themselves, which are kept as long as the slot.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from hotmesh.compiler import Node
from hotmesh.core.effects import Count
from hotmesh.core.turn import Turn
from hotmesh.errors import MappingError
from hotmesh.ids import escape
from hotmesh.mapping import UNDEFINED, text_of

INFINITY = "infinity"
KEEP_MS = 90 * 86_400_000
"""Retention of a time slot, from its last job on.

One without slots (`infinity`) is kept for ever.
"""

_MINUTE_MS = 60_000


@lru_cache(maxsize=256)
def slot_ms(granularity: str) -> int:
    """The length of a slot; 0 for one without end.

    Raises:
        MappingError: It is none of `<n>m`, `<n>h`, `<n>d`, `infinity`.
    """
    if granularity == INFINITY:
        return 0
    number, unit = granularity[:-1], granularity[-1:]
    size = {"m": _MINUTE_MS, "h": 60 * _MINUTE_MS, "d": 1440 * _MINUTE_MS}.get(unit)
    if size is None or not number.isdigit() or not int(number):
        raise MappingError(f"granularity {granularity!r} must be such as 5m, 1h, 1d or infinity")
    return int(number) * size


def slot_name(ms: int, granularity: str) -> str:
    """The slot that holds a time: `YYYYMMDDHHmm` of its beginning in UTC, or `0`."""
    size = slot_ms(granularity)
    if not size:
        return "0"
    return _slot(ms // size * size)


@lru_cache(maxsize=4096)
def _slot(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y%m%d%H%M}"


def slot_of(node: Node, now_ms: int) -> str:
    """The slot of a job that starts now."""
    granularity = node.plan.stats.granularity if node.plan.stats is not None else "5m"
    return slot_name(now_ms, granularity)


def name_of(topic: str, key: str, slot: str) -> str:
    """What identifies the statistics of one topic, job key and slot."""
    return f"{topic}:{escape(key)}:{slot}"


def count(turn: Turn, node: Node, context: dict[str, Any]) -> None:
    """Order what the trigger measures of this job.

    Raises:
        MappingError: A target resolves to nothing, or a sum to no number.
    """
    plan, meta = node.plan.stats, turn.job.meta
    if plan is None or not plan.measures or not meta.key:
        return
    sums: dict[str, float] = {"count": 1}
    values: dict[str, float] = {}
    indexes: list[str] = []
    for measure, path, target in node.measures:
        value = target(context, turn.env)
        if value is UNDEFINED or value is None:
            raise MappingError(
                f"measure {measure} of trigger {node.id!r}: {path!r} resolved to nothing"
            )
        if measure == "count":
            sums[f"count:{path}:{text_of(value)}"] = 1
        elif measure == "index":
            indexes.append(f"{path}:{text_of(value)}")
        else:
            values[path] = _number(value, measure, path, node)
            if measure in ("sum", "avg"):
                sums[f"sum:{path}"] = values[path]
    if not any(m in ("min", "max", "mdn") for m, _, _ in node.measures):
        values = {}
    keep_ms = 0 if plan.granularity == INFINITY else KEEP_MS
    name = name_of(meta.topic, meta.key, meta.slot)
    turn.effects.append(Count(name, turn.job.jid, sums, values, tuple(indexes), keep_ms))


def _number(value: Any, measure: str, path: str, node: Node) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise MappingError(f"measure {measure} of trigger {node.id!r}: {path!r} is no number")
    return float(value) if abs(value) > 2**53 else value
