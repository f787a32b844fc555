"""Every metric that a dashboard, a rule or a page names is exported, with those labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest
from ruamel.yaml import YAML

from hotmesh.telemetry import reference
from hotmesh.telemetry.metrics import INSTRUMENTS, Metrics

ROOT = Path(__file__).parents[2]
OTEL = ROOT / "contrib" / "otel"
DASHBOARDS = sorted((OTEL / "grafana").glob("*.json"))
METRIC = re.compile(r"\b(?:hotmesh|messaging)_[a-z_]+")
BY = re.compile(r"by \(([^)]*)\)")
LEGEND = re.compile(r"{{ *(?:\$labels\.)?(\w+) *}}")
BY_ATTRIBUTES = {reference.prometheus_name(i): set(i.attributes) for i in INSTRUMENTS}


def expressions() -> Iterator[tuple[str, str]]:
    """Where each expression stands, and its text with what is shown of its labels."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", f"{target['expr']} {target['legendFormat']}"
    for rule in YAML(typ="safe").load(OTEL / "alerts.yaml")["groups"][0]["rules"]:
        yield f"alerts: {rule['alert']}", f"{rule['expr']} {rule['annotations']['summary']}"


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """What Prometheus sees when every instrument has measured something: labels by name."""

    def observe(name: str) -> list[Observation]:
        instrument = next(i for i in INSTRUMENTS if i.name == name)
        return [Observation(1, dict.fromkeys(instrument.attributes, "x"))]

    registry = CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(registry=registry)])
    metrics: Any = Metrics(provider, observe)
    for instrument in INSTRUMENTS:
        attributes = dict.fromkeys(instrument.attributes, "x")
        if instrument.kind == "counter":
            getattr(metrics, instrument.field).add(1, attributes)
        elif instrument.kind == "histogram":
            getattr(metrics, instrument.field).record(1, attributes)
    found: dict[str, set[str]] = {}
    for line in generate_latest(registry).decode().splitlines():
        if match := re.match(r"(\w+)(?:\{(.*)\})? ", line):
            labels = set(re.findall(r'(\w+)="', match[2] or ""))
            found[match[1]] = {label for label in labels if not label.startswith("otel_")}
    provider.shutdown()
    return found


def test_every_instrument_is_exported_under_the_name_of_the_page(
    exported: dict[str, set[str]],
) -> None:
    for instrument in INSTRUMENTS:
        name = reference.prometheus_name(instrument)
        if instrument.kind == "histogram":
            name += "_count"
        assert exported[name] == set(instrument.attributes), name


@pytest.mark.parametrize(("where", "text"), list(expressions()))
def test_an_expression_uses_real_metrics_and_their_labels(
    where: str, text: str, exported: dict[str, set[str]]
) -> None:
    names = METRIC.findall(text)

    assert names
    known: set[str] = set()
    for name in names:
        assert name in exported, name
        known |= exported[name]
    asked = {label.strip() for group in BY.findall(text) for label in group.split(",")}
    asked |= set(LEGEND.findall(text)) | set(re.findall(r'(\w+)="', text))
    assert asked <= known, asked - known


def test_dashboards_and_rules_show_every_metric() -> None:
    """One that nobody shows is one that nobody needs."""
    shown = {name for _, text in expressions() for name in METRIC.findall(text)}

    for name in BY_ATTRIBUTES:
        assert any(s.startswith(name) for s in shown), name


def test_the_page_is_up_to_date() -> None:
    page = ROOT / "docs" / "reference" / "metrics.md"

    assert page.read_text() == reference.page()


def test_the_compose_file_mounts_files_that_are_there() -> None:
    services = YAML(typ="safe").load(OTEL / "compose.yaml")["services"]

    mounted = [v.partition(":")[0] for s in services.values() for v in s.get("volumes", ())]
    assert mounted and all((OTEL / path).is_file() for path in mounted)
