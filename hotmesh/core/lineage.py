"""Which leg opened which: the spans of one transition of a traced run.

Span ids follow from job, activity, dimension and leg, so a transition that is decided or told
twice gives the same spans. A run has one trace, but for a leg that was woken after a long time:
it begins a trace of its own, whose id follows from the leg, with a link to the old one. What
follows from that leg is in its trace, and a leg that waits remembers in which one it began.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from hotmesh.ids import span_id

TRACE_BEGIN, TRACE_END, SPAN_BEGIN, SPAN_END, LENGTH = 3, 35, 36, 52, 55
"""Where a W3C traceparent has its parts: version-trace-span-flags."""

Relation: TypeAlias = Literal["leg", "signal", "join", "resumes"]


def is_sampled(trace: str) -> bool:
    """Whether a traceparent's flags say that its trace is drawn."""
    return len(trace) == LENGTH and trace[-1] in "13579bdf"


class SpanLink(Struct, frozen=True):
    """What else led to a span.

    Attributes:
        kind: `leg`, leg 1 of the same activity; `signal`, its sender; `join`, an arm that came
            earlier; `resumes`, where a run went to sleep that goes on in another trace.
        trace: Its traceparent.
        activity: Of an arm.
    """

    kind: Relation
    trace: str
    activity: str = ""


class SpanRef(Struct, frozen=True):
    """A span of a run, as ids.

    Attributes:
        trace: Its traceparent.
        parent: Span id of what it hangs under; "" for the first one of a trace.
        leg: 1 for what an activity does when it is entered, 2 for an answer that it takes; 0 for
            the run itself.
        links: What else led to it.
        at_ms: When it was decided.
        facts: What the model's `telemetry` says of it.
    """

    trace: str
    parent: str
    leg: int
    links: tuple[SpanLink, ...]
    at_ms: int
    facts: dict[str, Any]


class Lineage:
    """Parents and children among the legs of one job, as far as one transition knows them.

    Attributes:
        facts: What the model's `telemetry` says of the leg that is about to be closed.
    """

    __slots__ = (
        "_answer",
        "_answered",
        "_first",
        "_jid",
        "_joined",
        "_last",
        "_links",
        "_opened",
        "_trace",
        "facts",
    )

    def __init__(self, jid: str, trace: str) -> None:
        self._jid = jid
        self._first = self._trace = trace
        self._opened: dict[str, str] = {}
        self._joined: dict[str, tuple[SpanLink, ...]] = {}
        self._answered = self._answer = self._last = ""
        self._links: tuple[SpanLink, ...] = ()
        self.facts: dict[str, Any] = {}

    def traceparent(self, span: str) -> str:
        """A span of the trace at hand."""
        return f"{self._trace[:SPAN_BEGIN]}{span}{self._trace[SPAN_END:]}"

    @property
    def last(self) -> str:
        """The traceparent of the leg that was closed last, or of the run."""
        return self.traceparent(self._last or self._run)

    @property
    def moved(self) -> str:
        """The trace at hand when it is not the run's first, as a leg that waits keeps it; else
        "".
        """
        return "" if self._trace[:TRACE_END] == self._first[:TRACE_END] else self._trace

    # -- events

    def answered(
        self, name: str, began: str, *, kept: str = "", trace: str = "", signal: str = ""
    ) -> None:
        """An event answers a leg.

        Args:
            name: The activity at its dimension.
            began: The same where it was entered.
            kept: What its leg has kept of `moved`.
            trace: Traceparent of who gave the answer; without one, the answer hangs under leg 1.
            signal: Traceparent of a sender who had a part in it.
        """
        leg = self._id(began, "1")
        self._trace = trace if len(trace) == LENGTH else kept or self._first
        self._answered, self._links = name, ()
        self._answer = trace[SPAN_BEGIN:SPAN_END] if len(trace) == LENGTH else leg
        if self._answer != leg:
            old = f"{(kept or self._first)[:SPAN_BEGIN]}{leg}{self._first[SPAN_END:]}"
            self._links = (SpanLink("leg", old),)
        if signal:
            self._links += (SpanLink("signal", signal),)

    def split(self) -> None:
        """What was answered has waited so long that a trace of its own begins with its answer."""
        old = self.traceparent(self._answer)
        span = self._id(self._answered, "2")
        trace = span_id(self._jid, span, "trace") + span_id(self._jid, span, "split")
        self._trace = f"{old[:TRACE_BEGIN]}{trace}-{span}{old[SPAN_END:]}"
        self._answer = ""
        self._links = (SpanLink("resumes", old), *self._links)

    def resumed(self, trace: str, parents: Sequence[tuple[str, str]]) -> None:
        """A chain goes on that was cut at its bound.

        Args:
            trace: Of the chain.
            parents: Activities at their dimensions, and the spans that opened them.
        """
        self._trace = trace if len(trace) == LENGTH else self._first
        self._opened.update((name, span) for name, span in parents if span)

    # -- legs

    def led(self, name: str, arms: Sequence[SpanLink] = ()) -> None:
        """The leg that was closed last opens the activity `name` (at its dimension); `arms` came
        earlier to a join.
        """
        self._opened[name] = self._last or self._run
        if arms:
            self._joined[name] = tuple(arms)

    def opener(self, name: str) -> str:
        """The span under which an activity hangs that has not been entered yet."""
        return self._opened.get(name) or self._run

    def run(self, at_ms: int) -> SpanRef:
        """The run itself, below whoever started it."""
        return self._ref(self._run, self._trace[SPAN_BEGIN:SPAN_END], 0, at_ms)

    def began(self, name: str, at_ms: int) -> SpanRef:
        """An activity waits: what it did until then."""
        return self._first_leg(name, at_ms)

    def ended(self, name: str, at_ms: int) -> SpanRef:
        """An activity has an answer, or needed none."""
        if name != self._answered:
            ref = self._first_leg(name, at_ms)
        else:
            ref = self._ref(self._id(name, "2"), self._answer, 2, at_ms, self._links)
        self.facts = {}
        self._last = ref.trace[SPAN_BEGIN:SPAN_END]
        return ref

    # -- arms of a join

    def arm(self, activity: str) -> str:
        """What a join keeps of an arm that comes now: the activity and the span of its last
        leg.
        """
        last = self.last
        moved = self.moved
        return f"{activity},{last if moved else last[SPAN_BEGIN:SPAN_END]}"

    def links_of(self, arms: Sequence[str]) -> list[SpanLink]:
        """Arms that were kept, as links. One that came while the run was not traced has no span."""
        links = []
        for kept in arms:
            activity, _, span = kept.partition(",")
            if span:
                first = self._first
                full = span if len(span) == LENGTH else first[:SPAN_BEGIN] + span + first[SPAN_END:]
                links.append(SpanLink("join", full, activity))
        return links

    @property
    def _run(self) -> str:
        return span_id(self._jid)

    def _first_leg(self, name: str, at_ms: int) -> SpanRef:
        links = self._joined.get(name, ())
        return self._ref(self._id(name, "1"), self.opener(name), 1, at_ms, links)

    def _id(self, name: str, leg: str) -> str:
        aid, _, dad = name.partition(",")
        return span_id(self._jid, aid, f",{dad}", leg)

    def _ref(
        self, span: str, parent: str, leg: int, at_ms: int, links: tuple[SpanLink, ...] = ()
    ) -> SpanRef:
        return SpanRef(self.traceparent(span), parent, leg, links, at_ms, self.facts)
