"""The pure core: state + event → Outcome."""

from hotmesh.core.abroad import admit
from hotmesh.core.effects import (
    Append,
    Count,
    Delete,
    Effect,
    Expire,
    FieldsDrop,
    FieldsSet,
    Hear,
    Publish,
    Stored,
    Tell,
    TimerDrop,
    TimerSet,
    Unhear,
    fold,
)
from hotmesh.core.events import Event, Start
from hotmesh.core.identity import job_id_of
from hotmesh.core.lineage import SpanRef
from hotmesh.core.outcome import Note, Outcome
from hotmesh.core.state import Job, Meta, decode_job, decode_record
from hotmesh.core.step import advance, begin, missed, orphan, refuse, scrub
from hotmesh.core.turn import Limits

__all__ = [
    "Append",
    "Count",
    "Delete",
    "Effect",
    "Event",
    "Expire",
    "FieldsDrop",
    "FieldsSet",
    "Hear",
    "Job",
    "Limits",
    "Meta",
    "Note",
    "Outcome",
    "Publish",
    "SpanRef",
    "Start",
    "Stored",
    "Tell",
    "TimerDrop",
    "TimerSet",
    "Unhear",
    "admit",
    "advance",
    "begin",
    "decode_job",
    "decode_record",
    "fold",
    "job_id_of",
    "missed",
    "orphan",
    "refuse",
    "scrub",
]
