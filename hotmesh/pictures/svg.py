"""Graphs as SVG: one file, no scripts, no references to anything outside, light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from hotmesh.pictures.graph import KINDS, Edge, Graph
from hotmesh.pictures.layout import Box, Direction, Layout, Link, Point, Route, Size, layout
from hotmesh.pictures.legend import Key, legend_svg
from hotmesh.pictures.shapes import Face, face_of, node_svg
from hotmesh.pictures.style import (
    DETAIL_SIZE,
    MARGIN,
    STATE_PAINT,
    TITLE_SIZE,
    document,
    num,
    style_sheet,
    text,
    title,
)
from hotmesh.pictures.words import BOLD, balance, clip, width

Facing: TypeAlias = Literal["auto", "down", "right"]

PAGE = Size(1000.0, 1500.0)
"""What `auto` tries to fit a drawing into, by turning it if need be."""
EDGE_ROOM, EDGE_LINES = 150.0, 3
LEADING = 13.0
HEAD_LENGTH, HEAD_HALF = 8.0, 4.0
HEADING, ABOUT = 30.0, 18.0
GRAPHS_GAP = 44.0
TITLE_ROOM = 560.0


def graph_svg(graphs: Graph | Sequence[Graph], *, direction: Facing = "auto") -> str:
    """Graphs as one SVG, below each other, with one legend.

    Args:
        direction: Where the transitions point to. `auto` is down, unless a graph is far too wide
            for a page and would fit better on its side.
    """
    graphs = [graphs] if isinstance(graphs, Graph) else list(graphs)
    # What is said of all graphs (the app) is said once.
    said = set(graphs[0].about) if graphs else set()
    for index, graph in enumerate(graphs[1:], 1):
        about = tuple(line for line in graph.about if line not in said)
        graphs[index] = msgspec.structs.replace(graph, about=about)
    drawings = [_drawn(graph, direction) for graph in graphs]
    key = _key(graphs)
    room = max([_room(d) for d in drawings] + [320.0])
    body: list[str] = []
    y = MARGIN
    for drawing in drawings:
        body += _graph(drawing, y, room)
        y += _head(drawing.graph) + drawing.layout.height + GRAPHS_GAP
    legend, tall = legend_svg(key, MARGIN, y - GRAPHS_GAP + MARGIN, room)
    sheet = style_sheet(key.kinds, (*key.states, "idle"))
    name = ", ".join(g.title for g in graphs) or "nothing"
    height = y - GRAPHS_GAP + MARGIN + tall + MARGIN / 2
    return document(room + 2 * MARGIN, height, name, sheet, [*body, *legend])


class _Drawing(Struct, frozen=True):
    graph: Graph
    faces: dict[str, Face]
    labels: tuple[tuple[str, ...], ...]
    layout: Layout


def _drawn(graph: Graph, direction: Facing) -> _Drawing:
    faces = {node.id: face_of(node) for node in graph.nodes}
    edges = graph.drawn_edges
    labels = tuple(balance(e.label, EDGE_ROOM, DETAIL_SIZE, lines_max=EDGE_LINES) for e in edges)
    links = [
        Link(
            source=e.source,
            target=e.target,
            label=_label_size(lines) if lines else None,
            weak=e.kind != "flow",
        )
        for e, lines in zip(edges, labels, strict=True)
    ]
    sizes = {name: face.size for name, face in faces.items()}
    found = layout(sizes, links, direction="right" if direction == "right" else "down")
    if direction == "auto" and found.width > PAGE.width and found.width > 1.5 * found.height:
        aside = layout(sizes, links, direction="right")
        if _excess(aside) < _excess(found):
            found = aside
    return _Drawing(graph, faces, labels, found)


def _excess(found: Layout) -> float:
    return max(found.width / PAGE.width, found.height / PAGE.height)


def _label_size(lines: tuple[str, ...]) -> Size:
    return Size(max(width(line, DETAIL_SIZE) for line in lines) + 8, len(lines) * LEADING + 4)


def _room(drawing: _Drawing) -> float:
    graph = drawing.graph
    heading = min(width(graph.title, TITLE_SIZE) * BOLD, TITLE_ROOM)
    about = min(width(" · ".join(graph.about), DETAIL_SIZE), TITLE_ROOM)
    return max(drawing.layout.width, heading, about)


def _head(graph: Graph) -> float:
    return HEADING + (ABOUT if graph.about else 0.0)


def _graph(drawing: _Drawing, top: float, room: float) -> Iterator[str]:
    graph, found = drawing.graph, drawing.layout
    yield "<g>"
    yield text(
        MARGIN,
        top + TITLE_SIZE - 2,
        clip(graph.title, room / BOLD, TITLE_SIZE),
        names="title",
        anchor="start",
    )
    if graph.about:
        about = clip(" · ".join(graph.about), room, DETAIL_SIZE)
        yield text(MARGIN, top + TITLE_SIZE + 15, about, names="soft", anchor="start")
    x = MARGIN + (room - found.width) / 2
    yield f'<g transform="translate({num(x)} {num(top + _head(graph))})">'
    edges = list(zip(graph.drawn_edges, found.routes, drawing.labels, strict=True))
    # What was not taken lies below what was, and all lines below all labels.
    for edge, route, _ in sorted(edges, key=lambda e: e[0].taken is True):
        yield from _edge(edge, route, found.direction)
    for edge, route, lines in edges:
        if route.label is not None:
            yield from _label(edge, route.label, lines)
    for node in graph.nodes:
        yield from node_svg(node, drawing.faces[node.id], found.boxes[node.id])
    yield "</g></g>"


def _edge(edge: Edge, route: Route, direction: Direction) -> Iterator[str]:
    css = ["edge"]
    if edge.kind != "flow":
        css.append("dashed" if edge.kind == "cycle" else "dotted")
    if edge.taken:
        css.append("taken")
    path, head = _curve(route.points, direction, is_loop=edge.source == edge.target)
    off = ' class="off"' if edge.taken is False else ""
    # A loop has no room for its label elsewhere.
    name = title(edge.label) if edge.label and route.label is None else ""
    yield f'<g{off}>{name}<path class="{" ".join(css)}" d="{path}"/>'
    yield f'<path class="head" d="{head}"/></g>'


def _curve(points: Sequence[Point], direction: Direction, *, is_loop: bool) -> tuple[str, str]:
    """The line and its head. The line ends where the head begins."""
    upright = (direction == "down") != is_loop
    before, end = points[-2], points[-1]
    if upright:
        sign = 1.0 if end.y >= before.y else -1.0
        neck = Point(end.x, end.y - sign * HEAD_LENGTH)
        wings = [Point(end.x - HEAD_HALF, neck.y), Point(end.x + HEAD_HALF, neck.y)]
    else:
        sign = 1.0 if end.x >= before.x else -1.0
        neck = Point(end.x - sign * HEAD_LENGTH, end.y)
        wings = [Point(neck.x, end.y - HEAD_HALF), Point(neck.x, end.y + HEAD_HALF)]
    line = [*points[:-1], Point(neck.x + (end.x - neck.x) / 2, neck.y + (end.y - neck.y) / 2)]
    path = f"M{_at(line[0])}"
    for a, b in pairwise(line):
        path += _segment(a, b, upright, straight=is_loop)
    return path, f"M{_at(end)}L{_at(wings[0])}L{_at(wings[1])}Z"


def _segment(a: Point, b: Point, upright: bool, *, straight: bool) -> str:
    if straight or abs(a.x - b.x) < 0.5 or abs(a.y - b.y) < 0.5:
        return f"L{_at(b)}"
    if upright:
        middle = (a.y + b.y) / 2
        return f"C{_at(Point(a.x, middle))} {_at(Point(b.x, middle))} {_at(b)}"
    middle = (a.x + b.x) / 2
    return f"C{_at(Point(middle, a.y))} {_at(Point(middle, b.y))} {_at(b)}"


def _at(point: Point) -> str:
    return f"{num(point.x)} {num(point.y)}"


def _label(edge: Edge, box: Box, lines: tuple[str, ...]) -> Iterator[str]:
    yield f"<g{' class=' + chr(34) + 'off' + chr(34) if edge.taken is False else ''}>"
    yield title(edge.label)
    x, y, w, h = map(num, box)
    yield f'<rect class="halo" x="{x}" y="{y}" width="{w}" height="{h}" rx="3"/>'
    at = box.y + 2 - 3
    for line in lines:
        at += LEADING
        yield text(box.centre.x, at, line, names="soft")
    yield "</g>"


def _key(graphs: Iterable[Graph]) -> Key:
    """What the legend explains: kinds, states and lines that occur."""
    nodes = [node for graph in graphs for node in graph.nodes]
    edges = [edge for graph in graphs for edge in graph.drawn_edges]
    kinds = {node.kind if node.kind in KINDS else "worker" for node in nodes}
    states = {node.state for node in nodes}
    return Key(
        kinds=tuple(k for k in KINDS if k in kinds),
        states=tuple(s for s in STATE_PAINT if s in states),
        lines=tuple(k for k in ("cycle", "call", "signal") if any(e.kind == k for e in edges)),
        taken=any(e.taken is True for e in edges) and any(e.taken is False for e in edges),
    )
