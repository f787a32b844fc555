"""Time that passes at once: a month in milliseconds, on the real server.

Scripts take the server's clock and add a skew, which is 0 outside of tests. Skipping time moves
the skew of everything in this process, and wakes what sleeps until a timer: what was due in that
time is due now. The server's own clock stays, so records and keys do not expire earlier.
"""

from __future__ import annotations

from hotmesh.durations import Duration, parse
from hotmesh.store import Clock


def skip_time(duration: Duration) -> None:
    """Let time pass for every mesh and router of this process: timers, sleeps, retries, cron.

    Args:
        duration: Such as `1 month`, `90s`, or a timedelta. Skips add up.
    """
    Clock.skip(parse(duration))


def restore_time() -> None:
    """Take all skips back, for meshes and routers to come. The fixture `skip_time` does that by
    itself.
    """
    Clock.skip(-Clock.skipped_ms)
