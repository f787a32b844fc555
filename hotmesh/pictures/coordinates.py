"""Where the vertices of a layer lie: as near to their neighbours as their widths let them.

A layer by itself is an isotonic regression under "x[i+1] - x[i] >= gap", which pooling adjacent
violators solves in one pass. Sweeps by least squares spread the whole evenly; sweeps by least
distances, whose answers are medians, then put things exactly below each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from hotmesh.pictures.layers import Layered

SQUARE_SWEEPS, STRAIGHT_SWEEPS = 8, 16
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


class _Block(NamedTuple):
    """Neighbours in a layer that stand as close as they may."""

    place: float
    targets: Targets
    size: int


def placed(
    graph: Layered, order: Sequence[Sequence[int]], width: Sequence[float], gap: float
) -> list[float]:
    """The centre of every vertex, none closer to its neighbour in the layer than `gap`."""
    x = [0.0] * len(width)
    offsets = [_offsets(layer, width, gap) for layer in order]
    for layer, places in zip(order, offsets, strict=True):
        for v, place in zip(layer, places, strict=True):
            x[v] = place - places[-1] / 2
    is_large = len(width) > LARGE
    for best, sweeps in ((_mean, SQUARE_SWEEPS), (_median, STRAIGHT_SWEEPS)):
        rows = list(zip(order, offsets, strict=True))
        for sweep in range(LARGE_SWEEPS if is_large else sweeps):
            down = sweep % 2 == 0
            for layer, places in rows if down else reversed(rows):
                _settle(
                    graph, layer, places, x, near=graph.above if down else graph.below, best=best
                )
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
    near: Sequence[Sequence[int]],
    best: Callable[[Targets], float],
) -> None:
    """Place one layer by its neighbours in another."""
    blocks: list[_Block] = []
    for v, offset in zip(layer, offsets, strict=True):
        targets = [(x[u] - offset, _pull(graph, u, v)) for u in near[v]]
        targets = sorted(targets) or [(x[v] - offset, _LOOSE)]
        block = _Block(best(targets) if len(targets) > 1 else targets[0][0], targets, 1)
        while blocks and blocks[-1].place > block.place:
            before = blocks.pop()
            targets = sorted(before.targets + block.targets)
            block = _Block(best(targets), targets, before.size + block.size)
        blocks.append(block)
    places = [block.place for block in blocks for _ in range(block.size)]
    for v, place, offset in zip(layer, places, offsets, strict=True):
        x[v] = place + offset


def _pull(graph: Layered, u: int, v: int) -> float:
    pull = _PULL[(u >= graph.nodes) + (v >= graph.nodes)]
    return pull * _LOOSE if graph.light[u] or graph.light[v] else pull


def _mean(targets: Targets) -> float:
    return sum(at * weight for at, weight in targets) / sum(weight for _, weight in targets)


def _median(targets: Targets) -> float:
    """The weighted median; between two that serve as well their middle."""
    half, below = sum(weight for _, weight in targets) / 2, 0.0
    for index, (at, weight) in enumerate(targets):
        below += weight
        if below > half * (1 + 1e-9):
            return at
        if below >= half * (1 - 1e-9):
            return (at + targets[min(index + 1, len(targets) - 1)][0]) / 2
    return targets[-1][0]
