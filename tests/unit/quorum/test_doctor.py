"""What the doctor says of servers and fleets, good and bad; every bad one says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from hotmesh.quorum.doctor.fleet import check_fleet
from hotmesh.quorum.doctor.server import check_server
from hotmesh.quorum.doctor.verdict import TO_DO, Verdict
from hotmesh.quorum.snapshot import Flow
from hotmesh.quorum.wire import Profile, Throttle

INFO = {
    "valkey_version": "9.1.2",
    "redis_version": "7.2.4",
    "role": "master",
    "redis_mode": "standalone",
    "aof_enabled": "1",
    "maxmemory_policy": "noeviction",
    "evicted_keys": "0",
    "used_memory": "1000000",
    "maxmemory": "100000000",
    "mem_fragmentation_ratio": "1.1",
    "connected_slaves": "1",
    "connected_clients": "5",
    "rejected_connections": "0",
}
CONFIG = {
    "appendfsync": "everysec",
    "maxclients": "10000",
    "min-replicas-to-write": "1",
    "save": "3600 1",
}


def of_server(
    *, has_autoclaim: bool = True, rtt_ms: float = 0.2, offset_ms: int = 0, **other: Any
) -> dict[str, Verdict]:
    info = INFO | {k: v for k, v in other.items() if k not in CONFIG and v is not None}
    info = {k: v for k, v in info.items() if other.get(k, "") is not None}
    config = CONFIG | {k: v for k, v in other.items() if k in CONFIG}
    found = check_server(
        info, config, has_autoclaim=has_autoclaim, rtt_ms=rtt_ms, offset_ms=offset_ms
    )
    return {v.check: v for v in found}


def test_a_good_server_is_well_and_what_a_crash_can_lose_is_said() -> None:
    found = of_server()

    assert {v.level for v in found.values()} == {"ok"}
    assert "about a second" in found["persistence"].said


@pytest.mark.parametrize(
    ("check", "level", "words", "facts"),
    [
        ("version", "fail", "XAUTOCLAIM", {"has_autoclaim": False}),
        ("role", "fail", "replica", {"role": "slave", "master_host": "h", "master_port": "1"}),
        ("mode", "fail", "Sentinel", {"redis_mode": "sentinel"}),
        ("persistence", "fail", "appendonly is off", {"aof_enabled": "0"}),
        ("persistence", "warn", "30 s", {"appendfsync": "no"}),
        ("persistence", "ok", "nothing", {"appendfsync": "always"}),
        ("disk", "fail", "aof_last_write_status", {"aof_last_write_status": "err"}),
        ("eviction", "fail", "allkeys-lru", {"maxmemory_policy": "allkeys-lru"}),
        ("evicted", "fail", "7 keys", {"evicted_keys": "7"}),
        ("memory", "warn", "85%", {"used_memory": "85000000"}),
        ("memory", "fail", "97%", {"used_memory": "97000000"}),
        ("memory", "note", "no maxmemory", {"maxmemory": "0"}),
        (
            "fragmentation",
            "warn",
            "2.5",
            {"mem_fragmentation_ratio": "2.5", "used_memory": "300000000", "maxmemory": "0"},
        ),
        ("copies", "note", "no replica", {"connected_slaves": "0"}),
        ("copies", "note", "failover", {"min-replicas-to-write": "0"}),
        ("clients", "warn", "9,000 of 10,000", {"connected_clients": "9000"}),
        ("clients", "warn", "3 were refused", {"rejected_connections": "3"}),
        ("clock", "warn", "-5,000 ms", {"offset_ms": -5000}),
        ("round trip", "warn", "80.0 ms", {"rtt_ms": 80.0}),
    ],
)
def test_a_bad_server_is_told_with_what_to_do(
    check: str, level: str, words: str, facts: dict[str, Any]
) -> None:
    found = of_server(**facts)

    verdict = found.pop(check)
    assert (verdict.level, bool(verdict.fix)) == (level, level != "ok")
    assert words in verdict.said
    assert not [v for v in found.values() if v.level in TO_DO]


def test_what_the_server_does_not_say_is_unknown_and_no_reason_to_act() -> None:
    found = check_server({}, {}, has_autoclaim=True, rtt_ms=0.1, offset_ms=0)

    assert {v.level for v in found} == {"ok", "unknown"}


def member(guid: str, **facts: Any) -> Profile:
    fields: dict[str, Any] = {"roles": ("engine", "quorum"), "host": "h", "pid": 1}
    fields |= {"release": "1", "consumer": "c"}
    return Profile(guid=guid, **(fields | facts))


def flow(topic: str, **facts: Any) -> Flow:
    fields: dict[str, Any] = {"depth": 0, "lag": 0, "pending": 0, "oldest_ms": 0}
    return Flow(topic=topic, **(fields | {"settled": 0, "members": 1} | facts))


WELL = (member("a"), member("b"))


@pytest.mark.parametrize(
    ("check", "level", "words", "args"),
    [
        ("engines", "fail", "stand still", {"members": [member("a", roles=("quorum",))]}),
        ("engines", "note", "one engine", {"members": [member("a")]}),
        ("silent members", "warn", "c (h, pid 9)", {"gone": "silent"}),
        ("silent members", "warn", "is dead", {"gone": "dead"}),
        ("releases", "warn", "1: 1, 2: 1", {"members": [member("a"), member("b", release="2")]}),
        ("clocks", "warn", "+9,000", {"members": [*WELL, member("c", clock_offset_ms=9000)]}),
        ("event loops", "warn", "c 900 ms", {"members": [*WELL, member("c", loop_lag_ms=900)]}),
        (
            "throttles",
            "warn",
            "paused (why) by me",
            {"throttles": {"*": Throttle(-1, "me", "why")}},
        ),
        ("throttles", "note", "topic:a 5 ms", {"throttles": {"topic:a": Throttle(5, "me")}}),
        ("drained members", "note", "c (h", {"members": [*WELL, member("c", state="drained")]}),
        ("quorum", "note", "no quorum", {"members": [member(g, roles=("engine",)) for g in "ab"]}),
        ("unserved topics", "fail", "t (5)", {"flows": [flow("t", depth=5, members=0)]}),
        ("backlog", "warn", "t 90", {"flows": [flow("t", depth=90)]}),
        ("old entries", "warn", "t 11 min", {"flows": [flow("t", oldest_ms=660_000)]}),
        ("dead letters", "warn", "3", {"dead_letters": 3}),
    ],
)
def test_a_bad_fleet_is_told_with_what_to_do(
    check: str, level: str, words: str, args: dict[str, Any]
) -> None:
    members = list(args.get("members", WELL))
    if "gone" in args:
        members.append(member("c", pid=9, state=args["gone"]))
    found = {
        v.check: v
        for v in check_fleet(
            members,
            args.get("flows", [flow("(engine)"), flow("t")]),
            args.get("throttles", {}),
            dead_letters=args.get("dead_letters", 0),
            backlog_max=100,
        )
    }

    verdict = found.pop(check)
    assert (verdict.level, words in verdict.said, bool(verdict.fix)) == (level, True, True), verdict
    assert {v.level for v in found.values()} == {"ok"}
