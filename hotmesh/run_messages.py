"""Entries of durable runs: what their workers' streams, timers and the engine stream carry.

As in `messages`: array-like, only growing at the end, the format in the tag, user payloads as raw
MessagePack. A run is named by `jid` (the workflow id, so the job whose record it is) and `run_id`
(which of the runs that had this id): what is meant for one run never reaches the next.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

NIL = Raw(b"\xc0")


class CallRules(Struct, array_like=True, frozen=True):
    """How an activity may be tried again, and for how long.

    Attributes:
        attempts_max: In all; 0 without a limit.
        initial_ms, factor, delay_ms_max: The delay before attempt n + 1 is `initial_ms * factor **
            (n - 1)`, at most `delay_ms_max`.
        fatal: Names of exceptions that are not tried again.
        start_to_close_ms: Limit of one attempt; 0 for none, as everywhere here.
        heartbeat_ms: Longest silence within one attempt.
        deadline_ms: Server time at which all attempts are over.
        jitter: The share of the delay that is drawn at random.
    """

    attempts_max: int = 50
    initial_ms: int = 1000
    factor: float = 2.0
    delay_ms_max: int = 120_000
    fatal: tuple[str, ...] = ()
    start_to_close_ms: int = 60_000
    heartbeat_ms: int = 0
    deadline_ms: int = 0
    jitter: float = 0.0


class Call(Struct, array_like=True, frozen=True, tag="call1"):
    """One activity of a run: an entry of an activity stream.

    Attributes:
        queue: The run's task queue, where the answer goes.
        keeper: The worker that has the run in memory, or "".
        attempt: From 1; the answer of any other attempt than the current one is dropped.
        args: A MessagePack array.
        timers: Timers that the answer takes back.
        call_queue: The activity's queue: a retry goes there.
        lost: Attempts in a row whose worker died.
    """

    jid: str
    run_id: str
    seq: int
    name: str
    queue: str
    call_queue: str
    args: Raw
    attempt: int = 1
    keeper: str = ""
    rules: CallRules = CallRules()
    timers: tuple[bytes, ...] = ()
    workflow: str = ""
    headers: dict[str, Raw] = {}
    trace: str = ""
    lost: int = 0


class RunTask(Struct, array_like=True, frozen=True, tag="task1"):
    """A run has something to look at: an entry of a workflow stream.

    The record that caused it may ride beside it.
    """

    jid: str
    run_id: str


class RunQuery(Struct, array_like=True, frozen=True, tag="query1"):
    """Somebody asks a query handler of a run: an entry of a workflow stream.

    Attributes:
        args: A MessagePack array.
        qid: Under which the answer is kept for a minute, and `caller` the client that is told.
        before_ms: Server time after which nobody waits any more.
    """

    jid: str
    run_id: str
    name: str
    args: Raw
    qid: str
    caller: str
    before_ms: int


class RunTimer(Struct, array_like=True, frozen=True, tag="rtime1"):
    """A timer of a run is due.

    Attributes:
        what: `fired` ends a sleep of the workflow, the others a wait for something that took too
            long.
    """

    jid: str
    run_id: str
    seq: int
    what: Literal[
        "fired",
        "schedule_to_start",
        "schedule_to_close",
        "run_timeout",
        "execution_timeout",
        "wait_timeout",
        "task",
    ] = "fired"
    version: str = ""


class RunAgain(Struct, array_like=True, frozen=True, tag="ragain1"):
    """An activity's retry is due: append its call again, if its attempt is still the current
    one.
    """

    call: Call

    @property
    def jid(self) -> str:
        return self.call.jid


class RunInput(Struct, array_like=True, frozen=True, tag="rinput1"):
    """A record for the history of a run, from another run.

    Attributes:
        run_id: "" for whichever run has the id now.
        step: The open step that it closes, "" for none.
        record: As the history holds it.
        rid: A repeated delivery with the same id does nothing; "" where the step sees to it.
        reply: Where to say that it arrived, or that there was nobody: (workflow id, run id, step).
    """

    jid: str
    run_id: str
    step: str
    record: bytes
    rid: str = ""
    reply: tuple[str, str, int] | None = None


class RunStart(Struct, array_like=True, frozen=True, tag="rstart1"):
    """Start a run: a child, the next one of a schedule, or a retry after a delay.

    Attributes:
        begin: The first record of its history.
        request: A repeated start with the same id finds the run of the first.
        reuse: Whether a closed run's id may be used: `allow`, `failed_only`, `reject`.
        reply: The parent that wants to hear that it began: (workflow id, run id, step).
    """

    jid: str
    begin: bytes
    request: str
    reuse: str = "allow"
    reply: tuple[str, str, int] | None = None


class RunStop(Struct, array_like=True, frozen=True, tag="rstop1"):
    """End a run from outside, without running its code.

    Attributes:
        run_id: "" for whichever run has the id now.
        state: `terminated`, `interrupted` or `timed_out`.
        only_child_of: Only when it is a child of this run, which has ended.
    """

    jid: str
    run_id: str
    state: str
    reason: str
    error: bool = True
    only_child_of: str = ""
    reply: tuple[str, str, int] | None = None


class RunWoken(Struct, array_like=True, frozen=True, tag="rwoken1"):
    """A signal met a run that waits for it by name; the signal rides beside it."""

    jid: str
    run_id: str
    seq: int
    name: str
    signal: Any = None
    version: str = ""


class RunListen(Struct, array_like=True, frozen=True, tag="rlisten1"):
    """Register, or with `leave` take back, a waiter in the partition of its signal.

    `jid` stands for that partition, not for a run; `waiter` is what the slot keeps.
    """

    jid: str
    name: str
    waiter: bytes
    leave: bool = False
    rid: str = ""


decode_call = msgspec.msgpack.Decoder(Call).decode
decode_task = msgspec.msgpack.Decoder(RunTask | RunQuery).decode
encode_run = msgspec.msgpack.Encoder().encode
