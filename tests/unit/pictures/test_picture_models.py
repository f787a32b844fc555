"""Every conformance model in every format."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from picture_samples import (
    ROOT,
    SVG,
    bakery,
    conformance_graphs,
    drawable_models,
    extent_of,
    graphs,
    outlines,
    overlaps,
)

from hotmesh.compiler import compile_model
from hotmesh.pictures import Edge, Graph, from_plan, graph_mermaid, graph_svg, graph_text
from hotmesh.pictures.style import DETAIL_SIZE, LABEL_SIZE
from hotmesh.pictures.words import BOLD, columns, width

NODE, LABEL = ("box",), ("halo",)


@pytest.mark.parametrize("name", drawable_models())
def test_model_draws_without_overlaps_as_valid_svg(name: str) -> None:
    model = conformance_graphs(name)

    svg = graph_svg(model)

    check_svg(svg, sum(len(g.nodes) for g in model), sum(len(g.drawn_edges) for g in model))
    shown = "".join(ET.fromstring(svg).itertext())
    assert all(g.title in shown and all(n.label in shown for n in g.nodes) for g in model)


@pytest.mark.parametrize("name", drawable_models())
def test_model_draws_as_mermaid_and_text(name: str) -> None:
    model = conformance_graphs(name)

    mermaid, text = graph_mermaid(model), graph_text(model)

    check_mermaid(mermaid)
    assert max(columns(line) for line in text.splitlines()) <= 80
    for graph in model:
        for node in graph.nodes:
            assert node.label in text
            assert f"<b>{node.label}</b>" in mermaid or node.kind == "graph"


@settings(max_examples=60, deadline=None)
@given(graph=graphs())
def test_any_graph_draws_in_every_format(graph: Graph) -> None:
    svg = graph_svg(graph)

    check_svg(svg, len(graph.nodes), len(graph.drawn_edges))
    check_mermaid(graph_mermaid(graph))
    check_mermaid(graph_mermaid([graph, bakery()]))
    text = graph_text([graph, graph])
    assert max(columns(line) for line in text.splitlines()) <= 80
    labels = [n.label for n in graph.nodes if n.kind not in ("topic", "graph") and n.label]
    assert all(label[:20] in text for label in labels)
    assert graph_svg(graph) == svg


def check_svg(svg: str, nodes: int, edges: int) -> None:
    """Well-formed, closed in itself, no overlaps, text within its box, everything there."""
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    allowed = {"svg", "g", "title", "style", "rect", "path", "text", "tspan"}
    assert {e.tag.removeprefix(SVG) for e in root.iter()} <= allowed
    assert svg.count("http") == 1, "the name space, and no other address"
    assert not re.search(r"url\(|href|@import|\son\w+=", svg)
    found = list(outlines(svg, NODE))
    assert len(found) == nodes
    rectangles = [r for r, _ in found] + [r for r, _ in outlines(svg, LABEL)]
    assert not overlaps(rectangles)
    right, bottom = float(root.get("width", "0")), float(root.get("height", "0"))
    assert all(r.left >= 0 and r.top >= 0 for r in rectangles)
    assert all(r.right <= right and r.bottom <= bottom for r in rectangles)
    for rectangle, group in found:
        for text in group.iter(f"{SVG}text"):
            assert text_width(text) <= rectangle.right - rectangle.left
            at, outline = float(text.get("y", "0")), extent_of(group)
            assert outline.top + DETAIL_SIZE < at < outline.bottom - 2
    legend = root[-1]
    assert len(lines_of(root)) - len(lines_of(legend)) == edges


def lines_of(element: ET.Element) -> list[ET.Element]:
    return [e for e in element.iter(f"{SVG}path") if "edge" in e.get("class", "").split()]


def text_width(text: ET.Element) -> float:
    is_name = "name" in text.get("class", "")
    size = LABEL_SIZE if is_name else DETAIL_SIZE
    wide = width(text.text or "", size)
    wide *= BOLD if is_name or "note" in text.get("class", "") else 1
    for part in text:
        bold = BOLD if "note" in part.get("class", "") else 1
        wide += width(part.text or "", size) * bold + width(part.tail or "", size)
    return wide


ID = r"[A-Za-z][A-Za-z0-9_]*"
MERMAID = re.compile(
    rf"flowchart TD"
    rf'|  (?:  )?{ID}[\[({{>/]+"[^"]+"[\])}}/\\]+:::is_\w+'
    rf'|  subgraph s\d+ \["[^"]+"\]|  end'
    rf'|  {ID} (?:-->|==>|-\.->)(?:\|"[^"]+"\|)? {ID}'
    r"|  classDef is_\w+ [^\s<>]+(?: \d)?"
)


def check_mermaid(text: str) -> None:
    """Only lines of the few forms that we write, whose text has no markup of its own."""
    for line in text.splitlines():
        assert MERMAID.fullmatch(line), line
        assert not re.search(r"<(?!/?[bi]>|br/>)", line), line
    used = set(re.findall(r":::(\w+)", text))
    assert used == set(re.findall(r"classDef (\w+)", text))


def test_pictures_do_not_depend_on_the_order_of_hashes() -> None:
    code = (
        "from hotmesh.compiler import compile_model as c\n"
        "from hotmesh.pictures import *\n"
        "g = from_plan(c('tests/conformance/models/55-cycle-nested.yaml').plan)\n"
        "print(graph_svg(g), graph_mermaid(g), graph_text(g))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(printed) == 1


def test_a_model_tells_types_topics_conditions_and_what_is_beside_it() -> None:
    graph = bakery()

    nodes = {n.id: n for n in graph.nodes}
    edges = {(e.source, e.target): e for e in graph.edges}
    assert graph.title == "cake.ordered"
    assert graph.about == ("app bakery, version 1", "publishes cake.sold")
    assert nodes["order"].kind == "trigger"
    assert nodes["bake"].details == ("oven.bake", "up to 3 attempts")
    assert nodes["cool"].details == ("sleeps 300ms",)
    assert nodes["box"].details == ("shop.box", "waits for all 2")
    assert nodes["again"].details == ("back to start",)
    assert edges["again", "start"].kind == "cycle"
    assert edges["taste", "box"].label == "when good = true"
    assert edges["collect", "remind"].label == "code 504"
    assert nodes["topic:cake.collected"].kind == "topic"
    assert edges["topic:cake.collected", "collect"].kind == "signal"


def test_awaits_signals_and_interrupts_lead_to_the_box_of_the_other_graph() -> None:
    child, signal, end = (
        {(e.source, e.target): e for g in conformance_graphs(name) for e in g.edges}
        for name in ("31-await-simple", "48-signal-one", "62-interrupt-another")
    )

    assert {e.kind for e in child.values()} == {"flow", "call"}
    assert signal["turn", "graph:lock.hold"].label == "wakes wait"
    assert any(e.kind == "call" and e.label == "ends" for e in end.values())


WAREHOUSE = """
app:
  id: warehouse
  version: '2'
  graphs:
    - subscribes: order.received
      expire: 1 day
      activities:
        order: {type: trigger, emit: true}
        quote:
          type: worker
          topic: '{order.output.data.carrier}'
          each: '{order.output.data.items}'
          concurrency: 5
          retry: {'503': [3], '429': [1]}
          timeout: 30
        fast: {type: worker, topic: ship.fast}
        first: {type: hook, join: any, sleep: '{order.output.data.pause}'}
        log: {type: await, topic: log.write, await: false}
        tell: {type: signal, subtype: one, topic: pay.done, signal: {maps: {id: x}}}
        giveup: {type: interrupt, code: 402}
        other: {type: interrupt, topic: log.write, target: x1, descend: true, throw: false}
      transitions:
        order: [{to: quote}, {to: log}]
        quote:
          - {to: fast}
          - {to: first, conditions: {code: 202}}
          - {to: giveup, conditions: {code: 402}}
        fast: [{to: first}]
        first: [{to: tell}]
        log: [{to: other}]
      hooks:
        pay.done:
          - {to: first, conditions: {match: [{expected: a, actual: '{$self.hook.data.a}'}]}}
    - subscribes: log.write
      activities: {line: {type: trigger}}
"""


def test_every_option_that_changes_the_course_is_told() -> None:
    graph, _ = from_plan(compile_model(WAREHOUSE).plan)

    told = {n.id: n.details for n in graph.nodes}
    assert graph.about[1:] == ("kept 1 d",)
    assert told["order"] == ("order.received", "emits")
    assert told["quote"] == (
        "order.carrier",
        "each of order.items, 5 at a time",
        "timeout 30 s",
        "up to 4 attempts after 429, 503",
    )
    assert told["first"] == ("waits for any of 2", "sleeps order.pause")
    assert told["log"] == ("log.write", "does not wait")
    assert told["giveup"] == ("ends this job", "with code 402")
    assert told["other"] == ("ends x1", "without an error", "and its children")
    assert Edge(source="tell", target="first", kind="signal") in graph.edges


def test_a_wide_graph_is_turned_on_its_side() -> None:
    (graph,) = conformance_graphs("12-fan-out-twenty")

    wide, turned = (
        ET.fromstring(graph_svg(graph, direction="down")),
        ET.fromstring(graph_svg(graph)),
    )

    assert float(wide.get("width", "0")) > 2000
    assert float(turned.get("width", "0")) < 600


def test_mermaid_leads_to_the_graph_itself_where_it_is_drawn_too() -> None:
    model = conformance_graphs("31-await-simple")

    together, alone = graph_mermaid(model), graph_mermaid(model[0])

    assert "is_graph" not in together
    assert "is_graph" in alone
    assert together.count("subgraph ") == len(model)


def test_nothing_to_draw_is_a_picture_too() -> None:
    empty = Graph(title="", nodes=())

    for svg in (graph_svg([]), graph_svg(empty)):
        assert ET.fromstring(svg).tag == f"{SVG}svg"
    assert graph_mermaid([]) == "flowchart TD\n"
    assert graph_text(empty) == "\n\n"
