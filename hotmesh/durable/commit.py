"""The commands of a turn → one script.

What a command orders is one function; the table at the end is all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from hotmesh.core.durable import ledger
from hotmesh.core.durable import records as r
from hotmesh.durable import payloads
from hotmesh.durable.run import Run
from hotmesh.durable.tracing import leg_trace
from hotmesh.engine.runs import lay_out
from hotmesh.ids import derive
from hotmesh.run_messages import (
    Call,
    RunInput,
    RunStart,
    RunStop,
    RunTimer,
    encode_run,
)
from hotmesh.store import Entry, Store
from hotmesh.store import run_ops as ops
from hotmesh.store.encode import text
from hotmesh.store.runs import ATTRIBUTES, KEEPER, MEMO, NEXT, RunCommand

Order = Callable[["Commit", Any], None]


class Commit:
    """One commit in the making.

    Args:
        mode: As of guard `turn`.
        fused: Steps whose activities run in this worker, without a queue.
        keeper: This worker, when it keeps the run in memory.
    """

    def __init__(
        self,
        store: Store,
        run: Run,
        entry: Entry,
        mode: str,
        *,
        fused: Collection[int] = (),
        keeper: str = "",
    ) -> None:
        self.store, self.run, self.entry, self.mode = store, run, entry, mode
        self.fused, self.keeper = fused, keeper
        self.command = RunCommand(store, run.jid, run.begin.run_id, entry.stream)
        self.fields: dict[str, bytes] = {}
        self.drops: list[str] = []
        self.found = 0
        self.last: list[list[Any]] = []

    def build(self, items: Sequence[bytes], commands: Sequence[r.Command]) -> tuple[Any, ...]:
        """The whole command: items for the history, and what the code asked for."""
        command, run = self.command, self.run
        history = command.key(command.partition.history(run.begin.run_id))
        rev = str(int(run.rev) + 1) if items else run.rev
        if self.keeper != run.keeper:
            self.fields[KEEPER] = self.keeper.encode()
        cancelled = {c.seq for c in commands if type(c) is r.ActCancel and not c.waits}
        for ordered in commands:
            if type(ordered) is r.Act and (ordered.seq in self.fused or ordered.seq in cancelled):
                continue  # begun here, or given up in the turn that asked for it
            order = _ORDERS.get(type(ordered))
            if order is not None:
                order(self, ordered)
        if self.fields:
            command.set(self.fields)
        if self.drops:
            command.drop(self.drops)
        command.ops += self.last
        guard = ["turn", run.begin.run_id, run.rev, self.mode, history, run.known]
        guard += [self.entry.group, [i.decode() for i in self.entry.ids], rev]
        guard += map(text, items)
        return command.build(guard)

    def open(self, seq: int, value: bytes = b"1") -> None:
        """A step waits for an input."""
        self.fields[f"s{seq}"] = value

    def close(self, seq: int) -> None:
        """A step waits no more."""
        self.drops.append(f"s{seq}")

    def input(
        self, seq: int, jid: str, run_id: str, record: bytes, *, answered: bool = True
    ) -> None:
        """A record for another run (or this one)."""
        run_id_of_mine = self.run.begin.run_id
        rid = derive(run_id_of_mine, "input", str(seq))
        reply = (self.run.jid, run_id_of_mine, seq) if answered else None
        if answered:
            self.open(seq)
        self.command.post(jid, encode_run(RunInput(jid, run_id, "", record, rid, reply)))


def call_of(run: Run, act: r.Act, keeper: str, now_ms: int) -> Call:
    """The entry that an activity is."""
    act = run.sealed.get(act.seq, act)
    rules, timers = act.rules, []
    begin = run.begin
    if act.schedule_to_close_ms:
        rules = msgspec.structs.replace(rules, deadline_ms=now_ms + act.schedule_to_close_ms)
        timers.append(encode_run(RunTimer(run.jid, begin.run_id, act.seq, "schedule_to_close")))
    if act.schedule_to_start_ms:
        timers.append(encode_run(RunTimer(run.jid, begin.run_id, act.seq, "schedule_to_start")))
    return Call(
        run.jid,
        begin.run_id,
        act.seq,
        act.name,
        begin.queue,
        act.queue,
        act.args,
        keeper=keeper,
        rules=rules,
        timers=tuple(timers),
        workflow=begin.workflow,
        headers=act.headers,
        trace=leg_trace(begin, act.name, act.seq),
    )


def _act(commit: Commit, act: r.Act) -> None:
    if act.local:
        return
    call = call_of(commit.run, act, commit.keeper, commit.store.clock.now_ms())
    commit.open(act.seq)
    commit.command.call(act.queue, encode_run(call))
    limits = (act.schedule_to_close_ms, act.schedule_to_start_ms)
    for entry, after_ms in zip(call.timers, [ms for ms in limits if ms], strict=True):
        commit.command.timer(entry, after_ms)


def _act_cancel(commit: Commit, cancel: r.ActCancel) -> None:
    if cancel.waits:
        commit.fields[f"x{cancel.seq}"] = b"1"
    else:
        commit.close(cancel.seq)
    stop_activity(commit, cancel.seq, "REQUESTED")


def stop_activity(commit: Commit, seq: int, reason: str) -> None:
    """Tell whoever runs an activity that it should stop."""
    payload = msgspec.msgpack.encode((commit.run.begin.run_id, seq, reason))
    commit.last.append(["publish", stop_channel(commit.store), text(payload)])


def stop_channel(store: Store) -> str:
    """Where workers hear which activities should stop."""
    return f"{store.keys.app}:x"


def _timer(commit: Commit, timer: r.Timer) -> None:
    commit.open(timer.seq, b"t")
    commit.command.timer(ops.step_timer(commit.command, timer.seq), timer.ms)


def _timer_cancel(commit: Commit, cancel: r.TimerCancel) -> None:
    commit.close(cancel.seq)
    commit.command.untimer(ops.step_timer(commit.command, cancel.seq))


def _child(commit: Commit, child: r.Child) -> None:
    commit.fields[f"c{child.seq}"] = b"1"
    commit.open(child.seq)
    run_id = commit.run.begin.run_id
    reply = (commit.run.jid, run_id, child.seq)
    start = RunStart(
        child.jid, child.begin, derive(run_id, "child", str(child.seq)), child.reuse, reply
    )
    commit.command.post(child.jid, encode_run(start))


def _child_cancel(commit: Commit, cancel: r.ChildCancel) -> None:
    record = r.encode_input(r.CancelAsked(cancel.reason or "its parent was cancelled"))
    rid = derive(commit.run.begin.run_id, "cancel", str(cancel.seq))
    entry = RunInput(cancel.jid, cancel.run_id, "", record, rid)
    commit.command.post(cancel.jid, encode_run(entry))


def _signal_out(commit: Commit, signal: r.SignalOut) -> None:
    rid = derive(commit.run.begin.run_id, "signal", str(signal.seq))
    if not signal.jid:
        ops.tell(commit.command, signal.name, ops.signal_of(signal.args, rid))
        return
    record = r.encode_input(r.Sent(signal.name, signal.args, rid))
    commit.input(signal.seq, signal.jid, signal.run_id, record)


def _stop_out(commit: Commit, stop: r.StopOut) -> None:
    if stop.how == "cancel":
        record = r.encode_input(r.CancelAsked(stop.reason))
        commit.input(stop.seq, stop.jid, stop.run_id, record)
        return
    commit.open(stop.seq)
    reply = (commit.run.jid, commit.run.begin.run_id, stop.seq)
    entry = RunStop(stop.jid, stop.run_id, stop.how, stop.reason, stop.error, reply=reply)
    commit.command.post(stop.jid, encode_run(entry))


def _hook_out(commit: Commit, hook: r.HookOut) -> None:
    rid = derive(commit.run.begin.run_id, "hook", str(hook.seq))
    record = r.encode_input(r.Hooked(hook.name, hook.args, rid))
    commit.input(hook.seq, hook.jid, "", record)


def _wait(commit: Commit, wait: r.Wait) -> None:
    commit.open(wait.seq)
    ops.hear(commit.command, wait.seq, wait.name)


def _wait_cancel(commit: Commit, cancel: r.WaitCancel) -> None:
    commit.close(cancel.seq)
    ops.unhear(commit.command, cancel.seq, cancel.name)


def _search(commit: Commit, search: r.Search) -> None:
    at = commit.command.key(commit.command.partition.history(commit.run.begin.run_id))
    wanted = "1" if search.answers else "0"
    fields = [[text(part.encode()) for part in op] for op in search.ops]
    named = [[op[0], *packed[1:]] for op, packed in zip(search.ops, fields, strict=True)]
    # After the turn's own item: what it gives is a record that follows.
    commit.last.append(["fields", at, str(search.seq), wanted, *named])
    commit.found += search.answers


def _attributes(commit: Commit, change: r.Attributes) -> None:
    run = commit.run
    changed: dict[str, Any] = payloads.decode(change.data)
    before = {n: v for n, v in run.committed_attributes.items() if n in changed}
    after = {n: v for n, v in run.attributes.items() if n in changed}
    started = str(run.begin.at_ms)
    for name in ledger.index_names(before):
        commit.command.rank(name, "")
    for name in ledger.index_names(after):
        commit.command.rank(name, started)
    run.committed_attributes = dict(run.attributes)
    commit.fields[ATTRIBUTES] = bytes(payloads.encode(run.attributes, "search attributes"))


def _memo(commit: Commit, change: r.Memo) -> None:
    commit.fields[MEMO] = bytes(change.data)


def _replied(commit: Commit, reply: r.Replied) -> None:
    commit.fields[f"u{reply.uid}"] = encode_run(reply)
    if reply.caller:
        channel = commit.store.keys.caller(reply.caller)
        commit.last.append(["publish", channel, text(commit.run.jid.encode())])


def _emit(commit: Commit, event: r.Emit) -> None:
    channel = event_channel(commit.store, event.topic)
    commit.last.append(["publish", channel, text(bytes(event.data))])


def event_channel(store: Store, topic: str) -> str:
    """Where events of `workflow.emit` are published."""
    return store.keys.published(f"emit.{topic}")


def _complete(commit: Commit, command: r.Complete) -> None:
    _end(commit, "completed", data=command.data)


def _fail(commit: Commit, command: r.Fail) -> None:
    _end(commit, "failed", failure=command.failure)


def _canceled(commit: Commit, command: r.Canceled) -> None:
    failure = r.Failure("cancelled", command.reason or "the workflow was cancelled", code=410)
    _end(commit, "canceled", failure=failure)


def _continue(commit: Commit, command: r.ContinueAsNew) -> None:
    begin = r.decode_item(command.begin)
    assert isinstance(begin, r.Begin)
    now_ms = commit.store.clock.now_ms()
    begin = msgspec.structs.replace(begin, at_ms=now_ms)
    commit.fields[NEXT] = begin.run_id.encode()
    _end(commit, "continued")
    target = commit.command
    partition = target.partition
    archive = target.key(partition.archive(target.jid, target.run_id))
    target.run_id = begin.run_id
    target.history([r.encode_input(begin), *begin.carried])
    target.ops.append(["archive", archive, target.key(partition.history(begin.run_id))])
    lay_out(target, begin, "", delay_ms=command.delay_ms, follows=True)


def _end(commit: Commit, state: str, **outcome: Any) -> None:
    run = commit.run
    for seq in run.open_acts:
        stop_activity(commit, seq, "GONE")
    ending = ops.Ending(
        begin=run.begin,
        state=state,
        children=[] if state == "continued" else list(run.children.values()),
        timers=run.open_timers,
        waits=run.open_waits,
        attributes=ledger.index_names(run.attributes),
        now_ms=commit.store.clock.now_ms(),
        **outcome,
    )
    rev = str(int(run.rev) + 1)
    command = commit.command
    if commit.fields:
        command.set(commit.fields)
        commit.fields = {}
    if commit.drops:
        command.drop(commit.drops)
        commit.drops = []
    command.ops += [op for op in commit.last if op[0] != "publish"]
    commit.last = [op for op in commit.last if op[0] == "publish"]
    ops.end(command, ending, rev)


_ORDERS: dict[type, Order] = {
    r.Act: _act,
    r.ActCancel: _act_cancel,
    r.Timer: _timer,
    r.TimerCancel: _timer_cancel,
    r.Child: _child,
    r.ChildCancel: _child_cancel,
    r.SignalOut: _signal_out,
    r.StopOut: _stop_out,
    r.HookOut: _hook_out,
    r.Wait: _wait,
    r.WaitCancel: _wait_cancel,
    r.Search: _search,
    r.Attributes: _attributes,
    r.Memo: _memo,
    r.Replied: _replied,
    r.Emit: _emit,
    r.Complete: _complete,
    r.Fail: _fail,
    r.Canceled: _canceled,
    r.ContinueAsNew: _continue,
}
