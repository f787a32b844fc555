"""A layered drawing: boxes without overlaps, arrows that mostly point one way.

The method is that of K. Sugiyama, S. Tagawa and M. Toda, "Methods for visual understanding of
hierarchical system structures", IEEE Transactions on Systems, Man, and Cybernetics 11(2), 1981:
turn round the edges that close circles, layer by longest paths (`layers`), order each layer by
barycentres (`ordering`), then place (`coordinates`). The same graph always gives the same drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from hotmesh.pictures.coordinates import placed
from hotmesh.pictures.layers import layered
from hotmesh.pictures.ordering import ordered

Direction: TypeAlias = Literal["down", "right"]

NODE_GAP, NODE_GAP_TURNED = 28.0, 18.0
PARTS_GAP = 40.0
LAYER_GAP = 40.0
LABEL_GAP = 16.0
"""Between a label and the layers beside it."""
SLOPE, SLOPE_MAX = 0.05, 44.0
"""A layer gap grows with the longest way that an edge goes sideways in it, so that no curve is
flat.
"""
LOOP = 12.0
"""How far a loop reaches out of the side of its node; less than a node gap."""


class Size(NamedTuple):
    width: float
    height: float


class Point(NamedTuple):
    x: float
    y: float


class Box(NamedTuple):
    """A rectangle by its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> Point:
        return Point(self.x + self.width / 2, self.y + self.height / 2)


class Link(Struct, frozen=True, kw_only=True):
    """An edge to lay out.

    Attributes:
        label: The size of its label, if it has one.
        weak: It points backwards if that saves another edge from doing so, and leaves the middle
            of its nodes to others.
    """

    source: str
    target: str
    label: Size | None = None
    weak: bool = False


class Route(Struct, frozen=True):
    """The way of one edge, from its source to its target.

    Attributes:
        points: Between two of them the line is straight if it runs along the drawing's direction,
            and else a curve that begins and ends so. A loop has four, on the side of its node.
        label: Where its label is.
    """

    points: tuple[Point, ...]
    label: Box | None = None


class Layout(Struct, frozen=True, kw_only=True):
    """Where everything is: `routes` in the order of the links."""

    width: float
    height: float
    direction: Direction
    boxes: dict[str, Box]
    routes: tuple[Route, ...]


def layout(
    sizes: Mapping[str, Size], links: Sequence[Link], *, direction: Direction = "down"
) -> Layout:
    """Lay out a graph.

    Args:
        sizes: The nodes, in an order that the drawing keeps where it can.
        links: Each must name two of the nodes.
        direction: Where edges point to, `down` or `right`.
    """
    turned = direction == "right"
    boxes: dict[str, Box] = {}
    routes: dict[int, Route] = {}
    across = along = 0.0
    for names, edges in _parts(sizes, links):
        plane = _Plane({n: sizes[n] for n in names}, [links[e] for e in edges], turned=turned)
        across += PARTS_GAP if across else 0.0
        for i, name in enumerate(names):
            boxes[name] = _moved(plane.box(i), across)
        for i, e in enumerate(edges):
            points, label = plane.route(i)
            moved = tuple(Point(x + across, y) for x, y in points)
            routes[e] = Route(moved, None if label is None else _moved(label, across))
        across, along = across + plane.width, max(along, plane.height)
    if turned:
        boxes = {name: _turned(box) for name, box in boxes.items()}
        routes = {e: _turned_route(route) for e, route in routes.items()}
        across, along = along, across
    return Layout(
        width=across,
        height=along,
        direction=direction,
        boxes={name: boxes[name] for name in sizes},
        routes=tuple(routes[e] for e in range(len(links))),
    )


def _parts(sizes: Mapping[str, Size], links: Sequence[Link]) -> list[tuple[list[str], list[int]]]:
    """The connected parts: nodes and edges that have nothing to do with those of the others."""
    root = {name: name for name in sizes}

    def find(name: str) -> str:
        while root[name] != name:
            root[name] = name = root[root[name]]
        return name

    for link in links:
        root[find(link.target)] = find(link.source)
    parts: dict[str, tuple[list[str], list[int]]] = {}
    for name in sizes:
        parts.setdefault(find(name), ([], []))[0].append(name)
    for e, link in enumerate(links):
        parts[find(link.source)][1].append(e)
    return list(parts.values())


def _moved(box: Box, across: float) -> Box:
    return Box(box.x + across, box.y, box.width, box.height)


def _turned_route(route: Route) -> Route:
    points = tuple(Point(y, x) for x, y in route.points)
    return Route(points, None if route.label is None else _turned(route.label))


def _turned(box: Box) -> Box:
    return Box(box.y, box.x, box.height, box.width)


class _Plane:
    """A drawing from top to bottom; one to the right is the same with its sides swapped."""

    def __init__(self, sizes: Mapping[str, Size], links: Sequence[Link], *, turned: bool) -> None:
        index = {name: i for i, name in enumerate(sizes)}
        self.links = links
        self.graph = layered(
            len(sizes),
            [(index[link.source], index[link.target]) for link in links],
            [link.weak for link in links],
            [link.label is not None for link in links],
        )
        spans = [Size(*reversed(size)) if turned else size for size in sizes.values()]
        spans += [Size(0, 0)] * (len(self.graph.rank) - len(spans))
        for e, v in enumerate(self.graph.labels):
            label = links[e].label
            if v >= 0 and label is not None:
                spans[v] = Size(*reversed(label)) if turned else label
        self.spans = spans
        firm = [
            chain
            for chain, link in zip(self.graph.chains, links, strict=True)
            if not link.weak and len(chain) > 1
        ]
        # Nodes whose middle, below and above, belongs to transitions.
        self.leads, self.led = {c[0] for c in firm}, {c[-1] for c in firm}
        order = ordered(self.graph)
        gap = NODE_GAP_TURNED if turned else NODE_GAP
        self.x = placed(self.graph, order, self._widths(), gap)
        self.tops, self.heights = self._rows(order)
        self.width = max((x + s.width / 2 for x, s in zip(self.x, spans, strict=True)), default=0.0)
        if any(link.source == link.target for link in links):
            self.width += LOOP
        self.height = self.tops[-1] + self.heights[-1] if order else 0.0

    def _widths(self) -> list[float]:
        """The room of each vertex: a node has that of the label above it, to stand right below."""
        widths = [span.width for span in self.spans]
        for chain, label in zip(self.graph.chains, self.graph.labels, strict=True):
            if label >= 0 and chain[-2:-1] == [label] and len(self.graph.above[chain[-1]]) == 1:
                widths[chain[-1]] = max(widths[chain[-1]], widths[label])
        return widths

    def _rows(self, order: list[list[int]]) -> tuple[list[float], list[float]]:
        """The upper edge and the height of each layer."""
        heights = [max((self.spans[v].height for v in layer), default=0.0) for layer in order]
        has_nodes = [any(v < self.graph.nodes for v in layer) for layer in order]
        tops, y = [], 0.0
        for rank, layer in enumerate(order):
            tops.append(y)
            y += heights[rank]
            if rank + 1 < len(order):
                aside = max(
                    (abs(self.x[v] - self.x[b]) for v in layer for b in self.graph.below[v]),
                    default=0.0,
                )
                full = has_nodes[rank] and has_nodes[rank + 1]
                empty = min(heights[rank], heights[rank + 1]) == 0
                gap = LAYER_GAP if full else LAYER_GAP / 2 if empty else LABEL_GAP
                y += gap + min(SLOPE_MAX, SLOPE * aside)
        return tops, heights

    def box(self, vertex: int) -> Box:
        width, height = self.spans[vertex]
        rank = self.graph.rank[vertex]
        top = self.tops[rank] + (self.heights[rank] - height) / 2
        return Box(self.x[vertex] - width / 2, top, width, height)

    def route(self, edge: int) -> tuple[list[Point], Box | None]:
        """The points of an edge, from source to target, and the place of its label."""
        chain, label = self.graph.chains[edge], self.graph.labels[edge]
        if len(chain) == 1:
            box = self.box(chain[0])
            side, middle, reach = box.x + box.width, box.centre.y, min(10.0, box.height / 4)
            out = side + LOOP
            points = [
                Point(side, middle - reach),
                Point(out, middle - reach),
                Point(out, middle + reach),
                Point(side, middle + reach),
            ]
        else:
            points = self._line(edge, chain)
        return points, self.box(label) if label >= 0 else None

    def _line(self, edge: int, chain: list[int]) -> list[Point]:
        weak = self.links[edge].weak
        first, last = self.box(chain[0]), self.box(chain[-1])
        start = self._port(chain[0], chain[1], aside=weak and chain[0] in self.leads)
        end = self._port(chain[-1], chain[-2], aside=weak and chain[-1] in self.led)
        rows = [(self.tops[r], self.tops[r] + self.heights[r]) for r in self._ranks(chain)]
        points = [Point(start, first.y + first.height), Point(start, rows[0][1])]
        for vertex, (top, bottom) in zip(chain[1:-1], rows[1:-1], strict=True):
            if weak and top == bottom:
                continue  # nothing is there that it could run into
            points += [Point(self.x[vertex], top), Point(self.x[vertex], bottom)]
        points += [Point(end, rows[-1][0]), Point(end, last.y)]
        points = [p for i, p in enumerate(points) if not i or p != points[i - 1]]
        return points[::-1] if self.graph.flipped[edge] else points

    def _ranks(self, chain: list[int]) -> list[int]:
        return [self.graph.rank[v] for v in chain]

    def _port(self, vertex: int, to: int, *, aside: bool) -> float:
        """Where an edge touches its node: in the middle, or on the side that it comes from."""
        if not aside:
            return self.x[vertex]
        reach = self.spans[vertex].width / 4
        return self.x[vertex] + (reach if self.x[to] >= self.x[vertex] else -reach)
