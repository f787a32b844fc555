"""Labels that would break a page, a terminal or a file."""

from __future__ import annotations

import unicodedata
import xml.etree.ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st
from picture_samples import HOSTILE, SVG, graphs
from test_picture_models import check_mermaid, check_svg

from hotmesh.pictures import (
    Edge,
    Graph,
    Leg,
    LegEdge,
    Node,
    from_legs,
    graph_mermaid,
    graph_svg,
    graph_text,
    timeline_svg,
    timeline_text,
)
from hotmesh.pictures.words import clean, columns, wrap
from hotmesh.pictures.words import width as text_width

ANYTHING = st.text(st.characters(), max_size=60)


def hostile_graph() -> Graph:
    nodes = tuple(
        Node(id=f"{HOSTILE}{i}", label=HOSTILE, kind=kind, details=(HOSTILE, HOSTILE), note=HOSTILE)
        for i, kind in enumerate(("hook", HOSTILE))
    )
    edge = Edge(source=nodes[0].id, target=nodes[1].id, label=HOSTILE)
    return Graph(title=HOSTILE, nodes=nodes, edges=(edge,), about=(HOSTILE,))


def test_hostile_labels_are_shown_and_never_obeyed() -> None:
    graph = hostile_graph()

    svg, mermaid, text = graph_svg(graph), graph_mermaid(graph), graph_text(graph)

    check_svg(svg, 2, 1)
    check_mermaid(mermaid)
    assert '<script>alert("x")' in "".join(ET.fromstring(svg).itertext())
    assert "#lt;script#gt;alert(#quot;x#quot;)" in mermaid
    for made in (svg, mermaid, text):
        assert_plain(made)


@settings(max_examples=60, deadline=None)
@given(graph=graphs(nodes_max=4, text=ANYTHING))
def test_any_text_is_safe_in_every_format(graph: Graph) -> None:
    svg, mermaid, text = graph_svg(graph), graph_mermaid(graph), graph_text(graph)

    check_svg(svg, len(graph.nodes), len(graph.drawn_edges))
    check_mermaid(mermaid)
    for made in (svg, mermaid, text):
        assert_plain(made)
    assert all(columns(line) <= 80 for line in text.split("\n"))


@settings(max_examples=60, deadline=None)
@given(name=ANYTHING, kind=ANYTHING, dimension=ANYTHING, error=ANYTHING)
def test_any_run_is_safe_in_every_format(name: str, kind: str, dimension: str, error: str) -> None:
    legs = [Leg(activity=name, type=kind, dimension=dimension, error=error), Leg(activity="b")]
    edges = [LegEdge(source=name, target="b")]

    svg, text = timeline_svg(legs, title=name, about=(kind,)), timeline_text(legs)

    ET.fromstring(svg)
    ET.fromstring(graph_svg(from_legs(legs, edges, title=name, about=(kind,))))
    assert_plain(svg)
    assert_plain(text)
    assert all(columns(line) <= 80 for line in text.split("\n"))


def assert_plain(made: str) -> None:
    made.encode()  # no halves of surrogate pairs
    strange = {c for c in made if unicodedata.category(c) in ("Cc", "Cs", "Cn") and c != "\n"}
    assert not strange
    assert not set(made) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068")


def test_what_was_cut_is_whole_in_the_tooltip() -> None:
    label = "a_name.that_never.ends" * 6
    graph = Graph(title="t", nodes=(Node(id="a", label=label, kind="worker"),))

    root = ET.fromstring(graph_svg(graph))

    shown = ["".join(e.itertext()) for e in root.iter(f"{SVG}text")]
    assert label not in "".join(shown)
    assert any("…" in words for words in shown)
    assert any(label in (e.text or "") for e in root.iter(f"{SVG}title"))


@given(text=ANYTHING, room=st.floats(20, 300), lines=st.integers(1, 4))
def test_wrapped_text_fits_and_loses_nothing_but_its_end(
    text: str, room: float, lines: int
) -> None:
    text = clean(text)

    found = wrap(text, room, 11, lines_max=lines)

    assert len(found) <= lines
    assert all(text_width(line, 11) <= room or len(line) <= 1 for line in found)
    joined = "".join("".join(found).split())
    assert joined.endswith("…") or joined == "".join(text.split())
