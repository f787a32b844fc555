"""Where the vertices of a layer lie: as near to their neighbours as their widths let them.

A layer by itself is an isotonic regression under "x[i+1] - x[i] >= gap", which pooling adjacent
violators solves in one pass. Sweeps by least squares spread the whole evenly; sweeps by least
distances, whose answers are medians, then put things exactly below each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from hotmesh.pictures.layers import Layered

SQUARE_SWEEPS, STRAIGHT_SWEEPS, CLOSE_SWEEPS = 8, 12, 6
LARGE, LARGE_SWEEPS = 3_000, 2
"""Graphs of more vertices get so many sweeps of each sort."""
_PULL = (1.0, 2.0, 8.0)
"""How much an edge pulls by how many of its ends are dummies: long edges should be straight."""
_LOOSE = 0.01
"""The weight of a vertex that has no neighbour on the side that is looked at, and of the edges of
light ones: the transitions should be straight first.
"""

Targets = list[tuple[float, float]]
"""Where a vertex would like to be, each with a weight; sorted."""
Best: TypeAlias = Callable[[Targets, float], float]
"""The best place for such targets, given the present one."""


class _Block(NamedTuple):
    """Neighbours in a layer that stand as close as they may; `now` is the sum of their places."""

    place: float
    targets: Targets
    now: float
    size: int


def placed(
    graph: Layered, order: Sequence[Sequence[int]], width: Sequence[float], gap: float
) -> list[float]:
    """The centre of every vertex, none closer to its neighbour in the layer than `gap`."""
    x = [0.0] * len(width)
    rows = [(layer, _offsets(layer, width, gap)) for layer in order]
    for layer, places in rows:
        for v, place in zip(layer, places, strict=True):
            x[v] = place - places[-1] / 2
    most = LARGE_SWEEPS if len(width) > LARGE else max(SQUARE_SWEEPS, STRAIGHT_SWEEPS)
    above, below = [graph.above], [graph.below]
    both = [graph.above, graph.below]
    plan = [(_mean, above, below)] * (min(most, SQUARE_SWEEPS) // 2)
    plan += [(_median, above, below)] * (min(most, STRAIGHT_SWEEPS) // 2)
    # Both sides at once: nothing gets longer, so what has drifted away comes back. The last sweep
    # puts parents over their children again.
    plan += [(_nearest, both, [])] * (min(most, CLOSE_SWEEPS) // 2)
    for best, downwards, upwards in [*plan, (_median, [], below)]:
        for near, way in ((downwards, rows), (upwards, rows[::-1])):
            for layer, places in way if near else ():
                _settle(graph, layer, places, x, near=near, best=best)
    left = min((x[v] - width[v] / 2 for layer in order for v in layer), default=0.0)
    return [at - left for at in x]


def _offsets(layer: Sequence[int], width: Sequence[float], gap: float) -> list[float]:
    """The closest that the vertices of a layer may stand, from the centre of the first."""
    offsets = [0.0]
    for v, w in pairwise(layer):
        offsets.append(offsets[-1] + (width[v] + width[w]) / 2 + gap)
    return offsets[: len(layer)]


def _settle(
    graph: Layered,
    layer: Sequence[int],
    offsets: Sequence[float],
    x: list[float],
    *,
    near: Sequence[Sequence[Sequence[int]]],
    best: Best,
) -> None:
    """Place one layer by its neighbours in others."""
    blocks: list[_Block] = []
    for v, offset in zip(layer, offsets, strict=True):
        now = _present(x, v, near) - offset
        targets = [(x[u] - offset, _pull(graph, u, v)) for side in near for u in side[v]]
        targets = sorted(targets) or [(now, _LOOSE)]
        block = _Block(best(targets, now), targets, now, 1)
        while blocks and blocks[-1].place > block.place:
            before = blocks.pop()
            targets, size = sorted(before.targets + block.targets), before.size + block.size
            now = before.now + block.now
            block = _Block(best(targets, now / size), targets, now, size)
        blocks.append(block)
    places = [block.place for block in blocks for _ in range(block.size)]
    for v, place, offset in zip(layer, places, offsets, strict=True):
        x[v] = place + offset


def _present(x: Sequence[float], v: int, near: Sequence[Sequence[Sequence[int]]]) -> float:
    """Where a vertex is; when it looks both ways, where those above would have it."""
    above = near[0][v]
    return sum(x[u] for u in above) / len(above) if len(near) > 1 and above else x[v]


def _pull(graph: Layered, u: int, v: int) -> float:
    pull = _PULL[(u >= graph.nodes) + (v >= graph.nodes)]
    return pull * _LOOSE if graph.light[u] or graph.light[v] else pull


def _mean(targets: Targets, now: float) -> float:
    if len(targets) == 1:
        return targets[0][0]
    return sum(at * weight for at, weight in targets) / sum(weight for _, weight in targets)


def _median(targets: Targets, now: float) -> float:
    """The weighted median; between two that serve as well their middle."""
    low, high = _medians(targets)
    return (low + high) / 2


def _nearest(targets: Targets, now: float) -> float:
    """The weighted median; between two that serve as well the present place."""
    low, high = _medians(targets)
    return min(max(now, low), high)


def _medians(targets: Targets) -> tuple[float, float]:
    if len(targets) == 1:
        return targets[0][0], targets[0][0]
    half, below = sum(weight for _, weight in targets) / 2, 0.0
    for index, (at, weight) in enumerate(targets):
        below += weight
        if below > half * (1 + 1e-9):
            return at, at
        if below >= half * (1 - 1e-9):
            return at, targets[min(index + 1, len(targets) - 1)][0]
    return targets[-1][0], targets[-1][0]
