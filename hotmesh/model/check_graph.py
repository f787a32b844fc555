"""How activities hang together: names, triggers, transitions, circles, reach, hook rules."""

from __future__ import annotations

import re

from hotmesh.errors import NameInvalid
from hotmesh.ids import check_app_id, check_topic
from hotmesh.model.activities import Cycle, Hook, Interrupt, Trigger
from hotmesh.model.findings import FINDINGS_MAX
from hotmesh.model.marks import Path
from hotmesh.model.scope import GraphScope, Scope

_ACTIVITY_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")

# Beside the activities, the context of references holds the job's data and metadata under these
# names.
_TAKEN = ("data", "metadata")


def check_names(scope: Scope) -> None:
    """The app's id and version, topics, and activity ids."""
    app, findings = scope.app, scope.findings
    try:
        check_app_id(app.id)
    except NameInvalid as exc:
        findings.error(("id",), str(exc))
    if app.id == "a":
        findings.error(("id",), "an app can't be called 'a'; take a longer name")
    if not _VERSION.fullmatch(app.version):
        findings.error(
            ("version",),
            f"version {app.version!r:.100} must be 1 to 64 letters, digits, '.', '_', '+' and '-'",
        )
    if not app.graphs:
        findings.error(("graphs",), "the app has no graphs; give it at least one")
    for view in scope.graphs:
        _check_topics(scope, view)
        for name in view.graph.activities:
            _check_activity_id(scope, view, name)


def _check_topics(scope: Scope, view: GraphScope) -> None:
    graph, findings = view.graph, scope.findings
    topic_problem(scope, graph.subscribes, view.path("subscribes"))
    first = scope.subscribed[graph.subscribes]
    if first is not view:
        findings.error(
            view.path("subscribes"),
            f"graphs[{first.index}] subscribes to {graph.subscribes!r} already; a topic starts "
            "one graph",
        )
    if graph.publishes is not None:
        topic_problem(scope, graph.publishes, view.path("publishes"))
    for topic in graph.hooks:
        topic_problem(scope, topic, view.path("hooks", topic), key=True)


def topic_problem(scope: Scope, topic: str, path: Path, *, key: bool = False) -> bool:
    """Whether a literal topic can't be one; noted if so."""
    if topic.startswith("."):
        scope.findings.error(path, f"a topic can't begin with a dot: {topic!r:.100}", key=key)
        return True
    try:
        check_topic(topic)
    except NameInvalid as exc:
        scope.findings.error(path, str(exc), key=key)
        return True
    return False


def _check_activity_id(scope: Scope, view: GraphScope, name: str) -> None:
    path, findings = view.path("activities", name), scope.findings
    owner = scope.owners[name]
    if owner is not view:
        findings.error(
            path,
            f"Duplicate activity id found: {name} (also in graphs[{owner.index}]); ids are unique "
            "in an app",
            key=True,
        )
    if not _ACTIVITY_ID.fullmatch(name):
        message = (
            f"activity id {name!r:.150} must be 1 to 128 letters, digits, '.', '_' and '-', not "
            "beginning with a dot"
        )
        findings.error(path, message, key=True)
    elif name in _TAKEN:
        findings.error(
            path,
            f"an activity can't be called {name!r}: references find the job's own {name} there",
            key=True,
        )
    elif "." in name:
        findings.warn(
            path, f"references split at dots, so none can name {name!r}; use '_' or '-'", key=True
        )


def check_structure(scope: Scope) -> None:
    """Triggers, transitions and hook rules of every graph."""
    for view in scope.graphs:
        if not view.graph.activities:
            scope.findings.error(
                view.path("activities"), "the graph has no activities; it needs a trigger at least"
            )
            continue
        _check_trigger(scope, view)
        _check_transitions(scope, view)
        rings = _check_circles(scope, view)
        _check_parents(scope, view, rings)
        if view.trigger is not None:
            _check_reach(scope, view, rings)
        _check_hooks(scope, view)


def _check_trigger(scope: Scope, view: GraphScope) -> None:
    triggers = [name for name, a in view.graph.activities.items() if isinstance(a, Trigger)]
    if not triggers:
        scope.findings.error(
            view.path("activities"),
            "the graph has no trigger; give one activity `type: trigger`, it starts the job",
        )
    for name in triggers[1:]:
        scope.findings.error(
            view.path("activities", name, "type"),
            f"the graph has a trigger already ({triggers[0]!r}); it needs exactly one",
        )


def _check_transitions(scope: Scope, view: GraphScope) -> None:
    known, findings = view.graph.activities, scope.findings
    for origin in view.graph.transitions:
        if origin not in known:
            path = view.path("transitions", origin)
            findings.error(
                path,
                f"there is no activity {origin!r:.150}{_elsewhere(scope, view, origin)}",
                key=True,
            )
        elif isinstance(known[origin], Cycle) and view.graph.transitions[origin]:
            path = view.path("transitions", origin)
            findings.error(
                path,
                f"nothing can follow the cycle {origin!r}: it goes back to its ancestor",
                key=True,
            )
        elif _ends_itself(known[origin]) and view.graph.transitions[origin]:
            path = view.path("transitions", origin)
            message = (
                f"nothing can follow {origin!r}: it interrupts its own job; give it a `target`, "
                "or end here"
            )
            findings.error(path, message, key=True)
    seen: set[tuple[str, str]] = set()
    for origin, place, transition in view.transitions():
        path, to = view.path("transitions", origin, place, "to"), transition.to
        if to not in known:
            findings.error(path, f"there is no activity {to!r:.150}{_elsewhere(scope, view, to)}")
        elif isinstance(known[to], Trigger):
            findings.error(
                path,
                f"{to!r} is the trigger; a transition can't lead to it. To go round, use a cycle "
                "activity",
            )
        elif (origin, to) in seen:
            findings.error(
                path,
                f"a second transition from {origin!r} to {to!r}; use one, with a list of codes or "
                "`gate: or`",
            )
        seen.add((origin, to))


def _ends_itself(activity: object) -> bool:
    return isinstance(activity, Interrupt) and activity.target is None and activity.after is None


def _elsewhere(scope: Scope, view: GraphScope, name: str) -> str:
    owner = scope.owners.get(name)
    if owner is not None:
        return (
            f" in this graph; it belongs to graphs[{owner.index}] ({owner.graph.subscribes}), "
            "which an await can start"
        )
    return scope.findings.near(name, view.graph.activities)


def _check_circles(scope: Scope, view: GraphScope) -> set[tuple[str, str]]:
    """Note every circle; give the transitions that close one."""
    closing: set[tuple[str, str]] = set()
    done: set[str] = set()
    starts = [view.trigger] if view.trigger is not None else []
    for start in [*starts, *view.children]:
        if start in done:
            continue
        way: dict[str, None] = {start: None}
        stack = [iter(view.children.get(start, ()))]
        while stack:
            child = next(stack[-1], None)
            if child is None:
                stack.pop()
                done.add(way.popitem()[0])
            elif child in way:
                closing.add((next(reversed(way)), child))
                if len(closing) <= FINDINGS_MAX:
                    _note_circle(scope, view, list(way), child)
            elif child not in done:
                way[child] = None
                stack.append(iter(view.children.get(child, ())))
    return closing


def _note_circle(scope: Scope, view: GraphScope, way: list[str], to: str) -> None:
    if isinstance(view.graph.activities[to], Trigger):
        return  # noted already: nothing may lead to a trigger
    ring = way[way.index(to) :]
    shown = ring if len(ring) <= 8 else [*ring[:4], "…", *ring[-3:]]
    path = _transition_path(view, way[-1], to)
    message = (
        f"transitions go round in a circle: {' → '.join([*shown, to])}; go back with a cycle "
        "activity instead"
    )
    scope.findings.error(path, message)


def _transition_path(view: GraphScope, origin: str, to: str) -> Path:
    return view.path("transitions", origin, view.parents[to][origin], "to")


def _check_parents(scope: Scope, view: GraphScope, rings: set[tuple[str, str]]) -> None:
    for name, origins in view.parents.items():
        if len(origins) < 2 or isinstance(view.graph.activities[name], Trigger):
            continue
        if view.graph.activities[name].join is not None:
            continue
        first, *others = [o for o in origins if (o, name) not in rings] or [""]
        for origin in others:
            message = (
                f"{name!r} follows {first!r} already; an activity has one parent: give it a "
                "`join`, or copy it"
            )
            scope.findings.error(_transition_path(view, origin, name), message)


def _check_reach(scope: Scope, view: GraphScope, rings: set[tuple[str, str]]) -> None:
    in_ring = {to for _, to in rings}
    for name in view.graph.activities:
        parents = view.parents.get(name, {})
        if name in view.entered or name in in_ring or any(p not in view.entered for p in parents):
            continue  # reached, or its parent is what can't be
        message = f"nothing leads to {name!r}; add a transition to it, or remove it"
        if not isinstance(view.graph.activities[name], Trigger):
            scope.findings.error(view.path("activities", name), message, key=True)


def _check_hooks(scope: Scope, view: GraphScope) -> None:
    findings = scope.findings
    for topic, rules in view.graph.hooks.items():
        path = view.path("hooks", topic)
        if not rules:
            findings.error(
                path,
                "the topic has no rule; give it one: {to: …, conditions: {match: […]}}",
                key=True,
            )
        for place in range(1, len(rules)):
            findings.error(
                (*path, place),
                "a hook topic has one rule; use another topic for the other activity",
            )
        if rules and scope.hooked[topic][0] is not view:
            other = scope.hooked[topic][0].index
            findings.error(
                path,
                f"graphs[{other}] has a rule for {topic!r} already; a hook topic has one rule",
                key=True,
            )
        for place, rule in enumerate(rules[:1]):
            _check_hook_target(scope, view, rule.to, (*path, place, "to"))
    for name, topics in view.rules.items():
        for topic in topics[1:]:
            message = f"{name!r} waits for {topics[0]!r} already; a hook waits for one topic"
            findings.error(view.path("hooks", topic, 0, "to"), message)


def _check_hook_target(scope: Scope, view: GraphScope, to: str, path: Path) -> None:
    activity = view.graph.activities.get(to)
    if activity is None:
        hooks = [name for name, a in view.graph.activities.items() if isinstance(a, Hook)]
        hint = (
            scope.findings.near(to, hooks)
            if to not in scope.owners
            else _elsewhere(scope, view, to)
        )
        scope.findings.error(path, f"there is no activity {to!r:.150}{hint}")
    elif not isinstance(activity, Hook):
        kind = type(activity).__name__.lower()
        scope.findings.error(path, f"a signal can only wake a hook, and {to!r} is of type {kind}")
