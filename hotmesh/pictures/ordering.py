"""The order of the vertices within each layer: few crossings, and the author's order where there
are none.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from itertools import pairwise

from hotmesh.pictures.layers import Layered

SWEEPS_MAX = 24
PATIENCE = 4
"""Sweeps without a gain before it is given up."""
SWAPS_MAX = 3_000
"""Graphs of more vertices are swept only; swapping neighbours is for those that people look at."""

SIFTED_MAX = 500
"""The same for moving whole edges to a side."""

Order = list[list[int]]


def ordered(graph: Layered) -> Order:
    """The vertices of each layer, from left to right.

    A depth-first walk gives the first order: a tree has no crossings then and keeps its author's
    order. Barycentre sweeps and swaps of neighbours improve on that only where edges cross.
    """
    best = _walk(graph)
    least = crossings(graph, best)
    order, idle, patience = best, 0, PATIENCE if len(graph.rank) < SWAPS_MAX else 2
    for sweep in range(SWEEPS_MAX):
        if not least or idle >= patience:
            break
        order = _swept(graph, order, down=sweep % 2 == 0)
        if len(graph.rank) < SWAPS_MAX:
            _swap(graph, order)
        count = crossings(graph, order)
        idle += 1
        if count < least:
            best, least, idle = order, count, 0
    return _sifted(graph, best, least)


def crossings(graph: Layered, order: Order) -> int:
    """How many pairs of edges cross."""
    count = 0
    for upper, lower in pairwise(order):
        place = {v: i for i, v in enumerate(lower)}
        seen: list[int] = []
        for v in upper:
            ends = [place[b] for b in graph.below[v]]
            for end in ends:
                count += len(seen) - bisect_right(seen, end)
            for end in ends:
                insort(seen, end)
    return count


def _sifted(graph: Layered, order: Order, least: int) -> Order:
    """Long edges moved to the left or right of everything, where that saves crossings.

    Sorting layer by layer never finds this: half of such a move is worse than none.
    """
    if not least or len(graph.rank) > SIFTED_MAX:
        return order
    for chain in graph.chains:
        inner = set(chain[1:-1])
        if not inner:
            continue
        rest = [[v for v in layer if v not in inner] for layer in order]
        own = [[v for v in layer if v in inner] for layer in order]
        for tried in (
            [a + b for a, b in zip(own, rest, strict=True)],
            [b + a for a, b in zip(own, rest, strict=True)],
        ):
            count = crossings(graph, tried)
            if count < least:
                order, least = tried, count
    return order


def _walk(graph: Layered) -> Order:
    order: Order = [[] for _ in range(max(graph.rank, default=-1) + 1)]
    seen = [False] * len(graph.rank)
    roots = [v for v in range(graph.nodes) if not graph.above[v]]
    # What only joins others on their way (the topic of a hook) comes along with what it leads to.
    roots.sort(key=lambda v: bool(graph.below[v]) and not _leads_alone(graph, v))
    for root in roots:
        stack = [root]
        while stack:
            v = stack.pop()
            if seen[v]:
                continue
            seen[v] = True
            order[graph.rank[v]].append(v)
            stack += reversed(graph.below[v])
            stack += _sources(graph, v) if v < graph.nodes else ()
    return order


def _leads_alone(graph: Layered, root: int) -> bool:
    ends = (_end(graph, graph.below, b) for b in graph.below[root])
    return any(len(graph.above[end]) == 1 for end in ends)


def _sources(graph: Layered, vertex: int) -> list[int]:
    """The nodes that lead to a vertex and to which none lead."""
    ends = (_end(graph, graph.above, a) for a in graph.above[vertex])
    return [end for end in ends if not graph.above[end]]


def _end(graph: Layered, near: list[list[int]], vertex: int) -> int:
    """The node at the end of a chain of dummies, each of which has one neighbour on either side."""
    while vertex >= graph.nodes:
        vertex = near[vertex][0]
    return vertex


def _swept(graph: Layered, order: Order, *, down: bool) -> Order:
    """Each layer sorted by where the neighbours are in the layer before."""
    order = [list(layer) for layer in order]
    near = graph.above if down else graph.below
    place = [0] * len(graph.rank)
    for layer in order:
        for i, v in enumerate(layer):
            place[v] = i
    for layer in order if down else reversed(order):
        layer.sort(key=lambda v: _mean_place(near[v], place, v))
        for i, v in enumerate(layer):
            place[v] = i
    return order


def _mean_place(near: list[int], place: list[int], vertex: int) -> float:
    if len(near) == 1:  # as of every dummy
        return place[near[0]]
    return sum(place[u] for u in near) / len(near) if near else place[vertex]


def _swap(graph: Layered, order: Order) -> None:
    """Swap neighbours while that saves crossings."""
    place = [0] * len(graph.rank)
    for layer in order:
        for i, v in enumerate(layer):
            place[v] = i
    for layer in order:
        for _ in range(len(layer)):
            gained = False
            for i in range(len(layer) - 1):
                v, w = layer[i], layer[i + 1]
                if _gain(graph, place, v, w) > 0:
                    layer[i], layer[i + 1] = w, v
                    place[v], place[w] = i + 1, i
                    gained = True
            if not gained:
                break


def _gain(graph: Layered, place: list[int], v: int, w: int) -> int:
    """How many crossings it saves to have `w` before `v`."""
    gain = 0
    for near in (graph.above, graph.below):
        for a in near[v]:
            for b in near[w]:
                gain += (place[a] > place[b]) - (place[a] < place[b])
    return gain
