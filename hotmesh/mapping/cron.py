"""Cron expressions outside of rules: when a graph that starts by itself starts next."""

from __future__ import annotations

from hotmesh.errors import MappingError
from hotmesh.mapping.functions import cron
from hotmesh.mapping.functions.cron import six_fields
from hotmesh.mapping.javascript import OutOfRange


def next_match_ms(expression: str, after_ms: int) -> int:
    """When a cron expression matches next after a time; both in milliseconds since 1970, UTC.

    Raises:
        MappingError: It is no cron expression, or one that never matches.
    """
    try:
        return cron.next_match_ms(expression, after_ms)
    except OutOfRange as exc:
        raise MappingError(f"{expression!r:.200}: {exc}") from exc


__all__ = ["next_match_ms", "six_fields"]
