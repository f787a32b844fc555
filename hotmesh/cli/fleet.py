"""How members and their routers are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hotmesh.quorum import Part, Profile, Throttle

MEMBER_COLUMNS = (
    "member",
    "roles",
    "state",
    "host",
    ">pid",
    "release",
    ">up",
    ">memory",
    ">loop lag",
    ">clock",
    ">heard",
)
PART_COLUMNS = (
    "part",
    "member",
    "state",
    ">in flight",
    ">taken",
    ">settled",
    ">failed",
    ">buried",
    "answers",
    ">depth",
    ">lag",
    ">pending",
    ">oldest",
)


def member_rows(members: Iterable[Profile], now_ms: int) -> list[Sequence[object]]:
    """A row per member."""
    return [
        (
            m.guid,
            " ".join(m.roles),
            state(m.state, m.throttle_ms),
            m.host,
            m.pid,
            m.release,
            span(now_ms - m.started_ms) if m.started_ms else "?",
            size(m.memory_bytes),
            f"{m.loop_lag_ms} ms",
            f"{m.clock_offset_ms:+} ms",
            f"{span(now_ms - m.seen_ms)} ago",
        )
        for m in members
    ]


def part_rows(members: Iterable[Profile]) -> list[Sequence[object]]:
    """A row per router of each member."""
    return [
        (
            p.role,
            m.guid[:8],
            state(p.state, p.throttle_ms) if m.state not in ("silent", "dead") else m.state,
            f"{p.in_flight}/{p.capacity}",
            p.taken,
            p.settled,
            p.failed,
            p.buried,
            codes(p),
            *(known(n) for n in (p.depth, p.lag, p.pending)),
            span(p.oldest_ms) if p.oldest_ms > 0 else "-",
        )
        for m in members
        for p in m.parts
    ]


def state(name: str, throttle_ms: int) -> str:
    """A state with the throttle that makes it."""
    return f"{name} {throttle_ms} ms" if name == "throttled" and throttle_ms > 0 else name


def codes(part: Part) -> str:
    """Answers by code: `200:17 500:2`."""
    shown = sorted(part.codes.items())
    return " ".join(f"{'other' if code < 0 else code}:{n}" for code, n in shown) or "-"


def throttle_line(scope: str, throttle: Throttle) -> str:
    """A throttle in words."""
    kind, _, name = scope.partition(":")
    whom = "everybody" if scope == "*" else f"{kind} {name}"
    what = "paused" if throttle.ms < 0 else f"throttled, {throttle.ms} ms per entry"
    why = f": {throttle.why}" if throttle.why else ""
    return f"{whom} is {what} (by {throttle.by}){why}"


def known(number: int) -> str:
    """A count, or `?`."""
    return "?" if number < 0 else f"{number:,}"


def span(ms: int) -> str:
    """A length of time, in the unit that fits."""
    seconds = max(0, ms) / 1000
    for limit, divisor, unit in ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def size(count: int) -> str:
    """Bytes in MB."""
    return f"{count / 1_000_000:.0f} MB" if count else "?"
