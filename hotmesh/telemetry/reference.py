"""`python -m hotmesh.telemetry.reference` prints the reference page of metrics."""

from __future__ import annotations

import sys

from hotmesh.telemetry.metrics import INSTRUMENTS, Instrument

_HEAD = """\
# Metrics

Made by `python -m hotmesh.telemetry.reference`; do not edit.

Every process that is told where to (`OTEL_METRICS_EXPORTER=otlp`, or `--admin` for Prometheus)
measures what it does itself. What is read from the server (gauges with a `stream`, timers, dead
letters, the server) is read by every engine every ten seconds, so each tells the same: take the
maximum, not the sum. Jobs are never told apart, only workflows, topics and outcomes. Streams of
several partitions are one series: the sum of their entries, the oldest age.

| Metric | In Prometheus | Kind | Unit | Attributes | Meaning |
| --- | --- | --- | --- | --- | --- |
"""


def prometheus_name(instrument: Instrument) -> str:
    """What Prometheus calls it."""
    name = instrument.name.replace(".", "_")
    if instrument.unit == "s":
        name += "_seconds"
    elif instrument.unit == "By":
        name += "_bytes"
    elif instrument.unit == "1" and not name.endswith("_ratio"):
        name += "_ratio"
    return f"{name}_total" if instrument.kind == "counter" else name


def page() -> str:
    """The page."""
    return _HEAD + "".join(_row(i) for i in INSTRUMENTS)


def _row(instrument: Instrument) -> str:
    attributes = ", ".join(f"`{a}`" for a in instrument.attributes) or "–"
    return (
        f"| `{instrument.name}` | `{prometheus_name(instrument)}` | {instrument.kind} | "
        f"`{instrument.unit}` | {attributes} | {instrument.about} |\n"
    )


if __name__ == "__main__":
    sys.stdout.write(page())
