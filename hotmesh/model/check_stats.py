"""A trigger's `stats`: how its jobs are named, and what is counted."""

from __future__ import annotations

import re

from hotmesh.model.activities import Measure, Stats
from hotmesh.model.check_refs import Reader, check_rule, is_rule
from hotmesh.model.check_values import check_text
from hotmesh.model.marks import Path
from hotmesh.model.scope import GraphScope, Scope

_GRANULARITY = re.compile(r"[1-9][0-9]{0,5}[mhd]|infinity", re.ASCII)
_USUAL = ("5m", "10m", "15m", "30m", "1h", "1d", "infinity")


def check_stats(scope: Scope, view: GraphScope, name: str, stats: Stats) -> None:
    """What a trigger measures of its jobs."""
    path: Path = view.path("activities", name, "stats")
    reader = Reader(view, name, sees="payload")
    for key in ("id", "key", "parent"):
        check_text(scope, reader, getattr(stats, key), (*path, key))
    if not _GRANULARITY.fullmatch(stats.granularity):
        near = scope.findings.near(stats.granularity, _USUAL)
        message = f"{stats.granularity!r:.60} is no granularity{near}; write such as 5m, 1h or 1d"
        scope.findings.error((*path, "granularity"), f"{message}, or infinity")
    if stats.measures and stats.key is None:
        message = "nothing is counted: `stats.key` is missing"
        scope.findings.warn((*path, "measures"), message, key=True)
    for index, measure in enumerate(stats.measures):
        _measure(scope, reader, measure, (*path, "measures", index))


def _measure(scope: Scope, reader: Reader, measure: Measure, path: Path) -> None:
    target = measure.target
    if not isinstance(target, str) or not is_rule(target) or target.startswith("{@"):
        scope.findings.error(
            (*path, "target"),
            "must be a reference to a field of the payload: '{$self.input.data.…}'",
        )
        return
    check_rule(scope, reader, target, (*path, "target"))
    if not measured(measure):
        scope.findings.error(
            (*path, "target"),
            f"{target:.100} names no field; write '{{$self.input.data.<field>}}'",
        )


def measured(measure: Measure) -> str:
    """The name that a measured field has in indexes: its path in the payload, joined by `/`."""
    target = measure.target
    return "/".join(target[1:-1].split(".")[3:]) if isinstance(target, str) else ""
