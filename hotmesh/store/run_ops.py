"""What runs order from the store beyond their own record: messages to other runs, rendezvous by
name, and the end of a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Raw, Struct

from hotmesh.core.durable import records as r
from hotmesh.core.signals import PENDING_MS, slot
from hotmesh.core.state import REQUEST
from hotmesh.ids import derive, partition_of
from hotmesh.messages import Send, Signal, encode_entry
from hotmesh.run_messages import (
    NIL,
    RunInput,
    RunListen,
    RunStop,
    RunTimer,
    RunWoken,
    encode_run,
)
from hotmesh.store.encode import EARLY_MAX, RECEIPT_MS, text
from hotmesh.store.run_index import expires
from hotmesh.store.runs import (
    ATTRIBUTES,
    ERROR,
    FIRST,
    MEMO,
    META,
    QUEUE,
    RESULT,
    REV,
    RUN,
    STATE,
    STATUS,
    TASK,
    UPDATED,
    RunCommand,
)

RENDEZVOUS = "~run"
"""Topic of signals that are sent by their name alone. No topic of a model begins so."""

CONFLICT = encode_entry(Signal("error", 409, NIL, ""))

CLOSED = {
    "completed": 0,
    "continued": 0,
    "failed": 0,
    "canceled": -1,
    "timed_out": -1,
    "terminated": -1_000_000_000,
    "interrupted": -1_000_000_000,
}
"""States of ended runs, and the job's status that goes with each."""


def signal_of(args: Raw, rid: str) -> Signal:
    """A signal as it travels."""
    return Signal("success", 200, args, rid)


def tell(command: RunCommand, name: str, signal: Signal) -> None:
    """Send a signal to whoever waits for its name."""
    where = slot(RENDEZVOUS, name)
    if not _is_here(command, where):
        send = Send(where, "", RENDEZVOUS, name, signal, PENDING_MS)
        command.post(where, encode_entry(send))
        return
    receipt = command.key(command.partition.receipt(signal.rid))
    here = str(command.partition.number)
    limits = [PENDING_MS, RECEIPT_MS, EARLY_MAX]
    keys = _slot_keys(command, name)
    command.ops.append(["tell", *keys, receipt, here, text(encode_entry(signal)), "1", *limits])


def hear(command: RunCommand, seq: int, name: str) -> None:
    """Wait for a signal by its name."""
    waiter = _waiter(command, seq, name)
    where = slot(RENDEZVOUS, name)
    if _is_here(command, where):
        hear_op(command, name, waiter, "")
        return
    rid = derive(command.run_id, str(seq))
    command.post(where, encode_run(RunListen(where, name, waiter, rid=rid)))


def hear_op(command: RunCommand, name: str, waiter: bytes, rid: str) -> None:
    """The op of the slot's own partition."""
    receipt = command.key(command.partition.receipt(rid)) if rid else 0
    here = str(command.partition.number)
    keys = _slot_keys(command, name)
    command.ops.append(["hear", *keys, here, text(waiter), receipt, RECEIPT_MS, text(CONFLICT)])


def unhear(command: RunCommand, seq: int, name: str) -> None:
    """Wait no more."""
    waiter = _waiter(command, seq, name)
    where = slot(RENDEZVOUS, name)
    if _is_here(command, where):
        unhear_op(command, name, waiter)
    else:
        command.post(where, encode_run(RunListen(where, name, waiter, leave=True)))


def unhear_op(command: RunCommand, name: str, waiter: bytes) -> None:
    """The op of the slot's own partition."""
    at = command.key(command.partition.waiters(RENDEZVOUS, name))
    command.ops.append(["unhear", at, text(waiter)])


def _slot_keys(command: RunCommand, name: str) -> list[int]:
    partition = command.partition
    return [
        command.key(partition.waiters(RENDEZVOUS, name)),
        command.key(partition.early(RENDEZVOUS, name)),
        command.key(partition.engine),
        command.key(partition.outbox),
    ]


def _waiter(command: RunCommand, seq: int, name: str) -> bytes:
    woken = RunWoken(command.jid, command.run_id, seq, name)
    return b"%d:" % command.partition.number + encode_run(woken)


def _is_here(command: RunCommand, where: str) -> bool:
    partitions = len(command.store.keys.partitions)
    return partition_of(where, partitions) == command.partition.number


def step_timer(command: RunCommand, seq: int) -> bytes:
    """The timer of a sleep."""
    return encode_run(RunTimer(command.jid, command.run_id, seq))


class Ending(Struct, frozen=True, kw_only=True):
    """How a run ends, and what it leaves behind.

    Attributes:
        data, failure: Its result, or why there is none. An interruption without error has neither.
        children: That still run, with what becomes of them.
        timers: Steps that sleep; waits: steps that wait for signals by name.
        attributes: The indexes that its search attributes put it into.
    """

    begin: r.Begin
    state: str
    data: Raw = NIL
    failure: r.Failure | None = None
    children: Sequence[r.Child] = ()
    timers: Iterable[int] = ()
    waits: Iterable[tuple[int, str]] = ()
    attributes: Iterable[str] = ()
    now_ms: int = 0


def end(command: RunCommand, ending: Ending, rev: str) -> None:
    """Close a run: its record, its indexes, whoever waits for it, and what hangs on it."""
    begin = ending.begin
    fields = {
        REV: rev.encode(),
        STATUS: str(CLOSED[ending.state]).encode(),
        STATE: ending.state.encode(),
        UPDATED: str(ending.now_ms).encode(),
        RESULT: bytes(ending.data),
    }
    if ending.failure is not None:
        fields[ERROR] = encode_failure(ending.failure)
    command.set(fields)
    command.rank("open", "")
    if ending.state != "continued":
        command.rank("closed", str(begin.at_ms))
        if begin.keep_ms >= 0:
            expires(command, ending.attributes, ending.now_ms + max(1, begin.keep_ms))
    _take_back(command, ending)
    for child in ending.children:
        _let_go(command, child)
    if begin.parent is not None and ending.state != "continued":
        _tell_parent(command, begin.parent, ending)
    if begin.keep_ms >= 0:
        command.expire(max(1, begin.keep_ms))
    if begin.caller and ending.state != "continued":
        command.tell_caller(begin.caller)


def encode_failure(failure: r.Failure) -> bytes:
    """A failure as the record holds it: what every job's error has, and the whole beside it."""
    return encode_run({"code": failure.code, "message": failure.message, "failure": failure})


def limit_timers(jid: str, begin: r.Begin) -> list[tuple[bytes, int]]:
    """Timers of a run's own time limits, and their durations."""
    limits: list[tuple[bytes, int]] = []
    if begin.run_ms:
        limits.append((encode_run(RunTimer(jid, begin.run_id, 0, "run_timeout")), begin.run_ms))
    if begin.execution_ms:
        first = begin.first_run_id or begin.run_id
        limits.append(
            (encode_run(RunTimer(jid, first, 0, "execution_timeout")), begin.execution_ms)
        )
    return limits


def _take_back(command: RunCommand, ending: Ending) -> None:
    for entry, _ in limit_timers(command.jid, ending.begin):
        if ending.state != "continued" or b"run_timeout" in entry:
            command.untimer(entry)
    for seq in ending.timers:
        command.untimer(step_timer(command, seq))
    for seq, name in ending.waits:
        unhear(command, seq, name)


def _let_go(command: RunCommand, child: r.Child) -> None:
    if child.policy == "terminate":
        reason = f"its parent {command.jid} has ended"
        stop = RunStop(child.jid, "", "terminated", reason, only_child_of=command.run_id)
        command.post(child.jid, encode_run(stop))
    elif child.policy == "request_cancel":
        record = r.encode_input(r.CancelAsked(f"its parent {command.jid} has ended"))
        rid = derive(command.run_id, "close", str(child.seq))
        command.post(child.jid, encode_run(RunInput(child.jid, "", "", record, rid)))


def _tell_parent(command: RunCommand, parent: r.Parent, ending: Ending) -> None:
    failure = ending.failure
    if failure is None and ending.state in ("canceled", "terminated", "interrupted", "timed_out"):
        failure = r.Failure("terminated", ending.state, code=410)
    wrapped = failure and r.Failure(
        "child",
        f"child workflow {command.jid!r} {ending.state.replace('_', ' ')}: {failure.message}",
        code=failure.code,
        cause=failure,
        facts={
            "workflow_id": command.jid,
            "run_id": command.run_id,
            "workflow": ending.begin.workflow,
        },
    )
    record = r.ChildEnded(parent.seq, ending.state, ending.data, wrapped, command.run_id)
    step = f"s{parent.seq}"
    entry = RunInput(parent.jid, parent.run_id, step, r.encode_input(record))
    command.post(parent.jid, encode_run(entry))


def begin_fields(begin: r.Begin, meta: bytes, request: str) -> dict[str, bytes]:
    """The record of a run that starts."""
    fields = {
        RUN: begin.run_id.encode(),
        REV: b"1",
        STATUS: b"1",
        META: meta,
        STATE: b"running",
        QUEUE: begin.queue.encode(),
        TASK: b"1",
        UPDATED: str(begin.at_ms).encode(),
        FIRST: (begin.first_run_id or begin.run_id).encode(),
    }
    if request:
        fields[REQUEST] = request.encode()
    if begin.attributes != NIL:
        fields[ATTRIBUTES] = bytes(begin.attributes)
    if begin.memo != NIL:
        fields[MEMO] = bytes(begin.memo)
    return fields
