"""What the checks look up: who owns an id, which topic leads where, who comes before whom.

Built once per model in linear time. The way from the trigger to an activity is a tree (an activity
has one parent), so "comes before" is two comparisons of the numbers that a walk gave on entering
and leaving.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from hotmesh.model.activities import Flowing, Hook, Trigger
from hotmesh.model.findings import Findings
from hotmesh.model.marks import Path
from hotmesh.model.types import App, Graph, Transition


class MappingCheck(Protocol):
    """What the checks ask the mapping language.

    The compiler supplies it: `model` does not import `mapping`.
    """

    def references(self, rule: Any) -> Iterable[tuple[str, ...]]:
        """Every reference in a rule, split at its dots, pipes' cells included."""

    def problems(self, rule: Any) -> Iterable[str]:
        """What is wrong with a rule as such: rows, functions.

        A `Doubt` among them is only a warning.
        """


class Doubt(str):
    """A problem with a rule that is no reason to refuse the model."""

    __slots__ = ()


@dataclass(slots=True)
class GraphScope:
    """A graph and what follows from it.

    Attributes:
        trigger: The id of its only trigger; None if it has none or several.
        children: For an activity, the known targets of its transitions, in order, without
            repetitions.
        parents: For an activity, where transitions come from, in order, each with the place of the
            (first) transition in its list.
        entered, left: When a walk from the trigger entered and left an activity.
        rules: For an activity, the hook topics whose first rule leads to it.
        job_fields: The job data that the graph's maps write, as nested mappings; None for a value.
        has_joins: Whether activities may have several parents, so that the tree does not say
            everything.
    """

    index: int
    graph: Graph
    trigger: str | None = None
    children: dict[str, list[str]] = field(default_factory=dict)
    parents: dict[str, dict[str, int]] = field(default_factory=dict)
    entered: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    rules: dict[str, list[str]] = field(default_factory=dict)
    job_fields: dict[str, Any] = field(default_factory=dict)
    has_joins: bool = False
    _above: dict[str, set[str]] = field(default_factory=dict)

    def path(self, *parts: str | int) -> Path:
        """A path below this graph."""
        return ("graphs", self.index, *parts)

    def transitions(self) -> Iterator[tuple[str, int, Transition]]:
        """Every transition with its origin and place in the list."""
        for origin, transitions in self.graph.transitions.items():
            for place, transition in enumerate(transitions):
                yield origin, place, transition

    @property
    def persists(self) -> bool:
        """Whether some activity may complete the job while others go on."""
        return any(getattr(a, "persist", None) for a in self.graph.activities.values())

    def comes_before(self, one: str, other: str) -> bool:
        """Whether `one` is on the way from the trigger to `other`."""
        entered, left = self.entered, self.left
        if (
            one in entered
            and other in entered
            and entered[one] < entered[other] <= left[other] <= left[one]
        ):
            return True
        return self.has_joins and one in self._all_above(other)

    def waits(self, name: str) -> bool:
        """Whether a hook waits for a signal or a time, and does not pass straight through."""
        activity = self.graph.activities[name]
        return isinstance(activity, Hook) and (name in self.rules or activity.sleep is not None)

    def _all_above(self, name: str) -> set[str]:
        """Everything above an activity, by any parent; for graphs with joins alone."""
        known = self._above.get(name)
        if known is None:
            known, todo = set(), list(self.parents.get(name, ()))
            while todo:
                parent = todo.pop()
                if parent not in known:
                    known.add(parent)
                    todo.extend(self.parents.get(parent, ()))
            self._above[name] = known
        return known


@dataclass(slots=True)
class Scope:
    """A model and what follows from it.

    Attributes:
        owners: Which graph an activity id belongs to; the first, should there be two.
        subscribed: Which graph a topic starts.
        hooked: For a hook topic, the graph and activity of its rule.
    """

    app: App
    findings: Findings
    mapping: MappingCheck
    graphs: list[GraphScope] = field(default_factory=list)
    owners: dict[str, GraphScope] = field(default_factory=dict)
    subscribed: dict[str, GraphScope] = field(default_factory=dict)
    hooked: dict[str, tuple[GraphScope, str]] = field(default_factory=dict)


def build(app: App, findings: Findings, mapping: MappingCheck) -> Scope:
    """The scope of an app; nothing is reported here."""
    scope = Scope(app, findings, mapping)
    for index, graph in enumerate(app.graphs):
        view = GraphScope(index, graph)
        triggers = [name for name, a in graph.activities.items() if isinstance(a, Trigger)]
        view.trigger = triggers[0] if len(triggers) == 1 else None
        view.has_joins = any(a.join is not None for a in graph.activities.values())
        _link(view)
        _walk(view)
        for name, activity in graph.activities.items():
            scope.owners.setdefault(name, view)
            if isinstance(activity, Flowing) and activity.job is not None and activity.job.maps:
                _add_fields(view.job_fields, activity.job.maps)
        for topic, rules in graph.hooks.items():
            if rules:
                scope.hooked.setdefault(topic, (view, rules[0].to))
                view.rules.setdefault(rules[0].to, []).append(topic)
        scope.subscribed.setdefault(graph.subscribes, view)
        scope.graphs.append(view)
    return scope


def _link(view: GraphScope) -> None:
    known = view.graph.activities
    for origin, place, transition in view.transitions():
        to = transition.to
        if origin not in known or to not in known:
            continue
        children = view.children.setdefault(origin, [])
        parents = view.parents.setdefault(to, {})
        if origin not in parents:
            children.append(to)
            parents[origin] = place


def _walk(view: GraphScope) -> None:
    """Number what the trigger leads to: entered before its descendants, left after them."""
    if view.trigger is None:
        return
    clock = 0
    view.entered[view.trigger] = clock
    stack = [(view.trigger, iter(view.children.get(view.trigger, ())))]
    while stack:
        name, rest = stack[-1]
        child = next((c for c in rest if c not in view.entered), None)
        clock += 1
        if child is None:
            view.left[name] = clock
            stack.pop()
        else:
            view.entered[child] = clock
            stack.append((child, iter(view.children.get(child, ()))))


def _add_fields(fields: dict[str, Any], maps: dict[str, Any]) -> None:
    for key, value in maps.items():
        name = key.partition("[")[0] or key  # `name[25]`: an array suffix of later releases
        nested = value if isinstance(value, dict) and "@pipe" not in value else None
        if isinstance(value, list):
            nested = {str(index): item for index, item in enumerate(value)}
        if nested is None or (name in fields and fields[name] is None):
            fields[name] = None  # a value: what is in it is not known
        else:
            _add_fields(fields.setdefault(name, {}), nested)
