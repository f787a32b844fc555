"""What has changed between two looks at the fleet: pure, and each change once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from hotmesh.quorum.wire import Profile

What = Literal[
    "member.joined",
    "member.left",
    "member.silent",
    "member.dead",
    "member.returned",
    "member.changed",
    "topic.unserved",
    "topic.served",
    "engine.missing",
    "engine.found",
]
ALARMS: frozenset[What] = frozenset(
    ("member.silent", "member.dead", "topic.unserved", "engine.missing")
)
"""Changes that a person may have to act on."""


class Change(Struct, frozen=True):
    """One thing that is other than before; `facts` are for the log."""

    what: What
    facts: dict[str, object]


class Seen(Struct, frozen=True, kw_only=True):
    """One look.

    Attributes:
        members: By guid; their state says who is silent or dead.
        unserved: Topics with entries that nobody takes, and how many.
        has_engine: Whether somebody alive decides what jobs do next.
    """

    members: dict[str, Profile]
    unserved: dict[str, int]
    has_engine: bool


def look(members: Sequence[Profile], depths: Mapping[str, int]) -> Seen:
    """A look at judged members; `depths` are the entries of each worker topic."""
    alive = [m for m in members if m.state not in ("silent", "dead")]
    served = {topic for m in alive for topic in m.topics}
    return Seen(
        members={m.guid: m for m in members},
        unserved={t: n for t, n in sorted(depths.items()) if n and t not in served},
        has_engine=any("engine" in m.roles for m in alive),
    )


def changes(before: Seen, after: Seen) -> list[Change]:
    """What to say, in a steady order."""
    found = [
        change
        for guid in sorted(before.members.keys() | after.members.keys())
        for change in _of_member(before.members.get(guid), after.members.get(guid))
    ]
    found += [
        Change("topic.unserved", {"topic": topic, "depth": after.unserved[topic]})
        for topic in sorted(after.unserved.keys() - before.unserved.keys())
    ]
    found += [
        Change("topic.served", {"topic": topic})
        for topic in sorted(before.unserved.keys() - after.unserved.keys())
    ]
    if before.has_engine != after.has_engine:
        found.append(Change("engine.found" if after.has_engine else "engine.missing", {}))
    return found


def _of_member(before: Profile | None, after: Profile | None) -> list[Change]:
    now = after or before
    assert now is not None
    facts: dict[str, object] = {
        "guid": now.guid,
        "roles": list(now.roles),
        "host": now.host,
        "pid": now.pid,
    }
    if before is None:
        assert after is not None
        joined = Change("member.joined", facts | {"release": after.release})
        return [joined, *_of_state("running", after, facts)]
    if after is None:
        return [Change("member.left", facts)]
    return _of_state(before.state, after, facts)


def _of_state(was: str, after: Profile, facts: dict[str, object]) -> list[Change]:
    now = after.state
    if now == was:
        return []
    if now == "silent":
        return [Change("member.silent", facts | {"in_flight": after.in_flight})]
    if now == "dead":
        return [Change("member.dead", facts | {"in_flight": after.in_flight})]
    if was in ("silent", "dead"):
        return [Change("member.returned", facts)]
    return [Change("member.changed", facts | {"was": was, "state": now})]
