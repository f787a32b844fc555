"""Models as pictures: one graph per graph of a plan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hotmesh.pictures.graph import Edge, Graph, Node
from hotmesh.pictures.rules import condition_text, value_text
from hotmesh.pictures.scale import duration_text
from hotmesh.pictures.words import clean

if TYPE_CHECKING:
    from hotmesh.compiler import ActivityPlan, GraphPlan, Plan

CODE_DEFAULT = 410
"""Of an interrupt; another one is shown."""


def from_plan(plan: Plan) -> list[Graph]:
    """The pictures of a model, in the order of its graphs.

    Hook topics come as nodes of kind `topic`, and graphs that an activity starts, signals or ends
    as nodes of kind `graph`; all other nodes have the ids of their activities.
    """
    return [_graph(plan, graph) for graph in plan.graphs.values()]


def _graph(plan: Plan, graph: GraphPlan) -> Graph:
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    for activity in graph.activities.values():
        if activity.hook is not None:
            topic = _beside("topic", activity.hook.topic)
            nodes.setdefault(topic.id, topic)
            edges.append(Edge(source=topic.id, target=activity.id, kind="signal"))
        nodes[activity.id] = _node(graph, activity)
        edges += [
            Edge(
                source=activity.id,
                target=e.to,
                label=condition_text(e.conditions, here=activity.id),
            )
            for e in activity.edges
        ]
        for node, edge in _links(plan, graph, activity):
            if node is not None:
                nodes.setdefault(node.id, node)
            edges.append(edge)
    return Graph(
        title=clean(graph.subscribes),
        about=tuple(_about(plan, graph)),
        nodes=tuple(nodes.values()),
        edges=tuple(edges),
    )


def _about(plan: Plan, graph: GraphPlan) -> Iterator[str]:
    yield f"app {clean(plan.app_id)}, version {clean(plan.version)}"
    if graph.publishes:
        yield f"publishes {clean(graph.publishes)}"
    if isinstance(graph.expire, (int, float)):
        kept = duration_text(round(graph.expire * 1000)) if graph.expire > 0 else "for ever"
        yield f"kept {kept}"


def _beside(kind: str, topic: str, *details: str) -> Node:
    return Node(id=f"{kind}:{topic}", label=clean(topic), kind=kind, details=details)


def _node(graph: GraphPlan, activity: ActivityPlan) -> Node:
    details = graph.subscribes if activity.type == "trigger" else _subject(activity)
    return Node(
        id=activity.id,
        label=clean(activity.id),
        kind=activity.type,
        details=tuple(clean(d) for d in (details, *_details(activity)) if d),
    )


def _subject(activity: ActivityPlan) -> str:
    """What an activity is about: the topic that it calls, where it goes, what it ends."""
    if activity.type == "cycle":
        return f"back to {activity.ancestor}"
    if activity.type == "interrupt":
        target = activity.options.get("target")
        return f"ends {_rule(target, activity)}" if target is not None else "ends this job"
    if activity.topic is None:
        return ""
    topic = _rule(activity.topic, activity)
    if activity.type == "signal" and activity.options.get("subtype") == "all":
        return f"{topic}, to all"
    return topic


def _details(activity: ActivityPlan) -> Iterator[str]:
    if activity.each is not None:
        yield f"each of {_rule(activity.each, activity)}, {activity.concurrency} at a time"
    if activity.join:
        yield f"waits for {_count(activity.join, len(activity.parents))}"
    if activity.sleep is not None:
        yield f"sleeps {_duration(activity.sleep, activity)}"
    if activity.timeout is not None:
        yield f"timeout {_duration(activity.timeout, activity)}"
    if attempts := max((rule.attempts_max for rule in activity.retry), default=0):
        codes = sorted({code for rule in activity.retry for code in rule.codes})
        after = f" after {', '.join(map(str, codes))}" if codes else ""
        yield f"up to {attempts} attempts{after}"
    waits = activity.options.get("await") if activity.type == "await" else None
    if waits is not None and waits is not True:
        yield "does not wait" if waits is False else f"waits if {_rule(waits, activity)}"
    if activity.type == "interrupt":
        yield from _ending(activity)
    if activity.emit is not None and activity.emit is not False:
        yield "emits" if activity.emit is True else f"emits if {_rule(activity.emit, activity)}"


def _ending(activity: ActivityPlan) -> Iterator[str]:
    options = activity.options
    if options.get("throw") is False:
        yield "without an error"
    elif (code := options.get("code")) is not None and code != CODE_DEFAULT:
        yield f"with code {_rule(code, activity)}"
    if options.get("descend") is True:
        yield "and its children"


def _count(join: int, parents: int) -> str:
    if join >= parents:
        return f"all {parents}"
    return f"any of {parents}" if join == 1 else f"{join} of {parents}"


def _duration(rule: Any, activity: ActivityPlan) -> str:
    """A duration as written; a number is of seconds."""
    if isinstance(rule, (int, float)) and not isinstance(rule, bool):
        return duration_text(round(rule * 1000))
    if isinstance(rule, str) and not rule.startswith("{"):
        return f"{rule} s" if rule.isdigit() else rule
    return _rule(rule, activity)


def _rule(rule: Any, activity: ActivityPlan) -> str:
    return value_text(rule, here=activity.id).strip("“”")


def _links(
    plan: Plan, graph: GraphPlan, activity: ActivityPlan
) -> Iterator[tuple[Node | None, Edge]]:
    """Edges that are no transitions, with the box that they need beside the activities."""
    if activity.type == "cycle":
        yield None, Edge(source=activity.id, target=activity.ancestor, kind="cycle")
        return
    topic = activity.topic
    if not isinstance(topic, str):
        return
    if activity.type == "signal" and (rule := plan.hooks.get(topic)) is not None:
        if rule.graph == graph.subscribes:
            yield None, Edge(source=activity.id, target=rule.to, kind="signal")
        else:
            box = _beside("graph", rule.graph)
            yield (
                box,
                Edge(
                    source=activity.id,
                    target=box.id,
                    label=f"wakes {clean(rule.to)}",
                    kind="signal",
                ),
            )
    elif activity.type in ("await", "interrupt") and topic in plan.graphs:
        box = _beside("graph", topic)
        label = "ends" if activity.type == "interrupt" else ""
        yield box, Edge(source=activity.id, target=box.id, label=label, kind="call")
