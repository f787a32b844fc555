"""The spans that a test's code draws, as a list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


class Spans:
    """What was drawn so far."""

    def __init__(self, finished: object) -> None:
        """Made by `capture_spans`."""
        self._finished = finished

    def all(self) -> list[ReadableSpan]:
        """Every span that has ended, in the order of their ends."""
        return list(self._finished.get_finished_spans())  # type: ignore[attr-defined]

    def names(self) -> list[str]:
        """Their names."""
        return [span.name for span in self.all()]

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of a name."""
        return [span for span in self.all() if span.name == name]

    def edges(self) -> set[tuple[str, str | None]]:
        """Each span's name with its parent's; None where the parent was not drawn here."""
        by_id = {s.context.span_id: s.name for s in self.all() if s.context is not None}
        return {
            (s.name, by_id.get(s.parent.span_id) if s.parent is not None else None)
            for s in self.all()
        }


@contextmanager
def capture_spans() -> Iterator[Spans]:
    """Record every span of this process, whoever draws it, until the end.

    The tracer provider of the process is replaced meanwhile, whatever it was: in production it can
    be set once only, so this is for tests.
    """
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    before = trace._TRACER_PROVIDER
    trace._TRACER_PROVIDER = provider
    try:
        yield Spans(exporter)
    finally:
        trace._TRACER_PROVIDER = before
        provider.shutdown()
