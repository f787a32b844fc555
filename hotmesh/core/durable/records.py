"""The history of a run, as it is stored: one item per input and one per turn.

An item is one letter and a MessagePack array: `S` a signal or an update, which keeps a run from
ending before it has looked; `C` the wish to cancel it; `I` any other input; `T` a turn. What
happened to a run is appended when it happens; a turn says which of these inputs it took, in which
order, and what the code asked for then. So replay needs nothing but this list.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec
from msgspec import Raw, Struct

from hotmesh.run_messages import NIL, CallRules

EMPTY_LIST = Raw(b"\x90")


class Failure(Struct, array_like=True, frozen=True):
    """An error that crosses a process.

    Attributes:
        kind: `application`, `activity`, `child`, `timeout`, `cancelled`, `terminated`, `lost`,
            `workflow`.
        type: The qualified name of the exception, or which timeout.
        code: 598 for one that is not to be tried again, 599 else; 410, 596, 597 as they fit.
        details: A MessagePack array, or nothing.
        facts: What belongs to the kind (activity, attempt, workflow id, …).
    """

    kind: str
    message: str
    type: str = ""
    code: int = 599
    fatal: bool = False
    details: Raw = NIL
    stack: str = ""
    cause: Failure | None = None
    facts: dict[str, str | int] = {}
    delay_ms: int = -1


class Parent(Struct, array_like=True, frozen=True):
    """The run that started this one as a child, and the step that hears of its end."""

    jid: str
    run_id: str
    seq: int
    policy: str = "abandon"


# -- inputs: what happens to a run


class Begin(Struct, array_like=True, frozen=True, tag="begin1"):
    """The run starts. Always the first item.

    Attributes:
        first_run_id: Of the chain of runs that continue one another.
        attempt: Of the workflow's own retry policy.
        run_ms, execution_ms: Time limits; 0 for none. `execution_at_ms` is when the chain must be
            over, on the server's clock.
        keep_ms: How long the record is kept after the end; -1 for ever.
        retry: The workflow's own policy, or None.
        carried: Inputs that the run before had not looked at.
    """

    workflow: str
    args: Raw
    queue: str
    run_id: str
    seed: int
    first_run_id: str = ""
    previous_run_id: str = ""
    parent: Parent | None = None
    root: str = ""
    attempt: int = 1
    run_ms: int = 0
    execution_ms: int = 0
    execution_at_ms: int = 0
    keep_ms: int = 86_400_000
    retry: CallRules | None = None
    headers: dict[str, Raw] = {}
    memo: Raw = NIL
    attributes: Raw = NIL
    build: str = ""
    trace: str = ""
    caller: str = ""
    schedule: str = ""
    carried: tuple[bytes, ...] = ()
    depth: int = 0
    at_ms: int = 0
    flags: tuple[int, ...] = ()
    last_result: Raw = NIL


class Answer(Struct, array_like=True, frozen=True, tag="answer1"):
    """An activity ended: with a result, or for good with a failure."""

    seq: int
    attempt: int
    data: Raw = NIL
    failure: Failure | None = None
    worker: str = ""


class Fired(Struct, array_like=True, frozen=True, tag="fired1"):
    """A timer is due."""

    seq: int


class Sent(Struct, array_like=True, frozen=True, tag="sent1"):
    """A signal came. `args` is a MessagePack array; `seq` is the wait that it met, 0 for none."""

    name: str
    args: Raw
    rid: str = ""
    seq: int = 0
    conflict: bool = False
    headers: dict[str, Raw] = {}


class Asked(Struct, array_like=True, frozen=True, tag="asked1"):
    """An update is requested. `caller` is the channel that hears of its outcome."""

    uid: str
    name: str
    args: Raw
    caller: str = ""
    headers: dict[str, Raw] = {}


class Hooked(Struct, array_like=True, frozen=True, tag="hooked1"):
    """A function is to run beside the main one."""

    name: str
    args: Raw
    rid: str = ""


class CancelAsked(Struct, array_like=True, frozen=True, tag="cancel1"):
    """Somebody wants the run cancelled. `skip` ends it before its code has begun."""

    reason: str = ""
    skip: bool = False


class ChildBegan(Struct, array_like=True, frozen=True, tag="kid1"):
    """A child runs, or could not be started."""

    seq: int
    run_id: str = ""
    failure: Failure | None = None


class ChildEnded(Struct, array_like=True, frozen=True, tag="kidend1"):
    """A child is over."""

    seq: int
    state: str
    data: Raw = NIL
    failure: Failure | None = None
    run_id: str = ""


class Arrived(Struct, array_like=True, frozen=True, tag="ext1"):
    """A message to another run arrived, or found nobody."""

    seq: int
    failure: Failure | None = None


class Found(Struct, array_like=True, frozen=True, tag="found1"):
    """What operations on the run's fields gave: one value each."""

    seq: int
    values: Raw
    failure: Failure | None = None


class Closed(Struct, array_like=True, frozen=True, tag="closed1"):
    """The run was ended from outside."""

    state: str
    reason: str = ""
    error: bool = True


Input: TypeAlias = (
    Begin
    | Answer
    | Fired
    | Sent
    | Asked
    | Hooked
    | CancelAsked
    | ChildBegan
    | ChildEnded
    | Arrived
    | Found
    | Closed
)


# -- commands: what the code asks for


class Act(Struct, array_like=True, frozen=True, tag="act1"):
    """Run an activity. `local` ones run in the turn's own worker and are never queued."""

    seq: int
    name: str
    queue: str
    args: Raw
    rules: CallRules = CallRules()
    schedule_to_start_ms: int = 0
    schedule_to_close_ms: int = 0
    headers: dict[str, Raw] = {}
    step_id: str = ""
    local: bool = False
    summary: str = ""


class ActCancel(Struct, array_like=True, frozen=True, tag="actx1"):
    """The activity is to stop. `waits` for its end, or nobody does any more."""

    seq: int
    waits: bool = False


class Timer(Struct, array_like=True, frozen=True, tag="timer1"):
    """Sleep."""

    seq: int
    ms: int
    step_id: str = ""


class TimerCancel(Struct, array_like=True, frozen=True, tag="timerx1"):
    """Nobody waits for the timer any more."""

    seq: int


class Child(Struct, array_like=True, frozen=True, tag="child2"):
    """Start another run. `begin` is the first record of its history."""

    seq: int
    jid: str
    workflow: str
    queue: str
    begin: bytes
    policy: str = "abandon"
    reuse: str = "allow"
    step_id: str = ""


class ChildCancel(Struct, array_like=True, frozen=True, tag="childx1"):
    """Ask a child to cancel."""

    seq: int
    jid: str
    run_id: str
    reason: str = ""


class SignalOut(Struct, array_like=True, frozen=True, tag="sigout1"):
    """Send a signal: to a run, or, with `jid` empty, to whoever waits for the name."""

    seq: int
    jid: str
    run_id: str
    name: str
    args: Raw
    step_id: str = ""


class StopOut(Struct, array_like=True, frozen=True, tag="stopout1"):
    """Cancel or terminate another run."""

    seq: int
    jid: str
    run_id: str
    how: str
    reason: str = ""
    error: bool = True


class HookOut(Struct, array_like=True, frozen=True, tag="hookout1"):
    """Run a function beside the main one of a run."""

    seq: int
    jid: str
    name: str
    args: Raw


class Wait(Struct, array_like=True, frozen=True, tag="wait1"):
    """Wait for a signal that whoever sends by its name alone."""

    seq: int
    name: str


class WaitCancel(Struct, array_like=True, frozen=True, tag="waitx1"):
    """Wait no more."""

    seq: int
    name: str


class Search(Struct, array_like=True, frozen=True, tag="search1"):
    """Operations on the run's fields. Those that answer end the turn; `set` alone does not."""

    seq: int
    ops: tuple[tuple[str, ...], ...]
    answers: bool


class Attributes(Struct, array_like=True, frozen=True, tag="attrs1"):
    """Change search attributes; `data` is a MessagePack map, null removes."""

    data: Raw


class Memo(Struct, array_like=True, frozen=True, tag="memo1"):
    """The memo, as it is from now on."""

    data: Raw


class Once(Struct, array_like=True, frozen=True, tag="once1"):
    """A value that the code drew or computed outside, kept for replays."""

    seq: int
    data: Raw
    failure: Failure | None = None
    name: str = ""


class Patched(Struct, array_like=True, frozen=True, tag="patch1"):
    """The run took a new path of the code."""

    id: str
    deprecated: bool = False


class Accepted(Struct, array_like=True, frozen=True, tag="accept1"):
    """An update passed its validator, and its handler runs."""

    uid: str
    name: str
    args: Raw
    caller: str = ""


class Replied(Struct, array_like=True, frozen=True, tag="replied1"):
    """An update's handler is done, or, with `rejected`, was never begun (then it is not kept)."""

    uid: str
    data: Raw = NIL
    failure: Failure | None = None
    rejected: bool = False
    caller: str = ""


class Emit(Struct, array_like=True, frozen=True, tag="emit1"):
    """Publish."""

    seq: int
    topic: str
    data: Raw


class Complete(Struct, array_like=True, frozen=True, tag="complete1"):
    """The main function returned."""

    data: Raw


class Fail(Struct, array_like=True, frozen=True, tag="fail1"):
    """The main function raised."""

    failure: Failure


class Canceled(Struct, array_like=True, frozen=True, tag="canceled1"):
    """The main function let a requested cancellation through."""

    reason: str = ""


class ContinueAsNew(Struct, array_like=True, frozen=True, tag="again2"):
    """The run goes on as another, with a history of its own."""

    begin: bytes
    workflow: str
    delay_ms: int = 0


Command: TypeAlias = (
    Act
    | ActCancel
    | Timer
    | TimerCancel
    | Child
    | ChildCancel
    | SignalOut
    | StopOut
    | HookOut
    | Wait
    | WaitCancel
    | Search
    | Attributes
    | Memo
    | Once
    | Patched
    | Accepted
    | Replied
    | Emit
    | Complete
    | Fail
    | Canceled
    | ContinueAsNew
)

TERMINAL = (Complete, Fail, Canceled, ContinueAsNew)


class Turn(Struct, array_like=True, frozen=True, tag="turn1"):
    """One pass of the code.

    Attributes:
        now_ms: The time that the code saw.
        ins: The inputs that it took, in order: the index of an item, or the input itself when it
            came with the turn.
        commands: What it asked for, in order.
        worker, build: Who ran it.
    """

    now_ms: int
    ins: tuple[int | Answer, ...]
    commands: tuple[Command, ...]
    worker: str = ""
    build: str = ""


Item: TypeAlias = Turn | Input

_encode = msgspec.msgpack.Encoder().encode
_decode_turn = msgspec.msgpack.Decoder(Turn).decode
_decode_input = msgspec.msgpack.Decoder(Input).decode

_WAITED_FOR = (Sent, Asked, Hooked)


class _Error(Struct):
    failure: Failure


_decode_error = msgspec.msgpack.Decoder(_Error).decode


def decode_error(raw: bytes) -> Failure:
    """The failure in the error of a run's record."""
    return _decode_error(raw).failure


def encode_input(record: Input) -> bytes:
    """An item of a history."""
    if isinstance(record, _WAITED_FOR):
        return b"S" + _encode(record)
    return (b"C" if isinstance(record, CancelAsked) else b"I") + _encode(record)


def encode_turn(turn: Turn) -> bytes:
    """An item of a history."""
    return b"T" + _encode(turn)


def decode_item(item: bytes) -> Item:
    """What an item holds.

    Raises:
        msgspec.DecodeError: It is of a later format, or garbage.
    """
    return _decode_turn(item[1:]) if item[:1] == b"T" else _decode_input(item[1:])


def decode_items(items: Iterable[bytes]) -> list[Item]:
    """The same for many."""
    return [decode_item(item) for item in items]
