"""Three processes send their spans by OTLP: one connected trace, the graph of the model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from ruamel.yaml import YAML

OTEL = Path(__file__).parents[2] / "contrib" / "otel"
sys.path.insert(0, str(OTEL))
from draw_trace import draw, record  # noqa: E402
from receiver import Received  # noqa: E402


@pytest.fixture(scope="module")
def spans() -> list[Received]:
    """What a client, an engine and a worker have sent of one run."""
    return record()


def model_edges() -> set[tuple[str, str]]:
    """Transitions of the model, and what an await leads to: the trigger of its graph, whose end
    leads back to the await.
    """
    model = YAML(typ="safe").load(OTEL / "example" / "model.yaml")
    graphs = model["app"]["graphs"]
    edges = {
        (source, edge["to"])
        for graph in graphs
        for source, following in graph["transitions"].items()
        for edge in following
    }
    first = {
        graph["subscribes"]: name
        for graph in graphs
        for name, activity in graph["activities"].items()
        if activity["type"] == "trigger"
    }
    for graph in graphs:
        for name, activity in graph["activities"].items():
            if activity["type"] == "await":
                edges.add((name, first[activity["topic"]]))
    return edges


def drawn_edges(spans: Sequence[Received]) -> set[tuple[str, str]]:
    """Which activity opened which: of each leg 1 the nearest activity above it, and the arms that
    it is linked with.
    """
    by_id = {span.span: span for span in spans}
    edges = set()
    for span in spans:
        if span.attributes.get("hotmesh.activity.leg") != 1:
            continue
        above = by_id.get(span.parent)
        while above is not None and "hotmesh.activity.leg" not in above.attributes:
            above = by_id.get(above.parent)
        if above is not None:
            edges.add((_activity(above), _activity(span)))
        edges |= {(_activity(by_id[o]), _activity(span)) for k, _, o in span.links if k == "join"}
    return edges


def _activity(span: Received) -> str:
    return str(span.attributes["hotmesh.activity.id"])


def test_three_processes_send_one_connected_trace(spans: list[Received]) -> None:
    assert {span.service for span in spans} == {
        "hotmesh-pubsub", "hotmesh-engine", "hotmesh-worker",
    }  # fmt: skip
    assert len({span.trace for span in spans}) == 1
    ids = [span.span for span in spans]
    assert len(set(ids)) == len(ids)
    roots = [span.name for span in spans if not span.parent]
    assert roots == ["send order.placed"]
    assert all(span.parent in ids for span in spans if span.parent)


def test_its_edges_are_those_of_the_model(spans: list[Received]) -> None:
    assert drawn_edges(spans) == model_edges()


def test_its_legs_lie_within_the_run(spans: list[Received]) -> None:
    """All clocks are of one machine: nothing ends before it begins or begins before the run."""
    began = min(span.start_ns for span in spans)
    slack_ns = 5_000_000  # legs are dated in milliseconds of the server's clock, as read last

    assert all(span.end_ns >= span.start_ns >= began - slack_ns for span in spans)


def test_the_picture_shows_every_span(spans: list[Received]) -> None:
    svg = draw(spans)

    assert svg.count("<title>") == len(spans)
    assert "stroke-dasharray" in svg  # the arm of the join that came first
