"""Which leg opened which: the spans of one transition of a traced run.

Span ids follow from job, activity, dimension and leg, so a transition that is decided or told
twice gives the same spans.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from hotmesh.ids import span_id

TRACE_END, SPAN_BEGIN, SPAN_END = 35, 36, 52
"""Where a W3C traceparent has its parts: version-trace-span-flags."""


class SpanRef(Struct, frozen=True):
    """A span of a run, as ids.

    Attributes:
        trace: Its traceparent.
        parent: Span id of what it hangs under.
        leg: 1 for what an activity does when it is entered, 2 for an answer that it takes; 0 for
            the run itself.
        link: Traceparent of what else led to it (the sender of a signal), or "".
        at_ms: When it was decided.
        facts: What the model's `telemetry` says of it.
    """

    trace: str
    parent: str
    leg: int
    link: str
    at_ms: int
    facts: dict[str, Any]


class Lineage:
    """Parents and children among the legs of one job, as far as one transition knows them.

    Attributes:
        facts: What the model's `telemetry` says of the leg that is about to be closed.
    """

    __slots__ = ("_answer", "_answered", "_jid", "_last", "_link", "_opened", "_trace", "facts")

    def __init__(self, jid: str, trace: str) -> None:
        self._jid, self._trace = jid, trace
        self._opened: dict[str, str] = {}
        self._answered = self._answer = self._link = ""
        self._last = ""
        self.facts: dict[str, Any] = {}

    def traceparent(self, span: str) -> str:
        return f"{self._trace[:SPAN_BEGIN]}{span}{self._trace[SPAN_END:]}"

    @property
    def last(self) -> str:
        """The traceparent of the leg that was closed last, or of the run."""
        return self.traceparent(self._last or self._run)

    def answered(self, name: str, began: str, *, trace: str = "", link: str = "") -> None:
        """An event answers a leg.

        Args:
            name: The activity at its dimension.
            began: The same where it was entered.
            trace: Traceparent of who gave the answer; without one, the answer hangs under leg 1.
            link: Traceparent of who else had a part in it.
        """
        self._answered, self._link = name, link
        self._answer = trace[SPAN_BEGIN:SPAN_END] or self._id(began, "1")

    def led(self, name: str) -> None:
        """The leg that was closed last opens the activity `name` (at its dimension)."""
        self._opened[name] = self._last or self._run

    def run(self, at_ms: int) -> SpanRef:
        """The run itself, below whoever started it."""
        return self._ref(self._run, self._trace[SPAN_BEGIN:SPAN_END], 0, at_ms)

    def began(self, name: str, at_ms: int) -> SpanRef:
        """An activity waits: what it did until then."""
        return self._ref(self._id(name, "1"), self._parent(name), 1, at_ms)

    def ended(self, name: str, at_ms: int) -> SpanRef:
        """An activity has an answer, or needed none."""
        if name != self._answered:
            ref = self._ref(self._id(name, "1"), self._parent(name), 1, at_ms)
        else:
            ref = self._ref(self._id(name, "2"), self._answer, 2, at_ms, self._link)
        self.facts = {}
        self._last = ref.trace[SPAN_BEGIN:SPAN_END]
        return ref

    @property
    def _run(self) -> str:
        return span_id(self._jid)

    def _parent(self, name: str) -> str:
        return self._opened.get(name) or self._run

    def _id(self, name: str, leg: str) -> str:
        aid, _, dad = name.partition(",")
        return span_id(self._jid, aid, f",{dad}", leg)

    def _ref(self, span: str, parent: str, leg: int, at_ms: int, link: str = "") -> SpanRef:
        return SpanRef(self.traceparent(span), parent, leg, link, at_ms, self.facts)
