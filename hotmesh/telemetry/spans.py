"""Notes → spans: one per leg of an activity, so that a run is drawn as its own graph.

Whoever starts a job decides whether its run is traced: the context travels with the job and with
its entries. Nothing is made while no OpenTelemetry SDK is configured, or when the sampler of the
start said no.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TracerProvider,
)

if TYPE_CHECKING:
    from hotmesh.core import Note, SpanRef
    from hotmesh.core.lineage import SpanLink
    from hotmesh.messages import StreamMetadata
    from hotmesh.telemetry.head import Told

SCOPE = "hotmesh"
LEGS = "hotmesh.legs"
"""A scope of its own: the ids of its spans are derived, not drawn."""

NS_PER_MS = 1_000_000


def context_of(traceparent: str) -> SpanContext | None:
    """The span that a traceparent names; None when it names none."""
    parts = traceparent.split("-")
    try:
        _, trace_id, span_id, flags = parts
        context = SpanContext(
            int(trace_id, 16),
            int(span_id, 16),
            is_remote=True,
            trace_flags=TraceFlags(int(flags, 16)),
        )
    except ValueError:
        return None
    return context if context.is_valid else None


def traceparent_of(context: SpanContext) -> str:
    """The traceparent of a span, "" for one that is none."""
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def current() -> str:
    """The traceparent of the span in which the caller runs, or ""."""
    return traceparent_of(trace.get_current_span().get_span_context())


def failed(exc: BaseException) -> None:
    """Note an exception of the handler on the span in which it ran."""
    trace.get_current_span().record_exception(exc)


def sending(topic: str, app_id: str, parent: str) -> AbstractContextManager[str]:
    """A client's start of a job, below `parent` (a traceparent) or the current span.

    Gives the traceparent that the job carries: `parent` itself when no SDK is configured.
    """
    tracer = _tracer()
    return nullcontext(parent) if tracer is None else _sending(tracer, topic, app_id, parent)


@contextmanager
def _sending(tracer: Tracer, topic: str, app_id: str, parent: str) -> Iterator[str]:
    with tracer.start_as_current_span(
        f"send {topic}",
        context=_below(parent),
        kind=SpanKind.PRODUCER,
        attributes=_messaging(topic, "send") | {"hotmesh.app": app_id},
    ) as span:
        yield traceparent_of(span.get_span_context()) or parent


@contextmanager
def processing(metadata: StreamMetadata) -> Iterator[Span | None]:
    """A worker's handling of one call, below the leg that made it. What the handler opens itself
    hangs under it.
    """
    tracer = _tracer() if metadata.trace else None
    if tracer is None:
        yield None
        return
    context = context_of(metadata.trace)
    if context is not None and not context.trace_flags.sampled:
        # The head has decided; what the handler opens must know, or it begins traces of its own.
        with trace.use_span(NonRecordingSpan(context), end_on_exit=False):
            yield None
        return
    with tracer.start_as_current_span(
        f"process {metadata.topic}",
        context=_below(metadata.trace),
        kind=SpanKind.CONSUMER,
        attributes=_messaging(metadata.topic, "process")
        | {
            "hotmesh.job.id": metadata.jid,
            "hotmesh.activity.id": metadata.aid,
            "hotmesh.dimension": metadata.dad,
            "hotmesh.attempt": metadata.try_count,
        },
    ) as span:
        yield span


class Spans:
    """Draws the legs that an engine, or a client's start, has applied.

    Args:
        now_ms: The clock by which legs are dated (the server's).
    """

    def __init__(self, app_id: str, now_ms: Callable[[], int]) -> None:
        self._app_id, self._now_ms = app_id, now_ms

    def emit(self, note: Note) -> None:
        """Draw one leg."""
        ref = note.span
        tracer = _tracer(LEGS)
        itself = context_of(ref.trace) if ref is not None else None
        if ref is None or tracer is None or itself is None or not itself.trace_flags.sampled:
            return
        ids: Told = _ids_of(tracer)
        ids.next = itself
        name = f"run {note.type}" if ref.leg == 0 else f"{note.type} {note.aid}"
        span = tracer.start_span(
            name,
            context=_below(f"{ref.trace[:36]}{ref.parent}{ref.trace[52:]}") or Context(),
            attributes=self._attributes(note, ref),
            links=_links(ref.links) if ref.links else None,
            start_time=ref.at_ms * NS_PER_MS,
        )
        ids.next = None
        if note.kind == "leg.ended" and note.error:
            span.set_status(Status(StatusCode.ERROR, note.error))
        span.end(max(self._now_ms(), ref.at_ms) * NS_PER_MS)

    def _attributes(self, note: Note, ref: SpanRef) -> dict[str, Any]:
        facts: dict[str, Any] = {"hotmesh.app": self._app_id, "hotmesh.job.id": note.jid}
        if ref.leg == 0:
            return facts | {"hotmesh.workflow.name": note.type}
        facts |= {
            "hotmesh.activity.id": note.aid,
            "hotmesh.activity.type": note.type,
            "hotmesh.activity.leg": ref.leg,
            "hotmesh.dimension": note.dad,
        }
        if note.kind == "leg.ended":
            facts |= {"hotmesh.code": note.code, "hotmesh.attempt": note.attempt}
        if arms := [link.activity for link in ref.links if link.kind == "join"]:
            facts["hotmesh.join.of"] = arms  # links are not searched by every tool
        for name, value in ref.facts.items():
            if isinstance(value, (str, bool, int, float)):
                facts[f"hotmesh.data.{name}"] = value
        return facts


def _links(links: Sequence[SpanLink]) -> list[Link]:
    found = []
    for link in links:
        context = context_of(link.trace)
        if context is not None:
            facts: dict[str, str] = {"hotmesh.link": link.kind}
            if link.activity:
                facts["hotmesh.activity.id"] = link.activity
            found.append(Link(context, facts))
    return found


def _ids_of(tracer: Tracer) -> Any:
    return getattr(tracer, "id_generator", None)


def _tracer(scope: str = SCOPE) -> Tracer | None:
    """A tracer of the configured SDK, or None."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)):
        return None
    return _made(provider, scope)


@lru_cache(maxsize=8)
def _made(provider: TracerProvider, scope: str) -> Tracer | None:
    """Asked of a provider once: it takes a lock and edits the warnings' filters each time."""
    tracer = provider.get_tracer(scope)
    ids = _ids_of(tracer)
    if ids is not None and scope == LEGS:
        from hotmesh.telemetry.head import install

        install(tracer)  # type: ignore[arg-type]  # what has an id generator is of the SDK
    return tracer if ids is not None else None


def _below(traceparent: str) -> Context | None:
    parent = context_of(traceparent) if traceparent else None
    return trace.set_span_in_context(NonRecordingSpan(parent)) if parent is not None else None


def _messaging(topic: str, operation: str) -> dict[str, Any]:
    return {
        "messaging.system": "redis",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
    }
