"""Small models whose result does not depend on the order in which things happen.

A model is drawn as a list of `Part`s, a tree: each part hangs below an earlier one (or below the
trigger). Every activity writes what it computed from its parent's value under its own name, so that
the job's data tell whether each ran, once, on the right input.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from zlib import crc32

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from hotmesh.compiler import Program, compile_model, decode_plan, encode_plan, link
from hotmesh.messages import Work
from hotmesh.payload import decode

Kind = Literal[
    "work",  # a worker
    "fail",  # a worker that fails with 422, which a transition takes
    "fail_open",  # a worker that fails, which nothing takes: the job has an error
    "retry",  # a worker that fails `arg` times before it succeeds
    "pend",  # a worker that answers `pending` `arg` times before it succeeds
    "pass",  # a hook that passes through
    "sleep",  # a hook that sleeps
    "await",  # a child job; parts may hang inside of it
    "wait",  # a hook that waits for a signal, and beside it who sends one
    "loop",  # a hook, a worker and a cycle that leads back `arg` times
    "each",  # a worker that is called for each item of a list, `arg` at a time
    "join",  # two workers, and a hook that waits for both, for any or for 2 of them
    "stubborn",  # a worker that fails once, then answers `pending`, then succeeds
]
KINDS: tuple[Kind, ...] = (
    "work",
    "pass",
    "fail",
    "retry",
    "pend",
    "sleep",
    "await",
    "wait",
    "loop",
    "each",
    "join",
    "fail_open",
)
ITEMS = (2, 3, 5, 7)
PARTS_MAX = 8
AWAITS_DEEP = 2
FAILED = 422
VERSION = "1"

EXAMPLES = int(os.environ.get("HOTMESH_SIM_EXAMPLES", "0"))
"""Examples of each property; 0 for the few that a pull request takes."""


def profile(examples: int) -> settings:
    """Settings of a property: reproducible where CI runs it, no deadline on a shared machine."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=bool(os.environ.get("CI")),
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        print_blob=True,
    )


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a model.

    Attributes:
        below: Which earlier piece it hangs below; 0 for the trigger.
        arg: How often a worker fails, answers `pending` or is asked again.
        inside: Below an `await`: in its child rather than after it.
    """

    kind: Kind
    below: int = 0
    arg: int = 1
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker says."""

    status: Literal["success", "pending", "error"]
    code: int
    data: Any


@dataclass(slots=True)
class _Graph:
    topic: str
    trigger: str
    depth: int
    activities: dict[str, Any] = field(default_factory=dict)
    transitions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    hooks: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a part hangs: its graph, the activity, the code of the transition, and the value."""

    graph: _Graph
    aid: str
    code: int | None
    value: str
    child: _Graph | None = None

    @property
    def items(self) -> str:
        """The list that each graph gets in its payload."""
        return f"{{{self.graph.trigger}.output.data.items}}"


class Scenario:
    """A model, the jobs to start, and what workers answer.

    Attributes:
        expected: The result of the undisturbed run, once it is known.
    """

    def __init__(
        self,
        parts: tuple[Part, ...],
        *,
        payloads: tuple[int, ...] = (7,),
        steps_max: int = 1_000,
        partitions: int = 1,
    ) -> None:
        self.parts, self.steps_max, self.partitions = parts, steps_max, partitions
        self.starts = [(f"job-{i}", "g0", {"n": n, "items": ITEMS}) for i, n in enumerate(payloads)]
        self.kinds: dict[str, tuple[Kind, int]] = {}
        self.expected: object | None = None
        self.signals: list[tuple[str, Any]] = []
        self.model = _Builder(self).model()

    def __repr__(self) -> str:
        payloads = tuple(data["n"] for _, _, data in self.starts)
        return (
            f"Scenario({self.parts!r}, payloads={payloads}, steps_max={self.steps_max}, "
            f"partitions={self.partitions})"
        )

    @cached_property
    def program(self) -> Program:
        # Through the stored form, as every engine gets it.
        return link(decode_plan(encode_plan(compile_model(self.model).plan)))

    def answer_plan(self, aid: str) -> list[str]:
        """The statuses that a call is answered with, one after another."""
        kind, arg = self.kinds[aid]
        return ["pending"] * arg + ["success"] if kind in ("pend", "stubborn") else ["success"]

    def answer(self, work: Work) -> list[Answer]:
        """What a call is answered with: a function of its input alone."""
        kind, arg = self.kinds[work.aid]
        n = decode(work.data).get("n")
        value = _mix(n, work.aid)
        if kind in ("fail", "fail_open"):
            return [Answer("error", FAILED, {"message": f"{work.aid} fails", "n": value})]
        if kind == "retry" and work.attempt < arg:
            return [Answer("error", 500, {"message": "not yet"})]
        if kind == "stubborn" and not work.attempt:
            return [Answer("error", 500, {"message": "not yet"})]
        if kind in ("pend", "stubborn"):
            some = [Answer("pending", 202, {"n": value + i}) for i in range(arg)]
            return [*some, Answer("success", 200, {"n": value + arg})]
        if kind == "loop":
            turns = int(decode(work.data).get("i") or 0) + 1
            return [Answer("success", 200, {"n": value, "i": turns})]
        return [Answer("success", 200, {"n": value})]


class _Builder:
    """Parts → a model."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._graphs: list[_Graph] = []
        self._open_failures = 0

    def model(self) -> dict[str, Any]:
        root = self._graph(0)
        places = [_Place(root, root.trigger, None, f"{{{root.trigger}.output.data.n}}")]
        for i, part in enumerate(self._scenario.parts):
            place = places[part.below % len(places)]
            if part.inside and place.child is not None:
                trigger = place.child.trigger
                place = _Place(place.child, trigger, None, f"{{{trigger}.output.data.n}}")
            places.append(self._add(f"a{i}", part, place))
        graphs = [self._plain(g) for g in self._graphs]
        return {"app": {"id": "sim", "version": VERSION, "graphs": graphs}}

    def _graph(self, depth: int) -> _Graph:
        number = len(self._graphs)
        graph = _Graph(f"g{number}", f"t{number}", depth)
        trigger: dict[str, Any] = {"type": "trigger"}
        trigger["job"] = {"maps": {"n": "{$self.output.data.n}"}}
        graph.activities[graph.trigger] = trigger
        self._graphs.append(graph)
        return graph

    def _plain(self, graph: _Graph) -> dict[str, Any]:
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

    def _add(self, aid: str, part: Part, place: _Place) -> _Place:
        kind = part.kind
        if kind == "await" and place.graph.depth == AWAITS_DEEP:
            kind = "work"
        if kind == "fail_open":
            # One error at most that nothing takes: which of two stays is a matter of order.
            if place.graph.depth or self._open_failures:
                kind = "fail"
            else:
                self._open_failures += 1
        self._scenario.kinds[aid] = (kind, part.arg)
        add = getattr(self, f"_add_{kind}", self._add_work)
        added: _Place = add(aid, part, place)
        return added

    def _edge(self, place: _Place, to: str, **conditions: Any) -> None:
        edge: dict[str, Any] = {"to": to}
        if place.code is not None:
            conditions = {"code": place.code, **conditions}
        if conditions:
            edge["conditions"] = conditions
        place.graph.transitions.setdefault(place.aid, []).append(edge)

    def _worker(self, aid: str, place: _Place, **more: Any) -> dict[str, Any]:
        return {
            "type": "worker",
            "topic": "w",
            "input": {"maps": {"n": place.value}},
            "job": {"maps": _kept(aid, "{$self.output.data.n}")},
            **more,
        }

    def _add_work(self, aid: str, part: Part, place: _Place) -> _Place:
        place.graph.activities[aid] = self._worker(aid, place)
        self._edge(place, aid)
        return _Place(place.graph, aid, None, f"{{{aid}.output.data.n}}")

    def _add_fail(self, aid: str, part: Part, place: _Place) -> _Place:
        place.graph.activities[aid] = self._worker(aid, place)
        never, caught = f"{aid}never", f"{aid}caught"
        for name in (never, caught):
            place.graph.activities[name] = {"type": "hook", "job": {"maps": {name: True}}}
        self._edge(place, aid)
        place.graph.transitions[aid] = [
            {"to": never, "conditions": {"code": 200}},
            {"to": caught, "conditions": {"code": [FAILED, 500]}},
        ]
        return _Place(place.graph, caught, None, place.value)

    def _add_fail_open(self, aid: str, part: Part, place: _Place) -> _Place:
        place.graph.activities[aid] = self._worker(aid, place)
        self._edge(place, aid)
        return _Place(place.graph, aid, None, place.value)

    def _add_retry(self, aid: str, part: Part, place: _Place) -> _Place:
        retry = {"500": [min(3, part.arg)]}
        place.graph.activities[aid] = self._worker(aid, place, retry=retry)
        self._edge(place, aid)
        return _Place(place.graph, aid, None, f"{{{aid}.output.data.n}}")

    def _add_pend(self, aid: str, part: Part, place: _Place) -> _Place:
        place.graph.activities[aid] = self._worker(aid, place)
        tick = f"{aid}tick"
        # Not the value: with a bound on steps, the ticks of two answers may run in any order.
        place.graph.activities[tick] = {"type": "hook", "job": {"maps": {tick: True}}}
        self._edge(place, aid)
        place.graph.transitions[aid] = [{"to": tick, "conditions": {"code": 202}}]
        return _Place(place.graph, aid, 200, f"{{{aid}.output.data.n}}")

    def _add_stubborn(self, aid: str, part: Part, place: _Place) -> _Place:
        after = self._add_pend(aid, part, place)
        place.graph.activities[aid]["retry"] = {"500": [1]}
        return after

    def _add_pass(self, aid: str, part: Part, place: _Place) -> _Place:
        place.graph.activities[aid] = {
            "type": "hook",
            "output": {"maps": {"n": _plus_three(place.value)}},
            "job": {"maps": _kept(aid, "{$self.output.data.n}")},
        }
        self._edge(place, aid)
        return _Place(place.graph, aid, None, f"{{{aid}.output.data.n}}")

    def _add_sleep(self, aid: str, part: Part, place: _Place) -> _Place:
        after = self._add_pass(aid, part, place)
        place.graph.activities[aid]["sleep"] = part.arg * 10
        return after

    def _add_await(self, aid: str, part: Part, place: _Place) -> _Place:
        child = self._graph(place.graph.depth + 1)
        place.graph.activities[aid] = {
            "type": "await",
            "topic": child.topic,
            "input": {"maps": {"n": place.value, "items": place.items}},
            "job": {"maps": {aid: "{$self.output.data}"}},
        }
        self._edge(place, aid)
        return _Place(place.graph, aid, None, f"{{{aid}.output.data.n}}", child)

    def _add_each(self, aid: str, part: Part, place: _Place) -> _Place:
        place.graph.activities[aid] = {
            "type": "worker",
            "topic": "w",
            "each": place.items,
            "concurrency": part.arg,
            "input": {"maps": {"n": "{$self.input.data.item}", "of": place.value}},
            "job": {"maps": {aid: "{$self.output.data}"}},
        }
        self._edge(place, aid)
        return _Place(place.graph, aid, None, place.value)

    def _add_join(self, aid: str, part: Part, place: _Place) -> _Place:
        for name in (f"{aid}left", f"{aid}right"):
            place.graph.activities[name] = self._worker(name, place)
            self._scenario.kinds[name] = ("work", 1)
            self._edge(place, name)
            place.graph.transitions[name] = [{"to": aid}]
        how = ("all", "any", 2)[part.arg % 3]
        # What came first must not be told apart: an `any` carries on with what was before it.
        value = place.value if how == "any" else f"{{{aid}left.output.data.n}}"
        place.graph.activities[aid] = {
            "type": "hook",
            "join": how,
            "output": {"maps": {"n": _plus_three(value)}},
            "job": {"maps": _kept(aid, "{$self.output.data.n}")},
        }
        return _Place(place.graph, aid, None, f"{{{aid}.output.data.n}}")

    def _add_wait(self, aid: str, part: Part, place: _Place) -> _Place:
        sender, topic, graph = f"{aid}send", f"s.{aid}", place.graph
        graph.activities[aid] = {
            "type": "hook",
            "job": {"maps": _kept(aid, "{$self.hook.data.n}")},
        }
        graph.activities[sender] = {
            "type": "signal",
            "subtype": "one",
            "topic": topic,
            "signal": {"maps": {"id": "{$job.metadata.jid}", "n": place.value}},
        }
        match = [{"expected": "{$job.metadata.jid}", "actual": "{$self.hook.data.id}"}]
        graph.hooks[topic] = [{"to": aid, "conditions": {"match": match}}]
        for name in (aid, sender) if part.arg % 2 else (sender, aid):
            self._edge(place, name)
        return _Place(graph, aid, None, f"{{{aid}.hook.data.n}}")

    def _add_loop(self, aid: str, part: Part, place: _Place) -> _Place:
        pivot, again, graph = f"{aid}pivot", f"{aid}again", place.graph
        graph.activities[pivot] = {"type": "hook", "cycle": True}
        graph.activities[aid] = self._worker(aid, place)
        graph.activities[aid]["input"]["maps"]["i"] = f"{{{pivot}.output.data.i}}"
        maps = {"i": f"{{{aid}.output.data.i}}"}
        graph.activities[again] = {"type": "cycle", "ancestor": pivot, "input": {"maps": maps}}
        self._edge(place, pivot)
        graph.transitions[pivot] = [{"to": aid}]
        rows = [[f"{{{aid}.output.data.i}}", part.arg], ["{@conditional.less_than_or_equal}"]]
        match = [{"expected": True, "actual": {"@pipe": rows}}]
        graph.transitions[aid] = [{"to": again, "conditions": {"match": match}}]
        done = f"{aid}done"
        graph.activities[done] = {
            "type": "hook",
            "job": {"maps": {done: f"{{{pivot}.output.data.i}}"}},
        }
        match = [{"expected": False, "actual": {"@pipe": rows}}]
        graph.transitions[aid].append({"to": done, "conditions": {"match": match}})
        return _Place(graph, done, None, f"{{{aid}.output.data.n}}")


def _kept(aid: str, rule: Any) -> dict[str, Any]:
    """A value beside all others and, once more, in a map that all activities share."""
    return {aid: rule, "all": {aid: rule}}


def _plus_three(value: str) -> dict[str, Any]:
    return {"@pipe": [[value, 3], ["{@math.add}"]]}


def _mix(n: Any, aid: str) -> int:
    """A value that follows from the input and from who was asked."""
    return (int(n) * 31 + crc32(aid.encode())) % 10_007 if n is not None else -1


def scenarios(kinds: Sequence[Kind] = KINDS) -> st.SearchStrategy[Scenario]:
    """Random small models, with one or two jobs of each."""
    part = st.builds(
        Part,
        st.sampled_from(kinds),
        below=st.integers(0, PARTS_MAX),
        arg=st.integers(1, 3),
        inside=st.booleans(),
    )
    return st.builds(
        Scenario,
        st.lists(part, min_size=1, max_size=PARTS_MAX).map(tuple),
        payloads=st.lists(st.integers(0, 99), min_size=1, max_size=2).map(tuple),
        steps_max=st.sampled_from([1_000, 1, 2, 3]),
        partitions=st.sampled_from([1, 1, 2]),
    )


def seeded(seed: int, kinds: Sequence[Kind] = KINDS) -> Scenario:
    """The random small model of a seed: cheaper to draw than a strategy, but does not shrink."""
    rnd = random.Random(seed)
    parts = tuple(
        Part(rnd.choice(kinds), rnd.randrange(PARTS_MAX + 1), rnd.randint(1, 3), rnd.random() < 0.5)
        for _ in range(rnd.randint(1, PARTS_MAX))
    )
    return Scenario(
        parts,
        payloads=tuple(rnd.randrange(100) for _ in range(rnd.randint(1, 2))),
        steps_max=rnd.choice([1_000, 1, 2, 3]),
        partitions=rnd.choice([1, 1, 2]),
    )
