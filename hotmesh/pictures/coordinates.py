"""Where the vertices of a layer lie: as near to their neighbours as their widths let them.

Each layer by itself is an isotonic regression (least squares under "x[i+1] - x[i] >= gap"), which
pooling adjacent violators solves exactly in one pass; sweeps over the layers make it a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from hotmesh.pictures.layers import Layered

SWEEPS = 12
SWEEPS_LARGE, LARGE = 4, 8_000
_BOTH_ENDS, _ONE_END, _NO_END = 8.0, 2.0, 1.0
"""How much an edge pulls by how many of its ends are dummies: long edges should be straight."""
_LOOSE = 0.01
"""The weight of a vertex that has no neighbour on the side that is looked at, and how much a
light one pulls: the transitions should be straight.
"""


def placed(
    graph: Layered, order: Sequence[Sequence[int]], width: Sequence[float], gap: float
) -> list[float]:
    """The centre of every vertex, none closer to its neighbour in the layer than `gap`."""
    x = [0.0] * len(width)
    for layer in order:
        _set(x, layer, _packed(layer, [0.0] * len(layer), [1.0] * len(layer), width, gap))
    sweeps = SWEEPS if len(width) < LARGE else SWEEPS_LARGE
    for sweep in range(sweeps):
        down = sweep % 2 == 0
        for layer in order if down else reversed(order):
            _settle(graph, layer, x, width, gap, sides=(down, not down))
    for _ in range(2):
        for layer in order:
            _settle(graph, layer, x, width, gap, sides=(True, True))
    left = min((x[v] - width[v] / 2 for layer in order for v in layer), default=0.0)
    return [at - left for at in x]


def _settle(
    graph: Layered,
    layer: Sequence[int],
    x: list[float],
    width: Sequence[float],
    gap: float,
    *,
    sides: tuple[bool, bool],
) -> None:
    """Place one layer by its neighbours above, below, or both."""
    nodes = graph.nodes
    wanted, weights = [], []
    for v in layer:
        total = moment = 0.0
        for near in [n for n, used in zip((graph.above, graph.below), sides, strict=True) if used]:
            for u in near[v]:
                pull = (_NO_END, _ONE_END, _BOTH_ENDS)[(u >= nodes) + (v >= nodes)]
                if graph.light[u] and not graph.light[v]:
                    pull *= _LOOSE
                total += pull
                moment += pull * x[u]
        wanted.append(moment / total if total else x[v])
        weights.append(total or _LOOSE)
    _set(x, layer, _packed(layer, wanted, weights, width, gap))


def _set(x: list[float], layer: Sequence[int], places: Sequence[float]) -> None:
    for v, place in zip(layer, places, strict=True):
        x[v] = place


def _packed(
    layer: Sequence[int],
    wanted: Sequence[float],
    weights: Sequence[float],
    width: Sequence[float],
    gap: float,
) -> list[float]:
    """The places nearest to the wanted ones that keep the distances."""
    offsets, offset = [], 0.0
    for i, v in enumerate(layer):
        if i:
            offset += (width[layer[i - 1]] + width[v]) / 2 + gap
        offsets.append(offset)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, size
    for want, weight, at in zip(wanted, weights, offsets, strict=True):
        mean, size = want - at, 1
        while blocks and blocks[-1][0] > mean:
            other, heavy, many = blocks.pop()
            mean = (mean * weight + other * heavy) / (weight + heavy)
            weight, size = weight + heavy, size + many
        blocks.append((mean, weight, size))
    means = [mean for mean, _, size in blocks for _ in range(size)]
    return [mean + at for mean, at in zip(means, offsets, strict=True)]
