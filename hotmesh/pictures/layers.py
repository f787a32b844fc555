"""The first half of the layout: which way edges point, and which layer everything is in.

After this every edge leads from a vertex to one in the next layer: longer ones run through dummies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

DUMMIES_MAX = 40_000
"""Beyond this many, the longest edges get none and are drawn straight: such a picture is a
thicket anyway, and must not take minutes.
"""


@dataclass(slots=True)
class Layered:
    """Vertices (first the nodes, then the dummies) in layers.

    Attributes:
        rank: The layer of each vertex, from 0 at the top.
        above, below: Neighbours in the layer before and after.
        chains: For each edge its vertices from top to bottom, the ends included; a loop has one.
        flipped: Whether an edge points upwards, so that its chain begins at its target.
        labels: For each edge the dummy that carries its label, or -1.
        light: Vertices that weak edges alone lead to: they go where others leave room.
        nodes: How many of the vertices are nodes.
    """

    nodes: int
    rank: list[int]
    above: list[list[int]] = field(default_factory=list)
    below: list[list[int]] = field(default_factory=list)
    chains: list[list[int]] = field(default_factory=list)
    flipped: list[bool] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    light: list[bool] = field(default_factory=list)


def layered(
    count: int, edges: Sequence[tuple[int, int]], weak: Sequence[bool], labelled: Sequence[bool]
) -> Layered:
    """Layers of a graph with nodes 0 to `count` - 1.

    Args:
        weak: Edges that give way: they point upwards rather than make another edge do so.
        labelled: Edges that need a layer between their ends, for a label.
    """
    flipped = _flipped(count, edges, weak)
    arcs = [(b, a) if f else (a, b) for (a, b), f in zip(edges, flipped, strict=True)]
    # Edges with the same ends would lie on each other if nothing were between them.
    twins = len({a for a in arcs if a[0] != a[1]}) < sum(a != b for a, b in arcs)
    length = 2 if any(labelled) or twins else 1
    found = Layered(nodes=count, rank=_ranks(count, arcs, length), flipped=flipped)
    _chain(found, arcs, labelled)
    found.light = [True] * len(found.rank)
    for chain, is_weak in zip(found.chains, weak, strict=True):
        if not is_weak:
            for vertex in chain:
                found.light[vertex] = False
    return found


def _flipped(count: int, edges: Sequence[tuple[int, int]], weak: Sequence[bool]) -> list[bool]:
    """Which edges to turn round so that no circle is left."""
    leads, led = [False] * count, [False] * count
    for a, b in edges:
        if a != b:
            leads[a], led[b] = True, True
    out: list[list[int]] = [[] for _ in range(count)]
    firm = []
    for e, (a, b) in enumerate(edges):
        # A weak edge that nothing leads to, or that leads to an end, is on no circle.
        firm.append(a != b and (not weak[e] or not led[a] or not leads[b]))
        if firm[e]:
            out[a].append(e)
    flipped = [False] * len(edges)
    for e in _back_edges(count, edges, out):
        flipped[e] = True
    arcs = [(b, a) if f else (a, b) for (a, b), f in zip(edges, flipped, strict=True)]
    place = {v: i for i, v in enumerate(_sorted(count, [a for e, a in enumerate(arcs) if firm[e]]))}
    for e, (a, b) in enumerate(edges):
        if not firm[e] and place[a] > place[b]:
            flipped[e] = True
    return flipped


def _back_edges(count: int, edges: Sequence[tuple[int, int]], out: list[list[int]]) -> list[int]:
    """Edges that lead back to where a depth-first walk is coming from."""
    found, state = [], [0] * count  # 1: on the way, 2: left
    led = {edges[e][1] for row in out for e in row}
    for root in sorted(range(count), key=lambda v: v in led):
        if state[root]:
            continue
        state[root] = 1
        stack = [(root, iter(out[root]))]
        while stack:
            vertex, rest = stack[-1]
            e = next(rest, None)
            if e is None:
                state[vertex] = 2
                stack.pop()
                continue
            target = edges[e][1]
            if state[target] == 1:
                found.append(e)
            elif not state[target]:
                state[target] = 1
                stack.append((target, iter(out[target])))
    return found


def _sorted(count: int, arcs: Sequence[tuple[int, int]]) -> list[int]:
    """A topological order that keeps the given one where it can."""
    out: list[list[int]] = [[] for _ in range(count)]
    waits = [0] * count
    for a, b in arcs:
        if a != b:
            out[a].append(b)
            waits[b] += 1
    order = [v for v in range(count) if not waits[v]]
    for v in order:  # grows as it is read
        for b in out[v]:
            waits[b] -= 1
            if not waits[b]:
                order.append(b)
    assert len(order) == count, "a circle was left"
    return order


def _ranks(count: int, arcs: Sequence[tuple[int, int]], length: int) -> list[int]:
    """Longest paths from the top; what nothing leads to moves down to what it leads to."""
    rank = [0] * count
    out: list[list[int]] = [[] for _ in range(count)]
    led = [False] * count
    for a, b in arcs:
        if a != b:
            out[a].append(b)
            led[b] = True
    for a in _sorted(count, arcs):
        for b in out[a]:
            rank[b] = max(rank[b], rank[a] + length)
    for v in range(count):
        if not led[v] and out[v]:
            rank[v] = min(rank[b] for b in out[v]) - length
    return rank


def _chain(found: Layered, arcs: Sequence[tuple[int, int]], labelled: Sequence[bool]) -> None:
    """Dummies for all layers that an edge passes through."""
    spans = [abs(found.rank[b] - found.rank[a]) - 1 for a, b in arcs]
    budget = DUMMIES_MAX
    dense = set()
    for e in sorted(range(len(arcs)), key=spans.__getitem__):
        # A labelled edge keeps its dummies: labels must not lie on anything.
        if spans[e] > 1 and not labelled[e] and budget < spans[e]:
            dense.add(e)
        budget -= max(0, spans[e])
    found.above = [[] for _ in found.rank]
    found.below = [[] for _ in found.rank]
    for e, (a, b) in enumerate(arcs):
        chain = [a] if a == b else [a, b]
        label = -1
        if a != b and e not in dense:
            first = len(found.rank)
            found.rank += range(found.rank[a] + 1, found.rank[b])
            chain[1:1] = range(first, len(found.rank))
            found.above += [[] for _ in chain[1:-1]]
            found.below += [[] for _ in chain[1:-1]]
            for upper, lower in pairwise(chain):
                found.below[upper].append(lower)
                found.above[lower].append(upper)
            if labelled[e]:
                label = chain[-2] if found.flipped[e] else chain[1]
        found.chains.append(chain)
        found.labels.append(label)
