"""Checks of the fleet, from its members and streams. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hotmesh.quorum.doctor.verdict import Verdict, fail, note, ok, warn
from hotmesh.quorum.snapshot import ENGINE, OUTBOX, Flow
from hotmesh.quorum.wire import Profile, Throttle

CLOCK_MS_MAX = 5_000
LOOP_LAG_MS_MAX = 500
OLD_MS = 600_000
"""An entry that lies for so long is worth a look; a slow worker may be the reason."""


def check_fleet(
    members: Sequence[Profile],
    flows: Sequence[Flow],
    throttles: Mapping[str, Throttle],
    *,
    dead_letters: int,
    backlog_max: int,
) -> list[Verdict]:
    """All checks of the fleet.

    Args:
        backlog_max: Entries of one worker stream above which starts are refused, 0 for no bound.
    """
    alive = [m for m in members if m.state not in ("silent", "dead")]
    return [
        _engines(alive),
        _silent(members),
        _releases(alive),
        _clocks(alive),
        _loops(alive),
        _throttled(throttles),
        _drained(alive),
        _quorums(alive),
        _unserved(flows),
        _backlog(flows, backlog_max),
        _old(flows),
        _dead_letters(dead_letters),
    ]


def _engines(alive: Sequence[Profile]) -> Verdict:
    count = sum("engine" in m.roles and m.state != "drained" for m in alive)
    if not count:
        return fail("engines", "no engine is there: jobs stand still", "start hotmesh engine")
    if count == 1:
        said = "one engine: when it ends, jobs stand still until it is back"
        return note("engines", said, "run two")
    return ok("engines", f"{count} engines")


def _silent(members: Sequence[Profile]) -> Verdict:
    gone = [m for m in members if m.state in ("silent", "dead")]
    if gone:
        named = ", ".join(f"{m.guid} ({m.host}, pid {m.pid}) is {m.state}" for m in gone[:5])
        fix = "see why; what they hold goes to others. hotmesh quorum forgets them after 10 min"
        return warn("silent members", f"{len(gone)}: {named}", fix)
    return ok("silent members", "none")


def _releases(alive: Sequence[Profile]) -> Verdict:
    found = sorted({m.release for m in alive})
    if len(found) > 1:
        per = ", ".join(f"{r}: {sum(m.release == r for m in alive)}" for r in found)
        said = f"members run different releases ({per}); that is right during an upgrade only"
        return warn("releases", said, "upgrade the rest")
    return ok("releases", found[0] if found else "nobody is there")


def _clocks(alive: Sequence[Profile]) -> Verdict:
    off = [m for m in alive if abs(m.clock_offset_ms) > CLOCK_MS_MAX]
    if off:
        named = ", ".join(f"{m.host} {m.clock_offset_ms:+,} ms" for m in off[:5])
        return warn("clocks", f"hosts differ from the server: {named}", "run NTP there")
    return ok("clocks", "members agree with the server")


def _loops(alive: Sequence[Profile]) -> Verdict:
    slow = [m for m in alive if m.loop_lag_ms > LOOP_LAG_MS_MAX]
    if slow:
        named = ", ".join(f"{m.guid} {m.loop_lag_ms:,} ms" for m in slow[:5])
        fix = "handlers block the event loop: make them plain functions (they run in threads)"
        return warn("event loops", f"late: {named}", f"{fix}, or give the machine more processor")
    return ok("event loops", "on time")


def _throttled(throttles: Mapping[str, Throttle]) -> Verdict:
    if not throttles:
        return ok("throttles", "none")
    named = ", ".join(
        f"{'everybody' if scope == '*' else scope} "
        f"{'paused' if t.ms < 0 else f'{t.ms} ms'}{f' ({t.why})' if t.why else ''} by {t.by}"
        for scope, t in sorted(throttles.items())
    )
    if any(t.ms < 0 for t in throttles.values()):
        return warn("throttles", named, "hotmesh resume, when the reason is gone")
    return note("throttles", named, "hotmesh resume, when the reason is gone")


def _drained(alive: Sequence[Profile]) -> Verdict:
    found = [m for m in alive if m.state == "drained"]
    if found:
        named = ", ".join(f"{m.guid} ({m.host}, pid {m.pid})" for m in found[:5])
        return note("drained members", named, "stop or restart them: they take nothing")
    return ok("drained members", "none")


def _quorums(alive: Sequence[Profile]) -> Verdict:
    count = sum("quorum" in m.roles for m in alive)
    if not count and alive:
        said = "no quorum service: silence is not said, and nobody keeps house"
        return note("quorum", said, "start hotmesh quorum")
    return ok("quorum", f"{count} of them")


def _unserved(flows: Sequence[Flow]) -> Verdict:
    found = [f for f in flows if f.topic not in (ENGINE, OUTBOX) and f.depth > 0 and not f.members]
    if found:
        named = ", ".join(f"{f.topic} ({f.depth:,})" for f in found[:10])
        fix = "start a worker of them (hotmesh worker -A …)"
        return fail("unserved topics", f"entries that nobody takes: {named}", fix)
    return ok("unserved topics", "none")


def _backlog(flows: Sequence[Flow], backlog_max: int) -> Verdict:
    workers = [f for f in flows if f.topic not in (ENGINE, OUTBOX)]
    near = [f for f in workers if backlog_max and f.depth > 0.8 * backlog_max]
    if near:
        named = ", ".join(f"{f.topic} {f.depth:,}" for f in near)
        said = f"near the bound of {backlog_max:,}, where starts are refused: {named}"
        return warn("backlog", said, "run more workers, or raise engine.backlog_max")
    return ok("backlog", f"at most {max((f.depth for f in workers), default=0):,} entries")


def _old(flows: Sequence[Flow]) -> Verdict:
    old = [f for f in flows if f.oldest_ms > OLD_MS]
    if old:
        named = ", ".join(f"{f.topic} {f.oldest_ms // 60_000:,} min" for f in old[:10])
        fix = "see with hotmesh top whether its workers are slow, paused, or too few"
        return warn("old entries", f"the oldest of {named}", fix)
    return ok("old entries", "none over 10 min")


def _dead_letters(count: int) -> Verdict:
    if count:
        return warn("dead letters", f"{count:,}", "hotmesh dlq list; then retry or drop them")
    return ok("dead letters", "none")
