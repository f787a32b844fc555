"""OpenTelemetry's SDK from its own standard variables, for programs that own their process.

`OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER` say where to: `otlp`, `console` (stderr), or
`none`, the default. The rest (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`,
`OTEL_TRACES_SAMPLER`, …) is the SDK's own. A library, or an application with a provider, leaves
this alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hotmesh.errors import SettingsInvalid

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

KINDS = ("none", "console", "otlp")

_close: list[Callable[[], Any]] = []


def configure(service: str, *, endpoint: str | None = None, sample: float = 1.0) -> None:
    """Set the global providers that the variables, or the arguments, ask for.

    Args:
        service: `service.name`, unless `OTEL_SERVICE_NAME` names it.
        endpoint: Base URL of a collector: traces and metrics go there by OTLP over HTTP, whatever
            the variables say.
        sample: Which share of the runs that begin here is traced, 0 to 1. Less than 1 beats
            `OTEL_TRACES_SAMPLER`.

    Raises:
        SettingsInvalid: An exporter that we do not have, or that is not installed.
    """
    traces, metrics = _kind("OTEL_TRACES_EXPORTER"), _kind("OTEL_METRICS_EXPORTER")
    if endpoint is not None:
        traces = metrics = "otlp"
    if traces != "none":
        _configure_traces(traces, service, endpoint, sample)
    if metrics != "none":
        _configure_metrics(metrics, service, endpoint)


def add_prometheus(service: str) -> None:
    """Have `/metrics` show what is measured, beside what the variables ask for.

    Raises:
        SettingsInvalid: The extra is not installed.
    """
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider

    try:
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
    except ImportError as exc:
        raise SettingsInvalid(
            "/metrics needs the Prometheus exporter; run pip install 'hotmesh[admin]'"
        ) from exc
    reader = PrometheusMetricReader()
    provider = metrics.get_meter_provider()
    if isinstance(provider, MeterProvider):
        provider.add_metric_reader(reader)
        return
    provider = MeterProvider([reader], resource=_resource(service), shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    _close.append(provider.shutdown)


def close() -> None:
    """Send what is left, and stop. Does nothing the second time."""
    while _close:
        _close.pop()()


def _configure_traces(kind: str, service: str, endpoint: str | None, sample: float) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    if kind == "console":
        exporter = ConsoleSpanExporter(out=sys.stderr)
    else:
        exporter = _otlp("trace", "Span", endpoint, "v1/traces")
    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(sample) if sample < 1 else None,
        resource=_resource(service),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    _close.append(provider.shutdown)


def _configure_metrics(kind: str, service: str, endpoint: str | None) -> None:
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import (
        ConsoleMetricExporter,
        PeriodicExportingMetricReader,
    )

    if kind == "console":
        exporter = ConsoleMetricExporter(out=sys.stderr)
    else:
        exporter = _otlp("metric", "Metric", endpoint, "v1/metrics")
    reader = PeriodicExportingMetricReader(exporter)
    provider = MeterProvider([reader], resource=_resource(service), shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    _close.append(provider.shutdown)


def _kind(variable: str) -> str:
    kind = os.environ.get(variable, "").strip().lower() or "none"
    if kind not in KINDS:
        raise SettingsInvalid(f"{variable} is {kind!r}; it may be {', '.join(KINDS)}")
    return kind


def _otlp(signal: str, prefix: str, endpoint: str | None, path: str) -> Any:
    from importlib import import_module

    name = f"opentelemetry.exporter.otlp.proto.http.{signal}_exporter"
    where = {} if endpoint is None else {"endpoint": f"{endpoint.rstrip('/')}/{path}"}
    try:
        return getattr(import_module(name), f"OTLP{prefix}Exporter")(**where)
    except ImportError as exc:
        raise SettingsInvalid(
            "an exporter is 'otlp', and no OTLP exporter is installed; run "
            "pip install 'hotmesh[otlp]'"
        ) from exc


def _resource(service: str) -> Resource:
    from opentelemetry.sdk.resources import Resource

    named = "OTEL_SERVICE_NAME" in os.environ
    return Resource.create({} if named else {"service.name": service})
