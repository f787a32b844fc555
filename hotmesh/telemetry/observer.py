"""Notes → log events, metrics and spans.

Nothing here can fail a transition: it has been applied already.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hotmesh.log import get_logger
from hotmesh.telemetry.metrics import Metrics
from hotmesh.telemetry.spans import Spans

if TYPE_CHECKING:
    from hotmesh.core import Note

log = get_logger("hotmesh.engine")
_logger = logging.getLogger("hotmesh.engine")  # asked per batch, before any value is bound

TIMEOUT_CODE, INTERRUPT_CODE = 504, 410


class Observer:
    """Tells logs, metrics and traces what was applied, for one app.

    Args:
        now_ms: The server's clock.
    """

    __slots__ = ("_now_ms", "_spans", "app_id", "metrics")

    def __init__(self, app_id: str, metrics: Metrics, now_ms: Callable[[], int]) -> None:
        self.app_id, self.metrics = app_id, metrics
        self._now_ms = now_ms
        self._spans = Spans(app_id, now_ms)

    def emit(self, notes: Sequence[Note]) -> None:
        """Tell of notes, once their script has been applied."""
        for note in notes:
            if note.span is not None:
                self._spans.emit(note)
            if note.kind == "leg.ended":
                self._measure_leg(note)
            elif note.kind == "job.started":
                self.metrics.job_started.add(1, {"workflow": note.type})
            elif note.kind == "job.ended":
                self._measure_job(note)
            elif note.kind in ("entry.late", "entry.repeated"):
                self.metrics.duplicates_dropped.add(1)
        if _logger.isEnabledFor(logging.DEBUG):
            for note in notes:
                ids = {}
                if note.span is not None:
                    ids = {"trace": note.span.trace[3:35], "span": note.span.trace[36:52]}
                log.debug(
                    note.kind,
                    app=self.app_id,
                    job=note.jid,
                    activity=note.aid,
                    dimension=note.dad,
                    code=note.code,
                    error=note.error,
                    **ids,
                )

    def _measure_leg(self, note: Note) -> None:
        if note.type == "trigger":
            return  # it takes no time
        attributes = {"type": note.type}
        self.metrics.activity_duration.record(self._since_s(note), attributes)
        if note.code == TIMEOUT_CODE:
            self.metrics.timeouts.add(1, attributes)

    def _measure_job(self, note: Note) -> None:
        outcome = "failed" if note.code else "completed"
        if note.code == INTERRUPT_CODE:
            outcome = "interrupted"
        attributes = {"workflow": note.type, "outcome": outcome}
        self.metrics.job_ended.add(1, attributes)
        self.metrics.job_duration.record(self._since_s(note), attributes)

    def _since_s(self, note: Note) -> float:
        return max(0, self._now_ms() - note.began_ms) / 1000
