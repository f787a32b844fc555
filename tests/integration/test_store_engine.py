"""The engine over a real store: one entry's fault is that entry's alone, whatever the batch."""

from __future__ import annotations

from typing import Any

import pytest
from store_servers import Live, live, store, store_server

from hotmesh.compiler import compile_model, link
from hotmesh.core import Limits
from hotmesh.engine.handle import Arrival, Engine, Settled
from hotmesh.messages import (
    ChildStart,
    Interrupt,
    Reply,
    SendAll,
    Signal,
    Wake,
    decode_work,
    encode_entry,
)
from hotmesh.payload import encode
from hotmesh.store import GROUP_ENGINE, Plans, Store
from hotmesh.telemetry import Observer
from hotmesh.telemetry.metrics import instruments

__all__ = ["live", "store", "store_server"]

MODEL = """
app:
  id: store-test
  version: '1'
  graphs:
    - subscribes: run
      activities:
        t: {type: trigger, stats: {id: '{$self.input.data.id}', key: '{$self.input.data.k}'}}
        w: {type: worker, topic: w, job: {maps: {n: '{$self.output.data.n}'}}}
        h: {type: hook, job: {maps: {woken: true}}}
      transitions:
        t:
          - {to: w}
          - {to: h, conditions: {match: [{expected: true, actual: '{t.output.data.wait}'}]}}
      hooks:
        s.go:
          - to: h
            conditions: {match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]}
"""
EMPTY = encode({}, what="x")


class Case:
    """An engine, and what it needs to be given entries."""

    def __init__(self, live: Live, store: Store) -> None:
        self.live, self.store = live, store
        plans = Plans(store)
        plans._programs["1"] = link(compile_model(MODEL).plan)
        plans.active_version = "1"
        live.do("SET", store.keys.partitions[0].version, "1")
        self.engine = Engine(
            store,
            plans,
            Observer("app", instruments(), store.clock.now_ms),
            Limits(),
            backlog_max=0,
        )
        self.stream = store.keys.partitions[0].engine

    def start(self, jid: str, **data: Any) -> None:
        self.live.run(self.engine.start("run", {"id": jid, **data}))

    def answer(self, jid: str, **fields: Any) -> Reply:
        """The answer to the one call of a job."""
        rows = self.live.do("XRANGE", self.store.keys.of(jid).worker("w"), "-", "+")
        [work] = [w for r in rows if (w := decode_work(r[1][1])).jid == jid]
        data = encode({"n": 7}, what="x")
        reply = Reply(jid, work.aid, work.dad, work.version, "success", 200, data, "r")
        return type(reply)(*[fields.get(f, getattr(reply, f)) for f in reply.__struct_fields__])

    def deliver(self, *events: Any) -> list[Arrival]:
        for event in events:
            self.live.do("XADD", self.stream, "*", "p", encode_entry(event))
        reply = self.live.do(
            "XREADGROUP", "GROUP", GROUP_ENGINE, "me", "COUNT", 99, "STREAMS", self.stream, ">"
        )
        ids = [row[0] for row in reply[0][1]]
        return [Arrival(self.stream, GROUP_ENGINE, i, e) for i, e in zip(ids, events, strict=True)]

    def handle(self, *events: Any) -> Settled:
        return self.live.run(self.engine.handle(self.deliver(*events)))

    def status(self, jid: str) -> int:
        return int(self.live.do("HGET", self.store.keys.of(jid).job(jid), ":"))

    def pending(self) -> int:
        count: int = self.live.do("XPENDING", self.stream, GROUP_ENGINE)[0]
        return count


@pytest.fixture
def case(live: Live, store: Store) -> Case:
    return Case(live, store)


def test_a_batch_of_many_jobs_is_settled_as_one(case: Case) -> None:
    for i in range(20):
        case.start(f"j{i}")

    settled = case.handle(*[case.answer(f"j{i}") for i in range(20)])

    assert (len(settled.done), settled.failed, case.pending()) == (20, {}, 0)
    assert {case.status(f"j{i}") for i in range(20)} == {0}


def test_late_entries_of_jobs_that_are_gone_are_settled(case: Case) -> None:
    case.start("j")
    gone = case.answer("j")
    case.live.do("DEL", case.store.keys.of("j").job("j"))

    case.handle(gone, gone, Wake("j", "w", ",0,0", "1", "timeout"), Interrupt("j", "1"))

    assert case.pending() == 0
    assert case.live.do("EXISTS", case.store.keys.of("j").job("j")) == 0


def test_a_childs_start_behind_a_late_entry_of_its_id_is_not_lost(case: Case) -> None:
    late = Wake("j", "w", ",0,0", "1", "timeout")
    start = ChildStart("j", "run", "1", encode({"id": "j"}, what="x"), "p", "a", ",0,0")

    case.handle(late, start)

    assert (case.pending(), case.status("j")) == (0, 1)


def test_an_answer_of_an_unknown_version_leaves_the_others_alone(case: Case) -> None:
    case.start("a")
    case.start("b")

    settled = case.handle(case.answer("a", version="9"), case.answer("b"))

    assert len(settled.failed) == 1
    assert (case.status("a"), case.status("b")) == (1, 0)


@pytest.mark.parametrize("dad", ["", "0"])
def test_an_answer_with_a_malformed_dimension_leaves_the_others_alone(case: Case, dad: str) -> None:
    case.start("a")
    case.start("b")

    case.handle(case.answer("a", dad=dad), case.answer("b"))

    assert (case.status("a"), case.status("b")) == (1, 0)


def test_an_answer_for_an_activity_that_no_version_has_leaves_the_others_alone(
    case: Case,
) -> None:
    case.start("a")
    case.start("b")

    case.handle(case.answer("a", aid="nobody"), case.answer("b"))

    assert (case.status("a"), case.status("b")) == (1, 0)


def test_an_errand_that_fails_leaves_the_others_alone(case: Case) -> None:
    case.start("a")
    order = SendAll("x", "1", "s.go", Signal("success", 200, EMPTY, "r"), EMPTY, ())

    case.handle(order, case.answer("a"))

    assert case.status("a") == 0
