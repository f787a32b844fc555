"""The job as loaded: fields of its hash ⇄ Python.

Field names of a job hash (the only place that knows them):
    r   revision, +1 with every transition
    :   status: open activities, 0 done, negative interrupted
    m   `Meta`, written once        d   job data        e   job error
    u   ms of the last change       z   `Extras`, of the few jobs that have some
    q   request id of a start that may be repeated
    p   the result of a job that was complete before its last branch ended
    <activity><dimension>   its `Leg`; beside it
        …/o   output data     …/h   hook data     …/p   parents that came to a join
        …/r   an item's result     …/i   an item's input     …/k   an item's child
An activity id holds no comma and no slash, so a name can be split again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from hotmesh.messages import Failure

REV, STATUS, META, DATA, ERROR, UPDATED, REQUEST = "r", ":", "m", "d", "e", "u", "q"
EXTRAS, RESULT = "z", "p"

OPEN, DONE, JOINING, JOINED = 1, 2, 3, 4

INTERRUPTED = -1_000_000_000
"""Added to the status of a job that is interrupted: far below any number of open activities."""

SEEN_MAX = 100
"""How many answers of a pending activity are remembered against repeated delivery."""


class Meta(Struct, array_like=True, frozen=True):
    """What is known of a job when it starts, and never changes.

    Attributes:
        created_ms: Server time.
        slot: The time slot of its statistics, as `YYYYMMDDHHmm`, or "0".
        trace: W3C traceparent of the start, or "".
        parent_jid, parent_aid, parent_dad: The await activity that waits for this job, or "".
        caller: The client to notify, or "".
        expire_ms: Overrides the graph's `expire`; -1 when it does not.
        answer: Whether the parent waits for the result.
        nonce: Which run of the parent started this job: an id may be used again.
        origin: The parent's app and version, when it is another app's.
    """

    app: str
    version: str
    topic: str
    aid: str
    created_ms: int
    key: str = ""
    slot: str = ""
    trace: str = ""
    caller: str = ""
    expire_ms: int = -1
    parent_jid: str = ""
    parent_aid: str = ""
    parent_dad: str = ""
    answer: bool = True
    nonce: int = 0
    origin: tuple[str, str] | None = None


class Leg(Struct, array_like=True):
    """How far one activity got at one dimension.

    Attributes:
        state: OPEN (waits for leg 2), DONE, JOINING (waits for parents) or JOINED (about to be
            entered).
        generation: How often leg 2 ran, so the last index of what it writes next.
        began_ms, changed_ms: Server time of leg 1 and of the last leg.
        code: Of the last answer, 0 before one.
        attempt: Of the last answer.
        error: Of a failed leg, or None.
        seen: Ids of the answers that were applied while the leg stayed open; of a join in a traced
            run, the spans of its arms.
        turn: Which wait this is: a cycle may come back to a hook that waits.
        key: What a waiting hook registered its signal under, or the child that an await waits for
            (see `core/abroad.py` for one in another app); "" for neither.
        came: Of a join, what its rules see of what lies between it and its fork, each with its
            dimension: the parents that led into it, last.
        given: The mapped output of a hook that waits.
        trace: Traceparent of the trace in which it began, when that is not the run's first.
    """

    state: int
    generation: int
    began_ms: int
    changed_ms: int
    code: int = 0
    attempt: int = 0
    error: Any = None
    seen: list[str] = []
    turn: int = 0
    key: str = ""
    items: int = 0
    left: int = 0
    came: list[str] = []
    given: Any = None
    trace: str = ""


class Extras(Struct, array_like=True, frozen=True):
    """What few jobs have: one field, so that the others pay for none of it.

    Attributes:
        dependants: Jobs that end with this one.
        joining: Joins that wait for parents.
        discard_ms: How long the record is kept after its end, as its parent's end said; 0 for as
            the model says.
        alarms: Timers of the job as a whole: entries that end it when they are due.
        failures: What failed, the newest last.
        completed: Whether the job has given its result while branches go on.
    """

    dependants: tuple[str, ...] = ()
    joining: tuple[str, ...] = ()
    discard_ms: int = 0
    alarms: tuple[bytes, ...] = ()
    failures: tuple[Failure, ...] = ()
    completed: bool = False


NO_EXTRAS = Extras()


class StateMissing(Exception):
    """A decision needs a field that was not loaded: load the whole job and decide again."""


class Job:
    """A job in memory: what was loaded of it, kept current while events are folded in.

    `rev` is the revision that was loaded; `exists` is False for one that is about to start. `data`
    and `outputs` are plain Python; what a step did not ask for is absent, not empty.
    """

    __slots__ = (
        "arrived",
        "children",
        "data",
        "error",
        "exists",
        "extras",
        "hooks",
        "inputs",
        "jid",
        "legs",
        "meta",
        "outputs",
        "result",
        "results",
        "rev",
        "status",
        "updated_ms",
    )

    def __init__(self, jid: str, meta: Meta) -> None:
        self.jid, self.meta = jid, meta
        self.rev, self.status, self.exists, self.updated_ms = 0, 0, False, meta.created_ms
        self.data: dict[str, Any] = {}
        self.error: dict[str, Any] | None = None
        self.extras = NO_EXTRAS
        self.result: tuple[dict[str, Any], dict[str, Any] | None] | None = None
        self.legs: dict[str, Leg] = {}
        self.outputs: dict[str, Any] = {}
        self.hooks: dict[str, Any] = {}
        self.results: dict[str, Any] = {}  # of items of `each`, until all are there
        self.inputs: dict[str, bytes] = {}  # of items that wait for their turn
        self.children: dict[str, str] = {}  # of items of an await with `each`
        self.arrived: dict[str, list[str]] = {}  # parents that came to a join


encode_value = msgspec.msgpack.Encoder().encode
decode_value = msgspec.msgpack.Decoder().decode
_decode_meta = msgspec.msgpack.Decoder(Meta).decode
_decode_leg = msgspec.msgpack.Decoder(Leg).decode
_decode_extras = msgspec.msgpack.Decoder(Extras).decode

HEAD = (REV, STATUS, META, DATA, ERROR, UPDATED, EXTRAS)
"""Fields that every load asks for."""


def decode_job(
    jid: str, head: Sequence[bytes | None], fields: Iterable[tuple[str, bytes | None]]
) -> Job | None:
    """The job that a record holds, or None when there is none.

    Args:
        head: The fields of HEAD, in its order; what follows them is not looked at.
        fields: Others by name; None for one that is not there.
    """
    rev, status, meta, data, error, updated, extras = head[: len(HEAD)]
    if meta is None or rev is None or status is None:
        return None
    job = Job(jid, _decode_meta(meta))
    job.exists, job.rev, job.status = True, int(rev), int(status)
    if data is not None:
        job.data = decode_value(data)
    if updated is not None:
        job.updated_ms = int(updated)
    if error is not None:
        job.error = decode_value(error)
    if extras is not None:
        job.extras = _decode_extras(extras)
    for name, value in fields:
        if value is not None:
            _put(job, name, value)
    return job


def decode_record(jid: str, fields: Mapping[str, bytes]) -> Job | None:
    """The same from a whole record."""
    return decode_job(jid, [fields.get(n) for n in HEAD], fields.items())


def _put(job: Job, name: str, value: bytes) -> None:
    if name[-2:-1] != "/":
        if "," in name:
            job.legs[name] = _decode_leg(value)
        elif name == RESULT:
            job.result = decode_value(value)
        return
    owner, kind = name[:-2], name[-1]
    if kind == "o":
        job.outputs[owner] = decode_value(value)
    elif kind == "h":
        job.hooks[owner] = decode_value(value)
    elif kind == "r":
        job.results[owner] = decode_value(value)
    elif kind == "i":
        job.inputs[owner] = value
    elif kind == "k":
        job.children[owner] = value.decode()
    elif kind == "p":
        job.arrived[owner] = decode_value(value)


def split_leg(name: str) -> tuple[str, str]:
    """The activity and the dimension that a leg's field name holds: `a1,0,0` gives `("a1",
    ",0,0")`.
    """
    at = name.index(",")
    return name[:at], name[at:]
