"""Runs as pictures: their legs as a graph, or their model in the colours of the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from hotmesh.pictures.graph import Edge, EdgeLike, Graph, LegLike, Node, State
from hotmesh.pictures.scale import duration_text
from hotmesh.pictures.words import clean

WAITING_TYPES = frozenset({"hook", "await"})
"""Open activities of these types wait for something outside; an open worker is at work."""

CODE_FAILED = 400
"""A last answer from this code on is a failure, whether or not a transition went on from it."""


PENDING = 202
"""The code of an answer that keeps its leg open."""


def states_of(legs: Sequence[LegLike]) -> list[State]:
    """What became of each leg.

    A leg that a cycle may come back to is never done in the record of its job. Once it has
    answered it counts as done here, but for a hook that the loop has come back to since.
    """
    turned = {
        leg.dimension[:end]
        for leg in legs
        if leg.type == "cycle"
        for end, char in enumerate(leg.dimension)
        if char == ","
    }
    return [_state(leg, turned) for leg in legs]


def _state(leg: LegLike, turned: set[str]) -> State:
    if leg.state != "done":
        rests = leg.generations > 0 and leg.code != PENDING
        if not rests or (leg.type == "hook" and leg.dimension in turned):
            return "waiting" if leg.type in WAITING_TYPES else "open"
    return "failed" if leg.error is not None or leg.code >= CODE_FAILED else "done"


def note_of(leg: LegLike, state: State, *, begin_ms: int, now_ms: int | None = None) -> str:
    """What happened to a leg, in a few words.

    Args:
        begin_ms: When the run began: an open leg says how long after that it began.
        now_ms: The time now, if it is known: an open leg then says how old it is.
    """
    parts = []
    if state == "failed" and leg.code:
        parts.append(f"code {leg.code}")
    if state in ("done", "failed"):
        if (took_ms := leg.changed_ms - leg.began_ms) > 0:
            parts.append(duration_text(took_ms))
    elif now_ms is not None:
        parts.append(f"for {duration_text(max(0, now_ms - leg.began_ms))}")
    else:
        parts.append(f"since {duration_text(leg.began_ms - begin_ms)}")
    if leg.attempt:
        parts.append("1 retry" if leg.attempt == 1 else f"{leg.attempt} retries")
    if leg.generations > 1:
        parts.append(f"{leg.generations} turns")
    return ", ".join(parts)


def from_legs(
    legs: Iterable[LegLike],
    edges: Iterable[EdgeLike],
    *,
    title: str = "run",
    about: tuple[str, ...] = (),
    now_ms: int | None = None,
) -> Graph:
    """A run as a graph of its legs: a loop is unrolled.

    A run of thousands of legs gives as many boxes; `on_model` draws it in the size of its model.
    """
    legs = sorted(legs, key=lambda leg: (leg.began_ms, leg.dimension.count(",")))
    begin_ms = legs[0].began_ms if legs else 0
    states = states_of(legs)
    ids = {_key(leg.activity, leg.dimension): leg.activity + leg.dimension for leg in legs}
    nodes = [
        Node(
            id=leg.activity + leg.dimension,
            label=clean(leg.activity),
            kind=leg.type,
            details=_dimension(leg),
            state=state,
            note=note_of(leg, state, begin_ms=begin_ms, now_ms=now_ms),
        )
        for leg, state in zip(legs, states, strict=True)
    ]
    drawn = []
    for edge in edges:
        source, target = _source(edge, ids), ids.get(_key(edge.target, edge.dimension))
        if source is not None and target is not None:
            drawn.append(Edge(source=source, target=target, taken=True))
    return Graph(
        title=clean(title),
        about=tuple(map(clean, about)),
        nodes=tuple({n.id: n for n in nodes}.values()),
        edges=tuple(drawn),
    )


def _key(activity: str, dimension: str) -> tuple[str, str]:
    """The last index counts the turns of one leg, so it tells no two apart."""
    return activity, dimension.rpartition(",")[0]


def _dimension(leg: LegLike) -> tuple[str, ...]:
    shown = dimension_text(leg)
    return (f"dimension {shown}",) if shown else ()


def dimension_text(leg: LegLike) -> str:
    """The dimension of a leg, such as `0,1,0`; "" for all zeros.

    Its last index is no matter: it counts the turns of the leg, which are told elsewhere.
    """
    dimension = clean(leg.dimension.strip(","))
    return dimension if dimension.rpartition(",")[0].strip("0,") else ""


def _source(edge: EdgeLike, ids: dict[tuple[str, str], str]) -> str | None:
    """The leg that an edge came from: where it says, else the one of its source that lies
    furthest above the target.
    """
    if edge.source_dimension:
        return ids.get(_key(edge.source, edge.source_dimension))
    above = edge.dimension
    while above:
        above = above.rpartition(",")[0]
        if found := ids.get((edge.source, above)):
            return found
    return None


def on_model(
    graph: Graph,
    legs: Iterable[LegLike],
    edges: Iterable[EdgeLike],
    *,
    about: tuple[str, ...] = (),
    now_ms: int | None = None,
) -> Graph:
    """The graph of a model in the colours of a run: states, durations, the edges that were taken.

    Several legs of an activity (turns of a loop) become one box, in the state of the last one
    unless another is open still.
    """
    legs = list(legs)
    by_activity: dict[str, list[_Seen]] = {}
    for leg, state in zip(legs, states_of(legs), strict=True):
        by_activity.setdefault(leg.activity, []).append((leg, state))
    begin_ms = min((leg.began_ms for leg in legs), default=0)
    nodes = tuple(
        _with_legs(node, by_activity.get(node.id, ()), begin_ms, now_ms) for node in graph.nodes
    )
    states = {node.id: node.state for node in nodes}
    taken = {(edge.source, edge.target) for edge in edges}
    return msgspec.structs.replace(
        graph,
        about=(*graph.about, *map(clean, about)),
        nodes=nodes,
        edges=tuple(
            msgspec.structs.replace(e, taken=_is_taken(e, taken, states)) for e in graph.edges
        ),
    )


_Seen: TypeAlias = tuple[LegLike, State]


def _with_legs(node: Node, seen: Sequence[_Seen], begin_ms: int, now_ms: int | None) -> Node:
    if node.kind in ("topic", "graph"):
        return node
    if not seen:
        return msgspec.structs.replace(node, state="idle")
    leg, state = max(seen, key=lambda one: (one[1] in ("open", "waiting"), one[0].changed_ms))
    note = note_of(leg, state, begin_ms=begin_ms, now_ms=now_ms)
    if len(seen) > 1:
        failed = sum(state == "failed" for _, state in seen)
        note = f"{len(seen)} times" + (f", {failed} failed" if failed else "")
    return msgspec.structs.replace(node, state=state, note=note)


def _is_taken(
    edge: Edge,
    taken: set[tuple[str, str]],
    states: dict[str, State],
) -> bool:
    reached = states.get(edge.source, "") not in ("", "idle")
    if edge.kind == "flow":
        return (edge.source, edge.target) in taken
    if edge.kind == "signal" and states.get(edge.source, "") == "":
        return states.get(edge.target) == "done"  # from a hook topic
    return reached
