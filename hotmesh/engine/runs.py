"""What happens to durable runs that no worker has in hand: timers, messages of other runs, starts
of children, ends from outside.

Each event is at most one read and one script. An event that comes too late settles its entry and
changes nothing; one that can't be applied yet is left for the lease.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from hotmesh.core.durable import ledger
from hotmesh.core.durable import records as r
from hotmesh.core.state import Meta, encode_value
from hotmesh.errors import HotMeshError, Overloaded, ServerUnavailable
from hotmesh.log import get_logger
from hotmesh.run_messages import (
    RunAgain,
    RunInput,
    RunListen,
    RunStart,
    RunStop,
    RunTimer,
    RunWoken,
    encode_run,
)
from hotmesh.store import Entry, Store, Verdict
from hotmesh.store import run_ops as ops
from hotmesh.store.runs import InputOf, RunCommand, RunHead, Runs, Started

if TYPE_CHECKING:
    from hotmesh.engine.handle import Arrival, Key

log = get_logger("hotmesh.engine")

RUN_EVENTS = (RunTimer, RunAgain, RunInput, RunStart, RunStop, RunWoken, RunListen)

TRIES_MAX = 5
"""Looks at a run that changes under us before its entry is left for the lease."""

_SETTLED = (Verdict.APPLIED, Verdict.DUPLICATE, Verdict.GONE, Verdict.LOST)


class RunEngine:
    """Applies events to runs. Holds no state."""

    def __init__(self, store: Store) -> None:
        self._store, self._runs = store, Runs(store)

    async def handle(
        self, arrivals: Sequence[Arrival], done: list[Key], failed: dict[Key, str]
    ) -> None:
        """Apply events; the inputs among them together.

        Raises:
            ServerUnavailable, Overloaded: Handling them again is safe.
        """
        inputs = [
            a for a in arrivals if isinstance(a.event, (RunInput, RunWoken)) or _fires(a.event)
        ]
        rest = [a for a in arrivals if a not in inputs]
        if inputs:
            await self._add(inputs, done, failed)
        for arrival in rest:
            try:
                await _HANDLERS[type(arrival.event)](self, arrival.event, _entry(arrival))
                done.append(arrival.key)
            except (ServerUnavailable, Overloaded):
                raise
            except HotMeshError as exc:
                failed[arrival.key] = str(exc)

    # -- inputs

    async def _add(self, arrivals: list[Arrival], done: list[Key], failed: dict[Key, str]) -> None:
        heads = await self._runs.heads([a.event.jid for a in arrivals])
        items: list[tuple[Arrival, InputOf | None]] = []
        late: list[tuple[Arrival, InputOf | None]] = []
        for arrival, head in zip(arrivals, heads, strict=True):
            item = _input_of(arrival.event, head, _entry(arrival))
            (late if item is None else items).append((arrival, item))
        verdicts = await self._runs.add([item for _, item in items if item is not None])
        for (arrival, _), verdict in zip(items, verdicts, strict=True):
            if verdict is Verdict.OVERLOADED:
                failed[arrival.key] = "the run's history is full"
            elif verdict is Verdict.APPLIED:
                done.append(arrival.key)
                await self._reply(arrival.event, "")
            else:
                late.append((arrival, None))
        for arrival, _ in late:
            await self._missed(arrival.event, _entry(arrival))
            done.append(arrival.key)

    async def _missed(self, event: Any, entry: Entry) -> None:
        """Nobody was there for an event: settle it, and say so to whoever wants to know."""
        command = RunCommand(self._store, event.jid, "", entry.stream)
        if isinstance(event, RunWoken) and event.signal.status != "error":
            signal = msgspec.structs.replace(event.signal, rid=f"{event.signal.rid}'")
            ops.tell(command, event.name, signal)
        await self._settle(command, entry)
        await self._reply(event, "nobody")

    async def _reply(self, event: Any, problem: str) -> None:
        reply = getattr(event, "reply", None)
        if reply is None:
            return
        jid, run_id, seq = reply
        failure = None
        if problem:
            message = f"workflow {event.jid!r} was not found: it never ran, or has ended"
            failure = r.Failure("workflow", message, "WorkflowNotFound", 404)
        record = r.encode_input(r.Arrived(seq, failure))
        head = (await self._runs.heads([jid]))[0]
        if head is not None and head.run_id == run_id:
            await self._runs.add([_item(jid, head, record, step=f"s{seq}", value="1")])

    async def _settle(self, command: RunCommand, entry: Entry) -> None:
        if not command.ops:
            await self._store.acknowledge(entry)
            return
        guard = ["entry", await self._rev(command.jid), *_acknowledged(entry)]
        await self._runs.run([command.build(guard)])

    async def _rev(self, jid: str) -> str:
        head = (await self._runs.heads([jid]))[0]
        return head.rev if head is not None else ""

    # -- the others

    async def _timer(self, event: RunTimer, entry: Entry) -> None:
        if event.what == "task":
            await self._append_task(event, entry)
        elif event.what in ("run_timeout", "execution_timeout"):
            kind = "RUN" if event.what == "run_timeout" else "EXECUTION"
            chain = event.what == "execution_timeout"
            stop = RunStop(event.jid, event.run_id, "timed_out", kind)
            await self._stop(stop, entry, chain=chain)
        else:
            await self._out_of_time(event, entry)

    async def _append_task(self, event: RunTimer, entry: Entry) -> None:
        """A run whose beginning was put off begins."""
        head = (await self._runs.heads([event.jid]))[0]
        if head is None or head.run_id != event.run_id or not head.is_open:
            await self._store.acknowledge(entry)
            return
        items = await self._runs.history(event.jid, event.run_id)
        command = RunCommand(self._store, event.jid, event.run_id, entry.stream)
        command.task(head.queue, items[0], 0)
        await self._runs.run([command.build(["entry", head.rev, *_acknowledged(entry)])])

    async def _out_of_time(self, event: RunTimer, entry: Entry) -> None:
        """An activity waited too long for a worker, or has tried too long."""
        step = f"s{event.seq}"
        for _ in range(TRIES_MAX):
            head = (await self._runs.heads([event.jid]))[0]
            value = (await self._runs.fields(event.jid, [step, f"f{event.seq}"])) if head else None
            if head is None or head.run_id != event.run_id or value is None or value[0] is None:
                await self._store.acknowledge(entry)
                return
            kind = event.what.upper()
            cause = msgspec.msgpack.decode(value[1], type=r.Failure) if value[1] else None
            if cause is None:
                cause = r.Failure("timeout", f"the activity's time is over ({kind})", kind, 596)
            failure = r.Failure(
                "activity",
                f"step {event.seq} took too long ({kind}): {cause.message}",
                code=596,
                cause=cause,
                facts={"seq": event.seq, "retry_state": "timeout"},
            )
            record = r.encode_input(r.Answer(event.seq, 0, failure=failure))
            item = _item(event.jid, head, record, step=step, value=value[0].decode(), entry=entry)
            verdict = (await self._runs.add([item]))[0]
            if verdict in (Verdict.APPLIED, Verdict.GONE):
                if verdict is Verdict.GONE:
                    await self._store.acknowledge(entry)
                return
        raise Overloaded(f"the step of run {event.jid!r} changed {TRIES_MAX} times in a row")

    async def _again(self, event: RunAgain, entry: Entry) -> None:
        call = event.call
        command = RunCommand(self._store, call.jid, call.run_id, entry.stream)
        command.call(call.call_queue, encode_run(call))
        guard = ["step", call.run_id, f"s{call.seq}", str(call.attempt), *_acknowledged(entry)]
        verdict = Verdict((await self._runs.run([command.build(guard)]))[0])
        if verdict is not Verdict.APPLIED:
            await self._store.acknowledge(entry)

    async def _start(self, event: RunStart, entry: Entry) -> None:
        begin = r.decode_item(event.begin)
        assert isinstance(begin, r.Begin)
        archived = ""
        for _ in range(TRIES_MAX):
            began = await self.start(
                event.jid,
                begin,
                request=event.request,
                reuse=event.reuse,
                archived=archived,
                entry=entry,
                reply=event.reply,
            )
            if began.verdict == "archive":
                archived = began.run_id
                continue
            if began.verdict == "started":
                return
            failure = None
            if began.verdict in ("open", "used"):
                failure = already_started(event.jid, began)
            await self._answer_start(event, entry, began.run_id, failure)
            return
        raise Overloaded(f"workflow id {event.jid!r} changed hands {TRIES_MAX} times in a row")

    async def _answer_start(
        self, event: RunStart, entry: Entry, run_id: str, failure: r.Failure | None
    ) -> None:
        command = RunCommand(self._store, event.jid, run_id, entry.stream)
        if event.reply is not None:
            _post_began(command, event.reply, run_id, failure)
        guard = ["entry", await self._rev(event.jid), *_acknowledged(entry)]
        await self._runs.run([command.build(guard)])

    async def start(
        self,
        jid: str,
        begin: r.Begin,
        *,
        request: str,
        reuse: str = "allow",
        archived: str = "",
        entry: Entry | None = None,
        reply: tuple[str, str, int] | None = None,
    ) -> Started:
        """Create a run: its record, its history, its first task, in one script."""
        store = self._store
        begin = msgspec.structs.replace(begin, at_ms=store.clock.now_ms())
        command = RunCommand(store, jid, begin.run_id, entry.stream if entry else "")
        guard = self._runs.start_guard(
            command, request=request, reuse=reuse, archived=archived, entry=entry
        )
        lay_out(command, begin, request)
        if reply is not None:
            _post_began(command, reply, begin.run_id, None)
        return await self._runs.start(command.build(guard), begin.run_id)

    async def _stop(self, event: RunStop, entry: Entry, *, chain: bool = False) -> None:
        verdict = await self.stop(event, entry, chain=chain)
        if not verdict:
            await self._store.acknowledge(entry)
        await self._reply(event, "" if verdict else "nobody")

    async def stop(
        self, event: RunStop, entry: Entry | None = None, *, chain: bool = False
    ) -> bool:
        """End a run from outside; False when there is none to end.

        Args:
            chain: `event.run_id` names the first run of the chain.
        """
        for _ in range(TRIES_MAX):
            head = (await self._runs.heads([event.jid]))[0]
            if head is None or not head.is_open:
                return False
            history = await self._runs.history(event.jid, head.run_id)
            items = r.decode_items(history)
            begin = items[0]
            assert isinstance(begin, r.Begin)
            named = (begin.first_run_id or begin.run_id) if chain else head.run_id
            if event.run_id and event.run_id != named:
                return False
            if event.only_child_of and (
                begin.parent is None or begin.parent.run_id != event.only_child_of
            ):
                return False
            command = self._stopped(event, head, begin, items, entry)
            guard: list[Any] = ["turn", head.run_id, head.rev, "end"]
            guard += [command.key(command.partition.history(head.run_id)), len(history)]
            guard += [entry.group, [i.decode() for i in entry.ids]] if entry else ["", []]
            verdict = (await self._runs.run([command.build(guard)]))[0]
            if verdict == Verdict.APPLIED:
                log.info("run.stopped", job=event.jid, run=head.run_id, state=event.state)
                return True
        raise Overloaded(f"run {event.jid!r} changed {TRIES_MAX} times in a row; try again")

    def _stopped(
        self,
        event: RunStop,
        head: RunHead,
        begin: r.Begin,
        items: list[r.Item],
        entry: Entry | None,
    ) -> RunCommand:
        command = RunCommand(self._store, event.jid, head.run_id, entry.stream if entry else "")
        left = ledger.left_open(items)
        command.history([r.encode_input(r.Closed(event.state, event.reason, event.error))])
        failure = None
        if event.state == "timed_out":
            message = f"the workflow took too long ({event.reason})"
            failure = r.Failure("timeout", message, event.reason, 596)
        elif event.error:
            message = event.reason or event.state
            failure = r.Failure("terminated", message, code=410)
        ending = ops.Ending(
            begin=begin,
            state=event.state,
            failure=failure,
            children=left.children,
            timers=left.timers,
            waits=left.waits,
            attributes=ledger.index_names(ledger.attributes_of(items)),
            now_ms=self._store.clock.now_ms(),
        )
        ops.end(command, ending, str(int(head.rev) + 1))
        return command

    async def _listen(self, event: RunListen, entry: Entry) -> None:
        command = RunCommand(self._store, event.jid, "", entry.stream)
        if event.leave:
            ops.unhear_op(command, event.name, event.waiter)
        else:
            ops.hear_op(command, event.name, event.waiter, event.rid)
        await self._runs.run([command.build(["entry", "", *_acknowledged(entry)])])


_HANDLERS: dict[type, Callable[[RunEngine, Any, Entry], Coroutine[Any, Any, None]]] = {
    RunTimer: RunEngine._timer,
    RunAgain: RunEngine._again,
    RunStart: RunEngine._start,
    RunStop: RunEngine._stop,
    RunListen: RunEngine._listen,
}


def lay_out(command: RunCommand, begin: r.Begin, request: str, *, delay_ms: int = 0) -> None:
    """The record of a run that starts, its history, indexes, limits and first task.

    Args:
        delay_ms: The first task comes later.
    """
    store, jid = command.store, command.jid
    parent = begin.parent
    meta = Meta(
        store.keys.app_id,
        "",
        begin.workflow,
        "",
        begin.at_ms,
        trace=begin.trace,
        caller=begin.caller,
        parent_jid=parent.jid if parent else "",
    )
    command.set(ops.begin_fields(begin, encode_value(meta), request))
    record = r.encode_input(begin)
    command.history([record, *begin.carried])
    command.rank("open", str(begin.at_ms))
    for name, score in ledger.index_entries(begin.attributes, begin.at_ms):
        command.rank(name, score)
    for entry, after_ms in ops.limit_timers(jid, begin):
        if b"execution_timeout" not in entry or not begin.previous_run_id:
            command.timer(entry, after_ms)
    if delay_ms:
        command.timer(encode_run(RunTimer(jid, begin.run_id, 0, "task")), delay_ms)
    else:
        command.task(begin.queue, record, 0)


def already_started(jid: str, started: Started) -> r.Failure:
    """Why a start was refused."""
    how = "is running" if started.verdict == "open" else "was used before"
    return r.Failure(
        "workflow",
        f"workflow id {jid!r} {how} (run {started.run_id}); take another id, or say what is to "
        "become of it",
        "WorkflowAlreadyStarted",
        409,
        facts={"workflow_id": jid, "run_id": started.run_id},
    )


def _post_began(
    command: RunCommand, reply: tuple[str, str, int], run_id: str, failure: r.Failure | None
) -> None:
    jid, parent_run, seq = reply
    record = r.encode_input(r.ChildBegan(seq, run_id, failure))
    entry = RunInput(jid, parent_run, f"c{seq}", record)
    command.post(jid, encode_run(entry))


def _fires(event: Any) -> bool:
    return isinstance(event, RunTimer) and event.what == "fired"


def _input_of(event: Any, head: RunHead | None, entry: Entry) -> InputOf | None:
    """The input that an event is; None when there is nobody for it."""
    if head is None or not head.is_open or (event.run_id and event.run_id != head.run_id):
        return None
    if isinstance(event, RunTimer):
        record = r.encode_input(r.Fired(event.seq))
        return _item(event.jid, head, record, step=f"s{event.seq}", value="t", entry=entry)
    if isinstance(event, RunWoken):
        signal = event.signal
        sent = r.Sent(
            event.name, signal.data, signal.rid, event.seq, conflict=signal.status == "error"
        )
        step = f"s{event.seq}"
        return _item(event.jid, head, r.encode_input(sent), step=step, value="1", entry=entry)
    value = "1" if event.step else ""
    return _item(
        event.jid, head, event.record, step=event.step, value=value, rid=event.rid, entry=entry
    )


def _item(
    jid: str,
    head: RunHead,
    record: bytes,
    *,
    step: str = "",
    value: str = "",
    rid: str = "",
    entry: Entry | None = None,
) -> InputOf:
    return InputOf(
        jid=jid,
        run_id=head.run_id,
        record=record,
        queue=head.queue,
        keeper=head.keeper,
        step=step,
        value=value,
        rid=rid,
        entry=entry,
    )


def _entry(arrival: Arrival) -> Entry:
    return Entry(arrival.stream, arrival.group, (arrival.id,), arrival.consumer)


def _acknowledged(entry: Entry) -> list[Any]:
    return [entry.group, [i.decode() for i in entry.ids], entry.consumer]
