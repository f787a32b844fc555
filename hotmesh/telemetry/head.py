"""Ids and sampling of legs, in a tracer of the SDK: both are known before the span is made.

Imported when there is an SDK; the library itself does without one.
"""

from __future__ import annotations

import threading
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanContext


class Told(threading.local, IdGenerator):
    """Gives the ids of the span that is about to be made, where it has been told."""

    def __init__(self, other: IdGenerator) -> None:
        self._other = other
        self.next: SpanContext | None = None

    def generate_span_id(self) -> int:
        return self.next.span_id if self.next else self._other.generate_span_id()

    def generate_trace_id(self) -> int:
        return self.next.trace_id if self.next else self._other.generate_trace_id()

    def is_trace_id_random(self) -> bool:
        return self._other.is_trace_id_random()


class Head(Sampler):
    """What the head of the run has decided, for a leg that begins a trace of its own. Any other
    span has a parent, and is the program's to sample.
    """

    def __init__(self, other: Sampler, told: Told) -> None:
        self._other, self._told = other, told

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        told = self._told.next
        parent = trace.get_current_span(parent_context).get_span_context()
        if told is not None and not parent.is_valid:
            is_wanted = told.trace_flags.sampled
            return SamplingResult(
                Decision.RECORD_AND_SAMPLE if is_wanted else Decision.DROP, attributes
            )
        return self._other.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        return f"Head({self._other.get_description()})"


def install(tracer: Tracer) -> None:
    """Have a tracer, which nobody else may hold, make spans as it is told."""
    told = Told(tracer.id_generator)
    tracer.id_generator = told
    tracer.sampler = Head(tracer.sampler, told)
