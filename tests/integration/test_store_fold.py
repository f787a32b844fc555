"""`hotmesh.core.fold` and `apply.lua` leave the same: any effects, any bytes, on real servers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_servers import Live, live, store_server

from hotmesh.core import (
    Append,
    Count,
    Effect,
    Expire,
    FieldsDrop,
    FieldsSet,
    Hear,
    Publish,
    Stored,
    Tell,
    TimerDrop,
    TimerSet,
    Unhear,
    fold,
)
from hotmesh.core import effects as effects_module
from hotmesh.core.state import REV
from hotmesh.store import Apply, Keys, Store, Verdict

__all__ = ["live", "store_server"]

EXAMPLES = int(os.environ.get("HOTMESH_SIM_EXAMPLES", "0")) or 200
SLACK_MS = 5_000
"""Between our reading of the server's clock and the script's own."""

JID = "jöb {1}*"
HOSTILE = [
    b"",
    b"\x00",
    b"\xff\xfe\xfd",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",  # NaN in MessagePack
    b"\xcf\x00\x20\x00\x00\x00\x00\x00\x01",  # 2**53 + 1
    b"9007199254740993",
    b"nan",
    b"\xc4\x05hello",  # bin
    b"\xdb\xff\xff\xff\xff",  # a str that claims 4 GB
    b"\x91" * 40,  # arrays in arrays
    b"\xc1",
    b"\r\n$-1\r\n",
    b"x" * 31,
    b"x" * 32,
    b"x" * 256,
    b"\x80" * 100_000,
]

blobs = st.sampled_from(HOSTILE) | st.binary(max_size=80)
# Where one effect must meet another, there are few to draw from.
few_blobs = st.sampled_from([b"", b"\xff\x00{", b"nan"])
names = st.sampled_from(["a,0", "a,0/o", "d", "ü,0,1/h", "x y{}*,0", "e"])
topics = st.sampled_from(["w", "w.x"])
slots = st.sampled_from([("s.a", "ü {}*\x00"), ("s.b", "l" * 300)])
waiters = st.sampled_from([b"0:\xff\x00w", b"0:", b"1:w"])
delays = st.integers(1, 400 * 86_400_000).map(lambda ms: ms + 60_000)
numbers = st.integers(-(2**40), 2**40) | st.floats(-1e15, 1e15).map(lambda x: round(x, 3))


def _hear(slot: tuple[str, str], waiter: bytes) -> Hear:
    return Hear(*slot, waiter)


def _unhear(slot: tuple[str, str], waiter: bytes) -> Unhear:
    return Unhear(*slot, waiter)


def _tell(slot: tuple[str, str], signal: bytes, closes: bool, rid: str, pending_ms: int) -> Tell:
    return Tell(*slot, signal, closes, rid, pending_ms)


def _count(name: str, sums: dict[str, Any], values: dict[str, Any], facets: list[str]) -> Count:
    return Count(f"run:{name}:0", JID, sums, values, tuple(facets), 90_000_000)


effects: st.SearchStrategy[Effect] = st.one_of(
    st.dictionaries(names, blobs, min_size=1, max_size=4).map(FieldsSet),
    st.lists(names, min_size=1, max_size=3).map(tuple).map(FieldsDrop),
    st.builds(Append, st.just("engine"), st.just(""), blobs),
    st.builds(Append, st.just("worker"), topics, blobs),
    st.builds(Append, st.just("outbox"), st.sampled_from(["1", "12"]), blobs),
    st.builds(
        Append, st.just("engine"), st.just(""), blobs, st.sampled_from(["r1", "r" * 300, "r3"])
    ),
    st.builds(
        Append,
        st.just("outbox"),
        st.sampled_from(["2", "@b"]),
        blobs,
        st.sampled_from(["r1", "r3"]),
    ),
    st.builds(TimerSet, few_blobs, delays),
    st.builds(TimerDrop, few_blobs),
    st.builds(Publish, st.sampled_from(["caller", "topic"]), st.just("c"), st.binary(max_size=99)),
    st.builds(Expire, delays),
    st.builds(_hear, slots, waiters),
    st.builds(_unhear, slots, waiters),
    st.builds(
        _tell,
        slots,
        blobs,
        st.booleans(),
        st.sampled_from(["r1", "r2", "r" * 300]) | st.uuids().map(str),
        st.sampled_from([0, 600_000]),
    ),
    st.builds(
        _count,
        st.sampled_from(["k", "l"]),
        st.dictionaries(st.sampled_from(["count", "sum:a/b", "count:x:ü"]), numbers, max_size=3),
        st.dictionaries(st.sampled_from(["a/b", "c"]), numbers, max_size=2),
        st.lists(st.sampled_from(["f:1", "f:ü *"]), max_size=2),
    ),
)
transitions = st.lists(st.lists(effects, max_size=12), min_size=1, max_size=4)


pytestmark = pytest.mark.timeout(3_600)


def test_the_property_draws_every_effect() -> None:
    drawn = {FieldsSet, FieldsDrop, Append, TimerSet, TimerDrop, Publish, Expire, Hear, Unhear}
    drawn |= {Tell, Count}

    missing = set(effects_module.Effect.__args__) - drawn
    assert {kind.__name__ for kind in missing} <= {"Delete"}, "see test_a_deleted_job_is_gone"


def test_fold_and_the_script_leave_the_same(live: Live) -> None:
    store = live.store(partitions=2)
    keys = Keys("hm", "store-test", 2)
    jid = next(f"{JID}{i}" for i in range(99) if keys.of(f"{JID}{i}").number == 0)

    @settings(
        max_examples=EXAMPLES,
        derandomize=bool(os.environ.get("CI")),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(transitions)
    def property(batch: Sequence[Sequence[Effect]]) -> None:
        live.flush()
        run(live, store, jid, batch)

    property()


def run(live: Live, store: Store, jid: str, batch: Sequence[Sequence[Effect]]) -> None:
    """Apply the same transitions to both, in one pipeline, and compare what there is."""
    stored = Stored()
    now_ms = store.clock.read(live.do("TIME"))
    applies = []
    for rev, ordered in enumerate(batch):
        with_rev = [FieldsSet({REV: b"%d" % (rev + 1)}), *ordered]
        applies.append(Apply(jid=jid, rev=rev, effects=with_rev))
        for effect in with_rev:
            fold(stored, effect, now_ms)

    verdicts = live.run(store.apply(applies))

    assert verdicts == [Verdict.APPLIED] * len(batch)
    compare(live, store, jid, stored, now_ms)


def compare(live: Live, store: Store, jid: str, stored: Stored, now_ms: int) -> None:
    partition = store.keys.of(jid)
    left = live.dump()

    job = left.pop(partition.job(jid), ("hash", False, {}))
    assert job[2] == {name.encode(): value for name, value in stored.fields.items()}
    assert job[1] == (stored.expires_at_ms is not None)
    if stored.expires_at_ms is not None:
        ends_ms = now_ms + live.do("PTTL", partition.job(jid))
        assert abs(ends_ms - stored.expires_at_ms) < SLACK_MS

    _compare_streams(left, partition, stored)

    rows = left.pop(partition.timers, ("zset", False, []))[2]
    timers = dict(zip(rows[::2], rows[1::2], strict=True))
    assert timers.keys() == stored.timers.keys()
    for entry, at_ms in stored.timers.items():
        assert 0 <= float(timers[entry]) - at_ms < SLACK_MS

    _compare_slots(left, partition, stored)
    _compare_statistics(left, partition, stored)
    assert not left, "keys that fold knows nothing of"


def _compare_streams(left: dict[str, Any], partition: Any, stored: Stored) -> None:
    woken: list[tuple[bytes, bytes]] = []
    streams: dict[tuple[str, str], list[bytes]] = {}
    places = {partition.engine: ("engine", ""), partition.outbox: ("outbox", "")}
    places |= {partition.worker(topic): ("worker", topic) for topic in ("w", "w.x")}
    for key, (kind, name) in places.items():
        for _, flat in left.pop(key, ("stream", False, []))[2]:
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            there = fields.get(b"to", b"0").decode()
            if b"d" in fields:
                woken.append((there.encode() + b":" + fields[b"p"], fields[b"d"]))
            else:
                place = (kind, there) if kind == "outbox" else (kind, name)
                streams.setdefault(place, []).append(fields[b"p"])
    assert streams == stored.streams
    assert sorted(woken) == sorted(stored.woken)
    for there in (b"0:", b"1:"):
        assert [w for w in woken if w[0].startswith(there)] == [
            w for w in stored.woken if w[0].startswith(there)
        ]


def _compare_slots(left: dict[str, Any], partition: Any, stored: Stored) -> None:
    for slot, waiting in stored.waiters.items():
        found = left.pop(partition.waiters(*slot), ("list", False, []))
        assert found[2] == waiting
    for slot, early in stored.early.items():
        found = left.pop(partition.early(*slot), ("list", True, []))
        assert len(found[2]) == len(early)
        for item, (signal, closes, until_ms) in zip(found[2], early, strict=True):
            assert (item[:1], item[16:]) == (b"1" if closes else b"0", signal)
            assert 0 <= int(item[1:16]) - until_ms < SLACK_MS
        assert found[1]
    for rid in stored.receipts:
        assert left.pop(partition.receipt(rid))[1]


def _compare_statistics(left: dict[str, Any], partition: Any, stored: Stored) -> None:
    sums: dict[tuple[str, str], float] = {}
    values: dict[tuple[str, str], dict[str, float]] = {}
    indexes: dict[tuple[str, str], list[str]] = {}
    for name in {n for n, _ in (*stored.sums, *stored.values, *stored.indexes)}:
        found = left.pop(partition.stats(name, "s", ""), ("hash", True, {}))
        sums |= {(name, field.decode()): float(value) for field, value in found[2].items()}
    for name, path in stored.values:
        rows = left.pop(partition.stats(name, "v", path))[2]
        values[name, path] = {
            k.decode(): float(v) for k, v in zip(rows[::2], rows[1::2], strict=True)
        }
    for name, facet in stored.indexes:
        rows = left.pop(partition.stats(name, "i", facet))[2]
        indexes[name, facet] = [row.decode() for row in rows]
    assert sums == pytest.approx(stored.sums, rel=1e-9, abs=1e-6)
    assert values == stored.values
    assert indexes == stored.indexes


@pytest.mark.parametrize("blob", HOSTILE, ids=range(len(HOSTILE)))
def test_bytes_arrive_as_they_are_wherever_they_go(live: Live, blob: bytes) -> None:
    store = live.store()
    live.flush()
    ordered: list[Effect] = [
        FieldsSet({"f": blob}),
        Append("engine", "", blob),
        Append("worker", "w", blob),
        Append("outbox", "1", blob),
        TimerSet(blob, 90_000),
        Hear("s.a", "k", b"0:" + blob),
        Tell("s.a", "k", blob, True, "r", 0),
        Tell("s.b", "k", blob, True, "r2", 90_000),
    ]

    run(live, store, "j", [ordered])


def test_a_published_hint_arrives_whole_and_after_all_else_was_written(live: Live) -> None:
    store = live.store()
    live.flush()
    hints = [b"\x93\xa1j\xc4\x00\xff" + bytes([i]) for i in range(5)]

    async def listen() -> list[tuple[bytes, bytes]]:
        import asyncio

        heard: list[tuple[bytes, bytes]] = []
        done = asyncio.Event()

        def hear(channel: bytes, payload: bytes) -> None:
            heard.append((channel, payload))
            if len(heard) == len(hints):
                done.set()

        subscription = await live.connection.bus.subscribe(store.keys.caller("me"), hear)
        publish: list[Effect] = [Publish("caller", "me", hint) for hint in hints]
        item = Apply(jid="j", rev=0, effects=[FieldsSet({REV: b"1"}), *publish])
        assert await store.apply([item]) == [Verdict.APPLIED]
        await asyncio.wait_for(done.wait(), 10)
        await subscription.unsubscribe()
        return heard

    heard = live.run(listen())

    assert heard == [(store.keys.caller("me").encode(), hint) for hint in hints]


def test_a_deleted_job_is_gone(live: Live) -> None:
    delete = getattr(effects_module, "Delete", None)
    if delete is None:
        pytest.skip("no such effect")
    store = live.store()
    live.flush()
    run(live, store, "j", [[FieldsSet({"a": b"1"})], [FieldsSet({"b": b"1"})]])

    assert live.run(store.apply([Apply(jid="j", rev=2, effects=[delete()])])) == [Verdict.APPLIED]

    assert live.dump() == {}
    assert live.run(store.apply([Apply(jid="j", rev=2, effects=[])])) == [Verdict.STALE]
