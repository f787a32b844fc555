"""What the quorum service says: each change once, and nothing while nothing changes."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hotmesh.quorum.throttle import effective_ms
from hotmesh.quorum.watch import Seen, changes, look
from hotmesh.quorum.wire import Part, Profile, Throttle

STATES = ["running", "throttled", "paused", "draining", "drained", "silent", "dead"]


def member(guid: str, state: str = "running", *topics: str, engine: bool = False) -> Profile:
    parts = tuple(Part(role=f"worker:{t}", topic=t, in_flight=2) for t in topics)
    roles = ("engine",) if engine else tuple(p.role for p in parts)
    return Profile(
        guid=guid,
        roles=roles,
        host="h",
        pid=1,
        release="1",
        consumer="c",
        state=state,
        parts=parts,
    )


def said(before: Seen, after: Seen) -> list[str]:
    return [change.what for change in changes(before, after)]


def test_a_silent_member_is_said_once_with_what_it_holds_and_so_is_its_return() -> None:
    well, silent = look([member("a", "running", "t")], {}), look([member("a", "silent", "t")], {})

    (change,) = changes(well, silent)
    assert (change.what, change.facts["in_flight"]) == ("member.silent", 2)
    assert (change.facts["host"], change.facts["pid"]) == ("h", 1)
    assert said(silent, silent) == []
    assert said(silent, well) == ["member.returned"]


def test_members_that_come_and_go_are_said() -> None:
    nobody, one = look([], {}), look([member("a", engine=True)], {})

    assert said(nobody, one) == ["member.joined", "engine.found"]
    assert said(one, nobody) == ["member.left", "engine.missing"]
    assert said(nobody, look([member("a", "dead")], {})) == ["member.joined", "member.dead"]


def test_entries_that_nobody_takes_are_said_with_their_number() -> None:
    idle = look([member("a", "silent", "t")], {"t": 0})
    waiting = look([member("a", "silent", "t")], {"t": 7})
    served = look([member("a", "silent", "t"), member("b", "running", "t")], {"t": 7})

    (change,) = changes(idle, waiting)
    assert (change.what, change.facts) == ("topic.unserved", {"topic": "t", "depth": 7})
    assert said(waiting, waiting) == []
    assert said(waiting, served) == ["member.joined", "topic.served"]


def test_a_throttle_is_said() -> None:
    (change,) = changes(look([member("a")], {}), look([member("a", "paused")], {}))

    assert change.what == "member.changed"
    assert (change.facts["was"], change.facts["state"]) == ("running", "paused")


looks = st.builds(
    look,
    st.lists(
        st.builds(member, st.sampled_from("abc"), st.sampled_from(STATES), st.sampled_from("tu")),
        unique_by=lambda m: m.guid,
    ),
    st.dictionaries(st.sampled_from("tu"), st.integers(0, 3)),
)


@given(looks, looks)
def test_nothing_is_said_when_nothing_changes_and_something_when_something_does(
    one: Seen, other: Seen
) -> None:
    assert changes(one, one) == []

    def gist(seen: Seen) -> Any:
        states = {guid: m.state for guid, m in seen.members.items()}
        return states, set(seen.unserved), seen.has_engine

    assert bool(changes(one, other)) == (gist(one) != gist(other))


scopes = st.sampled_from(["*", "topic:a", "topic:b", "member:g", "member:h"])
rules = st.dictionaries(scopes, st.builds(Throttle, st.sampled_from([-1, 1, 5, 100])))


@given(rules, st.sampled_from(["a", "b", ""]), st.sampled_from(["g", "h", "x"]))
def test_the_strictest_throttle_that_concerns_a_router_applies(
    throttles: dict[str, Throttle], topic: str, guid: str
) -> None:
    mine = [
        rule.ms
        for scope, rule in throttles.items()
        if scope in ("*", f"member:{guid}") or (topic and scope == f"topic:{topic}")
    ]

    ms = effective_ms(throttles, topic, guid)

    assert ms in [*mine, 0]
    assert (ms == -1) == (-1 in mine)
    assert all(ms == -1 or ms >= other for other in mine)


def test_profiles_are_told_apart_by_what_they_hold() -> None:
    one = member("a", "running", "t", "u")
    assert (one.topics, one.in_flight) == (("t", "u"), 4)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=Profile) == one
