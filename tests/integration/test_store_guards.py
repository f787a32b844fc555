"""Each guard and each small script on real servers: what it refuses, it leaves as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from store_servers import Live, live, store, store_server

from hotmesh.core import (
    Append,
    Count,
    Effect,
    Expire,
    FieldsDrop,
    FieldsSet,
    Hear,
    Publish,
    Tell,
    TimerDrop,
    TimerSet,
    Unhear,
)
from hotmesh.core.state import REV
from hotmesh.errors import HotMeshError, StateLost
from hotmesh.store import GROUP_ENGINE, Apply, Entry, New, Store, Verdict, leases
from hotmesh.store.dead import bury_op, drop, find, retry
from hotmesh.store.encode import EARLY_MAX, text
from hotmesh.store.keys import Partition

__all__ = ["live", "store", "store_server"]

ME, SIBLING = "me", "sibling"
DAY_MS = 86_400_000


def set_rev(rev: int, **fields: bytes) -> FieldsSet:
    return FieldsSet({REV: b"%d" % rev, **fields})


def everything(rev: int) -> list[Effect]:
    """A transition that writes every kind of key."""
    return [
        set_rev(rev, a=b"1"),
        Append("engine", "", b"e"),
        Append("worker", "w", b"w"),
        Append("outbox", "1", b"o"),
        TimerSet(b"t", DAY_MS),
        TimerDrop(b"u"),
        Hear("s.a", "k", b"0:w"),
        Unhear("s.b", "k", b"0:w"),
        Tell("s.c", "k", b"sig", True, "rid", 60_000),
        Count("n", "j", {"count": 1}, {"p": 2}, ("f:1",), DAY_MS),
        FieldsDrop(("b",)),
        Expire(DAY_MS),
        Publish("caller", "c", b"j"),
    ]


def one(live: Live, store: Store, item: Apply | New) -> Verdict:
    return live.run(store.apply([item]))[0]


def begin(live: Live, store: Store, jid: str = "j") -> None:
    """A job at revision 1."""
    assert one(live, store, New(jid=jid, effects=[set_rev(1, b=b"0")])) is Verdict.APPLIED


def deliver(live: Live, stream: str, *, consumer: str = ME, group: str = GROUP_ENGINE) -> bytes:
    """Append an entry and have a consumer read it."""
    live.do("XADD", stream, "*", "p", b"x")
    reply = live.do("XREADGROUP", "GROUP", group, consumer, "COUNT", 1, "STREAMS", stream, ">")
    id: bytes = reply[0][1][0][0]
    return id


def engine(store: Store) -> str:
    return store.keys.partitions[0].engine


def entry_of(store: Store, id: bytes, consumer: str = "") -> Entry:
    return Entry(engine(store), GROUP_ENGINE, (id,), consumer)


# -- entry and request


def test_a_transition_on_the_revision_that_it_was_decided_on_is_applied(
    live: Live, store: Store
) -> None:
    begin(live, store)
    id = deliver(live, engine(store))

    item = Apply(jid="j", rev=1, effects=everything(2), entries=entry_of(store, id))

    assert one(live, store, item) is Verdict.APPLIED
    assert live.do("XPENDING", engine(store), GROUP_ENGINE)[0] == 0
    assert live.do("XRANGE", engine(store), id, id) == []


@pytest.mark.parametrize("rev", [0, 2])
@pytest.mark.parametrize("with_entry", [True, False])
def test_a_stale_transition_writes_nothing(
    live: Live, store: Store, rev: int, with_entry: bool
) -> None:
    begin(live, store)
    id = deliver(live, engine(store))
    before = live.dump()

    entries = entry_of(store, id) if with_entry else None
    item = Apply(jid="j", rev=rev, effects=everything(rev + 1), entries=entries)

    assert one(live, store, item) is Verdict.STALE
    assert live.dump() == before


def test_a_transition_of_a_job_that_is_gone_writes_nothing(live: Live, store: Store) -> None:
    begin(live, store)
    live.do("DEL", store.keys.of("j").job("j"))
    before = live.dump()

    assert one(live, store, Apply(jid="j", rev=1, effects=everything(2))) is Verdict.STALE
    assert live.dump() == before


def test_transitions_of_one_job_in_one_pipeline_are_applied_in_order(
    live: Live, store: Store
) -> None:
    begin(live, store)
    batch = [Apply(jid="j", rev=rev, effects=[set_rev(rev + 1)]) for rev in (1, 2, 2, 3)]

    verdicts = live.run(store.apply(batch))

    applied, stale = Verdict.APPLIED, Verdict.STALE
    assert verdicts == [applied, applied, stale, applied]


def test_an_entry_that_another_consumer_has_claimed_is_lost(live: Live, store: Store) -> None:
    begin(live, store)
    id = deliver(live, engine(store))
    live.do("XCLAIM", engine(store), GROUP_ENGINE, SIBLING, 0, id)
    before = live.dump()

    item = Apply(jid="j", rev=1, effects=everything(2), entries=entry_of(store, id, ME))

    assert one(live, store, item) is Verdict.LOST
    assert live.dump() == before


def test_an_entry_that_is_settled_already_is_lost(live: Live, store: Store) -> None:
    begin(live, store)
    id = deliver(live, engine(store))
    live.run(store.acknowledge(entry_of(store, id)))
    before = live.dump()

    item = Apply(jid="j", rev=1, effects=everything(2), entries=entry_of(store, id, ME))

    assert one(live, store, item) is Verdict.LOST
    assert live.dump() == before


def test_a_batch_of_which_one_entry_is_lost_is_lost_as_a_whole(live: Live, store: Store) -> None:
    begin(live, store)
    ids = tuple(deliver(live, engine(store)) for _ in range(3))
    live.do("XCLAIM", engine(store), GROUP_ENGINE, SIBLING, 0, ids[1])
    before = live.dump()

    entries = Entry(engine(store), GROUP_ENGINE, ids, ME)

    assert (
        one(live, store, Apply(jid="j", rev=1, effects=everything(2), entries=entries))
        is Verdict.LOST
    )
    assert live.dump() == before


def test_many_entries_are_settled_by_one_script(live: Live, store: Store) -> None:
    begin(live, store)
    stream = engine(store)
    live.run(store.transport.execute_many([("XADD", stream, "*", "p", b"x")] * 2_500))
    reply = live.do("XREADGROUP", "GROUP", GROUP_ENGINE, ME, "COUNT", 9_999, "STREAMS", stream, ">")
    ids = tuple(row[0] for row in reply[0][1])

    fields = {f"f{i}": b"x" for i in range(2_500)}
    item = Apply(
        jid="j",
        rev=1,
        effects=[set_rev(2, **fields), FieldsDrop(tuple(fields))],
        entries=Entry(stream, GROUP_ENGINE, ids),
    )

    assert one(live, store, item) is Verdict.APPLIED
    assert live.do("XLEN", stream) == 0
    assert live.do("XPENDING", stream, GROUP_ENGINE)[0] == 0
    assert live.do("HLEN", store.keys.of("j").job("j")) == 2


# -- new


def test_a_job_id_that_is_in_use_is_refused(live: Live, store: Store) -> None:
    begin(live, store)
    before = live.dump()

    assert one(live, store, New(jid="j", effects=everything(1))) is Verdict.STALE
    assert one(live, store, New(jid="j", effects=everything(1), request="r")) is Verdict.STALE
    assert live.dump() == before


def test_a_start_repeated_with_its_request_is_a_duplicate(live: Live, store: Store) -> None:
    start = New(jid="j", effects=everything(1), request="r1")
    assert one(live, store, start) is Verdict.APPLIED
    before = live.dump()

    assert one(live, store, start) is Verdict.DUPLICATE
    assert one(live, store, New(jid="j", effects=everything(1), request="r2")) is Verdict.STALE
    assert live.dump() == before


@pytest.mark.parametrize("active", [None, "1"])
def test_a_start_on_a_version_that_is_not_active_is_refused(
    live: Live, store: Store, active: str | None
) -> None:
    if active:
        live.do("SET", store.keys.of("j").version, active)
    before = live.dump()

    assert one(live, store, New(jid="j", effects=everything(1), version="2")) is Verdict.VERSION
    assert live.dump() == before


def test_a_start_on_the_active_version_is_applied(live: Live, store: Store) -> None:
    live.do("SET", store.keys.of("j").version, "2")

    assert one(live, store, New(jid="j", effects=everything(1), version="2")) is Verdict.APPLIED


def test_a_start_is_refused_while_the_backlog_is_full(live: Live, store: Store) -> None:
    effects = [set_rev(1), Append("engine", "", b"e"), Append("worker", "w", b"w")]
    stream = store.keys.of("j").worker("w")
    for i in range(3):
        start = New(jid=f"j{i}", effects=effects, backlog_max=3)
        assert one(live, store, start) is Verdict.APPLIED
    before = live.dump()

    assert one(live, store, New(jid="j3", effects=effects, backlog_max=3)) is Verdict.OVERLOADED
    assert live.dump() == before

    live.do("XTRIM", stream, "MAXLEN", 2)
    assert one(live, store, New(jid="j3", effects=effects, backlog_max=3)) is Verdict.APPLIED


def test_the_backlog_is_that_of_the_first_worker_stream_whatever_comes_before(
    live: Live, store: Store
) -> None:
    effects = [set_rev(1), Count("n", "j", {"count": 1}, {}, (), 0), Append("worker", "w", b"w")]
    live.do("XADD", store.keys.of("j").worker("w"), "*", "p", b"x")
    before = live.dump()

    assert one(live, store, New(jid="j", effects=effects, backlog_max=1)) is Verdict.OVERLOADED
    assert live.dump() == before


def test_a_child_whose_entry_was_settled_by_another_does_not_start_again(
    live: Live, store: Store
) -> None:
    id = deliver(live, engine(store))
    start = New(jid="j", effects=everything(1), request="p/a,0", entries=entry_of(store, id, ME))
    assert one(live, store, start) is Verdict.APPLIED
    live.do("DEL", store.keys.of("j").job("j"))  # as its expiry does
    before = live.dump()

    assert one(live, store, start) is not Verdict.APPLIED
    assert live.dump() == before


# -- owner


def test_an_answer_is_taken_from_the_owner_of_the_entry(live: Live, store: Store) -> None:
    id = deliver(live, engine(store))

    verdict = live.run(
        store.answer(entry_of(store, id), ME, [["append", 3, text(b"a")]], [engine(store)])
    )

    assert verdict is Verdict.APPLIED
    assert [row[1][1] for row in live.do("XRANGE", engine(store), "-", "+")] == [b"a"]


def test_an_answer_of_one_who_lost_the_entry_is_dropped(live: Live, store: Store) -> None:
    id = deliver(live, engine(store))
    live.do("XCLAIM", engine(store), GROUP_ENGINE, SIBLING, 0, id)
    before = live.dump()

    verdict = live.run(
        store.answer(entry_of(store, id), ME, [["append", 3, text(b"a")]], [engine(store)])
    )

    assert verdict is Verdict.LOST
    assert live.dump() == before


def test_an_answer_repeated_after_a_lost_reply_is_not_written_twice(
    live: Live, store: Store
) -> None:
    id = deliver(live, engine(store))
    call = (entry_of(store, id), ME, [["append", 3, text(b"a")]], [engine(store)])

    verdicts = [live.run(store.answer(*call)) for _ in range(2)]

    assert verdicts == [Verdict.APPLIED, Verdict.LOST]
    assert live.do("XLEN", engine(store)) == 1


# -- a key of another type in the way


def cases() -> list[Any]:
    """Each effect, and each key that it writes."""
    signal = Tell("s.a", "k", b"sig", True, "rid", 60_000)
    count = Count("n", "j", {"count": 1}, {"p": 2}, ("f:1",), DAY_MS)
    wanted: list[tuple[str, list[Effect], list[Effect], str]] = [
        ("append", [], [Append("engine", "", b"e")], "engine"),
        ("append", [], [Append("worker", "w", b"e")], "worker"),
        ("forward", [], [Append("outbox", "1", b"e")], "outbox"),
        ("timer", [], [TimerSet(b"t", DAY_MS)], "timers"),
        ("untimer", [], [TimerDrop(b"t")], "timers"),
        ("hear", [], [Hear("s.a", "k", b"0:w")], "waiters"),
        ("hear", [], [Hear("s.a", "k", b"0:w")], "early"),
        ("hear", [signal], [Hear("s.a", "k", b"0:w")], "engine"),
        ("hear", [signal], [Hear("s.a", "k", b"1:w")], "outbox"),
        ("unhear", [], [Unhear("s.a", "k", b"0:w")], "waiters"),
        ("tell", [], [signal], "waiters"),
        ("tell", [], [signal], "early"),
        ("tell", [Hear("s.a", "k", b"0:w")], [signal], "engine"),
        ("tell", [Hear("s.a", "k", b"1:w")], [signal], "outbox"),
        ("count", [], [count], "sums"),
        ("count", [], [count], "values"),
        ("count", [], [count], "index"),
    ]
    return [
        pytest.param(before, effects, key, id=f"{op}-{key}-{len(before)}")
        for op, before, effects, key in wanted
    ]


def key_of(partition: Partition, name: str) -> str:
    return {
        "engine": partition.engine,
        "worker": partition.worker("w"),
        "outbox": partition.outbox,
        "timers": partition.timers,
        "waiters": partition.waiters("s.a", "k"),
        "early": partition.early("s.a", "k"),
        "sums": partition.stats("n", "s", ""),
        "values": partition.stats("n", "v", "p"),
        "index": partition.stats("n", "i", "f:1"),
        "job": partition.job("j"),
        "version": partition.version,
    }[name]


@pytest.mark.parametrize(("before", "effects", "key"), cases())
def test_a_key_of_another_type_leaves_nothing_half_written(
    live: Live, store: Store, before: list[Effect], effects: list[Effect], key: str
) -> None:
    begin(live, store)
    assert one(live, store, Apply(jid="j", rev=1, effects=[set_rev(2), *before])) is Verdict.APPLIED
    worker = store.keys.of("j").worker("other")
    live.do("XGROUP", "CREATE", worker, GROUP_ENGINE, "0", "MKSTREAM")
    id = deliver(live, worker)
    wrong = key_of(store.keys.of("j"), key)
    live.do("DEL", wrong)
    live.do("SET", wrong, "in the way")
    dump = live.dump()

    entries = Entry(worker, GROUP_ENGINE, (id,))
    item = Apply(
        jid="j",
        rev=2,
        effects=[set_rev(3), Append("worker", "w2", b"first"), *effects],
        entries=entries,
    )

    with pytest.raises(HotMeshError):
        one(live, store, item)
    assert live.dump() == dump


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("key", ["job", "version", "entries"])
def test_a_guards_key_of_another_type_leaves_nothing_half_written(
    live: Live, store: Store, key: str, new: bool
) -> None:
    if not new:
        begin(live, store)
    partition = store.keys.of("j")
    live.do("SET", partition.version, "1")
    id = deliver(live, engine(store))
    wrong = engine(store) if key == "entries" else key_of(partition, key)
    live.do("DEL", wrong)
    live.do("LPUSH", wrong, "in the way")
    dump = live.dump()

    effects = [set_rev(2), Append("worker", "w2", b"first")]
    entries = entry_of(store, id)
    item: Apply | New = Apply(jid="j", rev=1, effects=effects, entries=entries)
    if new:
        item = New(jid="j", effects=effects, version="1", entries=entries)
    if key == "version" and not new:
        assert one(live, store, item) is Verdict.APPLIED  # no concern of this guard
        return

    with pytest.raises(HotMeshError):
        one(live, store, item)
    assert live.dump() == dump


@pytest.mark.parametrize("after_ms", [2**63, 2**63 - 1, 10**20])
def test_an_expiry_out_of_range_leaves_nothing_half_written(
    live: Live, store: Store, after_ms: int
) -> None:
    begin(live, store)
    id = deliver(live, engine(store))
    dump = live.dump()

    item = Apply(
        jid="j",
        rev=1,
        effects=[set_rev(2), Append("worker", "w", b"x"), Expire(after_ms)],
        entries=entry_of(store, id),
    )

    with pytest.raises(HotMeshError):
        one(live, store, item)
    assert live.dump() == dump


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), float("-inf")])
def test_a_measure_that_is_not_finite_leaves_nothing_half_written(
    live: Live, store: Store, amount: float
) -> None:
    dump = live.dump()
    count = Count("n", "j", {"count": 1, "sum:p": amount}, {"p": amount}, (), DAY_MS)

    with pytest.raises(HotMeshError):
        one(live, store, New(jid="j", effects=[set_rev(1), count, Append("worker", "w", b"x")]))
    assert live.dump() == dump


def test_a_slot_full_of_early_signals_refuses_one_more(live: Live, store: Store) -> None:
    begin(live, store)
    early = store.keys.of("j").early("s.a", "k")
    live.do("RPUSH", early, *[b"1" + b"9" * 15 + b"x"] * EARLY_MAX)
    live.do("PEXPIRE", early, 60_000)
    before = live.dump()

    tell = Tell("s.a", "k", b"sig", True, "rid", 60_000)

    item = Apply(jid="j", rev=1, effects=[set_rev(2), tell])
    assert one(live, store, item) is Verdict.OVERLOADED
    assert live.dump() == before


def test_a_group_that_is_gone_leaves_nothing_half_written(live: Live, store: Store) -> None:
    begin(live, store)
    id = deliver(live, engine(store))
    live.do("XGROUP", "DESTROY", engine(store), GROUP_ENGINE)
    dump = live.dump()

    item = Apply(jid="j", rev=1, effects=everything(2), entries=entry_of(store, id, ME))

    with pytest.raises(HotMeshError):
        one(live, store, item)
    assert live.dump() == dump


@pytest.mark.parametrize("what", ["WRONGTYPE", "NOGROUP"])
def test_what_is_no_longer_there_is_state_lost(live: Live, store: Store, what: str) -> None:
    begin(live, store)
    id = deliver(live, engine(store))
    live.do("DEL", engine(store))
    if what == "WRONGTYPE":
        live.do("SET", engine(store), "in the way")

    with pytest.raises(StateLost):
        one(live, store, Apply(jid="j", rev=1, effects=[], entries=entry_of(store, id, ME)))


# -- the script cache


def test_scripts_that_the_server_forgot_are_loaded_and_sent_again_in_order(
    live: Live, store: Store
) -> None:
    live.do("SCRIPT", "FLUSH")
    batch: list[Apply | New] = [New(jid="j", effects=[set_rev(1)])]
    batch += [Apply(jid="j", rev=rev, effects=[set_rev(rev + 1)]) for rev in range(1, 20)]
    batch += [New(jid=f"k{i}", effects=[set_rev(1), Append("worker", "w", b"x")]) for i in range(9)]

    verdicts = live.run(store.apply(batch))

    assert verdicts == [Verdict.APPLIED] * len(batch)
    assert live.do("HGET", store.keys.of("j").job("j"), REV) == b"20"
    assert live.do("XLEN", store.keys.of("j").worker("w")) == 9


def test_a_flush_in_the_middle_of_a_pipeline_applies_each_transition_once(
    live: Live, store: Store
) -> None:
    begin(live, store)
    applies = [
        Apply(jid="j", rev=rev, effects=[set_rev(rev + 1), Append("worker", "w", b"x")])
        for rev in range(1, 7)
    ]
    commands = [store._command(item) for item in applies]
    flush = ("SCRIPT", "FLUSH")

    replies = live.run(store._run([*commands[:2], flush, *commands[2:4], flush, *commands[4:]]))

    assert [r for r in replies if r != b"OK" and r != "OK"] == [1] * 6
    assert live.do("XLEN", store.keys.of("j").worker("w")) == 6


def test_flushes_from_another_connection_lose_and_double_nothing(live: Live, store: Store) -> None:
    other = live.connect().transport
    begin(live, store)

    async def race() -> list[Verdict]:
        verdicts: list[Verdict] = []
        for first in range(1, 200, 10):
            batch = [
                Apply(jid="j", rev=r, effects=[set_rev(r + 1), Append("worker", "w", b"x")])
                for r in range(first, first + 10)
            ]
            flushing = asyncio.ensure_future(other.execute("SCRIPT", "FLUSH"))
            verdicts += await store.apply(batch)
            await flushing
        return verdicts

    verdicts = live.run(race())

    applied = verdicts.count(Verdict.APPLIED)
    assert live.do("XLEN", store.keys.of("j").worker("w")) == applied
    assert int(live.do("HGET", store.keys.of("j").job("j"), REV)) == applied + 1


# -- due


def test_two_engines_that_race_move_each_timer_once(live: Live, store: Store) -> None:
    partition = store.keys.partitions[0]
    timers = [x for i in range(1_000) for x in (i, b"timer-%d" % i)]
    live.do("ZADD", partition.timers, *timers)
    others = [store, live.store(apart=True)]

    async def pop(one: Store) -> int:
        count = 0
        while True:
            moved, next_ms = await one.pop_due(partition, 7)
            count += moved
            if not moved:
                assert next_ms == -1
                return count

    async def race() -> list[int]:
        return list(await asyncio.gather(*(pop(s) for s in others)))

    counts = live.run(race())

    moved = [row[1][1] for row in live.do("XRANGE", partition.engine, "-", "+")]
    assert sum(counts) == len(moved) == 1_000
    assert sorted(moved) == sorted(b"timer-%d" % i for i in range(1_000))
    assert live.do("ZCARD", partition.timers) == 0


def test_timers_that_are_not_due_stay_and_tell_when_they_are(live: Live, store: Store) -> None:
    partition = store.keys.partitions[0]
    effects: list[Effect] = [set_rev(1), TimerSet(b"late", DAY_MS), TimerSet(b"soon", 60_000)]
    assert one(live, store, New(jid="j", effects=effects)) is Verdict.APPLIED

    moved, next_ms = live.run(store.pop_due(partition))

    assert moved == 0
    assert 0 < next_ms <= 60_000
    assert live.do("XLEN", partition.engine) == 0


def test_a_skewed_clock_makes_a_month_pass(live: Live, store: Store) -> None:
    partition = store.keys.partitions[0]
    effects: list[Effect] = [set_rev(1), TimerSet(b"month", 30 * DAY_MS)]
    assert one(live, store, New(jid="j", effects=effects)) is Verdict.APPLIED

    store.clock.skew_ms = 30 * DAY_MS + 1

    assert live.run(store.pop_due(partition)) == (1, -1)


def test_timers_go_out_in_the_order_of_their_time(live: Live, store: Store) -> None:
    partition = store.keys.partitions[0]
    live.do("ZADD", partition.timers, 30, b"c", 10, b"a", 20, b"b")

    assert live.run(store.pop_due(partition, 2))[0] == 2

    assert [r[1][1] for r in live.do("XRANGE", partition.engine, "-", "+")] == [b"a", b"b"]
    assert live.run(store.pop_due(partition, 2)) == (1, -1)


@pytest.mark.parametrize("key", ["timers", "engine"])
def test_timers_stay_when_a_key_of_another_type_is_in_the_way(
    live: Live, store: Store, key: str
) -> None:
    partition = store.keys.partitions[0]
    live.do("ZADD", partition.timers, 1, b"t")
    wrong = getattr(partition, key)
    live.do("DEL", wrong)
    live.do("SET", wrong, "in the way")
    dump = live.dump()

    with pytest.raises(HotMeshError):
        live.run(store.pop_due(partition))
    assert live.dump() == dump


# -- leases


def pending(live: Live, store: Store) -> dict[bytes, tuple[bytes, int]]:
    """Owner and delivery count of each pending entry."""
    rows = live.do("XPENDING", engine(store), GROUP_ENGINE, "-", "+", 100)
    return {row[0]: (row[1], row[3]) for row in rows}


def test_extending_renews_what_is_held_and_reports_what_is_lost(live: Live, store: Store) -> None:
    ids = [deliver(live, engine(store)) for _ in range(4)]
    live.do("XCLAIM", engine(store), GROUP_ENGINE, SIBLING, 0, ids[1])
    live.run(store.acknowledge(entry_of(store, ids[2])))

    lost = live.run(
        leases.extend(store, engine(store), GROUP_ENGINE, ME, [*ids, b"99999999999999-0"])
    )

    assert lost == {ids[1], ids[2], b"99999999999999-0"}
    assert pending(live, store) == {
        ids[0]: (b"me", 1),
        ids[1]: (b"sibling", 2),
        ids[3]: (b"me", 1),
    }


def test_extending_sets_the_idle_time_back(live: Live, store: Store) -> None:
    id = deliver(live, engine(store))
    live.do("XCLAIM", engine(store), GROUP_ENGINE, ME, 0, id, "IDLE", 50_000, "JUSTID")

    live.run(leases.extend(store, engine(store), GROUP_ENGINE, ME, [id]))

    [row] = live.do("XPENDING", engine(store), GROUP_ENGINE, "-", "+", 10)
    assert row[2] < 40_000


def test_what_is_handed_back_may_be_claimed_at_once(live: Live, store: Store) -> None:
    ids = [deliver(live, engine(store)) for _ in range(3)]
    live.do("XCLAIM", engine(store), GROUP_ENGINE, SIBLING, 0, ids[2])

    count = live.run(leases.release(store, engine(store), GROUP_ENGINE, ME, 30_000, ids))
    claimed = live.run(
        leases.claim_idle(store, engine(store), GROUP_ENGINE, "third", idle_ms=30_000, count=9)
    )

    assert count == 2
    assert [row[0] for row in claimed] == ids[:2]
    assert pending(live, store)[ids[2]][0] == b"sibling"


def test_a_consumer_that_holds_something_is_not_forgotten(live: Live, store: Store) -> None:
    id = deliver(live, engine(store))

    assert not live.run(leases.retire(store, engine(store), GROUP_ENGINE, ME))
    assert id in pending(live, store)

    live.run(store.acknowledge(entry_of(store, id)))
    assert live.run(leases.retire(store, engine(store), GROUP_ENGINE, ME))
    assert live.run(leases.consumers(store, engine(store), GROUP_ENGINE)) == []


def test_a_consumer_of_a_stream_that_is_gone_is_nothing_to_forget(live: Live, store: Store) -> None:
    live.do("DEL", engine(store))

    assert not live.run(leases.retire(store, engine(store), GROUP_ENGINE, ME))
    assert live.run(leases.consumers(store, engine(store), GROUP_ENGINE)) == []


def test_what_a_dead_consumer_held_is_claimed_by_one_sibling(live: Live, store: Store) -> None:
    ids = [deliver(live, engine(store), consumer="dead") for _ in range(5)]
    stores: Sequence[Store] = [store, live.store(apart=True)]

    async def race() -> list[list[Any]]:
        await asyncio.sleep(0.01)  # the claim wants entries that were idle for a millisecond
        calls = (
            leases.claim_from(s, engine(store), GROUP_ENGINE, f"s{i}", owner="dead", count=9)
            for i, s in enumerate(stores)
        )
        return list(await asyncio.gather(*calls))

    found = [row[0] for rows in live.run(race()) for row in rows]

    assert set(found) == set(ids)
    assert {owner for owner, _ in pending(live, store).values()} <= {b"s0", b"s1"}


def test_entries_that_were_deleted_while_pending_are_forgotten(live: Live, store: Store) -> None:
    ids = [deliver(live, engine(store)) for _ in range(3)]
    live.do("XDEL", engine(store), ids[1])

    claimed = live.run(
        leases.claim_idle(store, engine(store), GROUP_ENGINE, SIBLING, idle_ms=0, count=9)
    )

    assert [row[0] for row in claimed if row[1]] == [ids[0], ids[2]]


# -- dead letters


def bury(live: Live, store: Store, payload: bytes, job: str = "j") -> None:
    id = deliver(live, engine(store))
    op = bury_op(3, payload, reason="ü: why", stream=engine(store), job=job, deliveries=11)
    partition = store.keys.partitions[0]
    verdict = live.run(store.answer(entry_of(store, id), ME, [op], [partition.dead]))
    assert verdict is Verdict.APPLIED


@pytest.mark.parametrize("payload", [b"", b"\xff\x00{}", b"x" * 100_000])
def test_a_dead_letter_keeps_its_bytes_and_its_reason(
    live: Live, store: Store, payload: bytes
) -> None:
    bury(live, store, payload)

    [letter] = live.run(find(store))

    assert (letter.payload, letter.reason, letter.job) == (payload, "ü: why", "j")
    assert (letter.stream, letter.deliveries) == (engine(store), 11)
    assert live.do("XLEN", engine(store)) == 0


def test_a_dead_letter_is_given_another_life_once(live: Live, store: Store) -> None:
    bury(live, store, b"\xffp")
    [letter] = live.run(find(store))

    assert live.run(retry(store, letter.id))
    assert not live.run(retry(store, letter.id))

    assert [r[1] for r in live.do("XRANGE", engine(store), "-", "+")] == [[b"p", b"\xffp"]]
    assert live.run(find(store)) == []


def test_a_dead_letter_comes_back_with_all_that_its_entry_had(live: Live, store: Store) -> None:
    partition = store.keys.of("j")
    id = deliver(live, engine(store))
    op = bury_op(
        3, b"p", reason="x", stream=partition.outbox, job="j", deliveries=9, extra=b"\xff", to="@b"
    )
    live.run(store.answer(entry_of(store, id), ME, [op], [partition.dead]))
    (letter,) = live.run(find(store))

    assert live.run(retry(store, letter.id))

    (row,) = live.do("XRANGE", partition.outbox, "-", "+")
    assert row[1] == [b"p", b"p", b"d", b"\xff", b"to", b"@b"]


def test_a_dead_letter_is_dropped(live: Live, store: Store) -> None:
    bury(live, store, b"p")
    [letter] = live.run(find(store))

    assert live.run(drop(store, letter.id))
    assert live.run(find(store)) == []
    assert live.do("XLEN", engine(store)) == 0


@pytest.mark.parametrize("id", ["", "0", "0:", "7:1-0", "x:1-0", "0:1-0"])
def test_an_id_of_no_dead_letter_is_no_dead_letter(live: Live, store: Store, id: str) -> None:
    assert not live.run(retry(store, id))
    assert not live.run(drop(store, id))


def test_a_dead_letter_stays_when_its_stream_has_become_something_else(
    live: Live, store: Store
) -> None:
    bury(live, store, b"p")
    [letter] = live.run(find(store))
    live.do("DEL", engine(store))
    live.do("SET", engine(store), "in the way")
    dump = live.dump()

    with pytest.raises(HotMeshError):
        live.run(retry(store, letter.id))
    assert live.dump() == dump


def test_dead_letters_are_found_by_job_newest_first(live: Live, store: Store) -> None:
    for i in range(5):
        bury(live, store, b"%d" % i, job=f"j{i % 2}")

    found = live.run(find(store, job="j0"))

    assert sorted(d.payload for d in found) == [b"0", b"2", b"4"]
    assert len(live.run(find(store, limit=2))) == 2


def test_every_partition_switches_to_a_version(live: Live, store: Store) -> None:
    version = store.keys.partitions[0].version

    assert live.run(store.run("activate", [version], "1")) in (b"", "")
    assert live.run(store.run("activate", [version], "2")) == b"1"
    assert live.do("GET", version) == b"2"
