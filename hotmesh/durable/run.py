"""One run in memory: its code on a deterministic loop, fed with inputs, giving commands.

A turn applies inputs in their order, lets the loop come to rest, and gives what the code asked
for. A replay does the same with recorded inputs, and compares. Nothing here waits, reads a clock
or talks to a server: whoever owns the run does, and commits what a turn gave before it counts.
"""

from __future__ import annotations

import asyncio
import random
import sys
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Raw

from hotmesh.core.durable import records as r
from hotmesh.durable import payloads
from hotmesh.durable.definition import HandlerDef, WorkflowDef
from hotmesh.durable.errors import (
    CancelledFailure,
    ContinueAsNewError,
    FieldTypeError,
    HistoryLimitError,
    NonDeterminismError,
    PayloadError,
    ReadOnlyContextError,
    SignalConflictError,
    WorkflowEvicted,
    WorkflowNotFound,
)
from hotmesh.durable.errors_guard import WorkflowDeadlockError, WorkflowForbiddenError
from hotmesh.durable.failures import error_of, failure_of, names_of
from hotmesh.durable.loop import DeterministicLoop, DurableTimer
from hotmesh.durable.options import delay_ms
from hotmesh.durable.steps import ChildHandle, Step
from hotmesh.durable.violation import Flags
from hotmesh.log import get_logger
from hotmesh.run_messages import NIL, CallRules

log = get_logger("hotmesh.durable")

STEPS_MAX = 2_000
"""Steps of one run that may be open at once."""

SUGGEST_ITEMS, SUGGEST_BYTES = 4_096, 4 * 1024 * 1024


class TurnFailed(Exception):
    """The code or its environment is at fault, not the business: the run stays open.

    `__cause__` says what.
    """


class Run:
    """A run in memory.

    Args:
        jid: The workflow id.
        begin: The first record of its history.
        definition: Its code.
        build: Of this worker, for the history.

    Attributes:
        known: Items of the history that it has seen or written.
        closed: Whether a terminal command has been given.
    """

    def __init__(self, jid: str, begin: r.Begin, definition: WorkflowDef, *, build: str = "") -> None:
        self.jid, self.begin, self.definition, self.build = jid, begin, definition, build
        self.namespace = self.keeper = ""
        self.children: dict[int, r.Child] = {}
        self.loop = DeterministicLoop(self, name=jid)
        self.flags = Flags()
        self.known = 0
        self.bytes = 0
        self.turns = 0
        self.now_ms = 0
        self.rev = ""
        self.commands: list[r.Command] = []
        self.replaying = False
        self.read_only = ""
        self.ending = False
        self.closed: r.Command | None = None
        self.cancel_requested = False
        self.cancel_reason = ""
        self.attributes: dict[str, Any] = payloads.decode(begin.attributes) or {}
        self.memo: dict[str, Any] = payloads.decode(begin.memo) or {}
        self.committed_attributes = dict(self.attributes)
        self.instance: Any = None
        self.handlers: dict[tuple[str, str], HandlerDef] = dict(definition.handlers)
        self.mailbox: dict[str, deque[r.Sent]] = {}
        self.local: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
        self.patches: dict[str, bool] = {}
        self.recorded_patches: dict[str, bool] = {}
        self.recorded_accepts: dict[str, r.Asked] = {}
        self.updates: dict[str, asyncio.Task[Any] | None] = {}
        self.hooks: list[asyncio.Task[Any]] = []
        self.handling: dict[asyncio.Task[Any], HandlerDef] = {}
        self.open_acts: dict[int, r.Act] = {}
        self.main: asyncio.Task[Any] | None = None
        self.hook_functions: dict[str, Callable[..., Any]] = {}
        self._seq = 0
        self._steps: dict[int, Step[Any]] = {}
        self._timers: dict[int, DurableTimer] = {}
        self._waiting: dict[str, deque[Step[Any]]] = {}
        self._begun = False
        self._step_ids: set[str] = set()
        self._random: random.Random | None = None
        self._uuids: random.Random | None = None

    # -- turns

    def turn(self, now_ms: int, inputs: Sequence[r.Input], *, replaying: bool = False) -> list[r.Command]:
        """Apply inputs, run to rest, and give the commands.

        Raises:
            TurnFailed: The code can't go on as it is. The run must be dropped from memory.
        """
        self.replaying = replaying
        self.commands = []
        self.turns += 1
        self.now_ms = max(self.now_ms, now_ms)
        self.loop.now_s = self.now_ms / 1000
        self.flags.violated = None
        try:
            for record in inputs:
                _APPLY[type(record)](self, record)
            if self._begun and self.main is None:
                self._start()
            self.loop.run_until_quiescent()
        except (PayloadError, WorkflowDeadlockError, MemoryError) as exc:
            raise TurnFailed from exc
        if self.flags.violated is not None:
            raise TurnFailed from self.flags.violated
        self._look_at_errors()
        if len(self._steps) > STEPS_MAX and self.closed is None:
            self._close(r.Fail(failure_of(HistoryLimitError(f"{STEPS_MAX:,} steps are open at once"))))
        return self._ordered()

    def replay(self, items: Sequence[r.Item], first: int = 0) -> list[int]:
        """Run recorded turns again.

        Args:
            items: Items of the history from index `first` on, which is `known`.

        Returns:
            The indexes of inputs that no turn has taken yet.

        Raises:
            NonDeterminismError: The code asks for something else than it did.
            TurnFailed: It can't go on.
        """
        self._foresee(items)
        taken: set[int] = set()
        for item in items:
            if type(item) is not r.Turn:
                continue
            inputs = [self._input(i, items, first) for i in item.ins]
            taken.update(i for i in item.ins if type(i) is int)
            produced = self._replayed(item, inputs)
            self._compare(item, produced)
        return [
            first + i
            for i, item in enumerate(items)
            if type(item) is not r.Turn and first + i not in taken
        ]

    def _replayed(self, item: r.Turn, inputs: list[r.Input]) -> list[r.Command]:
        try:
            return self.turn(item.now_ms, inputs, replaying=True)
        except TurnFailed:
            raise
        except Exception as exc:
            raise TurnFailed from exc

    def _input(self, i: int | r.Answer, items: Sequence[r.Item], first: int) -> Any:
        if type(i) is not int:
            return i
        return items[i - first]

    def _foresee(self, items: Sequence[r.Item]) -> None:
        """What replays must know before they come to it."""
        for item in items:
            if type(item) is not r.Turn:
                continue
            for command in item.commands:
                if type(command) is r.Patched:
                    self.recorded_patches[command.id] = command.deprecated
                elif type(command) is r.Accepted:
                    self.recorded_accepts[command.uid] = r.Asked(
                        command.uid, command.name, command.args, command.caller
                    )

    def _compare(self, turn: r.Turn, produced: list[r.Command]) -> None:
        recorded = [c for c in turn.commands if not _is_ignored(c)]
        mine = [c for c in produced if not _is_ignored(c)]
        strict = self.definition.options.strict_args
        for index in range(max(len(recorded), len(mine))):
            was = recorded[index] if index < len(recorded) else None
            now = mine[index] if index < len(mine) else None
            if was is not None and now is not None and _same(was, now, strict):
                continue
            raise NonDeterminismError(
                workflow_id=self.jid,
                run_id=self.begin.run_id,
                turn=self.turns,
                index=index,
                recorded=words(was),
                produced=words(now),
                site=self.site,
                builds=(turn.build, self.build),
            )

    @property
    def site(self) -> str:
        """Where the main function stands, as `file:line`."""
        task = self.main
        frames = task.get_stack(limit=1) if task is not None and not task.done() else []
        if frames:
            return f"{frames[0].f_code.co_filename}:{frames[0].f_lineno}"
        code = getattr(self.definition.main, "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""

    def _ordered(self) -> list[r.Command]:
        """The commands of the turn: nothing follows the end but answers that were ready with it."""
        commands = self.commands
        if self.closed is None:
            return commands
        try:
            at = next(i for i, c in enumerate(commands) if c is self.closed)
        except StopIteration:
            return commands
        replies = [c for c in commands[at + 1 :] if type(c) is r.Replied]
        return [*commands[:at], *replies, self.closed]

    def _look_at_errors(self) -> None:
        for name, error in self.loop.uncollected_errors():
            if self.definition.options.strict_tasks:
                self._close(r.Fail(failure_of(error)))
            elif not self.replaying:
                log.error("task.failed", job=self.jid, run=self.begin.run_id, task=name, exc_info=error)

    # -- begin and end

    def _apply_begin(self, record: r.Begin) -> None:
        self._begun = True

    def _start(self) -> None:
        definition = self.definition
        try:
            args = definition.signature.args(self.begin.args)
        except PayloadError as exc:
            if self.replaying:
                raise
            self._close(r.Fail(failure_of(exc)))
            return
        if definition.kind is not None:
            self.instance = definition.kind()
            coroutine = definition.main(self.instance, *args)
        else:
            coroutine = definition.main(*args)
        for name in list(self.mailbox):
            self._drain(name)
        self.main = self.loop.create_task(coroutine, name="main")
        self.main.add_done_callback(self._main_done)
        if self.cancel_requested:
            self.main.cancel(self.cancel_reason or None)

    def _main_done(self, task: asyncio.Task[Any]) -> None:
        if self.closed is not None or self.ending:
            if not task.cancelled():
                task.exception()
            return
        if task.cancelled():
            if self.cancel_requested:
                self._close(r.Canceled(self.cancel_reason))
            else:
                error = CancelledFailure("the main function was cancelled by its own code")
                self._close(r.Fail(failure_of(error)))
            return
        error = task.exception()
        if error is None:
            self._complete(task.result())
        else:
            self._failed(error)

    def _complete(self, value: Any) -> None:
        try:
            data = payloads.encode(value, f"the result of workflow {self.definition.name!r}")
        except PayloadError as exc:
            self._close(r.Fail(failure_of(exc)))
            return
        self._close(r.Complete(data))

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, ContinueAsNewError):
            self._close(self._continued(error))
            return
        guarded = isinstance(error, (WorkflowForbiddenError, WorkflowDeadlockError, NonDeterminismError))
        suspends = isinstance(error, self.definition.options.suspend_on or ())
        if guarded or suspends or isinstance(error, WorkflowEvicted):
            raise_later = self.flags
            if raise_later.violated is None:
                raise_later.violated = error  # type: ignore[assignment]
            return
        retried = self._retried(error)
        self._close(retried if retried is not None else r.Fail(failure_of(error)))

    def _retried(self, error: BaseException) -> r.Command | None:
        """The next run, when the workflow's own policy has one."""
        rules, begin = self.begin.retry, self.begin
        if rules is None or (rules.attempts_max and begin.attempt >= rules.attempts_max):
            return None
        if getattr(error, "non_retryable", False) or names_of(error) & set(rules.fatal):
            return None
        delay = delay_ms(rules, begin.attempt)
        return self._next(begin.args, {}, attempt=begin.attempt + 1, delay=delay)

    def _continued(self, error: ContinueAsNewError) -> r.Command:
        args = self.begin.args
        if error.arguments or error.options.pop("has_args", False):
            args = payloads.encode_args(error.arguments, "continue_as_new")
        return self._next(args, error.options, attempt=1, delay=0)

    def _next(self, args: Raw, options: dict[str, Any], *, attempt: int, delay: int) -> r.ContinueAsNew:
        from msgspec.structs import replace

        begin = self.begin
        run_id = str(options.get("run_id") or uuid.UUID(int=self.ids.getrandbits(128)).hex)
        kind = str(options.get("workflow") or begin.workflow)
        carried = [
            r.encode_input(sent) for box in self.mailbox.values() for sent in box
        ]
        following = replace(
            begin,
            workflow=kind,
            args=args,
            run_id=run_id,
            seed=self.ids.getrandbits(63),
            first_run_id=begin.first_run_id or begin.run_id,
            previous_run_id=begin.run_id,
            attempt=attempt,
            queue=str(options.get("task_queue") or begin.queue),
            run_ms=int(options.get("run_ms", begin.run_ms)),
            memo=payloads.encode(self.memo, "the memo"),
            attributes=payloads.encode(self.attributes, "the search attributes"),
            carried=tuple(carried),
            build=self.build,
        )
        return r.ContinueAsNew(r.encode_input(following), kind, delay)

    def _close(self, command: r.Command) -> None:
        """End the run with this turn; the first end counts."""
        if self.closed is not None:
            return
        self.closed = command
        self.commands.append(command)
        for task in self.hooks:
            task.cancel()

    def tear_down(self) -> list[asyncio.Task[Any]]:
        """Let the code go, without a trace: the tasks that would not end."""
        self.ending = True
        self.commands = []
        return self.loop.tear_down(WorkflowEvicted())

    # -- inputs

    def _apply_answer(self, record: r.Answer) -> None:
        self.open_acts.pop(record.seq, None)
        self.local.pop(record.seq, None)
        self._resolve(record.seq, record.data, record.failure)

    def _apply_fired(self, record: r.Fired) -> None:
        timer = self._timers.pop(record.seq, None)
        if timer is not None:
            self.loop.fire(timer)

    def _apply_sent(self, record: r.Sent) -> None:
        if record.seq:
            step = self._steps.get(record.seq)
            if step is not None and not step.done():
                self._heard(step, record)
                return
        self.mailbox.setdefault(record.name, deque()).append(record)
        if self.main is not None:
            self._drain(record.name)

    def _heard(self, step: Step[Any], record: r.Sent) -> None:
        del self._steps[step.seq]
        queue = self._waiting.get(step.name)
        if queue is not None and step in queue:
            queue.remove(step)
        if record.conflict:
            step.set_exception(SignalConflictError(record.name))
        else:
            step.set_result(signal_value(record.args))

    def _drain(self, name: str) -> None:
        """Give signals of a name to who takes them: waits first, then handlers."""
        box = self.mailbox.get(name)
        while box and self._waiting.get(name):
            step = self._waiting[name].popleft()
            self._steps.pop(step.seq, None)
            self.commands.append(r.WaitCancel(step.seq, name))
            step.set_result(signal_value(box.popleft().args))
        handler = self.handlers.get(("signal", name)) or self.handlers.get(("signal", ""))
        while box and handler is not None:
            self._handle(handler, box.popleft())
        if not box:
            self.mailbox.pop(name, None)

    def _handle(self, handler: HandlerDef, record: r.Sent) -> None:
        try:
            args = handler.signature.args(record.args)
        except PayloadError as exc:
            if not self.replaying:
                log.error("signal.dropped", job=self.jid, signal=record.name, error=str(exc))
            return
        if not handler.options.name:
            args = [record.name, *args]
        self._spawn(handler, args, f"signal {record.name}", self._signal_done)

    def _spawn(
        self, handler: HandlerDef, args: list[Any], name: str, done: Callable[[asyncio.Task[Any]], None]
    ) -> asyncio.Task[Any]:
        task = self.loop.create_task(self._call(handler, args), name=name)
        self.handling[task] = handler
        task.add_done_callback(done)
        return task

    async def _call(self, handler: HandlerDef, args: list[Any]) -> Any:
        bound = (self.instance, *args) if self._is_method(handler) else tuple(args)
        result = handler.fn(*bound)
        return await result if handler.is_async else result

    def _is_method(self, handler: HandlerDef) -> bool:
        kind = self.definition.handlers.get((handler.options.kind, handler.options.name))
        return kind is handler and self.definition.kind is not None

    def _signal_done(self, task: asyncio.Task[Any]) -> None:
        handler = self.handling.pop(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None or self.ending:
            return
        if handler.options.on_error == "fail":
            self._failed(error)
        elif not self.replaying:
            log.error("signal.failed", job=self.jid, signal=handler.options.name, exc_info=error)

    def _apply_asked(self, record: r.Asked) -> None:
        if record.uid in self.updates:
            return
        handler = self.handlers.get(("update", record.name)) or self.handlers.get(("update", ""))
        if self.replaying:
            if record.uid not in self.recorded_accepts:
                return  # it was rejected, which is not kept
        elif not self._valid(handler, record):
            return
        assert handler is not None
        self.updates[record.uid] = None
        self.commands.append(r.Accepted(record.uid, record.name, record.args, record.caller))
        args = handler.signature.args(record.args)
        task = self._spawn(handler, args, f"update {record.name}", lambda t: self._update_done(t, record))
        self.updates[record.uid] = task

    def _valid(self, handler: HandlerDef | None, record: r.Asked) -> bool:
        error: BaseException
        if handler is None:
            known = sorted(n for kind, n in self.handlers if kind == "update")
            error = LookupError(
                f"workflow {self.definition.name!r} has no update {record.name!r}; it has "
                f"{', '.join(known) or 'none'}"
            )
        else:
            try:
                args = handler.signature.args(record.args)
                if handler.validator is not None:
                    self._read(handler.validator, args, f"the validator of {record.name!r}")
                return True
            except Exception as exc:  # noqa: BLE001 - user code; it becomes the answer
                error = exc
        reply = r.Replied(record.uid, NIL, failure_of(error), True, record.caller)
        self.commands.append(reply)
        return False

    def _update_done(self, task: asyncio.Task[Any], record: r.Asked) -> None:
        self.handling.pop(task, None)
        if self.ending or task.cancelled():
            return
        error = task.exception()
        data, failure = NIL, None
        if isinstance(error, (WorkflowForbiddenError, NonDeterminismError, WorkflowEvicted)):
            self._failed(error)
            return
        if error is None:
            try:
                data = payloads.encode(task.result(), f"the result of update {record.name!r}")
            except PayloadError as exc:
                failure = failure_of(exc)
        else:
            failure = failure_of(error)
        self.commands.append(r.Replied(record.uid, data, failure, False, record.caller))

    def _apply_hooked(self, record: r.Hooked) -> None:
        fn = self.hook_functions.get(record.name)
        if fn is None:
            raise TurnFailed from LookupError(
                f"no hook function {record.name!r} is registered with this worker"
            )
        args = payloads.Signature(fn, f"hook {record.name!r}").args(record.args)
        task = self.loop.create_task(fn(*args), name=f"hook {record.name}")
        self.hooks.append(task)
        task.add_done_callback(self._hook_done)

    def _hook_done(self, task: asyncio.Task[Any]) -> None:
        self.hooks.remove(task)
        if not task.cancelled() and not self.ending and (error := task.exception()) is not None:
            self._failed(error)

    def _apply_cancel(self, record: r.CancelAsked) -> None:
        self.cancel_requested, self.cancel_reason = True, record.reason
        if self.main is not None:
            self.main.cancel(record.reason or None)
        elif record.skip:
            self._close(r.Canceled(record.reason))

    def _apply_child_began(self, record: r.ChildBegan) -> None:
        step = self._steps.get(-record.seq)
        if step is None or step.done():
            return
        del self._steps[-record.seq]
        child = self._steps.get(record.seq)
        if record.failure is not None:
            self.children.pop(record.seq, None)
            self._steps.pop(record.seq, None)
            error = error_of(record.failure)
            if record.failure.type == "WorkflowAlreadyStarted":
                error = _already(record.failure)
            step.set_exception(error)
            if child is not None:
                child.set_exception(error)
                child.exception()
            return
        if isinstance(child, ChildHandle):
            child.run_id = record.run_id
        step.set_result(child)

    def _apply_child_ended(self, record: r.ChildEnded) -> None:
        self.children.pop(record.seq, None)
        began = self._steps.pop(-record.seq, None)
        child = self._steps.get(record.seq)
        if began is not None and not began.done():  # both came in one turn, or the first was lost
            if isinstance(child, ChildHandle):
                child.run_id = record.run_id
            began.set_result(child)
        self._resolve(record.seq, record.data, record.failure)

    def _apply_arrived(self, record: r.Arrived) -> None:
        if record.failure is None:
            self._resolve(record.seq, NIL, None)
            return
        step = self._steps.pop(record.seq, None)
        if step is not None and not step.done():
            step.set_exception(WorkflowNotFound(record.failure.message))

    def _apply_found(self, record: r.Found) -> None:
        step = self._steps.pop(record.seq, None)
        if step is None or step.done():
            return
        values = payloads.decode(record.values)
        for value in values:
            if isinstance(value, list) and value[:1] == ["!"]:
                step.set_exception(FieldTypeError(value[1]))
                return
        assert step.decode is not None
        step.set_result(step.decode(values))

    def _apply_closed(self, record: r.Closed) -> None:
        self.ending = True

    def _resolve(self, seq: int, data: Raw, failure: r.Failure | None) -> None:
        step = self._steps.pop(seq, None)
        if step is None or step.done():
            return
        if step.waits:
            step.settle_cancelled()
        elif failure is not None:
            error = error_of(failure)
            if step.throws:
                step.set_exception(error)
            else:
                step.set_result(error)
        else:
            try:
                step.set_result(step.decode(data) if step.decode is not None else None)
            except PayloadError as exc:
                step.set_exception(exc)

    # -- timers, for the loop

    def timer_started(self, handle: DurableTimer) -> None:
        """The code put something off."""
        self.check("a timer")
        seq = self.next_seq()
        handle.seq = seq
        self._timers[seq] = handle
        self.commands.append(r.Timer(seq, max(1, round(handle.delay_s * 1000))))

    def timer_cancelled(self, handle: DurableTimer) -> None:
        """The code took it back."""
        seq = handle.seq
        if seq is None or self._timers.pop(seq, None) is None or self.ending:
            return
        if not self._unsay(seq):
            self.commands.append(r.TimerCancel(seq))

    def _unsay(self, seq: int) -> bool:
        """Take back a command of this very turn."""
        for i, command in enumerate(self.commands):
            if getattr(command, "seq", 0) == seq:
                del self.commands[i]
                return True
        return False

    # -- what the code asks for

    def check(self, action: str) -> None:
        """Refuse what the moment does not allow.

        Raises:
            ReadOnlyContextError: In a query or a validator.
            WorkflowEvicted: The run leaves this memory.
        """
        if self.ending:
            raise WorkflowEvicted
        if self.read_only:
            raise ReadOnlyContextError(action)

    def next_seq(self) -> int:
        """The number of a step."""
        self._seq += 1
        return self._seq

    def activity(
        self,
        act: Callable[[int], r.Act],
        name: str,
        decode: Callable[[Any], Any] | None,
        cancellation: str,
    ) -> Step[Any]:
        """Ask for an activity."""
        self.check(f"activity {name!r}")
        seq = self.next_seq()
        command = act(seq)
        self.claim_step_id(command.step_id)
        step: Step[Any] = Step(self, seq, "activity", name, decode, _ON_CANCEL[cancellation])
        self._steps[seq] = step
        self.open_acts[seq] = command
        self.commands.append(command)
        return step

    def claim_step_id(self, step_id: str) -> None:
        """Names of steps are unique within a run."""
        if step_id:
            if step_id in self._step_ids:
                raise ValueError(f"step_id {step_id!r} was used before in this run")
            self._step_ids.add(step_id)

    def wait_signal(self, name: str) -> Step[Any]:
        """Ask for a signal."""
        self.check("wait_for_signal")
        seq = self.next_seq()
        step: Step[Any] = Step(self, seq, "signal", name, None, _cancel_wait)
        box = self.mailbox.get(name)
        if box:
            step.set_result(signal_value(box.popleft().args))
            if not box:
                del self.mailbox[name]
            return step
        self._steps[seq] = step
        self._waiting.setdefault(name, deque()).append(step)
        self.commands.append(r.Wait(seq, name))
        return step

    def child(self, make: Callable[[int], r.Child], decode: Callable[[Any], Any] | None, cancellation: str) -> tuple[Step[Any], ChildHandle[Any]]:
        """Ask for a child: the step of its start, and that of its end."""
        self.check("a child workflow")
        seq = self.next_seq()
        command = make(seq)
        self.claim_step_id(command.step_id)
        began: Step[Any] = Step(self, seq, "child start", command.workflow)
        ended: ChildHandle[Any] = ChildHandle(
            self, seq, "child", command.workflow, decode, _ON_CANCEL_CHILD[cancellation]
        )
        ended.workflow_id, ended.run_id = command.jid, ""
        self._steps[-seq], self._steps[seq] = began, ended
        self.children[seq] = command
        self.commands.append(command)
        return began, ended

    def signal_out(self, jid: str, run_id: str, name: str, args: Sequence[Any]) -> Step[None]:
        """Send a signal to a run, or to whoever waits for its name."""
        self.check("a signal")
        seq = self.next_seq()
        data = payloads.encode_args(args, f"signal {name!r}")
        self.commands.append(r.SignalOut(seq, jid, run_id, name, data))
        return self._outgoing(seq, "signal", name, answered=bool(jid))

    def stop_out(self, jid: str, run_id: str, how: str, reason: str, error: bool) -> Step[None]:
        """Cancel or terminate another run."""
        self.check(how)
        seq = self.next_seq()
        self.commands.append(r.StopOut(seq, jid, run_id, how, reason, error))
        return self._outgoing(seq, how, jid, answered=True)

    def hook_out(self, jid: str, name: str, args: Sequence[Any]) -> Step[None]:
        """Run a function beside the main one."""
        self.check("a hook")
        seq = self.next_seq()
        data = payloads.encode_args(args, f"hook {name!r}")
        self.commands.append(r.HookOut(seq, jid, name, data))
        return self._outgoing(seq, "hook", name, answered=True)

    def emit(self, topic: str, data: Any) -> Step[None]:
        """Publish."""
        self.check("emit")
        seq = self.next_seq()
        self.commands.append(r.Emit(seq, topic, payloads.encode(data, f"the event of {topic!r}")))
        return self._outgoing(seq, "emit", topic, answered=False)

    def _outgoing(self, seq: int, kind: str, name: str, *, answered: bool) -> Step[None]:
        step: Step[None] = Step(self, seq, kind, name)
        if answered:
            self._steps[seq] = step
        else:
            step.set_result(None)
        return step

    def search(self, ops: tuple[tuple[str, ...], ...], decode: Callable[[Any], Any] | None) -> Step[Any]:
        """Operations on the run's fields."""
        self.check("search()")
        seq = self.next_seq()
        self.commands.append(r.Search(seq, ops, decode is not None))
        step: Step[Any] = Step(self, seq, "search", ops[0][0], decode)
        if decode is None:
            step.set_result(None)
        else:
            self._steps[seq] = step
        return step

    def run_local(
        self, fn: Callable[..., Any], args: tuple[Any, ...], act: Callable[[int], r.Act], name: str, decode: Callable[[Any], Any]
    ) -> Step[Any]:
        """Run a function in this worker, outside the loop, and keep what it gives."""
        step = self.activity(act, name, decode, "try_cancel")
        self.local[step.seq] = (fn, args)
        return step

    def patched(self, id: str, *, deprecated: bool) -> bool:
        """Whether the run takes the new path."""
        answer = self.patches.get(id)
        if answer is not None:
            return answer
        if id in self.recorded_patches:
            answer = True
        elif self.replaying:
            answer = False
        else:
            answer = True
        if answer or deprecated:
            if id in self.recorded_patches or not self.replaying:
                self.commands.append(r.Patched(id, deprecated))
        self.patches[id] = answer
        return answer

    def change_attributes(self, changes: dict[str, Any]) -> None:
        """Change search attributes; None removes one."""
        self.check("upsert_search_attributes")
        for name, value in changes.items():
            if value is None:
                self.attributes.pop(name, None)
            else:
                self.attributes[name] = value
        self.commands.append(r.Attributes(payloads.encode(changes, "search attributes")))

    def change_memo(self, changes: dict[str, Any]) -> None:
        """Change the memo."""
        self.check("upsert_memo")
        self.memo.update(changes)
        self.commands.append(r.Memo(payloads.encode(changes, "the memo")))

    # -- what the code reads

    @property
    def random(self) -> random.Random:
        """Drawn from the run's seed, so the same in every replay."""
        if self._random is None:
            self._random = random.Random(self.begin.seed)
        return self._random

    @property
    def ids(self) -> random.Random:
        """Another series, for ids."""
        if self._uuids is None:
            self._uuids = random.Random(self.begin.seed ^ 0x5DEECE66D)
        return self._uuids

    @property
    def now(self) -> datetime:
        """The time of the turn, aware, in UTC."""
        return datetime.fromtimestamp(self.now_ms / 1000, UTC)

    def query(self, name: str, args: bytes | Raw) -> Any:
        """Ask a query handler; the value.

        Raises:
            LookupError: There is none of that name.
        """
        if name in _BUILT_IN:
            return _BUILT_IN[name](self)
        handler = self.handlers.get(("query", name)) or self.handlers.get(("query", ""))
        if handler is None:
            known = sorted(n for kind, n in self.handlers if kind == "query")
            raise LookupError(
                f"workflow {self.definition.name!r} has no query {name!r}; it has "
                f"{', '.join(known) or 'none'}"
            )
        values = handler.signature.args(args)
        if not handler.options.name:
            values = [name, *values]
        return self._read(handler.fn, values, f"query {name!r}")

    def _read(self, fn: Callable[..., Any], args: list[Any], what: str) -> Any:
        method = self.instance is not None and hasattr(type(self.instance), getattr(fn, "__name__", ""))
        self.read_only = what
        try:
            return self.loop.call_inside(fn, *((self.instance, *args) if method else args))
        finally:
            self.read_only = ""

    @property
    def unfinished(self) -> list[str]:
        """Handlers that still run, as the warning at the end names them."""
        return [
            task.get_name()
            for task, handler in self.handling.items()
            if not task.done() and handler.options.unfinished == "warn"
        ]

    @property
    def timers(self) -> list[int]:
        """Steps whose timers are set."""
        return list(self._timers)

    @property
    def waits(self) -> list[tuple[int, str]]:
        """Steps that wait for signals, and their names."""
        return [(s.seq, name) for name, steps in self._waiting.items() for s in steps]

    @property
    def unhandled(self) -> int:
        """Signals that nobody has taken."""
        return sum(len(box) for box in self.mailbox.values())


def signal_value(args: Raw) -> Any:
    """What a wait gives for a signal: its one argument, or all of them."""
    values = payloads.decode(args)
    if isinstance(values, list) and len(values) == 1:
        return values[0]
    return values or None


def _already(failure: r.Failure) -> Exception:
    from hotmesh.durable.errors import WorkflowAlreadyStarted

    return WorkflowAlreadyStarted(
        failure.message,
        workflow_id=str(failure.facts.get("workflow_id", "")),
        run_id=str(failure.facts.get("run_id", "")),
    )


def _cancel_act(step: Step[Any]) -> bool:
    step.run.commands.append(r.ActCancel(step.seq))
    step.run.open_acts.pop(step.seq, None)
    return True


def _cancel_act_and_wait(step: Step[Any]) -> bool:
    step.run.commands.append(r.ActCancel(step.seq, True))
    return False


def _abandon(step: Step[Any]) -> bool:
    return True


def _cancel_wait(step: Step[Any]) -> bool:
    run = step.run
    run._steps.pop(step.seq, None)
    queue = run._waiting.get(step.name)
    if queue is not None and step in queue:
        queue.remove(step)
    if not run._unsay(step.seq):
        run.commands.append(r.WaitCancel(step.seq, step.name))
    return True


def _cancel_child(step: Step[Any]) -> bool:
    assert isinstance(step, ChildHandle)
    began = step.run._steps.get(-step.seq)
    if began is not None and step.run._unsay(step.seq):  # it was never asked for
        del step.run._steps[-step.seq], step.run._steps[step.seq], step.run.children[step.seq]
        return True
    step.run.commands.append(r.ChildCancel(step.seq, step.workflow_id, step.run_id))
    return True


def _cancel_child_and_wait(step: Step[Any]) -> bool:
    known = len(step.run.commands)
    _cancel_child(step)
    return len(step.run.commands) < known


_ON_CANCEL: dict[str, Callable[[Step[Any]], bool]] = {
    "try_cancel": _cancel_act,
    "wait_completed": _cancel_act_and_wait,
    "abandon": _abandon,
}
_ON_CANCEL_CHILD: dict[str, Callable[[Step[Any]], bool]] = {
    "try_cancel": _cancel_child,
    "wait_completed": _cancel_child_and_wait,
    "abandon": _abandon,
}

_APPLY: dict[type, Callable[[Run, Any], None]] = {
    r.Begin: Run._apply_begin,
    r.Answer: Run._apply_answer,
    r.Fired: Run._apply_fired,
    r.Sent: Run._apply_sent,
    r.Asked: Run._apply_asked,
    r.Hooked: Run._apply_hooked,
    r.CancelAsked: Run._apply_cancel,
    r.ChildBegan: Run._apply_child_began,
    r.ChildEnded: Run._apply_child_ended,
    r.Arrived: Run._apply_arrived,
    r.Found: Run._apply_found,
    r.Closed: Run._apply_closed,
}


def _stack(run: Run) -> str:
    return run.loop.stacks()


def _handlers(run: Run) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"signal": [], "query": [], "update": []}
    for kind, name in sorted(run.handlers):
        found[kind].append(name)
    return found


def _state(run: Run) -> dict[str, Any]:
    return {
        "steps": [
            {"step": s.seq, "kind": s.kind, "name": s.name} for seq, s in run._steps.items() if seq > 0
        ],
        "timers": len(run._timers),
        "signals": {name: len(box) for name, box in run.mailbox.items()},
        "cancel_requested": run.cancel_requested,
    }


_BUILT_IN: dict[str, Callable[[Run], Any]] = {
    "__stack": _stack,
    "__state": _state,
    "__handlers": _handlers,
}


# -- divergence


def _is_ignored(command: r.Command) -> bool:
    """What replays need not meet: rejected updates leave no trace, and a deprecated patch may be
    gone.
    """
    if type(command) is r.Replied:
        return command.rejected
    return type(command) is r.Patched and command.deprecated


_NAMED: dict[type, tuple[str, ...]] = {
    r.Act: ("name", "queue", "step_id", "local"),
    r.Timer: ("step_id",),
    r.Child: ("workflow", "queue", "jid", "step_id"),
    r.ChildCancel: ("jid",),
    r.SignalOut: ("jid", "name"),
    r.StopOut: ("jid", "how"),
    r.HookOut: ("jid", "name"),
    r.Wait: ("name",),
    r.Search: ("answers",),
    r.Emit: ("topic",),
    r.Patched: ("id",),
    r.Accepted: ("uid",),
    r.Replied: ("uid",),
    r.ContinueAsNew: ("workflow",),
}


def _same(was: r.Command, now: r.Command, strict: bool) -> bool:
    if type(was) is not type(now) or getattr(was, "seq", 0) != getattr(now, "seq", 0):
        return False
    if strict and bytes(getattr(was, "args", b"")) != bytes(getattr(now, "args", b"")):
        return False
    return all(getattr(was, n) == getattr(now, n) for n in _NAMED.get(type(was), ()))


_WORDS = {
    r.Act: "ACT",
    r.ActCancel: "ACT_CANCEL",
    r.Timer: "TIMER",
    r.TimerCancel: "TIMER_CANCEL",
    r.Child: "CHILD",
    r.ChildCancel: "CHILD_CANCEL",
    r.SignalOut: "SIGNAL",
    r.StopOut: "STOP",
    r.HookOut: "HOOK",
    r.Wait: "WAIT",
    r.WaitCancel: "WAIT_CANCEL",
    r.Search: "SEARCH",
    r.Attributes: "ATTRIBUTES",
    r.Memo: "MEMO",
    r.Once: "ONCE",
    r.Patched: "PATCH",
    r.Accepted: "UPDATE_ACCEPTED",
    r.Replied: "UPDATE_DONE",
    r.Emit: "EMIT",
    r.Complete: "COMPLETE",
    r.Fail: "FAIL",
    r.Canceled: "CANCELED",
    r.ContinueAsNew: "CONTINUE",
}


def words(command: r.Command | None) -> str:
    """A command in words: kind, number and name, such as `ACT 2 charge`."""
    if command is None:
        return ""
    parts = [_WORDS[type(command)]]
    if seq := getattr(command, "seq", 0):
        parts.append(str(seq))
    for name in ("name", "workflow", "topic", "id", "uid"):
        if value := getattr(command, name, ""):
            parts.append(str(value))
            break
    if step_id := getattr(command, "step_id", ""):
        parts.append(f"({step_id})")
    return " ".join(parts)


def limits_reached(run: Run) -> bool:
    """Whether it is time to continue as new."""
    return run.known > SUGGEST_ITEMS or run.bytes > SUGGEST_BYTES


_ = (sys, CallRules)
