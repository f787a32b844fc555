"""Plan → Program: rules become closures, once per process and activity, when the activity is first
met.

A model of 10,000 activities links in the time that its first job needs, not in the time that all
of them would.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal, TypeAlias

from hotmesh.compiler.plan import ActivityPlan, EdgePlan, GraphPlan, Plan, RulePlan
from hotmesh.compiler.schema import Validator, validator
from hotmesh.durations import parse as parse_duration
from hotmesh.mapping import (
    Env,
    compile_condition,
    compile_maps,
    compile_value,
    references,
)

Context: TypeAlias = dict[str, Any]
Rule: TypeAlias = Callable[[Context, Env], Any]

# Functions that change their first argument: what they are given must not be the job's own state.
_IN_PLACE = ("{@array.", "{@object.", "{@date.set", "{@date.")


class Edge:
    """A linked transition. `when` is None when it is always followed."""

    __slots__ = ("to", "when")

    def __init__(self, plan: EdgePlan, path: str) -> None:
        self.to = plan.to
        self.when: Callable[[Context, int, Env], bool] | None = None
        if plan.conditions is not None:
            self.when = compile_condition(plan.conditions, path=path)


class HookRule:
    """A linked hook rule: how a signal's payload tells its key."""

    __slots__ = ("actual", "pending_ms", "plan")

    def __init__(self, plan: RulePlan) -> None:
        self.plan, self.pending_ms = plan, plan.pending_ms
        self.actual = compile_value(plan.actual, path=f"hooks.{plan.to}.actual")


class Node:
    """A linked activity: its plan, its place in the graph, and its rules as closures (each
    compiled when first used).
    """

    def __init__(self, program: Program, graph: GraphPlan, plan: ActivityPlan) -> None:
        self.program, self.graph, self.plan = program, graph, plan
        self.id, self.type = plan.id, plan.type
        self.path = f"activities.{plan.id}"
        chain = [plan.id]
        while parent := graph.activities[chain[-1]].parent:
            chain.append(parent)
        self.chain: tuple[str, ...] = tuple(reversed(chain))  # from the trigger to here
        self.depth = len(chain) - 1
        self.zero = ",0" * len(chain)
        self._options: dict[str, Rule] = {}

    def address(self, dad: str, other: Node) -> str:
        """Where `other` keeps its data, seen from this activity at dimension `dad`.

        An ancestor lies at the first indices of `dad`; anything else at generation 0 below the
        last ancestor both share.
        """
        if dad == self.zero:
            return other.zero
        shared = 0
        for mine, theirs in zip(self.chain, other.chain, strict=False):
            if mine != theirs:
                break
            shared += 1
        indices = dad.split(",")[1 : shared + 1]
        return "".join(f",{i}" for i in indices) + ",0" * (other.depth + 1 - shared)

    @cached_property
    def joins(self) -> tuple[Node, ...]:
        """The joins on the way from the trigger to here, the last one first."""
        activities = self.graph.activities
        return tuple(self.program.node(a) for a in reversed(self.chain) if activities[a].join)

    @cached_property
    def fork(self) -> Node:
        """Of a join: the last activity that all its parents have before them."""
        return self.program.node(self.plan.parent)

    @cached_property
    def above(self) -> frozenset[str]:
        """Every activity on some way from the trigger to here."""
        found: set[str] = set()
        todo = [self.id]
        while todo:
            plan = self.graph.activities[todo.pop()]
            parents = plan.parents or ((plan.parent,) if plan.parent else ())
            todo += [p for p in parents if p not in found]
            found.update(parents)
        return frozenset(found)

    # -- rules

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        return tuple(Edge(e, f"transitions.{self.id}") for e in self.plan.edges)

    @cached_property
    def topic(self) -> str | Rule:
        topic = self.plan.topic
        return (
            topic
            if isinstance(topic, str) and not topic.startswith("{")
            else self._value(topic, "topic")
        )

    @cached_property
    def input(self) -> Rule | None:
        return self._maps(self.plan.input, "input.maps")

    @cached_property
    def output(self) -> Rule | None:
        return self._maps(self.plan.output, "output.maps")

    @cached_property
    def job(self) -> Rule | None:
        return self._maps(self.plan.job, "job.maps")

    @cached_property
    def emit(self) -> Rule | None:
        return None if self.plan.emit is None else self._value(self.plan.emit, "emit")

    @cached_property
    def persist(self) -> Rule | None:
        return None if self.plan.persist is None else self._value(self.plan.persist, "persist")

    @cached_property
    def threshold(self) -> Rule | None:
        rule = self.plan.threshold
        return None if rule is None else self._value(rule, "statusThreshold")

    @cached_property
    def telemetry(self) -> Rule | None:
        return self._maps(self.plan.telemetry, "telemetry")

    @cached_property
    def sleep(self) -> Rule | None:
        return None if self.plan.sleep is None else self._value(self.plan.sleep, "sleep")

    @cached_property
    def timeout_ms(self) -> int:
        return 0 if self.plan.timeout is None else parse_duration(self.plan.timeout)

    @cached_property
    def each(self) -> Rule | None:
        return None if self.plan.each is None else self._value(self.plan.each, "each")

    @cached_property
    def job_id(self) -> Rule | None:
        stats = self.plan.stats
        return None if stats is None or stats.id is None else self._value(stats.id, "stats.id")

    @cached_property
    def job_key(self) -> Rule | None:
        stats = self.plan.stats
        return None if stats is None or stats.key is None else self._value(stats.key, "stats.key")

    @cached_property
    def job_parent(self) -> Rule | None:
        stats = self.plan.stats
        parent = None if stats is None else stats.parent
        return None if parent is None else self._value(parent, "stats.parent")

    @cached_property
    def measures(self) -> tuple[tuple[str, str, Rule], ...]:
        """What the trigger counts: measure, path of its target, target."""
        stats = self.plan.stats
        return tuple(
            (measure, _measure_path(target), self._value(target, "stats.measures"))
            for measure, target in (stats.measures if stats is not None else ())
        )

    @cached_property
    def listens(self) -> Rule | None:
        """The key of the signal that a hook waits for; None when it waits for none."""
        hook = self.plan.hook
        return None if hook is None else self._value(hook.expected, "hook.expected")

    @cached_property
    def check_input(self) -> Validator | None:
        return validator(self.plan.input_schema, f"{self.path}.input.schema")

    @cached_property
    def check_output(self) -> Validator | None:
        return validator(self.plan.output_schema, f"{self.path}.output.schema")

    def option(self, name: str, context: Context, env: Env) -> Any:
        """A rule of one type alone (`options` of the plan), evaluated."""
        rule = self._options.get(name)
        if rule is None:
            rule = self._options[name] = self._value(self.plan.options.get(name), name)
        return rule(context, env)

    def option_maps(self, name: str, context: Context, env: Env) -> Any:
        """The `maps` of an option that has some (`signal`, `resolver`); None when it has none."""
        value = self.plan.options.get(name)
        maps = value.get("maps") if isinstance(value, dict) else None
        if maps is None:
            return None
        rule = self._options.get(name)
        if rule is None:
            rule = self._options[name] = compile_maps(maps, path=f"{self.path}.{name}.maps")
        return rule(context, env)

    # -- what the rules read

    @cached_property
    def reads(self) -> tuple[tuple[str, ...], ...]:
        """Every reference of this activity's rules and of its transitions' conditions."""
        plan = self.plan
        hook = plan.hook.expected if plan.hook else None
        rules: list[Any] = [
            plan.each,
            plan.topic,
            plan.input,
            plan.output,
            plan.job,
            plan.sleep,
            plan.emit,
            plan.persist,
            plan.threshold,
            hook,
        ]
        rules += [plan.telemetry, plan.options, *(e.conditions for e in plan.edges)]
        found: dict[tuple[str, ...], None] = {}
        for rule in rules:
            if rule is not None:
                found.update(dict.fromkeys(references(rule)))
        return tuple(found)

    @cached_property
    def others(self) -> tuple[Node, ...]:
        """The other activities of this graph that the rules read."""
        names = dict.fromkeys(
            r[0] for r in self.reads if r[0] != self.id and r[0] in self.graph.activities
        )
        return tuple(self.program.node(n) for n in names)

    @cached_property
    def reads_job(self) -> bool:
        """Whether any rule reads `$job`."""
        return any(r[0] == "$job" for r in self.reads)

    @cached_property
    def reads_metadata(self) -> bool:
        """Whether any rule reads metadata, which is otherwise not built."""
        return any("metadata" in r[:3] for r in self.reads) or any(
            r in (("$job",), ()) for r in self.reads
        )

    @cached_property
    def mutates(self) -> bool:
        """Whether a rule may change what it is given, so that it must be given copies."""
        rules = (
            self.plan.input,
            self.plan.output,
            self.plan.job,
            self.plan.emit,
            self.plan.persist,
            self.plan.threshold,
            self.plan.telemetry,
            self.plan.options,
        )
        text = repr((rules, [e.conditions for e in self.plan.edges]))
        return any(name in text for name in _IN_PLACE)

    @cached_property
    def nested_job_keys(self) -> dict[str, Any]:
        """The keys of `job.maps` that hold maps themselves: these are merged, every other value
        replaces.
        """
        return _nested(self.plan.job)

    def keeps(self, data: Any) -> Any:
        """The part of `output.data` that some rule reads later; None when nothing is."""
        return _kept(data, self.plan.keep)

    def keeps_hook(self, data: Any) -> Any:
        """The same of `hook.data`."""
        return _kept(data, self.plan.keep_hook)

    def _value(self, rule: Any, name: str) -> Rule:
        return compile_value(rule, path=f"{self.path}.{name}")

    def _maps(self, maps: Any, name: str) -> Rule | None:
        return None if maps is None else compile_maps(maps, path=f"{self.path}.{name}")


class Program:
    """A linked version of an app."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.app_id, self.version = plan, plan.app_id, plan.version
        self.settings = plan.settings
        self._graph_of = {aid: g for g in plan.graphs.values() for aid in g.activities}
        self._nodes: dict[str, Node] = {}
        self._loads: dict[str, tuple[tuple[str, Node], ...] | None] = {}
        self._graph_rules: dict[tuple[str, str], Rule] = {}
        self._rules: dict[str, HookRule] = {}

    def node(self, aid: str) -> Node:
        """The activity.

        Raises:
            KeyError: This version has none of that id.
        """
        node = self._nodes.get(aid)
        if node is None:
            graph = self._graph_of[aid]
            node = self._nodes[aid] = Node(self, graph, graph.activities[aid])
        return node

    def graph(self, topic: str) -> GraphPlan | None:
        """The graph that subscribes to a topic."""
        return self.plan.graphs.get(topic)

    def near(self, topic: str) -> list[str]:
        """Topics of this version that look like `topic`."""
        return difflib.get_close_matches(topic, self.plan.graphs, n=2)

    def graph_rule(self, graph: GraphPlan, name: Literal["expire", "persistent"]) -> Rule:
        """A property of a graph that may be a rule."""
        key = (graph.subscribes, name)
        rule = self._graph_rules.get(key)
        if rule is None:
            path = f"graphs.{graph.subscribes}.{name}"
            rule = self._graph_rules[key] = compile_value(getattr(graph, name), path=path)
        return rule

    def graph_reads(self, graph: GraphPlan) -> tuple[Node, ...]:
        """The activities that the rules of a graph itself read, its trigger apart."""
        names = dict.fromkeys(r[0] for r in _graph_references(graph))
        return tuple(self.node(n) for n in names if n in graph.activities and n != graph.trigger)

    def rule(self, topic: str) -> HookRule | None:
        """The hook rule of a signal's topic."""
        rule = self._rules.get(topic)
        plan = self.plan.hooks.get(topic)
        if rule is None and plan is not None:
            rule = self._rules[topic] = HookRule(plan)
        return rule

    def loads(self, aid: str) -> tuple[tuple[str, Node], ...] | None:
        """What an event of this activity needs from the store besides its own leg: ("", leg) ("o",
        output) ("h", hook).

        It is everything that the rules read on the way from here to where the run must wait again.

        None: everything. Where branches join, what is read depends on who comes last.
        """
        if aid not in self._loads:
            node = self.node(aid)
            joins = any(a.join for a in node.graph.activities.values())
            self._loads[aid] = None if joins else self._closure(node)
        return self._loads[aid]

    def _closure(self, start: Node) -> tuple[tuple[str, Node], ...] | None:
        found: dict[tuple[str, Node], None] = {}
        trigger = self.node(start.graph.trigger)
        for ref in _graph_references(start.graph):
            self._add_read(found, trigger, start, ref)
        seen, todo = {start.id}, [start]
        while todo:
            node = todo.pop()
            if node.type == "interrupt":
                return None  # it may end this job, with what other branches wait for
            if node is not start and node.plan.threshold is not None:
                return None  # so may this one
            for ref in node.reads:
                self._add_read(found, node, start, ref)
            if node is not start and waits(node.plan):
                continue
            following = [e.to for e in node.plan.edges]
            if node.type == "cycle":
                found["", self.node(node.plan.ancestor)] = None
                following.append(node.plan.ancestor)
            for name in following:
                if name not in seen:
                    seen.add(name)
                    todo.append(self.node(name))
        return tuple(found)

    def _add_read(
        self, found: dict[tuple[str, Node], None], node: Node, start: Node, ref: tuple[str, ...]
    ) -> None:
        name = node.id if ref[0] == "$self" else ref[0]
        if name not in node.graph.activities or len(ref) < 2:
            return
        other = self.node(name)
        if other.type == "trigger" and ref[1] == "input":
            found["o", other] = None
        if other is not start or other.type == "hook":
            if ref[1] == "hook":
                found["h", other] = None
            elif ref[1] == "output" and ref[2:3] != ("metadata",):
                found["o", other] = None
        if "metadata" in ref[1:3]:
            found["", other] = None


def waits(plan: ActivityPlan) -> bool:
    """Whether an activity stops the run until something from outside arrives."""
    if plan.type in ("worker", "await"):
        return True
    return plan.type == "hook" and (plan.hook is not None or plan.sleep is not None)


def _graph_references(graph: GraphPlan) -> list[tuple[str, ...]]:
    rules = (graph.expire, graph.persistent)
    return [r for rule in rules if rule is not None for r in references(rule)]


def link(plan: Plan) -> Program:
    """The program of a plan. Its rules compile when they are first used."""
    return Program(plan)


def _nested(maps: Any) -> dict[str, Any]:
    if not isinstance(maps, dict) or "@pipe" in maps:
        return {}
    return {
        k: _nested(v) for k, v in maps.items() if isinstance(v, (dict, list)) and "@pipe" not in v
    }


def _measure_path(target: Any) -> str:
    """The field that a measure is named after: `{t.output.data.object.type}` is `object/type`."""
    text = target.strip("{}") if isinstance(target, str) else ""
    return "/".join(text.split(".")[3:]) or text


def _kept(data: Any, keep: tuple[str, ...] | None) -> Any:
    if keep is None:
        return data
    if keep and isinstance(data, list):
        return data  # of `each`: the segment is an index
    if not keep or not isinstance(data, dict):
        return None
    return {k: data[k] for k in keep if k in data} or None
