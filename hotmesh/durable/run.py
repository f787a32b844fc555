"""One run in memory: its code on a deterministic loop, fed with inputs, giving commands.

A turn applies inputs in their order, lets the loop come to rest, and gives what the code asked
for. A replay does the same with recorded inputs, and compares. Nothing here waits, reads a clock
or talks to a server: whoever owns the run does, and commits what a turn gave before it counts.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from hotmesh.core.durable import records as r
from hotmesh.durable import payloads
from hotmesh.durable.definition import HandlerDef, WorkflowDef
from hotmesh.durable.divergence import is_ignored, is_same, told
from hotmesh.durable.errors import (
    CancelledFailure,
    ContinueAsNewError,
    HistoryLimitError,
    NonDeterminismError,
    PayloadError,
    ReadOnlyContextError,
    WorkflowEvicted,
)
from hotmesh.durable.errors_guard import WorkflowDeadlockError, WorkflowForbiddenError
from hotmesh.durable.failures import failure_of
from hotmesh.durable.guard import active
from hotmesh.durable.interceptors import Call, Chain
from hotmesh.durable.loop import DeterministicLoop, DurableTimer
from hotmesh.durable.run_inputs import APPLY, drain
from hotmesh.durable.run_next import continued, recurring, retried
from hotmesh.durable.steps import Step
from hotmesh.durable.task_failure import TurnFailed
from hotmesh.durable.violation import Flags
from hotmesh.log import get_logger

log = get_logger("hotmesh.durable")

STEPS_MAX = 2_000
"""Steps of one run that may be open at once."""

SUGGEST_ITEMS, SUGGEST_BYTES = 4_096, 4 * 1024 * 1024


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

    def __init__(
        self, jid: str, begin: r.Begin, definition: WorkflowDef, *, build: str = ""
    ) -> None:
        self.jid, self.begin, self.definition, self.build = jid, begin, definition, build
        self.namespace = self.keeper = ""
        self.children: dict[int, r.Child] = {}
        self.sealed: dict[int, r.Act] = {}  # open activities as a codec has encoded them
        self.legs: dict[int, tuple[str, str, int]] = {}  # of a traced run: kind, name, since when
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
        self.deprecated_patches: set[str] = set()
        self.recorded_accepts: dict[str, r.Asked] = {}
        self.updates: dict[str, asyncio.Task[Any] | None] = {}
        self.hooks: list[asyncio.Task[Any]] = []
        self.handling: dict[asyncio.Task[Any], HandlerDef] = {}
        self.open_acts: dict[int, r.Act] = {}
        self.main: asyncio.Task[Any] | None = None
        self.hook_functions: dict[str, Callable[..., Any]] = {}
        self.interceptors: Chain | None = None
        self._seq = 0
        self.steps: dict[int, Step[Any]] = {}
        self.timers: dict[int, DurableTimer] = {}
        self.waiting: dict[str, deque[Step[Any]]] = {}
        self.begun = False
        self.step_ids: set[str] = set()
        self._random: random.Random | None = None
        self._uuids: random.Random | None = None

    # -- turns

    def turn(
        self, now_ms: int, inputs: Sequence[r.Input], *, replaying: bool = False
    ) -> list[r.Command]:
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
            with active(self.flags):
                for record in inputs:
                    APPLY[type(record)](self, record)
                if self.begun and self.main is None:
                    self._start()
                self.loop.run_until_quiescent()
        except (PayloadError, WorkflowDeadlockError, MemoryError) as exc:
            raise TurnFailed from exc
        if self.flags.violated is not None:
            raise TurnFailed from self.flags.violated
        self._look_at_errors()
        if len(self.steps) > STEPS_MAX and self.closed is None:
            self.close(
                r.Fail(failure_of(HistoryLimitError(f"{STEPS_MAX:,} steps are open at once")))
            )
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
        self.replaying = False  # queries may follow, which are of now
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
        dropped = self.deprecated_patches
        recorded = [
            c
            for c in turn.commands
            if not (is_ignored(c) or (type(c) is r.Patched and c.id in dropped))
        ]
        mine = [c for c in produced if not is_ignored(c)]
        strict = self.definition.options.strict_args
        for index in range(max(len(recorded), len(mine))):
            was = recorded[index] if index < len(recorded) else None
            now = mine[index] if index < len(mine) else None
            if was is not None and now is not None and is_same(was, now, strict):
                continue
            words_was, words_now = told(was, now)
            raise NonDeterminismError(
                workflow_id=self.jid,
                run_id=self.begin.run_id,
                turn=self.turns,
                index=index,
                recorded=words_was,
                produced=words_now,
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
                self.close(r.Fail(failure_of(error)))
            elif not self.replaying:
                log.error(
                    "task.failed", job=self.jid, run=self.begin.run_id, task=name, exc_info=error
                )

    # -- begin and end

    def _start(self) -> None:
        definition = self.definition
        try:
            args = definition.signature.args(self.begin.args)
        except PayloadError as exc:
            if self.replaying:
                raise
            self.close(r.Fail(failure_of(exc)))
            return
        if definition.kind is not None:
            self.instance = definition.kind()
            coroutine = self._main(definition.main, (self.instance,), args)
        else:
            coroutine = self._main(definition.main, (), args)
        for name in list(self.mailbox):
            drain(self, name)
        self.main = self.loop.create_task(coroutine, name="main", context=contextvars.Context())
        self.main.add_done_callback(self._main_done)
        if self.cancel_requested:
            # At its first suspension: the code begins, so that it can clean up.
            self.loop.call_soon(self.main.cancel, self.cancel_reason or None)

    def _main(self, main: Callable[..., Any], bound: tuple[Any, ...], args: list[Any]) -> Any:
        if self.interceptors is None or "run_workflow" not in self.interceptors:
            return main(*bound, *args)
        call = self.call(self.begin.workflow, args)
        return self.interceptors("run_workflow", call, lambda c: main(*bound, *c.args))

    def call(
        self,
        name: str,
        args: Sequence[Any],
        headers: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Call:
        """A call as interceptors see it; without headers it has those of the run."""
        if headers is None:
            headers = {k: payloads.decode(v) for k, v in self.begin.headers.items()}
        return Call(
            name=name,
            args=tuple(args),
            headers=headers,
            options=options or {},
            workflow_id=self.jid,
        )

    def _main_done(self, task: asyncio.Task[Any]) -> None:
        if self.closed is not None or self.ending:
            if not task.cancelled():
                task.exception()
            return
        if task.cancelled():
            if self.cancel_requested:
                self.close(r.Canceled(self.cancel_reason))
            else:
                told = CancelledFailure("the main function was cancelled by its own code")
                self.close(r.Fail(failure_of(told)))
            return
        error = task.exception()
        if error is None:
            self._complete(task.result())
        else:
            self.failed(error)

    def _complete(self, value: Any) -> None:
        try:
            data = payloads.encode(value, f"the result of workflow {self.definition.name!r}")
        except PayloadError as exc:
            self.close(r.Fail(failure_of(exc)))
            return
        self.close(recurring(self, data) or r.Complete(data))

    def failed(self, error: BaseException) -> None:
        if isinstance(error, ContinueAsNewError):
            self.close(continued(self, error))
            return
        guarded = isinstance(
            error, (WorkflowForbiddenError, WorkflowDeadlockError, NonDeterminismError)
        )
        suspends = isinstance(error, self.definition.options.suspend_on or ())
        if guarded or suspends or isinstance(error, WorkflowEvicted):
            raise_later = self.flags
            if raise_later.violated is None:
                raise_later.violated = error  # type: ignore[assignment]
            return
        again = retried(self, error) or recurring(self, None)
        self.close(again if again is not None else r.Fail(failure_of(error)))

    def close(self, command: r.Command) -> None:
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

    # -- timers, for the loop

    def timer_started(self, handle: DurableTimer) -> None:
        """The code put something off."""
        self.check("a timer")
        seq = self.next_seq()
        handle.seq = seq
        self.timers[seq] = handle
        self.commands.append(r.Timer(seq, max(1, round(handle.delay_s * 1000))))

    def timer_cancelled(self, handle: DurableTimer) -> None:
        """The code took it back."""
        seq = handle.seq
        if seq is None or self.timers.pop(seq, None) is None or self.ending:
            return
        if not self.unsay(seq):
            self.commands.append(r.TimerCancel(seq))

    def unsay(self, seq: int) -> bool:
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

    # -- what the code reads

    @property
    def chance(self) -> random.Random:
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

    @property
    def unfinished(self) -> list[str]:
        """Handlers that still run, as the warning at the end names them."""
        return [
            task.get_name()
            for task, handler in self.handling.items()
            if not task.done() and handler.options.unfinished == "warn"
        ]

    @property
    def open_timers(self) -> list[int]:
        """Steps whose timers are set."""
        return list(self.timers)

    @property
    def open_waits(self) -> list[tuple[int, str]]:
        """Steps that wait for signals, and their names."""
        return [(s.seq, name) for name, steps in self.waiting.items() for s in steps]

    @property
    def unhandled(self) -> int:
        """Signals that nobody has taken."""
        return sum(len(box) for box in self.mailbox.values())


def limits_reached(run: Run) -> bool:
    """Whether it is time to continue as new."""
    return run.known > SUGGEST_ITEMS or run.bytes > SUGGEST_BYTES
