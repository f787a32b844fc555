"""Repairs: go back to a task, complete a step by hand, try again at once.

A reset forks a run before one of its tasks: what happened before is copied into a new run of the
same workflow id, which decides that task again, with the code of today. The old run is terminated.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
from msgspec import Struct

from hotmesh.core.durable import ledger
from hotmesh.core.durable import records as r
from hotmesh.core.durable.events import tasks_of
from hotmesh.core.state import ERROR, STATUS
from hotmesh.durable import payloads
from hotmesh.durable.commit import call_of
from hotmesh.durable.errors import DurableError, WorkflowNotFound
from hotmesh.durable.point import Point
from hotmesh.engine.runs import lay_out
from hotmesh.errors import Overloaded, SettingsInvalid
from hotmesh.ids import derive
from hotmesh.run_messages import RunStart, RunTimer, encode_run
from hotmesh.store import Verdict
from hotmesh.store import run_ops as ops
from hotmesh.store.runs import ATTRIBUTES, NEXT, STATE, InputOf, RunCommand, RunHead

TRIES_MAX = 5

_NAMES_A_RUN = (r.Child, r.ChildCancel, r.SignalOut, r.StopOut, r.HookOut)
_SENDS = (r.SignalOut, r.StopOut, r.HookOut)


class StepNotOpen(DurableError):
    """The step is none that waits for something, or is being run at this moment."""

    code = 409


# -- reset


class Fork(Struct, frozen=True):
    """What a new run has of an old one: its first record, what follows, and what is open then."""

    begin: r.Begin
    items: tuple[r.Item, ...]
    attributes: dict[str, Any]
    acts: tuple[r.Act, ...]
    timers: tuple[r.Timer, ...]
    waits: tuple[tuple[int, str], ...]
    children: tuple[r.Child, ...]


def fork(items: Sequence[r.Item], task: int, run_id: str, *, signals: bool) -> Fork:
    """What a run with another id would have if it forked before a task (numbered from 1).

    Raises:
        SettingsInvalid: There is no such task.
    """
    tasks = tasks_of(items)
    if not 1 <= task <= len(tasks):
        raise SettingsInvalid(f"task lies between 1 and {len(tasks)}, not {task}")
    at, before = tasks[task - 1], items[0]
    turn = items[at]
    assert isinstance(before, r.Begin) and isinstance(turn, r.Turn)
    begin = msgspec.structs.replace(
        before,
        run_id=run_id,
        first_run_id=before.first_run_id or before.run_id,
        previous_run_id=before.run_id,
        carried=(),
    )
    kept = [_renamed(item, before.run_id, run_id) for item in items[1:at]]
    # A task may have been given results directly; they came before it all the same.
    kept += [answer for answer in turn.ins if not isinstance(answer, int)]
    open_ = ledger.left_open([begin, *kept])
    kept += [r.Arrived(seq) for seq in _unanswered(kept)]
    if signals:
        kept += [_later(item) for item in items[at:] if isinstance(item, (r.Sent, r.Hooked))]
    commands = [c for item in kept if isinstance(item, r.Turn) for c in item.commands]
    return Fork(
        begin,
        tuple(kept),
        ledger.attributes_of([begin, *kept]),
        tuple(act for act in open_.acts if not act.local),
        tuple(c for c in commands if isinstance(c, r.Timer) and c.seq in open_.timers),
        open_.waits,
        open_.children,
    )


def _renamed(item: r.Item, old: str, new: str) -> r.Item:
    """Children without a name of their own are called after their parent's run."""
    if not isinstance(item, r.Turn):
        return item

    def renamed(command: r.Command) -> r.Command:
        if isinstance(command, _NAMES_A_RUN) and command.jid.startswith(f"{old}-"):
            return msgspec.structs.replace(command, jid=new + command.jid[len(old) :])
        return command

    return msgspec.structs.replace(item, commands=tuple(map(renamed, item.commands)))


def _unanswered(items: Sequence[r.Item]) -> list[int]:
    """Messages to other runs whose arrival was not heard of: they were sent, so they arrived."""
    sent = [
        c.seq
        for item in items
        if isinstance(item, r.Turn)
        for c in item.commands
        if isinstance(c, _SENDS) and c.jid
    ]
    arrived = {item.seq for item in items if isinstance(item, r.Arrived)}
    return [seq for seq in sent if seq not in arrived]


def _later(item: r.Sent | r.Hooked) -> r.Input:
    """A signal that met a wait of the old run meets whichever wait asks for its name now."""
    return msgspec.structs.replace(item, seq=0) if isinstance(item, r.Sent) else item


async def reset(
    point: Point, workflow_id: str, task: int, *, reason: str = "", signals: bool = True
) -> str:
    """Fork the current run of a workflow before a task; the id of the new run.

    Raises:
        WorkflowNotFound: There is none.
        SettingsInvalid: It has no such task.
    """
    run_id = secrets.token_hex(16)
    for _ in range(TRIES_MAX):
        head = await _head(point, workflow_id)
        stored = await point.runs.history(workflow_id, head.run_id)
        items = r.decode_items(stored)
        forked = fork(items, task, run_id, signals=signals)
        command = _command(point, workflow_id, head, items, forked, reason)
        history = command.key(command.partition.history(head.run_id))
        guard = ["turn", head.run_id, head.rev, "end", history, len(stored), "", []]
        if (await point.runs.run([command.build(guard)]))[0] == Verdict.APPLIED:
            return run_id
    raise Overloaded(f"workflow {workflow_id!r} changed {TRIES_MAX} times in a row; try again")


def _command(
    point: Point, jid: str, head: RunHead, items: Sequence[r.Item], forked: Fork, reason: str
) -> RunCommand:
    now_ms = point.store.clock.now_ms()
    begin = msgspec.structs.replace(forked.begin, at_ms=now_ms)
    command = RunCommand(point.store, jid, head.run_id)
    left = ledger.attributes_of(items)
    if head.is_open:
        _terminate(command, head, items, reason or "reset", now_ms)
    else:
        command.rank("closed", "")
    command.set({NEXT: begin.run_id.encode()})
    partition = command.partition
    new_history = command.key(partition.history(begin.run_id))
    archive = command.key(partition.archive(jid, head.run_id))
    command.run_id = begin.run_id
    command.history([r.encode_input(begin), *map(_encoded, forked.items)])
    command.ops.append(["archive", archive, new_history])
    lay_out(command, begin, "", follows=True)
    names, before = ledger.index_names(forked.attributes), ledger.index_names(left)
    for name in before:
        if name not in names:
            command.rank(name, "")
    for name in names:
        command.rank(name, str(now_ms))
    _open(command, begin, forked, now_ms)
    return command


def _encoded(item: r.Item) -> bytes:
    return r.encode_turn(item) if isinstance(item, r.Turn) else r.encode_input(item)


def _terminate(
    command: RunCommand, head: RunHead, items: Sequence[r.Item], reason: str, now_ms: int
) -> None:
    """End the old run. Whoever waits for the workflow goes on waiting, for the new one."""
    left, begin = ledger.left_open(items), items[0]
    assert isinstance(begin, r.Begin)
    command.history([r.encode_input(r.Closed("terminated", reason))])
    ending = ops.Ending(
        begin=begin,
        state="continued",
        children=left.children,
        timers=left.timers,
        waits=left.waits,
        now_ms=now_ms,
    )
    ops.end(command, ending, str(int(head.rev) + 1))
    failure = ops.encode_failure(r.Failure("terminated", reason, code=410))
    status = str(ops.CLOSED["terminated"]).encode()
    command.set({STATE: b"terminated", STATUS: status, ERROR: failure})


def _open(command: RunCommand, begin: r.Begin, forked: Fork, now_ms: int) -> None:
    """What was open at the fork is begun anew, for the new run."""
    fields: dict[str, bytes] = {}
    run: Any = SimpleNamespace(jid=command.jid, begin=begin)
    for act in forked.acts:
        call = call_of(run, act, "", now_ms)
        fields[f"s{act.seq}"] = b"1"
        command.call(act.queue, encode_run(call))
        limits = [ms for ms in (act.schedule_to_close_ms, act.schedule_to_start_ms) if ms]
        for entry, after_ms in zip(call.timers, limits, strict=True):
            command.timer(entry, after_ms)
    for timer in forked.timers:
        fields[f"s{timer.seq}"] = b"t"
        command.timer(ops.step_timer(command, timer.seq), timer.ms)
    for seq, name in forked.waits:
        fields[f"s{seq}"] = b"1"
        ops.hear(command, seq, name)
    for child in forked.children:
        fields |= {f"s{child.seq}": b"1", f"c{child.seq}": b"1"}
        command.post(child.jid, encode_run(_started_again(command.jid, begin, child)))
    if forked.attributes:
        fields[ATTRIBUTES] = bytes(payloads.encode(forked.attributes, "search attributes"))
    if fields:
        command.set(fields)


def _started_again(jid: str, begin: r.Begin, child: r.Child) -> RunStart:
    first = r.decode_item(child.begin)
    assert isinstance(first, r.Begin)
    first = msgspec.structs.replace(
        first,
        run_id=secrets.token_hex(16),
        parent=r.Parent(jid, begin.run_id, child.seq, child.policy),
    )
    request = derive(begin.run_id, "child", str(child.seq))
    reply = (jid, begin.run_id, child.seq)
    return RunStart(child.jid, r.encode_input(first), request, child.reuse, reply)


# -- steps and tries


async def skip_step(point: Point, workflow_id: str, seq: int, data: Any) -> None:
    """Complete an open activity, sleep or child by hand.

    Args:
        data: The result that the code gets, packed.

    Raises:
        WorkflowNotFound: There is no open run.
        StepNotOpen: The step waits for nothing, or for something else.
    """
    for _ in range(TRIES_MAX):
        head = await _head(point, workflow_id, is_open=True)
        items = r.decode_items(await point.runs.history(workflow_id, head.run_id))
        left = ledger.left_open(items)
        value = (await point.runs.fields(workflow_id, [f"s{seq}"]))[0]
        record: r.Input
        if any(act.seq == seq for act in left.acts):
            record = r.Answer(seq, 0, data, worker="(by hand)")
        elif seq in left.timers:
            record = r.Fired(seq)
        elif any(child.seq == seq for child in left.children):
            record = r.ChildEnded(seq, "completed", data)
        else:
            raise StepNotOpen(f"step {seq} of workflow {workflow_id!r} waits for nothing")
        if value is None:
            raise StepNotOpen(
                f"step {seq} of workflow {workflow_id!r} is being run at this moment; try again"
            )
        item = InputOf(
            jid=workflow_id,
            run_id=head.run_id,
            record=r.encode_input(record),
            queue=head.queue,
            keeper=head.keeper,
            step=f"s{seq}",
            value=value.decode(),
        )
        if (await point.runs.add([item]))[0] is Verdict.APPLIED:
            return
    raise Overloaded(f"step {seq} of workflow {workflow_id!r} kept changing; try again")


async def resume(point: Point, workflow_id: str) -> None:
    """Try a run whose code could not go on again at once, and forget its failures.

    Raises:
        WorkflowNotFound: There is no open run.
    """
    for _ in range(TRIES_MAX):
        head = await _head(point, workflow_id, is_open=True)
        items = await point.runs.history(workflow_id, head.run_id)
        command = RunCommand(point.store, workflow_id, head.run_id)
        command.drop(["tf", "te"])
        command.untimer(encode_run(RunTimer(workflow_id, head.run_id, 0, "task")))
        command.set({"t": b"1"})
        command.task(head.queue, items[0], 0)
        verdict = (await point.runs.run([command.build(["entry", head.rev, "", [], ""])]))[0]
        if verdict == Verdict.APPLIED:
            return
    raise Overloaded(f"workflow {workflow_id!r} changed {TRIES_MAX} times in a row; try again")


async def _head(point: Point, workflow_id: str, *, is_open: bool = False) -> RunHead:
    head = (await point.runs.heads([workflow_id]))[0]
    if head is None or (is_open and not head.is_open):
        how = "has ended" if head is not None else "never ran, or has expired"
        raise WorkflowNotFound(
            f"workflow {workflow_id!r} was not found: it {how}", workflow_id=workflow_id
        )
    return head


__all__ = ["Fork", "StepNotOpen", "fork", "reset", "resume", "skip_step"]
