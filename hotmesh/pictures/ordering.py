"""The order of the vertices within each layer: few crossings, and the author's order where there
are none.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from hotmesh.pictures.layers import Layered

SWEEPS_MAX = 24
PATIENCE = 4
"""Sweeps without a gain before it is given up."""
SWAPS_MAX = 3_000
"""Graphs of more vertices are swept only; swapping neighbours is for those that people look at."""

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
    return best


def crossings(graph: Layered, order: Order) -> int:
    """How many pairs of edges cross."""
    count = 0
    for upper, lower in zip(order, order[1:], strict=False):
        place = {v: i for i, v in enumerate(lower)}
        seen: list[int] = []
        for v in upper:
            ends = sorted(place[b] for b in graph.below[v])
            count += sum(len(seen) - bisect_left(seen, end + 1) for end in ends)
            for end in ends:
                insort(seen, end)
    return count


def _walk(graph: Layered) -> Order:
    order: Order = [[] for _ in range(max(graph.rank, default=-1) + 1)]
    seen = [False] * len(graph.rank)
    # What nothing leads to and that leads on (the topic of a hook) joins when its target does.
    for root in range(graph.nodes):
        if graph.above[root] or (_has_parents(graph, root) and not seen[root]):
            continue
        stack = [root]
        while stack:
            v = stack.pop()
            if seen[v]:
                continue
            seen[v] = True
            order[graph.rank[v]].append(v)
            stack += reversed(graph.below[v])
            stack += (a for a in graph.above[v] if not graph.above[a] and not seen[a])
    for v in range(len(graph.rank)):
        if not seen[v]:
            order[graph.rank[v]].append(v)
    return order


def _has_parents(graph: Layered, root: int) -> bool:
    """Whether a root hangs off a vertex that something else leads to as well."""
    return any(len(graph.above[b]) > 1 for b in graph.below[root]) and root > 0


def _swept(graph: Layered, order: Order, *, down: bool) -> Order:
    """Each layer sorted by where the neighbours are in the layer before."""
    order = [list(layer) for layer in order]
    near = graph.above if down else graph.below
    place = [0] * len(graph.rank)
    for layer in order:
        for i, v in enumerate(layer):
            place[v] = i
    for layer in order if down else reversed(order):
        key = {
            v: sum(place[u] for u in near[v]) / len(near[v]) if near[v] else float(place[v])
            for v in layer
        }
        layer.sort(key=key.__getitem__)
        for i, v in enumerate(layer):
            place[v] = i
    return order


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
