"""What the tests of pictures draw: the conformance models, the bakery of the how-to page and its
run, and graphs made up by hypothesis.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec
from hypothesis import strategies as st

from hotmesh.compiler import compile_model
from hotmesh.errors import ModelInvalid
from hotmesh.pictures import Edge, Graph, Leg, LegEdge, Node, from_plan

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
MODELS = ROOT / "tests" / "conformance" / "models"
PAGE = ROOT / "docs" / "how-to" / "see-a-run.md"
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = (
    "<script>alert(\"x\")</script> & 'q' ]]> `code` *b* #35; \x1b[31m\r\n\x00 \ud800 \ufffe "
    "ünï 日本語 🎂 \u202eabc"
)


class Run(msgspec.Struct, frozen=True):
    """A recorded run."""

    legs: list[Leg]
    edges: list[LegEdge]


@cache
def conformance_graphs(name: str) -> tuple[Graph, ...]:
    return tuple(from_plan(compile_model(str(MODELS / f"{name}.yaml")).plan))


@cache
def drawable_models() -> tuple[str, ...]:
    """The conformance models that are no examples of a fault."""
    names = []
    for path in sorted(MODELS.glob("*.yaml")):
        try:
            conformance_graphs(path.stem)
        except ModelInvalid:
            continue
        names.append(path.stem)
    return tuple(names)


@cache
def bakery() -> Graph:
    """The model of the how-to page."""
    block = re.search(r'```yaml title="bakery.yaml"\n(.*?)```', PAGE.read_text(), re.S)
    assert block is not None
    return from_plan(compile_model(block[1]).plan)[0]


@cache
def bakery_run() -> Run:
    """The run of the how-to page, as `mesh.export` gave it."""
    return msgspec.json.decode((HERE / "bakery_run.json").read_bytes(), type=Run)


def graphs(
    *, nodes_max: int = 12, text: st.SearchStrategy[str] | None = None
) -> st.SearchStrategy[Graph]:
    """Any graphs, with cycles, loops, several edges between two nodes, and parts."""
    words = (
        text
        if text is not None
        else st.sampled_from(["", "a", "code 422", "when x = y", "long " * 30])
    )
    kinds = st.sampled_from(
        [
            "trigger",
            "worker",
            "await",
            "hook",
            "cycle",
            "signal",
            "interrupt",
            "topic",
            "graph",
            "?",
        ]
    )

    @st.composite
    def build(draw: st.DrawFn) -> Graph:
        count = draw(st.integers(0, nodes_max))
        nodes = tuple(
            Node(
                id=f"n{i}",
                label=draw(words),
                kind=draw(kinds),
                details=tuple(draw(st.lists(words, max_size=2))),
                state=draw(st.sampled_from(["", "done", "open", "failed", "waiting", "idle"])),
                note=draw(words),
            )
            for i in range(count)
        )
        ends = st.sampled_from([n.id for n in nodes] or ["nothing"])
        edges = draw(
            st.lists(
                st.builds(
                    Edge,
                    source=ends,
                    target=ends,
                    label=words,
                    kind=st.sampled_from(["flow", "flow", "flow", "cycle", "call", "signal"]),
                    taken=st.sampled_from([None, True, False]),
                ),
                max_size=2 * nodes_max,
            )
        )
        return Graph(title=draw(words), nodes=nodes, edges=tuple(edges), about=(draw(words),))

    return build()


class Rectangle(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float


def overlap(a: Rectangle, b: Rectangle, slack: float = 0.15) -> bool:
    """Whether two rectangles share more than their rim; coordinates are rounded to tenths."""
    return (
        a.left < b.right - slack
        and b.left < a.right - slack
        and a.top < b.bottom - slack
        and b.top < a.bottom - slack
    )


def overlaps(rectangles: list[Rectangle]) -> list[tuple[Rectangle, Rectangle]]:
    return [(a, b) for i, a in enumerate(rectangles) for b in rectangles[:i] if overlap(a, b)]


def outlines(
    svg: str, names: tuple[str, ...] = ("box", "halo")
) -> Iterator[tuple[Rectangle, ET.Element]]:
    """Every outline of a class in a drawing, in the coordinates of the file, with its group."""
    yield from _outlines(ET.fromstring(svg), 0.0, 0.0, names)


def _outlines(
    element: ET.Element, x: float, y: float, names: tuple[str, ...]
) -> Iterator[tuple[Rectangle, ET.Element]]:
    if moved := re.fullmatch(r"translate\((\S+) (\S+)\)", element.get("transform", "")):
        x, y = x + float(moved[1]), y + float(moved[2])
    shapes = [e for e in element if set(e.get("class", "").split()) & set(names)]
    # Below the nodes of a drawing: its legend has shapes as well, all in one group.
    if shapes and element.find(f"{SVG}title") is not None:
        found = extent_of(element, names)
        yield (
            Rectangle(x + found.left, y + found.top, x + found.right, y + found.bottom),
            element,
        )
    for child in element:
        yield from _outlines(child, x, y, names)


def extent_of(group: ET.Element, names: tuple[str, ...] = ("box",)) -> Rectangle:
    """What the outlines of a class in a group take up, in the group's own coordinates."""
    found = [_extent(e) for e in group if set(e.get("class", "").split()) & set(names)]
    return Rectangle(
        min(r.left for r in found),
        min(r.top for r in found),
        max(r.right for r in found),
        max(r.bottom for r in found),
    )


def _extent(shape: ET.Element) -> Rectangle:
    if shape.tag == f"{SVG}rect":
        x, y, w, h = (float(shape.get(name, "0")) for name in ("x", "y", "width", "height"))
        return Rectangle(x, y, x + w, y + h)
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", shape.get("d", ""))]
    return Rectangle(min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2]))
