"""Jobs as text: what `state`, `export` and the demo share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from hotmesh.cli.output import Output, one_line
from hotmesh.mesh import JobFailure, Timeline

COLUMNS = ("activity", "type", "dimension", "state", ">began", ">took", ">code", ">tries")


def status_text(status: int, error: Any) -> str:
    """A job's status in words."""
    if isinstance(error, dict):
        message = one_line(str(error.get("message", "")))
        return f"failed with code {error.get('code')}: {message}"
    if status > 0:
        return f"running, {status} open"
    return "done" if status == 0 else "interrupted"


def iso(stamp: str) -> str:
    """A stamp of job metadata, `YYYYMMDDHHmmss.SSS` in UTC, in ISO 8601."""
    at = datetime.strptime(stamp, "%Y%m%d%H%M%S.%f").replace(tzinfo=UTC)
    return at.isoformat(timespec="milliseconds")


def print_failures(output: Output, failures: Iterable[JobFailure], depth: int = 0) -> None:
    """What failed, a line each, what failed below it under it."""
    for failure in failures:
        what = failure.activity + failure.dimension if failure.activity else "interrupt"
        note = " (handled)" if failure.handled else ""
        where = f"{what} of {failure.job_id}: code {failure.code}{note}"
        output.line(f"{'  ' * depth}- {where}: {one_line(failure.message)}")
        print_failures(output, failure.children, depth + 1)


def print_timeline(output: Output, timeline: Timeline) -> None:
    """What happened, a row per activity and dimension."""
    output.table(
        COLUMNS,
        [
            (
                leg.activity,
                leg.type,
                leg.dimension,
                leg.state,
                f"+{leg.began_ms - timeline.created_ms} ms",
                f"{leg.duration_ms} ms" if leg.state == "done" else "",
                leg.code or "",
                leg.attempt + 1,
            )
            for leg in timeline.legs
        ],
    )
