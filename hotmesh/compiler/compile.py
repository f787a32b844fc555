"""Model → Plan: what can be derived is derived here, once, so that nothing looks at the model
while a job runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import reduce
from graphlib import TopologicalSorter
from typing import Any

import msgspec
from msgspec import Struct

from hotmesh.compiler.plan import (
    ActivityPlan,
    EdgePlan,
    GraphPlan,
    HookPlan,
    Plan,
    RulePlan,
    StatsPlan,
    decode,
    encode,
)
from hotmesh.compiler.schema import validator
from hotmesh.durations import parse as parse_duration
from hotmesh.errors import Finding, MappingError, ModelInvalid
from hotmesh.ids import derive
from hotmesh.mapping import compile_maps, compile_value, next_match_ms, references
from hotmesh.model import App, Graph, Loaded, check, load, retry_rules, validates
from hotmesh.model.activities import Activity

CONCURRENCY = 100
"""Items of `each` at a time, unless the model says otherwise."""

_OPTIONS = {
    "await": ("await_", "app"),
    "signal": (
        "subtype",
        "signal",
        "status",
        "code",
        "resolver",
        "key_name",
        "key_value",
        "scrub",
    ),
    "interrupt": ("target", "reason", "throw", "descend", "code", "expire", "after"),
}
"""Fields of one type alone, kept by their name in the model."""


class Compiled(Struct, frozen=True):
    """A plan, and what is doubtful in its model."""

    plan: Plan
    warnings: tuple[Finding, ...]


def compile_model(
    source: str | os.PathLike[str] | Mapping[str, Any], *, app_id: str | None = None
) -> Compiled:
    """Load, check and compile a model.

    Args:
        source: A path, YAML text or a dict.
        app_id: The app that it must be for; None for any.

    Raises:
        ModelInvalid: With every fault that was found.
    """
    model = load(source)
    findings = [*check(model, PipeCheck()), *_cron_faults(model)]
    if app_id is not None and model.app.id != app_id:
        file, line, column = model.where("id")
        message = f"the model is of app {model.app.id!r}, and this is app {app_id!r}"
        findings.append(Finding(message, path="id", file=file, line=line, column=column))
    errors = [f for f in findings if f.severity == "error"]
    if errors:
        raise ModelInvalid(errors)
    # As it will be read back: a list for what was a tuple, so that a plan equals its stored self.
    plan = decode(encode(_plan(model.app, _digest(model.raw))))
    return Compiled(plan, tuple(findings))


class PipeCheck:
    """What the model's checks ask the mapping language."""

    def references(self, rule: Any) -> Iterable[tuple[str, ...]]:
        return references(rule)

    def problems(self, rule: Any) -> Iterable[str]:
        try:
            if isinstance(rule, dict) and "@pipe" not in rule:
                compile_maps(rule)
            else:
                compile_value(rule)
        except MappingError as exc:
            return [str(exc)]
        return []


def _cron_faults(model: Loaded) -> Iterable[Finding]:
    for index, graph in enumerate(model.app.graphs):
        if graph.cron is None:
            continue
        try:
            next_match_ms(graph.cron, 0)
        except MappingError as exc:
            path = f"graphs[{index}].cron"
            file, line, column = model.where(path)
            yield Finding(str(exc), path=path, file=file, line=line, column=column)


def _digest(raw: dict[str, Any]) -> str:
    """What tells one model from another, whatever the order of its keys."""
    return derive(msgspec.json.encode(raw, order="deterministic").decode())


def _plan(app: App, digest: str) -> Plan:
    reads = _reads(app)
    graphs = {g.subscribes: _graph(app, g, reads) for g in app.graphs}
    rules = {
        topic: RulePlan(g.subscribes, rule[0].to, rule[0].match.actual, _pending_ms(g, rule[0].to))
        for g in app.graphs
        for topic, rule in g.hooks.items()
        if rule
    }
    return Plan(app.id, app.version, graphs, rules, dict(app.settings), digest)


def _graph(app: App, graph: Graph, reads: _Reads) -> GraphPlan:
    parents = _parents(graph)
    forks = _forks(parents)
    hooks = {
        rules[0].to: HookPlan(topic, rules[0].match.expected)
        for topic, rules in graph.hooks.items()
        if rules
    }
    activities = {}
    for name, activity in graph.activities.items():
        plan = _activity(app, graph, name, activity, reads)
        edges = tuple(
            EdgePlan(t.to, None if t.conditions is None else _plain(t.conditions))
            for t in graph.transitions.get(name, ())
        )
        activities[name] = msgspec.structs.replace(
            plan,
            parent=forks.get(name, ""),
            parents=parents.get(name, ()),
            join=_join(activity, parents.get(name, ())),
            join_all=activity.join == "all",
            edges=edges,
            hook=_hook(hooks.get(name), activity),
        )
    trigger = next(n for n, a in graph.activities.items() if _type(a) == "trigger")
    return GraphPlan(
        graph.subscribes,
        trigger,
        activities,
        graph.publishes or "",
        _expire(graph.expire),
        graph.cron or "",
        graph.persistent,
    )


def _parents(graph: Graph) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for origin, transitions in graph.transitions.items():
        for transition in transitions:
            found.setdefault(transition.to, {})[origin] = None
    return {name: tuple(origins) for name, origins in found.items()}


def _forks(parents: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """For each activity the one above it; for a join the last that all its parents have before
    them.
    """
    above: dict[str, str] = {}
    for name in TopologicalSorter(parents).static_order():
        origins = parents.get(name, ())
        if origins:
            above[name] = reduce(lambda a, b: _shared(above, a, b), origins)
    return above


def _shared(above: dict[str, str], one: str, other: str) -> str:
    chain = {one}
    while one in above:
        one = above[one]
        chain.add(one)
    while other not in chain:
        other = above[other]
    return other


def _join(activity: Activity, parents: tuple[str, ...]) -> int:
    if activity.join is None or len(parents) < 2:
        return 0
    if activity.join == "all":
        return len(parents)
    return 1 if activity.join == "any" else min(activity.join, len(parents))


def _activity(app: App, graph: Graph, name: str, activity: Activity, reads: _Reads) -> ActivityPlan:
    kind = _type(activity)
    checked = validates(app, graph, activity)
    inputs, outputs = _schemas(graph, activity) if checked else (None, None)
    for schema, side in ((inputs, "input"), (outputs, "output")):
        validator(schema, f"activities.{name}.{side}.schema")
    return ActivityPlan(
        name,
        kind,
        topic=getattr(activity, "topic", None),
        input=_maps(activity, "input"),
        output=_maps(activity, "output"),
        job=_maps(activity, "job"),
        retry=retry_rules(getattr(activity, "retry", None)),
        timeout=getattr(activity, "timeout", None),
        sleep=getattr(activity, "sleep", None),
        stats=_stats(activity),
        emit=getattr(activity, "emit", None),
        persist=getattr(activity, "persist", None),
        threshold=getattr(activity, "status_threshold", None),
        telemetry=activity.telemetry,
        ancestor=getattr(activity, "ancestor", ""),
        each=getattr(activity, "each", None),
        concurrency=_concurrency(activity),
        keep=reads.kept(name, "output"),
        keep_hook=reads.kept(name, "hook"),
        input_schema=inputs,
        output_schema=outputs,
        options={
            field.rstrip("_"): _plain(getattr(activity, field)) for field in _OPTIONS.get(kind, ())
        },
    )


def _schemas(graph: Graph, activity: Activity) -> tuple[Any, Any]:
    """Schemas of what goes in and of what comes back; a graph's stand in for its trigger's."""
    inputs = getattr(getattr(activity, "input", None), "schema", None)
    outputs = getattr(getattr(activity, "output", None), "schema", None)
    if _type(activity) == "trigger":
        inputs = inputs or outputs or (graph.input.schema if graph.input else None)
        outputs = None
    return inputs, outputs


class _Reads:
    """Which fields of each activity's output and hook data some rule of the app reads."""

    def __init__(self) -> None:
        self._fields: dict[tuple[str, str], dict[str, None] | None] = {}

    def add(self, owner: str, reference: tuple[str, ...], *, own: bool) -> None:
        name = owner if reference[0] == "$self" else reference[0]
        if len(reference) < 2 or reference[1] not in ("output", "hook"):
            return
        if name == owner and not own:
            return
        key = (name, reference[1])
        if reference[2:3] == ("metadata",):
            return
        if len(reference) < 4:
            self._fields[key] = None  # the whole object
        elif (fields := self._fields.setdefault(key, {})) is not None:
            fields[reference[3]] = None

    def kept(self, name: str, side: str) -> tuple[str, ...] | None:
        fields = self._fields.get((name, side), {})
        return None if fields is None else tuple(fields)


def _reads(app: App) -> _Reads:
    reads = _Reads()
    for graph in app.graphs:
        for name, activity in graph.activities.items():
            # A waiting hook reads its own output again when it wakes; others have theirs at hand.
            own = _type(activity) == "hook"
            for reference in references(_plain(activity)):
                reads.add(name, reference, own=own)
            for transition in graph.transitions.get(name, ()):
                if transition.conditions is not None:
                    for reference in references(_plain(transition.conditions)):
                        reads.add(name, reference, own=own)
        trigger = next((n for n, a in graph.activities.items() if _type(a) == "trigger"), "")
        for rule in (graph.expire, graph.persistent):
            for reference in references(rule) if rule is not None else ():
                reads.add(trigger, _as_output(reference), own=True)
        for rules in graph.hooks.values():
            for rule in rules[:1]:
                for reference in references(rule.match.expected):
                    reads.add(rule.to, reference, own=True)
    return reads


def _concurrency(activity: Activity) -> int:
    wanted = getattr(activity, "concurrency", None)
    return wanted if isinstance(wanted, int) else CONCURRENCY


def _as_output(reference: tuple[str, ...]) -> tuple[str, ...]:
    """The payload is a trigger's input and its output: it is kept as the latter."""
    if reference[1:2] == ("input",):
        return (reference[0], "output", *reference[2:])
    return reference


def _stats(activity: Activity) -> StatsPlan | None:
    stats = getattr(activity, "stats", None)
    if stats is None:
        return None
    measures = tuple((m.measure, m.target) for m in stats.measures)
    return StatsPlan(stats.id, stats.key, stats.parent, stats.granularity, measures)


def _hook(hook: HookPlan | None, activity: Activity) -> HookPlan | None:
    pending = getattr(activity, "pending", None)
    if hook is None or pending is None:
        return hook
    return msgspec.structs.replace(hook, pending_ms=parse_duration(pending))


def _pending_ms(graph: Graph, name: str) -> int:
    pending = getattr(graph.activities.get(name), "pending", None)
    return 0 if pending is None else parse_duration(pending)


def _expire(expire: Any) -> Any:
    """Seconds when it is literal; a rule stays one."""
    if isinstance(expire, str) and not expire.startswith("{"):
        return parse_duration(expire) / 1000
    return expire


def _maps(activity: Activity, side: str) -> Any:
    return getattr(getattr(activity, side, None), "maps", None)


def _type(activity: Activity) -> str:
    return str(activity.__struct_config__.tag)


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)
