"""Notes → log events and metrics.

Nothing here can fail a transition: it has been applied already.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hotmesh.log import get_logger
from hotmesh.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from hotmesh.core import Note

log = get_logger("hotmesh.engine")
_logger = logging.getLogger("hotmesh.engine")  # asked per batch, before any value is bound


class Observer:
    """Tells logs and metrics what was applied, for one app."""

    __slots__ = ("app_id", "metrics")

    def __init__(self, app_id: str, metrics: Metrics) -> None:
        self.app_id, self.metrics = app_id, metrics

    def emit(self, notes: Sequence[Note]) -> None:
        """Tell of notes, once their script has been applied."""
        for note in notes:
            if note.kind == "job.started":
                self.metrics.job_started.add(1)
            elif note.kind == "job.ended":
                self.metrics.job_ended.add(1, {"outcome": "failed" if note.code else "completed"})
            elif note.kind in ("entry.late", "entry.repeated"):
                self.metrics.duplicates_dropped.add(1)
        if _logger.isEnabledFor(logging.DEBUG):
            for note in notes:
                log.debug(
                    note.kind,
                    app=self.app_id,
                    job=note.jid,
                    activity=note.aid,
                    dimension=note.dad,
                    code=note.code,
                    error=note.error,
                )
