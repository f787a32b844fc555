"""What crosses a process: entries of the streams, and what user code sees of them.

Every struct is array-like, only grows at its end (new fields have defaults), and carries its
format in its tag: `reply1` becomes `reply2` when the meaning of a field changes. A process that
meets a tag it does not know leaves the entry for one that does. User payloads travel as `Raw`
MessagePack that is spliced in and out, never decoded on the way.
"""

from __future__ import annotations

import typing
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from hotmesh.ids import guid
from hotmesh.run_messages import (
    Call,
    RunAgain,
    RunInput,
    RunListen,
    RunQuery,
    RunStart,
    RunStop,
    RunTask,
    RunTimer,
    RunWoken,
    ScheduleTick,
)

Status = Literal["success", "pending", "error"]

EMPTY = Raw(b"\x80")  # MessagePack of {}


class RetryRule(Struct, array_like=True, frozen=True):
    """How often, and after which delays, a worker's failures are tried again.

    Attributes:
        attempts_max: Attempts in all, the first included.
        initial_ms, factor, delay_ms_max: The delay before retry n (from 1) is `initial_ms * factor
            ** (n - 1)`, at most `delay_ms_max`.
        jitter: The share of the delay that is drawn at random, 0 to 1, so that failures that began
            together spread out.
        codes: Only these codes are retried; empty means every one.
    """

    attempts_max: int = 1
    initial_ms: int = 1000
    factor: float = 2.0
    delay_ms_max: int = 100_000
    jitter: float = 0.2
    codes: tuple[int, ...] = ()


# -- worker streams


class Work(Struct, array_like=True, frozen=True, tag="work1"):
    """One call of a function: an entry of a worker stream.

    Attributes:
        jid, aid, dad: Job, activity and dimension that wait for the answer.
        version: The version of the app that the job runs on.
        topic: The worker topic.
        attempt: From 0; grows with each retry by policy.
        data: The mapped input.
        trace: W3C traceparent of the leg that sent it, or "".
        retry: The rules of the model; the first that names the code applies.
        timeout_ms: The activity's time limit, 0 for none: a handler is cancelled after it.
    """

    jid: str
    aid: str
    dad: str
    version: str
    topic: str
    attempt: int = 0
    data: Raw = EMPTY
    trace: str = ""
    retry: tuple[RetryRule, ...] = ()
    timeout_ms: int = 0


# -- topics and plain streams


class Again(Struct, array_like=True, frozen=True, tag="entry1"):
    """An entry of a topic or of a plain stream that one group has put aside: it waits for its
    next attempt, or lies in the dead letters.

    Attributes:
        stream, id: Where it lay first.
        attempt: The next one, from 1.
        fields: As they lay there, names and values in turn.
        error: What the attempt before failed with.
    """

    stream: str
    id: str
    attempt: int
    fields: tuple[bytes, ...]
    error: str = ""


# -- the engine stream


class Failure(Struct, array_like=True, frozen=True):
    """A failed activity, or an interrupt, and what failed below it.

    Attributes:
        code, message: Of the error; the message is cut.
        aid, dad: The activity and its dimension; "" for an interrupt of the job.
        handled: Whether a transition with conditions took the error.
        jid: The job, in the tree of its parent; "" for the job's own.
        children: What failed in the job that the activity awaited.
    """

    code: int
    message: str
    aid: str = ""
    dad: str = ""
    handled: bool = False
    jid: str = ""
    children: tuple[Failure, ...] = ()


class Reply(Struct, array_like=True, frozen=True, tag="reply1"):
    """An answer to an open activity: from a worker, a child job, or `add`.

    Attributes:
        status: `pending` keeps the activity open for more answers.
        code: What transitions look at.
        rid: Tells one answer from a repeated delivery of the same.
        attempt: The attempt that gave it.
        failures: What failed in the child job that gave it.
    """

    jid: str
    aid: str
    dad: str
    version: str
    status: Status
    code: int
    data: Raw
    rid: str
    attempt: int = 0
    trace: str = ""
    failures: tuple[Failure, ...] = ()


class ChildStart(Struct, array_like=True, frozen=True, tag="child1"):
    """Start a job for an `await` activity.

    `jid` is the child's id, already resolved; `answer` is False for fire-and-forget. `origin` is
    the parent's app and version, when it is another app's.
    """

    jid: str
    topic: str
    version: str
    data: Raw
    parent_jid: str
    parent_aid: str
    parent_dad: str
    trace: str = ""
    answer: bool = True
    nonce: int = 0
    origin: tuple[str, str] | None = None


class Visit(Struct, array_like=True, frozen=True, tag="visit1"):
    """An activity of another app asks for a job in this one.

    `jid` is the id that the job gets unless its trigger maps one. The version is the one that is
    active here when it arrives.
    """

    jid: str
    version: str
    start: ChildStart


class Begun(Struct, array_like=True, frozen=True, tag="begun1"):
    """The job that was asked for in another app has begun: its id, for who may have to end it."""

    jid: str
    aid: str
    dad: str
    version: str
    app: str
    child: str


class Redeliver(Struct, array_like=True, frozen=True, tag="again1"):
    """A retry's delay is over: append the call to its worker stream again, if its activity still
    waits.
    """

    work: Work

    @property
    def jid(self) -> str:
        return self.work.jid

    @property
    def version(self) -> str:
        return self.work.version


class Wake(Struct, array_like=True, frozen=True, tag="wake1"):
    """A timer of an activity is due.

    Attributes:
        what: `sleep` wakes a hook, `timeout` fails an activity that still waits.
        turn: Which wait of the activity set it; a later one ignores it.
    """

    jid: str
    aid: str
    dad: str
    version: str
    what: Literal["sleep", "timeout"]
    turn: int = 0


class Continue(Struct, array_like=True, frozen=True, tag="go1"):
    """A chain of steps reached its bound: enter these activities now.

    Attributes:
        steps: (activity, dimension).
        trace: Traceparent of the chain in a traced run, or "".
        parents: In a traced run, the span that opened each step.
    """

    jid: str
    version: str
    steps: tuple[tuple[str, str], ...]
    rid: str
    trace: str = ""
    parents: tuple[str, ...] = ()


class Signal(Struct, array_like=True, frozen=True, tag="sig1"):
    """What a signal says to the hook that it wakes.

    Attributes:
        status: `pending` keeps the hook open for more.
        rid: Tells one signal from a repeated sending of the same.
    """

    status: Status
    code: int
    data: Raw
    rid: str
    trace: str = ""


class Woken(Struct, array_like=True, frozen=True, tag="woken1"):
    """A signal has met a waiting hook. The waiter is what the hook registered; the signal rides in
    the entry beside it.

    Attributes:
        topic, key: Where it waited; a signal that comes too late for it goes back there.
        turn: Which wait of the activity registered it.
    """

    jid: str
    aid: str
    dad: str
    version: str
    topic: str
    key: str
    turn: int = 0
    signal: Signal | None = None


class Listen(Struct, array_like=True, frozen=True, tag="listen1"):
    """Register a waiter in the partition of its signal.

    `jid` stands for that partition, not for a job.
    """

    jid: str
    version: str
    waiter: Woken
    leave: bool = False
    rid: str = ""


class Send(Struct, array_like=True, frozen=True, tag="send1"):
    """Deliver a signal in its partition. `jid` stands for that partition, not for a job."""

    jid: str
    version: str
    topic: str
    key: str
    signal: Signal
    pending_ms: int


class SendAll(Struct, array_like=True, frozen=True, tag="sendall1"):
    """Signal every job of an index.

    `jid` is the sending job; `query` and `facets` as in `hook_all`.
    """

    jid: str
    version: str
    topic: str
    signal: Signal
    query: Raw
    facets: tuple[str, ...]


class Tick(Struct, array_like=True, frozen=True, tag="tick1"):
    """A graph's `cron` matches at this time. `jid` is the job that it starts."""

    jid: str
    version: str
    topic: str
    at_ms: int


class Interrupt(Struct, array_like=True, frozen=True, tag="stop1"):
    """End a running job.

    Attributes:
        version: "" when the sender does not know it: the record says it.
        throw: Give it an error, so that callers and parents see a failure.
        expire_ms: How long the record is kept.
        descend: End its children and dependants too.
        sender: The activity that waits to hear of it, as (job, activity, dimension, version), or
            None.
        after_ms: How long the job may still run; 0 for no longer.
        rid: Tells one delayed order from another.
        nonce: When the job began that is meant, 0 for whichever has the id.
        parent: The job whose end this one's follows from: only its child is meant. "" for none.
        tries: How often it has been looked for in vain: a child may not have begun yet.
    """

    jid: str
    version: str = ""
    reason: str = ""
    throw: bool = True
    code: int = 410
    expire_ms: int = 1000
    descend: bool = False
    sender: tuple[str, str, str, str] | None = None
    after_ms: int = 0
    rid: str = ""
    nonce: int = 0
    parent: str = ""
    tries: int = 0


class Adopt(Struct, array_like=True, frozen=True, tag="adopt1"):
    """A job has named another as the one whose end is its end too (`stats.parent`)."""

    jid: str
    child: str
    version: str = ""


class Discard(Struct, array_like=True, frozen=True, tag="discard1"):
    """The job that this one depends on is over: expire with it."""

    jid: str
    after_ms: int
    version: str = ""


class Retire(Struct, array_like=True, frozen=True, tag="retire1"):
    """A job that gave its result while branches went on has been kept for its time: end them.

    `nonce` is when it began: an id may be used again.
    """

    jid: str
    version: str
    nonce: int


EngineEntry = (
    Reply
    | ChildStart
    | Visit
    | Begun
    | Redeliver
    | Wake
    | Continue
    | Woken
    | Listen
    | Send
    | SendAll
    | Tick
    | Interrupt
    | Adopt
    | Discard
    | Retire
    | RunTimer
    | RunAgain
    | RunInput
    | RunStart
    | RunStop
    | RunWoken
    | RunListen
    | ScheduleTick
)

_TAGS: frozenset[str] = frozenset(
    t.__struct_config__.tag
    for t in (*typing.get_args(EngineEntry), Work, Call, RunTask, RunQuery, Signal, Again)
)

_engine_decoder = msgspec.msgpack.Decoder(EngineEntry)
_work_decoder = msgspec.msgpack.Decoder(Work)
_encoder = msgspec.msgpack.Encoder()

encode_entry = _encoder.encode
decode_engine_entry = _engine_decoder.decode
decode_work = _work_decoder.decode
decode_again = msgspec.msgpack.Decoder(Again).decode
decode_signal = msgspec.msgpack.Decoder(Signal).decode


_STEMS = frozenset(tag.rstrip("0123456789") for tag in _TAGS)
_DEPTH_MAX = 3  # a retry in a timer carries a call, that carries its rules


def is_of_another_release(*parts: bytes | None) -> bool:
    """Whether what can't be decoded is an entry of another release, and no garbage: an array with
    a tag that is not known here, or a part of one.

    Args:
        parts: What the entry holds, beside `None`.
    """
    return any(_is_foreign(part) for part in parts if part is not None)


def _is_foreign(part: bytes) -> bool:
    try:
        value = msgspec.msgpack.decode(part)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    tag = _tag_of(value)
    return tag is not None and (tag not in _TAGS or _holds_foreign(value, _DEPTH_MAX))


def _holds_foreign(value: list[Any], depth: int) -> bool:
    """Whether something inside has another format of a known kind; user data may look like tags of
    unknown kinds.
    """
    for inner in value:
        tag = _tag_of(inner)
        if tag is not None and tag not in _TAGS and tag.rstrip("0123456789") in _STEMS:
            return True
        if tag is not None and depth and _holds_foreign(inner, depth - 1):
            return True
    return False


def _tag_of(value: Any) -> str | None:
    tag = value[0] if isinstance(value, list) and value else None
    return tag if isinstance(tag, str) and tag[-1:].isdigit() else None


# -- what user code sees


class StreamMetadata(Struct, frozen=True, kw_only=True):
    """Where a call comes from. A later answer (`mesh.add`) copies it whole.

    Attributes:
        guid: Stable for one attempt at one call, over redeliveries: use it as the idempotency key
            for what you do outside.
        try_count: Retries by policy so far, from 0.
        trace: W3C traceparent, or "".
    """

    guid: str
    jid: str
    aid: str
    dad: str
    topic: str
    version: str
    try_count: int = 0
    trace: str = ""


class StreamData(Struct, frozen=True, kw_only=True):
    """One call of a worker function: `data` is the mapped input."""

    metadata: StreamMetadata
    data: Any


class StreamResult(Struct, frozen=True, kw_only=True):
    """An answer with more to say than its data.

    Attributes:
        data: The output of the activity; for `error` a mapping with a `message`.
        status: `success` closes the activity, `pending` keeps it open for `mesh.add`, `error`
            closes it as failed.
        code: What transitions look at; 200, 202 or 500 by status when None.
        metadata: The call that is answered; needed by `mesh.add`, filled in for a worker's own
            answer.
        guid: Tells this answer from a repeated delivery of the same.
    """

    data: Any = None
    status: Status = "success"
    code: int | None = None
    metadata: StreamMetadata | None = None
    guid: str = msgspec.field(default_factory=guid)
