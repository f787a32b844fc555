"""A history as people read it: one event per thing that happened, numbered from 1.

The items of a history are made for replay: a turn holds the inputs that it took and the commands
that it gave. Here each of them is an event of its own, in the order in which it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw, Struct

from hotmesh.core.durable import records as r

Fields: TypeAlias = dict[str, Any]
Told: TypeAlias = tuple[str, Fields]


class Event(Struct, frozen=True, kw_only=True):
    """One thing that happened to a run.

    Attributes:
        id: From 1, without gaps.
        kind: Such as `START`, `TASK`, `ACT`, `ACT_DONE`, `COMPLETE`.
        ts: Server time in milliseconds. Inputs have that of the task that was written next: when
            they came is not kept.
        seq: The step, numbered from 1; None for what belongs to none.
        fields: What else there is to say, with payloads decoded.
    """

    id: int
    kind: str
    ts: int
    seq: int | None = None
    fields: Fields = {}


_decode = msgspec.msgpack.Decoder().decode


def value_of(data: Raw) -> Any:
    """A payload as plain data; what can't be decoded (an encrypted one) as it is, in bytes."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError, TypeError):
        return bytes(data)


def failure_fields(failure: r.Failure | None) -> Fields | None:
    """A failure as plain data."""
    if failure is None:
        return None
    fields: Fields = {"kind": failure.kind, "message": failure.message, "code": failure.code}
    if failure.type:
        fields["type"] = failure.type
    if bytes(failure.details) != b"\xc0":
        fields["details"] = value_of(failure.details)
    if failure.facts:
        fields["facts"] = dict(failure.facts)
    if failure.cause is not None:
        fields["cause"] = failure_fields(failure.cause)
    return fields


def events_of(items: Sequence[r.Item], *, ended_ms: int = 0) -> list[Event]:
    """The events of a history.

    Args:
        ended_ms: When the run ended, as its record says; 0 while it is open.
    """
    return list(_Telling(items, ended_ms).events())


class _Telling:
    def __init__(self, items: Sequence[r.Item], ended_ms: int) -> None:
        self._items, self._ended_ms = items, ended_ms
        self._ids: dict[int, int] = {}  # item → event
        self._commands: dict[int, r.Command] = {}  # by step
        self._accepted = {
            c.uid
            for item in items
            if isinstance(item, r.Turn)
            for c in item.commands
            if isinstance(c, r.Accepted)
        }
        self._next = 1

    def events(self) -> Iterator[Event]:
        for index, (item, ts) in enumerate(zip(self._items, self._times(), strict=True)):
            if isinstance(item, r.Turn):
                yield from self._turn(item, ts)
            elif (told := self._input(item)) is not None:
                self._ids[index] = self._next
                yield self._event(told, ts, getattr(item, "seq", 0))

    def _times(self) -> list[int]:
        """Of each item; going backwards, inputs have the time of the turn that follows."""
        times: list[int] = []
        last = self._ended_ms
        if not last:
            turns = [i.now_ms for i in self._items if isinstance(i, r.Turn)]
            first = self._items[0] if self._items else None
            last = max([*turns, first.at_ms if isinstance(first, r.Begin) else 0])
        for item in reversed(self._items):
            if isinstance(item, r.Turn):
                last = item.now_ms
            times.append(item.at_ms if isinstance(item, r.Begin) and item.at_ms else last)
        return times[::-1]

    def _event(self, told: Told, ts: int, seq: int) -> Event:
        kind, fields = told
        event = Event(id=self._next, kind=kind, ts=ts, seq=seq or None, fields=fields)
        self._next += 1
        return event

    def _turn(self, turn: r.Turn, ts: int) -> Iterator[Event]:
        commands = [(c, t) for c in turn.commands if (t := _COMMANDS[type(c)](c)) is not None]
        if not commands and turn.ins and all(self._is_silent(i) for i in turn.ins):
            return  # all that it did was to reject updates, which leaves nothing
        ids: list[int] = []
        for taken in turn.ins:
            if not isinstance(taken, int):
                told = self._input(taken)
                assert told is not None
                ids.append(self._next)
                yield self._event(told, ts, taken.seq)
            elif taken in self._ids:
                ids.append(self._ids[taken])
        fields: Fields = {"ins": ids, "n": len(commands)}
        if turn.worker:
            fields["worker"] = turn.worker
        if turn.build:
            fields["build"] = turn.build
        yield self._event(("TASK", fields), ts, 0)
        for command, told in commands:
            seq = getattr(command, "seq", 0)
            if seq:
                self._commands.setdefault(seq, command)
            yield self._event(told, ts, seq)

    def _is_silent(self, taken: int | r.Answer) -> bool:
        if not isinstance(taken, int) or not 0 <= taken < len(self._items):
            return False
        item = self._items[taken]
        return isinstance(item, r.Asked) and item.uid not in self._accepted

    def _input(self, item: r.Input) -> Told | None:
        match item:
            case r.Begin():
                return "START", _begin(item)
            case r.Answer():
                return self._answer(item)
            case r.Fired():
                return "TIMER_FIRED", {}
            case r.Sent():
                return "SIGNAL", {"name": item.name, "args": value_of(item.args), "id": item.rid}
            case r.Asked():
                return None  # it is told when it is accepted
            case r.Hooked():
                return "HOOK", {"name": item.name, "args": value_of(item.args), "id": item.rid}
            case r.CancelAsked():
                return "CANCEL_REQ", {"reason": item.reason}
            case r.ChildBegan():
                if item.failure is not None:
                    return "CHILD_REJECTED", {"failure": failure_fields(item.failure)}
                return "CHILD_STARTED", {"run_id": item.run_id}
            case r.ChildEnded():
                kind = _CHILD_ENDS.get(item.state, "CHILD_TERMINATED")
                return kind, _outcome(item.data, item.failure)
            case r.Arrived():
                return self._arrived(item)
            case r.Found():
                failure = failure_fields(item.failure)
                found = {"failure": failure} if failure else {"values": value_of(item.values)}
                return "SEARCH_DONE", found
            case r.Closed():
                fields: Fields = {"reason": item.reason}
                if item.state == "timed_out":
                    return "TIMED_OUT", fields
                return "TERMINATED", fields | {"state": item.state}

    def _answer(self, item: r.Answer) -> Told:
        fields = _outcome(item.data, item.failure)
        if item.attempt:
            fields["attempt"] = item.attempt
        if item.worker:
            fields["worker"] = item.worker
        act = self._commands.get(item.seq)
        if isinstance(act, r.Act) and act.local:
            return "LOCAL", {"name": act.name} | fields
        if item.failure is None:
            return "ACT_DONE", fields
        cause = item.failure.cause or item.failure
        kinds = {"timeout": "ACT_TIMEOUT", "cancelled": "ACT_CANCELED"}
        return kinds.get(cause.kind, "ACT_FAIL"), fields

    def _arrived(self, item: r.Arrived) -> Told:
        command = self._commands.get(item.seq)
        stem = "SIGEXT"
        if isinstance(command, r.StopOut):
            stem = "CANEXT"
        elif isinstance(command, r.HookOut):
            stem = "HOOKEXT"
        if item.failure is None:
            return f"{stem}_DONE", {}
        return f"{stem}_FAIL", {"failure": failure_fields(item.failure)}


_CHILD_ENDS = {
    "completed": "CHILD_DONE",
    "failed": "CHILD_FAIL",
    "canceled": "CHILD_CANCELED",
    "timed_out": "CHILD_TIMEOUT",
}


def _outcome(data: Raw, failure: r.Failure | None) -> Fields:
    if failure is not None:
        return {"failure": failure_fields(failure)}
    return {"result": value_of(data)}


def _begin(item: r.Begin) -> Fields:
    fields: Fields = {
        "type": item.workflow,
        "args": value_of(item.args),
        "queue": item.queue,
        "run_id": item.run_id,
        "seed": str(item.seed),  # as text: JSON's readers round numbers of 63 bits
        "attempt": item.attempt,
    }
    optional = {
        "first_run_id": item.first_run_id,
        "prev_run_id": item.previous_run_id,
        "root": item.root,
        "run_timeout_ms": item.run_ms,
        "execution_timeout_ms": item.execution_ms,
        "memo": value_of(item.memo),
        "attrs": value_of(item.attributes),
        "headers": {name: value_of(value) for name, value in item.headers.items()},
        "schedule": item.schedule,
        "build": item.build,
        "flags": list(item.flags),
    }
    fields |= {name: value for name, value in optional.items() if value}
    if item.parent is not None:
        parent = item.parent
        fields["parent"] = {"id": parent.jid, "run": parent.run_id, "seq": parent.seq}
    return fields


def _act(act: r.Act) -> Told:
    rules = act.rules
    opts = {
        "start_to_close_ms": rules.start_to_close_ms,
        "schedule_to_close_ms": act.schedule_to_close_ms,
        "schedule_to_start_ms": act.schedule_to_start_ms,
        "heartbeat_ms": rules.heartbeat_ms,
        "attempts_max": rules.attempts_max,
    }
    fields: Fields = {"name": act.name, "queue": act.queue, "args": value_of(act.args)}
    fields["opts"] = {name: value for name, value in opts.items() if value}
    for name in ("step_id", "summary", "local"):
        if value := getattr(act, name):
            fields[name] = value
    return "ACT", fields


def _child(child: r.Child) -> Told:
    fields: Fields = {
        "id": child.jid,
        "type": child.workflow,
        "queue": child.queue,
        "close_policy": child.policy,
        "reuse_policy": child.reuse,
    }
    try:
        begin = r.decode_item(child.begin)
    except msgspec.DecodeError:
        return "CHILD", fields
    return "CHILD", fields | ({"args": value_of(begin.args)} if isinstance(begin, r.Begin) else {})


def _replied(reply: r.Replied) -> Told | None:
    if reply.rejected:
        return None
    kind = "UPD_DONE" if reply.failure is None else "UPD_FAIL"
    return kind, {"id": reply.uid} | _outcome(reply.data, reply.failure)


def _once(once: r.Once) -> Told:
    fields = _outcome(once.data, once.failure)
    fields["value"] = fields.pop("result", None)
    return "SIDE", ({"name": once.name} if once.name else {}) | fields


def _continue(command: r.ContinueAsNew) -> Told:
    begin = r.decode_item(command.begin)
    assert isinstance(begin, r.Begin)
    fields: Fields = {"type": command.workflow, "new_run_id": begin.run_id}
    fields |= {"args": value_of(begin.args), "queue": begin.queue, "attempt": begin.attempt}
    return "CONTINUE", fields | ({"delay_ms": command.delay_ms} if command.delay_ms else {})


def _signal_out(command: r.SignalOut) -> Told:
    fields = {"target": command.jid, "name": command.name, "args": value_of(command.args)}
    return "SIGEXT", fields


_COMMANDS: dict[type, Callable[[Any], Told | None]] = {
    r.Act: _act,
    r.ActCancel: lambda c: ("ACT_CANCEL", {}),
    r.Timer: lambda c: ("TIMER", {"ms": c.ms} | ({"step_id": c.step_id} if c.step_id else {})),
    r.TimerCancel: lambda c: ("TIMER_CANCEL", {}),
    r.Child: _child,
    r.ChildCancel: lambda c: ("CHILD_CANCEL", {"id": c.jid, "reason": c.reason}),
    r.SignalOut: _signal_out,
    r.StopOut: lambda c: ("CANEXT", {"target": c.jid, "how": c.how, "reason": c.reason}),
    r.HookOut: lambda c: (
        "HOOKEXT",
        {"target": c.jid, "name": c.name, "args": value_of(c.args)},
    ),
    r.Wait: lambda c: ("WAIT", {"name": c.name}),
    r.WaitCancel: lambda c: ("WAIT_CANCEL", {"name": c.name}),
    r.Search: lambda c: ("SEARCH", {"ops": [list(op) for op in c.ops]}),
    r.Attributes: lambda c: ("ATTRS", {"delta": value_of(c.data)}),
    r.Memo: lambda c: ("MEMO", {"delta": value_of(c.data)}),
    r.Once: _once,
    r.Patched: lambda c: ("PATCH", {"id": c.id, "deprecated": c.deprecated}),
    r.Accepted: lambda c: (
        "UPD_ACCEPT",
        {"id": c.uid, "name": c.name, "args": value_of(c.args)},
    ),
    r.Replied: _replied,
    r.Emit: lambda c: ("EMIT", {"topic": c.topic, "data": value_of(c.data)}),
    r.Complete: lambda c: ("COMPLETE", {"result": value_of(c.data)}),
    r.Fail: lambda c: ("FAIL", {"failure": failure_fields(c.failure)}),
    r.Canceled: lambda c: ("CANCELED", {"reason": c.reason}),
    r.ContinueAsNew: _continue,
}
