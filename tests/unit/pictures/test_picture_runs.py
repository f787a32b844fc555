"""Runs: their legs as a graph, on their model, and along time."""

from __future__ import annotations

import ast
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_samples import ROOT, SVG, bakery, bakery_run, outlines, overlaps

import hotmesh.pictures
from hotmesh.pictures import (
    Edge,
    Graph,
    Leg,
    LegEdge,
    Node,
    from_legs,
    graph_svg,
    graph_text,
    on_model,
    timeline_svg,
    timeline_text,
)
from hotmesh.pictures.run import states_of
from hotmesh.pictures.scale import Scale, duration_text
from hotmesh.pictures.words import columns

DAY = 86_400_000


def test_a_leg_is_done_open_waiting_or_failed() -> None:
    legs = [
        Leg(activity="a"),
        Leg(activity="b", code=422),
        Leg(activity="c", error={"message": "no"}),
        Leg(activity="d", state="open", code=0, generations=0),
        Leg(activity="e", type="hook", state="open", code=0, generations=0),
        Leg(activity="f", type="await", state="open", code=0, generations=0),
        Leg(activity="g", type="hook", state="open", code=202, generations=2),
        Leg(activity="h", state="open", code=202, generations=1),
    ]

    assert states_of(legs) == [
        "done", "failed", "failed", "open", "waiting", "waiting", "waiting", "open",
    ]  # fmt: skip


def test_what_a_cycle_may_come_back_to_rests_until_it_does() -> None:
    hook = Leg(activity="wait", type="hook", dimension=",0,1", state="open", generations=2)
    first = Leg(activity="again", type="cycle", dimension=",0,0,0,0")
    second = Leg(activity="again", type="cycle", dimension=",0,1,0,0")

    assert states_of([hook, first])[0] == "done"
    assert states_of([hook, first, second])[0] == "waiting"


def test_legs_become_a_graph_with_the_loop_unrolled() -> None:
    run = bakery_run()

    graph = from_legs(run.legs, run.edges, title="cake.ordered")

    nodes = {n.id: n for n in graph.nodes}
    edges = {(e.source, e.target) for e in graph.edges}
    assert len(nodes) == len(run.legs)
    assert len(edges) == len(run.edges)
    assert all(e.taken for e in graph.edges)
    assert nodes["start,0,1"].details == ()
    assert nodes["start,0,1"].note == "608 ms, 2 turns"
    assert nodes["bake,0,0,0"].note == "304 ms, 1 retry"
    assert nodes["bake,0,1,0"].details == ("dimension 0,1,0",)
    assert nodes["collect,0,0,0"].state == "waiting"
    assert ("start,0,1", "bake,0,1,0") in edges
    assert ("bake,0,1,0", "cool,0,1,0,0") in edges


def test_a_run_colours_its_model() -> None:
    run = bakery_run()

    graph = on_model(bakery(), run.legs, run.edges, about=("the-job",))

    nodes = {n.id: n for n in graph.nodes}
    taken = {(e.source, e.target) for e in graph.edges if e.taken}
    assert graph.about[-1] == "the-job"
    assert (nodes["bake"].state, nodes["bake"].note) == ("done", "2 times")
    assert (nodes["collect"].state, nodes["collect"].note) == ("waiting", "since 1.06 s")
    assert nodes["remind"].state == "idle"
    assert nodes["topic:cake.collected"].state == ""
    assert {("taste", "box"), ("print", "box"), ("again", "start")} <= taken
    assert not {("collect", "remind"), ("topic:cake.collected", "collect")} & taken


def test_an_open_leg_says_how_old_it_is_when_the_time_is_known() -> None:
    leg = Leg(activity="a", state="open", began_ms=1000, changed_ms=1000, code=0, generations=0)

    (node,) = from_legs([leg], [], now_ms=3500).nodes

    assert node.note == "for 2.5 s"


def test_edges_of_legs_that_are_not_there_are_left_out() -> None:
    edges = [LegEdge(source="x", target="a", dimension=",0,0"), LegEdge(source="a", target="y")]

    graph = from_legs([Leg(activity="a", dimension=",0,0")], edges)

    assert graph.edges == ()
    assert (
        Graph(
            title="",
            nodes=(Node(id="a", label="a", kind="hook"),),
            edges=(Edge(source="a", target="b"),),
        ).drawn_edges
        == ()
    )


# -- along time


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1000, "1 s"),
        (1250, "1.25 s"),
        (9_999, "9.99 s"),
        (12_340, "12.3 s"),
        (59_999, "59.9 s"),
        (60_000, "1 min"),
        (125_000, "2 min 5 s"),
        (3_600_000, "1 h"),
        (3_661_000, "1 h 1 min"),
        (DAY + 7_200_000, "1 d 2 h"),
        (1000 * DAY, "1,000 d"),
        (-5, "-5 ms"),
    ],
)
def test_a_duration_in_words(ms: int, words: str) -> None:
    assert duration_text(ms) == words


@st.composite
def spans(draw: st.DrawFn) -> list[tuple[int, int, bool]]:
    length = st.integers(0, 100) | st.integers(0, 3 * DAY)
    made = draw(
        st.lists(st.tuples(st.integers(0, DAY), length, st.booleans()), min_size=1, max_size=9)
    )
    return [(begin, begin + long, busy) for begin, long, busy in made]


@given(made=spans())
def test_the_scale_is_monotonic_and_folds_only_idle_time(made: list[tuple[int, int, bool]]) -> None:
    moments = [ms for begin, end, _ in made for ms in (begin, end)]
    busy = [(begin, end) for begin, end, is_busy in made if is_busy]

    scale = Scale(moments, busy, width=600, fold=60)

    places = [scale.place(ms) for ms in sorted(moments)]
    assert places == sorted(places)
    assert places[0] == 0
    assert all(0 <= place <= 600.001 for place in places)
    assert scale.pieces[-1].right == pytest.approx(600)
    for piece in scale.pieces:
        assert piece.right > piece.left
        if piece.folded:
            assert not [b for b in busy if b[0] < piece.end_ms and piece.begin_ms < b[1]]
    ticks = list(scale.ticks(50))
    assert all(b - a >= 24.9 for (a, _), (b, _) in pairwise(ticks))
    assert scale.place(min(moments) - 5) == 0
    assert scale.place(max(moments) + 5) == pytest.approx(600)


def test_a_long_wait_is_folded_and_its_length_printed() -> None:
    legs = [
        Leg(activity="ask", began_ms=0, changed_ms=200),
        Leg(activity="wait", type="hook", began_ms=200, changed_ms=2 * DAY),
        Leg(activity="tell", began_ms=2 * DAY, changed_ms=2 * DAY + 300),
    ]

    svg, text = timeline_svg(legs), timeline_text(legs)

    assert "1 d 23 h in which nothing began or ended" in svg
    assert "⋯ 1 d 23 h in which nothing began or ended" in text
    busy = [Leg(activity="slow", began_ms=0, changed_ms=2 * DAY), *legs]
    assert "nothing began" not in timeline_svg(busy)


@settings(max_examples=60, deadline=None)
@given(made=spans(), names=st.lists(st.sampled_from("abc"), min_size=9, max_size=9))
def test_bars_never_lie_on_each_other(made: list[tuple[int, int, bool]], names: list[str]) -> None:
    legs = [
        Leg(activity=name, type="worker" if busy else "hook", began_ms=begin, changed_ms=end)
        for name, (begin, end, busy) in zip(names, made, strict=False)
    ]

    svg, text = timeline_svg(legs), timeline_text(legs)

    bars = [rectangle for rectangle, _ in outlines(svg, ("box",))]
    assert len(bars) == len(legs)
    assert not overlaps(bars)
    assert all(columns(line) <= 80 for line in text.splitlines())
    assert len(text.split("\n\n")[0].splitlines()) == len(legs) + 1


def test_nothing_that_happened_is_a_timeline_too() -> None:
    assert ET.fromstring(timeline_svg([])).tag == f"{SVG}svg"
    assert len(timeline_text([]).splitlines()) == 1


def test_a_run_of_a_thousand_turns_is_drawn() -> None:
    legs = [
        Leg(activity="turn", dimension=f",0,{i},0", began_ms=i * 10, changed_ms=i * 10 + 9)
        for i in range(1000)
    ]

    assert ET.fromstring(timeline_svg(legs)).tag == f"{SVG}svg"
    assert len(timeline_text(legs).splitlines()) == 1001
    model = Graph(title="m", nodes=(Node(id="turn", label="turn", kind="worker"),))
    assert "1000 times" in graph_text(on_model(model, legs, []))


# -- the package


def test_the_timeline_of_a_mesh_is_drawable_as_it_is() -> None:
    from hotmesh.mesh.timeline import TimelineEdge, TimelineLeg

    run = bakery_run()
    legs = [
        TimelineLeg(duration_ms=leg.changed_ms - leg.began_ms, **msgspec.structs.asdict(leg))
        for leg in run.legs
    ]
    edges = [TimelineEdge(**msgspec.structs.asdict(edge)) for edge in run.edges]

    assert from_legs(legs, edges) == from_legs(run.legs, run.edges)
    assert timeline_svg(legs) == timeline_svg(run.legs)
    assert graph_svg(on_model(bakery(), legs, edges)).startswith("<svg")


def test_the_package_is_pure() -> None:
    allowed = {"hotmesh.errors", "hotmesh.pictures", "msgspec"} | set(sys.stdlib_module_names)
    allowed -= {"asyncio", "time", "random", "os", "io", "pathlib", "socket", "subprocess"}

    for path in Path(hotmesh.pictures.__file__).parent.glob("*.py"):
        for node in imported(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                roots = {name, name.split(".")[0], ".".join(name.split(".")[:2])}
                assert roots & allowed, f"{path.relative_to(ROOT)} imports {name}"


def imported(tree: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    """All imports but those for types alone."""
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom)) and id(node) not in typing_only
    ]
