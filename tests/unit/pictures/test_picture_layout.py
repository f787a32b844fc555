"""The layout by itself: rectangles and routes, without any text."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_samples import Rectangle, overlap, overlaps

from hotmesh.pictures.layers import layered
from hotmesh.pictures.layout import Box, Layout, Link, Size, layout
from hotmesh.pictures.ordering import crossings, ordered

DIRECTIONS = st.sampled_from(["down", "right"])


@st.composite
def drawings(draw: st.DrawFn) -> tuple[dict[str, Size], list[Link]]:
    count = draw(st.integers(1, 14))
    side = st.integers(8, 200)
    sizes = {f"n{i}": Size(draw(side), draw(side)) for i in range(count)}
    ends = st.sampled_from(list(sizes))
    label = st.none() | st.builds(Size, side, st.integers(8, 60))
    link = st.builds(Link, source=ends, target=ends, label=label, weak=st.booleans())
    return sizes, draw(st.lists(link, max_size=24))


def rectangle(box: Box) -> Rectangle:
    return Rectangle(box.x, box.y, box.x + box.width, box.y + box.height)


def boxes_of(found: Layout) -> list[Rectangle]:
    labels = [route.label for route in found.routes if route.label is not None]
    return [rectangle(box) for box in (*found.boxes.values(), *labels)]


@settings(max_examples=150, deadline=None)
@given(drawing=drawings(), direction=DIRECTIONS)
def test_no_box_and_no_label_lies_on_another_or_outside(drawing, direction) -> None:
    sizes, links = drawing

    found = layout(sizes, links, direction=direction)

    boxes = boxes_of(found)
    assert not overlaps(boxes)
    assert list(found.boxes) == list(sizes)
    assert all((b.width, b.height) == pytest.approx(sizes[n]) for n, b in found.boxes.items())
    assert all(
        b.left >= -0.01
        and b.top >= -0.01
        and b.right <= found.width + 0.01
        and b.bottom <= found.height + 0.01
        for b in boxes
    )


@settings(max_examples=150, deadline=None)
@given(drawing=drawings(), direction=DIRECTIONS)
def test_every_edge_runs_from_its_source_to_its_target_and_through_no_other_box(
    drawing, direction
) -> None:
    sizes, links = drawing

    found = layout(sizes, links, direction=direction)

    assert len(found.routes) == len(links)
    for link, route in zip(links, found.routes, strict=True):
        assert (route.label is None) == (link.label is None or link.source == link.target)
        first, last = rectangle(found.boxes[link.source]), rectangle(found.boxes[link.target])
        assert on_rim(route.points[0], first)
        assert on_rim(route.points[-1], last)
        others = [
            rectangle(box)
            for name, box in found.boxes.items()
            if name not in (link.source, link.target)
        ]
        for a, b in pairwise(route.points):
            # A curve never leaves the rectangle of its ends.
            reach = Rectangle(min(a.x, b.x), min(a.y, b.y), max(a.x, b.x), max(a.y, b.y))
            wide = Rectangle(reach.left - 1, reach.top - 1, reach.right + 1, reach.bottom + 1)
            assert not [box for box in others if overlap(wide, box, slack=1.2)]


def on_rim(point, box: Rectangle) -> bool:
    inside = box.left - 0.01 <= point.x <= box.right + 0.01
    inside = inside and box.top - 0.01 <= point.y <= box.bottom + 0.01
    sides = (point.x - box.left, point.x - box.right, point.y - box.top, point.y - box.bottom)
    return inside and any(abs(side) < 0.01 for side in sides)


@settings(max_examples=50, deadline=None)
@given(drawing=drawings())
def test_the_same_graph_gives_the_same_drawing(drawing) -> None:
    sizes, links = drawing

    assert layout(sizes, links) == layout(dict(sizes), list(links))


@settings(max_examples=50, deadline=None)
@given(parents=st.lists(st.integers(0, 40), min_size=1, max_size=40))
def test_a_tree_keeps_the_order_of_its_author_and_has_no_crossings(parents: list[int]) -> None:
    edges = [(parent % (i + 1), i + 1) for i, parent in enumerate(parents)]
    graph = layered(len(edges) + 1, edges, [False] * len(edges), [False] * len(edges))

    order = ordered(graph)

    assert crossings(graph, order) == 0
    place = {v: i for layer in order for i, v in enumerate(layer)}
    siblings = [(a, b) for a, b in pairwise(sorted(edges)) if a[0] == b[0]]
    assert all(place[a[1]] < place[b[1]] for a, b in siblings)


def test_edges_point_down_but_for_those_that_close_a_circle() -> None:
    sizes = {name: Size(60, 30) for name in ("start", "pivot", "work", "again", "topic")}
    flow = [("start", "pivot"), ("pivot", "work"), ("work", "again")]
    links = [Link(source=a, target=b) for a, b in flow]
    links += [Link(source="again", target="pivot", weak=True)]
    links += [Link(source="topic", target="pivot", weak=True)]

    boxes = layout(sizes, links).boxes

    heights = [boxes[name].y for name in ("start", "pivot", "work", "again")]
    assert heights == sorted(heights)
    assert boxes["topic"].y == boxes["start"].y, "a topic stands right above its hook"


def test_a_chain_is_one_straight_line_whatever_stands_beside_it() -> None:
    sizes = {f"c{i}": Size(40 + 30 * (i % 3), 30) for i in range(8)} | {"leaf": Size(300, 30)}
    links = [Link(source=f"c{i}", target=f"c{i + 1}") for i in range(7)]
    links += [
        Link(source="c6", target="c1", weak=True),
        Link(source="c0", target="leaf", weak=True),
    ]

    boxes = layout(sizes, links).boxes

    centres = {round(boxes[f"c{i}"].centre.x, 3) for i in range(8)}
    assert len(centres) == 1


def test_parts_that_have_nothing_to_do_with_each_other_stand_side_by_side() -> None:
    sizes = {name: Size(50, 20) for name in "abcd"}
    links = [Link(source="a", target="c"), Link(source="b", target="d")]

    boxes = layout(sizes, links).boxes

    assert boxes["a"].x == boxes["c"].x < boxes["b"].x == boxes["d"].x


def test_a_thousand_activities_take_a_second_or_two() -> None:
    sizes = {f"n{i}": Size(120, 50) for i in range(1000)}
    links = [Link(source=f"n{(i * 7919) % max(1, i)}", target=f"n{i}") for i in range(1, 1000)]
    links += [Link(source=f"n{i}", target=f"n{i // 3}", weak=True) for i in range(100, 1000, 50)]
    links += [Link(source=f"n{i}", target=f"n{i + 5}") for i in range(0, 900, 30)]
    began = time.process_time()

    found = layout(sizes, links)

    assert time.process_time() - began < 6  # a third of that on the author's machine
    assert not overlaps(boxes_of(found)[:300])


def test_a_thicket_is_bounded() -> None:
    count = 500
    sizes = {f"n{i}": Size(40, 20) for i in range(count)}
    links = [Link(source=f"n{i}", target=f"n{i + 1}") for i in range(count - 1)]
    links += [Link(source=f"n{i}", target=f"n{count - 1}") for i in range(count - 2)]
    began = time.process_time()

    found = layout(sizes, links)

    assert time.process_time() - began < 20
    assert len(found.routes) == len(links)
