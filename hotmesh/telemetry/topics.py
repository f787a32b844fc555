"""Spans of entries of topics: one for what a producer sends, one for what a handler does with it.

The context travels in the header `traceparent`, as others write it too. Nothing is made while no
OpenTelemetry SDK is configured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from hotmesh.telemetry.spans import _below, _messaging, _tracer, traceparent_of

TRACEPARENT = "traceparent"
_NOTHING: AbstractContextManager[None] = nullcontext()


class Handled(Protocol):
    """What a span says of an entry."""

    id: str
    attempt: int
    partition: int
    headers: Mapping[str, str]


def is_traced() -> bool:
    """Whether an SDK is configured: asked once per batch, for the asking costs more than a call."""
    return _tracer() is not None


def processing(topic: str, group: str, entry: Handled) -> AbstractContextManager[None]:
    """A handler's work on one entry, below the span that sent it. What the handler opens itself
    hangs under it.
    """
    tracer = _tracer()
    return _NOTHING if tracer is None else _processing(tracer, topic, group, entry)


@contextmanager
def _processing(tracer: Tracer, topic: str, group: str, entry: Handled) -> Iterator[None]:
    with tracer.start_as_current_span(
        f"process {topic}",
        context=_below(entry.headers.get(TRACEPARENT, "")),
        kind=SpanKind.CONSUMER,
        attributes=_messaging(topic, "process")
        | {
            "messaging.consumer.group.name": group,
            "messaging.message.id": entry.id,
            "messaging.destination.partition.id": str(entry.partition),
            "hotmesh.attempt": entry.attempt,
        },
    ) as span:
        try:
            yield
        except Exception as exc:
            span.set_attribute("error.type", type(exc).__name__)
            span.set_status(Status(StatusCode.ERROR, str(exc)))
            raise


def sending(
    topic: str, headers: Mapping[str, str] | None
) -> AbstractContextManager[Mapping[str, str] | None]:
    """A producer's sending of one entry: gives the headers that it carries."""
    tracer = _tracer()
    return nullcontext(headers) if tracer is None else _sending(tracer, topic, headers)


@contextmanager
def _sending(
    tracer: Tracer, topic: str, headers: Mapping[str, str] | None
) -> Iterator[Mapping[str, str]]:
    given = dict(headers or {})
    with tracer.start_as_current_span(
        f"send {topic}",
        context=_below(given.get(TRACEPARENT, "")),
        kind=SpanKind.PRODUCER,
        attributes=_messaging(topic, "send"),
    ) as span:
        yield given | {TRACEPARENT: traceparent_of(span.get_span_context())}
