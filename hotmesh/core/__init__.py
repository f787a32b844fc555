"""The pure core: state + event → Outcome."""

from hotmesh.core.effects import (
    Append,
    Effect,
    Expire,
    FieldsDrop,
    FieldsSet,
    Publish,
    Stored,
    TimerDrop,
    TimerSet,
    fold,
)
from hotmesh.core.events import Event, Interrupt, Start
from hotmesh.core.outcome import Note, Outcome
from hotmesh.core.start import job_id_of
from hotmesh.core.state import Job, Meta, decode_job
from hotmesh.core.step import advance, begin, refuse
from hotmesh.core.turn import Limits

__all__ = [
    "Append",
    "Effect",
    "Event",
    "Expire",
    "FieldsDrop",
    "FieldsSet",
    "Interrupt",
    "Job",
    "Limits",
    "Meta",
    "Note",
    "Outcome",
    "Publish",
    "Start",
    "Stored",
    "TimerDrop",
    "TimerSet",
    "advance",
    "begin",
    "decode_job",
    "fold",
    "job_id_of",
    "refuse",
]
