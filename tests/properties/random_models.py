"""Random valid models of all kinds of activities, wired at random: branches, joins, cycles, nested
graphs, branches that write the same data. What their runs give depends on the order of things;
`reference.py` says whether what happened was allowed.

A model is drawn as a list of `Piece`s; each becomes an activity (and sometimes one or two more)
that follows one, two or three of those before it. Numbers are taken modulo what there is to choose
from, so any list is a model, and a failure shrinks.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from zlib import crc32

from hypothesis import strategies as st
from reference import Answer

from hotmesh.compiler import Program, compile_model, decode_plan, encode_plan, link
from hotmesh.messages import Work
from hotmesh.payload import decode

KINDS = (
    "work",
    "pass",
    "fail",  # a worker that fails with one of three codes
    "retry",  # a worker that fails twice; the model allows one or two repetitions
    "pend",  # a worker that answers `pending` before it succeeds or fails
    "slow",  # a worker with a time limit
    "sleep",
    "wait",  # a hook that waits for a signal, for a limited time
    "either",  # a hook that waits for a signal or a time
    "send",  # a signal to a hook of any graph
    "send_pending",  # the same, which leaves the hook open
    "send_error",
    "loop",  # a cycle back to something before
    "each",
    "await",
    "await_again",  # of a graph that another one awaits too
    "await_each",
    "fire",  # an await that does not wait
    "stop",  # an interrupt of its own job
    "stop_other",
)
CALM = ("work", "pass", "fail", "retry", "sleep", "loop", "each", "await", "await_each")
"""Kinds whose models end alike on most orders, given that no data are shared (`calm`)."""

HOOKS = ("wait", "either")
CODES = (422, 503, 500)
DEPTH_MAX = 2
PIECES_MAX = 9
VERSION = "1"


@dataclass(frozen=True, slots=True)
class Piece:
    """An activity to be.

    Attributes:
        graph: In which of the graphs there are.
        after: What it follows.
        edges: How, for each of these: an index into the conditions that there are.
        join: How it joins, when it follows several.
        arg: Of its kind: how often, which one.
        reads: Which of the values before it it reads.
        emit: Whether listeners are told.
        shared: Whether it writes into data that others write too, and reads them.
    """

    kind: str
    graph: int = 0
    after: tuple[int, ...] = (0,)
    edges: tuple[int, ...] = (0,)
    join: int = 0
    arg: int = 0
    reads: int = 0
    emit: bool = False
    shared: bool = False


@dataclass(slots=True)
class _Graph:
    topic: str
    trigger: str
    depth: int
    activities: dict[str, Any] = field(default_factory=dict)
    transitions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    hooks: dict[str, Any] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)  # what can be followed
    before: dict[str, list[str]] = field(default_factory=dict)  # on some way
    certain: dict[str, list[str]] = field(default_factory=dict)  # on every way
    counters: int = 0


class RandomModel:
    """A model, the jobs to start, the signals to send, and what workers answer."""

    def __init__(
        self,
        pieces: Sequence[Piece],
        *,
        payloads: Sequence[int] = (7,),
        signals: Sequence[tuple[int, int]] = (),
        steps_max: int = 1_000,
        partitions: int = 1,
        calm: bool = False,
    ) -> None:
        self.pieces, self.payloads, self.calm = tuple(pieces), tuple(payloads), calm
        self.drawn_signals = tuple(signals)
        self.steps_max, self.partitions = steps_max, partitions
        self.scripts: dict[str, tuple[str, int]] = {}
        self.starts = [
            (
                f"job-{i}",
                "g0",
                {"n": n, "k": "k", "items": list(range(n % 4)), "peer": f"job-{1 - i}"},
            )
            for i, n in enumerate(payloads)
        ]
        builder = _Builder(self)
        self.model = builder.model()
        topics = [t for g in builder.graphs for t in g.hooks]
        self.signals = [
            (topics[t % len(topics)], {"id": f"job-{k}" if k < 2 else "k", "n": 100 + i})
            for i, (t, k) in enumerate(signals)
            if topics
        ]

    def __repr__(self) -> str:
        return (
            f"RandomModel({list(self.pieces)!r}, payloads={self.payloads}, "
            f"signals={self.drawn_signals}, steps_max={self.steps_max}, "
            f"partitions={self.partitions}, calm={self.calm})"
        )

    @cached_property
    def program(self) -> Program:
        return link(decode_plan(encode_plan(compile_model(self.model).plan)))

    def script(self, aid: str, given: Any, attempt: int) -> list[Answer]:
        """What a function answers: it follows from who is asked what."""
        kind, arg = self.scripts[aid]
        n = crc32(json.dumps([aid, given], sort_keys=True).encode()) % 10_000
        done = Answer("success", 200, {"n": n})
        failed = Answer("error", CODES[arg % 3], {"message": f"{aid} fails", "n": n})
        if kind == "fail" and (arg < 3 or n % 2):
            return [failed]
        if kind == "retry" and attempt < 2:
            return [Answer("error", 503, {"message": "not yet", "n": attempt})]
        if kind == "pend":
            some = [Answer("pending", 202, {"n": n + i}) for i in range(1 + arg % 3)]
            return [*some, failed if arg % 4 == 3 else done]
        if kind == "each_fail" and n % 3 == 0:
            return [failed]
        return [done]

    # what the simulator asks for

    def answer(self, work: Work) -> list[Answer]:
        return self.script(work.aid, decode(work.data), work.attempt)

    def answer_plan(self, aid: str) -> list[str]:
        kind, arg = self.scripts[aid]
        return ["pending"] * (1 + arg % 3) + ["last"] if kind == "pend" else ["last"]


class _Builder:
    """Pieces → a model."""

    def __init__(self, owner: RandomModel) -> None:
        self._owner, self.graphs = owner, [_Graph("g0", "t0", 0)]
        self._hooks: list[str] = []
        self._awaits: dict[str, str] = {}

    def model(self) -> dict[str, Any]:
        self._trigger(self.graphs[0])
        for i, piece in enumerate(self._owner.pieces):
            self._add(f"a{i}", piece, self.graphs[piece.graph % len(self.graphs)])
        graphs = [self._plain(g) for g in self.graphs]
        return {"app": {"id": "props", "version": VERSION, "graphs": graphs}}

    def _plain(self, graph: _Graph) -> dict[str, Any]:
        counts = {f"c{i}": 0 for i in range(graph.counters)}
        if counts:
            graph.activities[graph.trigger]["job"]["maps"].update(counts)
        plain: dict[str, Any] = {
            "subscribes": graph.topic,
            "publishes": f"{graph.topic}.done",
            "expire": 86_400 * 30,
            "activities": graph.activities,
        }
        if graph.transitions:
            plain["transitions"] = graph.transitions
        if graph.hooks:
            plain["hooks"] = graph.hooks
        return plain

    def _trigger(self, graph: _Graph) -> None:
        maps = {"n": "{$self.output.data.n}", "s0": "{$self.output.data.n}"}
        graph.activities[graph.trigger] = {"type": "trigger", "job": {"maps": maps}}
        graph.open.append(graph.trigger)
        graph.before[graph.trigger] = graph.certain[graph.trigger] = []

    # -- one piece

    def _add(self, aid: str, piece: Piece, graph: _Graph) -> None:
        if piece.kind == "loop":
            self._add_loop(aid, piece, graph)
            return
        parents = list(dict.fromkeys(graph.open[a % len(graph.open)] for a in piece.after))
        parents = parents[:3]
        join = ("all", "all", "any", 2)[piece.join % 4] if len(parents) > 1 else None
        before = list(dict.fromkeys(a for p in parents for a in (*graph.before[p], p)))
        certain = [[*graph.certain[p], p] for p in parents]
        graph.certain[aid] = [a for a in certain[0] if all(a in c for c in certain)]
        node = self._activity(aid, piece, graph, before)
        if join is not None:
            node["join"] = join
        graph.activities[aid] = node
        graph.before[aid] = before
        for number, parent in enumerate(parents):
            how = piece.edges[number % len(piece.edges)]
            self._edge(graph, parent, aid, self._condition(how, parent))
        if piece.kind != "stop":
            graph.open.append(aid)

    def _edge(self, graph: _Graph, origin: str, to: str, conditions: Any) -> None:
        edge = {"to": to} if conditions is None else {"to": to, "conditions": conditions}
        graph.transitions.setdefault(origin, []).append(edge)

    def _condition(self, how: int, parent: str) -> Any:
        own = f"{{{parent}.output.data.n}}"
        large = {"@pipe": [[own, 4_000], ["{@conditional.greater_than}"]]}
        shared = {"@pipe": [["{$job.data.s0}", 4_000], ["{@conditional.greater_than}"]]}
        conditions = [
            None,
            {"code": "2**"},
            {"match": [{"expected": True, "actual": large}]},
            {"code": "2**", "match": [{"expected": False, "actual": large}]},
            {"code": ["4**", 503]},
            {"code": [500, 503, 422, 504, 200]},
            {"code": 202},
            {"code": 200},
            {
                "gate": "or",
                "match": [
                    {"expected": True, "actual": large},
                    {"expected": 7, "actual": own},
                ],
            },
            {"code": ["2**", "5**"], "match": [{"expected": True, "actual": shared}]},
        ]
        return conditions[how % (len(conditions) - self._owner.calm)]

    def _activity(self, aid: str, piece: Piece, graph: _Graph, before: list[str]) -> Any:
        kind = piece.kind
        if kind.startswith(("await", "fire")) and graph.depth == DEPTH_MAX:
            kind = "work"
        value, source = self._value(piece, graph, before), "output"
        if kind in ("pass", "sleep", *HOOKS):
            node = self._hook(aid, kind, piece, graph, value)
            source = "hook" if kind in HOOKS else "output"
        elif kind.startswith("send"):
            if graph.depth or any(graph.activities[a].get("type") == "hook" for a in before):
                kind = kind.replace("send_pending", "send")  # hooks could wake each other for ever
            node = self._signal(kind, piece, graph, value) or self._worker(
                aid, "work", piece, value
            )
        elif kind.startswith(("await", "fire")):
            node = self._await(aid, kind, piece, graph, value)
        elif kind in ("stop", "stop_other"):
            node = {"type": "interrupt", "throw": piece.arg % 2 == 0, "descend": piece.arg % 3 == 0}
            node |= {"code": 418, "reason": f"{aid} stops"} if piece.arg % 4 else {}
            if kind == "stop_other":
                node["target"] = _out(graph.trigger, "peer")
        else:
            node = self._worker(aid, kind, piece, value)
            if kind == "each":
                node["each"] = _out(graph.trigger, "items")
                node["concurrency"] = 1 + piece.arg % 3
                node["input"]["maps"]["i"] = "{$self.input.data.item}"
                node["input"]["maps"]["x"] = "{$self.input.data.index}"
        node["job"] = {"maps": self._job(aid, source, piece)}
        if piece.emit:
            node["emit"] = True
        return node

    def _value(self, piece: Piece, graph: _Graph, before: list[str]) -> dict[str, Any]:
        """What an activity reads: of its own parent, of another before it, of the job."""
        other = before[piece.reads % len(before)]
        last = before[-1]
        maps = {
            "n": f"{{{last}.output.data.n}}",
            "o": f"{{{other}.output.data.n}}",
            "d": f"{{{other}.output.metadata.dad}}",
        }
        for name, aid in (("h", last), ("g", other)):
            if graph.activities[aid]["type"] == "hook" and any(
                r[0]["to"] == aid for r in graph.hooks.values()
            ):
                maps[name] = f"{{{aid}.hook.data.n}}"
        if piece.shared and not self._owner.calm:
            maps["j"] = f"{{$job.data.s{piece.arg % 2}}}"
        return maps

    def _job(self, aid: str, source: str, piece: Piece) -> dict[str, Any]:
        value = f"{{$self.{source}.data.n}}"
        maps: dict[str, Any] = {aid: value, "all": {aid: value}}
        if piece.kind.startswith(("each", "await")):
            maps[aid] = "{$self.output.data}"
        if piece.shared and not self._owner.calm:
            maps[f"s{piece.reads % 2}"] = value
            maps["all"]["last"] = aid
        return maps

    # -- the types

    def _worker(self, aid: str, kind: str, piece: Piece, value: dict[str, Any]) -> dict[str, Any]:
        if kind == "each" and piece.arg % 4 == 3:
            kind = "each_fail"
        self._owner.scripts[aid] = (kind, piece.arg)
        node: dict[str, Any] = {"type": "worker", "topic": "w", "input": {"maps": dict(value)}}
        if kind == "retry":
            node["retry"] = {"503": [1 + piece.arg % 3]}
        if kind == "slow":
            node["timeout"] = "2s"
        return node

    def _hook(
        self, aid: str, kind: str, piece: Piece, graph: _Graph, value: dict[str, Any]
    ) -> dict[str, Any]:
        node: dict[str, Any] = {"type": "hook", "output": {"maps": dict(value)}}
        if kind == "sleep":
            node["sleep"] = f"{10 + piece.arg}ms"
        if kind in HOOKS:
            by_job = piece.arg % 2 == 0
            expected = "{$job.metadata.jid}" if by_job else _out(graph.trigger, "k")
            match = [{"expected": expected, "actual": "{$self.hook.data.id}"}]
            graph.hooks[f"s.{aid}"] = [{"to": aid, "conditions": {"match": match}}]
            self._hooks.append(f"s.{aid}")
            node["timeout" if kind == "wait" else "sleep"] = f"{5 + piece.arg}s"
        return node

    def _signal(
        self, kind: str, piece: Piece, graph: _Graph, value: dict[str, Any]
    ) -> dict[str, Any] | None:
        if not self._hooks:
            return None
        key = "{$job.metadata.jid}" if piece.arg % 2 == 0 else _out(graph.trigger, "k")
        node: dict[str, Any] = {
            "type": "signal",
            "subtype": "one",
            "topic": self._hooks[piece.reads % len(self._hooks)],
            "signal": {"maps": {"id": key, "n": value["n"]}},
        }
        if kind == "send_pending":
            node |= {"status": "pending", "code": 202}
        elif kind == "send_error":
            node |= {"status": "error", "code": CODES[piece.arg % 3]}
        return node

    def _await(
        self, aid: str, kind: str, piece: Piece, graph: _Graph, value: dict[str, Any]
    ) -> dict[str, Any]:
        known = [g for g in self.graphs if g.depth == graph.depth + 1]
        if kind == "await_again" and known:
            child = known[piece.reads % len(known)]
        else:
            number = len(self.graphs)
            child = _Graph(f"g{number}", f"t{number}", graph.depth + 1)
            self._trigger(child)
            self.graphs.append(child)
        payload = {name: _out(graph.trigger, name) for name in ("k", "items")}
        payload["peer"] = _out(graph.trigger, "peer")
        maps = {**payload, **value}
        node: dict[str, Any] = {"type": "await", "topic": child.topic, "input": {"maps": maps}}
        if kind == "await_each":
            node["each"] = _out(graph.trigger, "items")
            node["concurrency"] = 1 + piece.arg % 3
            node["input"]["maps"]["x"] = "{$self.input.data.index}"
        elif kind == "fire":
            node["await"] = False
        elif piece.arg % 4 == 3 and not self._owner.calm:
            node["timeout"] = "3s"
        return node

    def _add_loop(self, aid: str, piece: Piece, graph: _Graph) -> None:
        """A cycle below something, back to something before it, so many times in all."""
        for origin in [graph.open[(a + piece.arg) % len(graph.open)] for a in piece.after]:
            above = [
                a
                for a in (*graph.certain[origin], origin)
                if graph.activities[a]["type"] in ("hook", "worker", "await")
            ]
            if above and origin != graph.trigger and self._counts(graph, origin):
                break
        else:
            return
        number = graph.counters
        graph.counters += 1
        ancestor = above[piece.reads % len(above)]
        count = f"{{$job.data.c{number}}}"
        graph.activities[aid] = {
            "type": "cycle",
            "ancestor": ancestor,
            "input": {"maps": {"n": f"{{{origin}.output.data.n}}"}},
        }
        rows = [[count, 1 + piece.arg % 3], ["{@conditional.less_than}"]]
        match = [{"expected": True, "actual": {"@pipe": rows}}]
        conditions: dict[str, Any] = {"code": ["2**"], "match": match}
        self._edge(graph, origin, aid, conditions)
        plus = {"@pipe": [[count, 1], ["{@math.add}"]]}
        graph.activities[origin]["job"]["maps"][f"c{number}"] = plus

    def _counts(self, graph: _Graph, origin: str) -> bool:
        """Whether this activity's maps apply whenever its transition to a cycle is followed."""
        return "job" in graph.activities[origin] and not any(
            graph.activities[e["to"]]["type"] == "cycle" for e in graph.transitions.get(origin, ())
        )


def _out(aid: str, name: str) -> str:
    return f"{{{aid}.output.data.{name}}}"


def pieces(kinds: Sequence[str] = KINDS) -> st.SearchStrategy[list[Piece]]:
    small = st.integers(0, 9)
    few = st.lists(small, min_size=1, max_size=3).map(tuple)
    piece = st.builds(
        Piece,
        st.sampled_from(kinds),
        graph=st.integers(0, 3),
        after=few,
        edges=few,
        join=st.integers(0, 3),
        arg=small,
        reads=small,
        emit=st.booleans(),
        shared=st.booleans(),
    )
    return st.lists(piece, min_size=1, max_size=PIECES_MAX)


def random_models(
    kinds: Sequence[str] = KINDS, *, calm: bool = False
) -> st.SearchStrategy[RandomModel]:
    """Random small models with one or two jobs, and signals from outside."""
    return st.builds(
        RandomModel,
        pieces(kinds),
        payloads=st.lists(st.integers(0, 99), min_size=1, max_size=2),
        signals=st.just(())
        if calm
        else st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=4),
        steps_max=st.sampled_from([1_000, 1, 2, 3]),
        partitions=st.sampled_from([1, 1, 2]),
        calm=st.just(calm),
    )


def seeded_model(seed: int, kinds: Sequence[str] = KINDS, *, calm: bool = False) -> RandomModel:
    """The model of a seed: cheaper to draw than a strategy, but does not shrink."""
    rnd = random.Random(seed)

    def few() -> tuple[int, ...]:
        return tuple(rnd.randrange(10) for _ in range(rnd.choice([1, 1, 2, 3])))

    drawn = [
        Piece(
            rnd.choice(kinds),
            rnd.choice([0, 0, 0, 1, 2, 3]),
            few(),
            few() if rnd.random() < 0.6 else (0,),
            rnd.randrange(4),
            rnd.randrange(10),
            rnd.randrange(10),
            rnd.random() < 0.2,
            rnd.random() < 0.4,
        )
        for _ in range(rnd.randint(1, PIECES_MAX + 3))
    ]
    return RandomModel(
        drawn,
        payloads=[rnd.randrange(100) for _ in range(rnd.randint(1, 2))],
        signals=()
        if calm
        else [(rnd.randrange(6), rnd.randrange(3)) for _ in range(rnd.randrange(5))],
        steps_max=rnd.choice([1_000, 1, 2, 3]),
        partitions=rnd.choice([1, 1, 2]),
        calm=calm,
    )
