"""What a transition decided: effects for the script, and notes for whoever observes, told only
once the script has run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from hotmesh.core.effects import Effect
from hotmesh.core.lineage import SpanRef

NoteKind = Literal[
    "job.started",
    "job.ended",
    "leg.began",
    "leg.ended",
    "entry.late",
    "entry.repeated",
    "step.bounded",
]


class Note(Struct, frozen=True):
    """A fact about one leg or about the job, for logs, metrics and spans.

    Attributes:
        code: Of the answer, for a leg that ended; of the error, for a job that failed.
        began_ms: When the leg or the job began, so that the observer can give it a duration.
        span: Where it stands in the trace of a run that has one.
    """

    kind: NoteKind
    jid: str
    aid: str = ""
    dad: str = ""
    type: str = ""
    code: int = 0
    began_ms: int = 0
    attempt: int = 0
    error: str = ""
    span: SpanRef | None = None


@dataclass(slots=True)
class Outcome:
    """Effects in the order in which they must be applied, and notes.

    No effects: the event was late or repeated.
    """

    effects: list[Effect] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
