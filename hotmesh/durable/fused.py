"""Activities that the worker of a run begins itself, without a queue.

Those of the task queue are begun as soon as the script that asks for them has run, while the run's
entry is held; one that takes long gets an entry of its own, and so does a retry. Local ones are
begun before anything is written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from hotmesh.core.durable import records as r
from hotmesh.durable import payloads
from hotmesh.durable.active import Active
from hotmesh.durable.attempts import Function, Outcome, Running
from hotmesh.durable.calls import info_of, next_attempt, retry_ops, wrapped
from hotmesh.durable.codec import HIDDEN
from hotmesh.durable.commit import call_of
from hotmesh.durable.run import Run
from hotmesh.run_messages import Call, encode_run
from hotmesh.store.runs import RUN

if TYPE_CHECKING:
    from hotmesh.durable.turns import Turns

HAND_OVER_S = 0.02
"""An activity that was begun without a queue and runs longer gets an entry of its own."""

_LIGHT = (r.Act, r.Patched, r.Once)


class Fused:
    """Begins activities for the runs of one worker."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._watching: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Watch no more."""
        if self._watching is not None:
            self._watching.cancel()

    def fusable(self, active: Active) -> dict[int, r.Act]:
        """Activities of the turn that this worker begins at once."""
        run, calls = active.run, self._turns.calls
        assert run is not None
        if calls is None or run.closed is not None or self._turns.stopping:
            return {}
        room = calls.capacity - len(calls.attempts.running)
        found: dict[int, r.Act] = {}
        for act in active.commands:
            if (
                type(act) is not r.Act
                or act.local
                or act.queue != self._turns.queue
                or len(found) >= room
            ):
                continue
            if act.schedule_to_start_ms or act.schedule_to_close_ms or act.seq not in run.open_acts:
                continue
            if act.name in calls.functions:
                found[act.seq] = act
        return found

    def begin_fused(self, active: Active, fused: Any, commands: list[r.Command]) -> None:
        run, calls = active.run, self._turns.calls
        if not fused:
            return
        assert run is not None and calls is not None
        for seq, act in fused.items():
            if seq in run.open_acts:
                active.fused[seq] = calls.attempts.start(
                    (run.begin.run_id, seq, 1),
                    calls.functions[act.name],
                    act.args,
                    lambda act=act: info_of(self._call_of(run, act), ()),  # type: ignore[misc]
                    act.rules,
                    self._on_fused(active, act),
                    traced=bool(run.begin.trace),
                )
        if self._watching is None:
            loop = asyncio.get_running_loop()
            self._watching = loop.call_later(HAND_OVER_S, self._watch)

    def _call_of(self, run: Run, act: r.Act) -> Call:
        return call_of(run, act, self._turns.hint, self._turns.store.clock.now_ms())

    def _on_fused(self, active: Active, act: r.Act) -> Callable[[Running, Outcome], None]:
        def done(running: Running, outcome: Outcome) -> None:
            if active.fused.pop(act.seq, None) is None:
                return  # the run was given up here
            if outcome.failure is None and not outcome.later and not outcome.given_up:
                self._turns.answered(
                    active, r.Answer(act.seq, 1, outcome.data, None, self._turns.worker)
                )
                return
            self._fused_failed(active, act, running, outcome)

        return done

    def _fused_failed(self, active: Active, act: r.Act, running: Running, outcome: Outcome) -> None:
        """A first attempt that failed: the next one has an entry, and the run is let go."""
        assert active.run is not None
        call = self._call_of(active.run, act)
        if outcome.given_up:
            active.extras.append(lambda commit: commit.command.call(act.queue, encode_run(call)))
            active.extras.append(lambda commit: commit.open(act.seq))
        elif outcome.later:
            active.extras.append(lambda commit: commit.open(act.seq))
        else:
            failure = outcome.failure
            assert failure is not None
            asked = running.attempt.reason == "REQUESTED"
            now_ms = self._turns.store.clock.now_ms()
            pause, state = next_attempt(call, outcome, now_ms, cancelled=asked)
            if pause is None:
                reason = wrapped(act.name, act.seq, 1, failure, state, self._turns.worker)
                self._turns.answered(
                    active, r.Answer(act.seq, 1, failure=reason, worker=self._turns.worker)
                )
                return
            again = msgspec.structs.replace(call, attempt=2)
            told, beats = self._told(failure, running)
            active.extras.append(
                lambda commit: retry_ops(commit.command, again, pause, told, beats)
            )
        self._turns.schedule(active, force=True)

    def _told(self, failure: r.Failure, running: Running) -> tuple[r.Failure, bytes | None]:
        """What the record says of a failed first attempt. A codec can't be waited for here, so
        with one it says only that.
        """
        if self._turns.coder is not None:
            return r.Failure(failure.kind, HIDDEN, failure.type, failure.code), None
        details = running.beats
        beats = payloads.encode(list(details), "heartbeat details") if details else None
        return failure, bytes(beats) if beats is not None else None

    def _watch(self) -> None:
        self._watching = None
        for active in list(self._turns.active.values()):
            self.hand_over(active, HAND_OVER_S)
        if self._turns.active:
            loop = asyncio.get_running_loop()
            self._watching = loop.call_later(HAND_OVER_S, self._watch)

    def hand_over(self, active: Active, after_s: float) -> None:
        """Give entries to activities that take long, so that the run can be let go."""
        run, calls = active.run, self._turns.calls
        if run is None or active.sending or not active.fused or calls is None:
            return
        now = time.monotonic()
        slow = [s for s, running in active.fused.items() if now - running.began >= after_s]
        for seq in slow:
            running = active.fused.pop(seq)
            act = run.open_acts.get(seq)
            if act is None:
                continue
            call = call_of(run, act, self._turns.hint, self._turns.store.clock.now_ms())
            calls.adopt(running, call)
            payload = encode_run(call)
            active.extras.append(lambda commit, s=seq: commit.open(s))  # type: ignore[misc]
            active.extras.append(
                lambda commit, p=payload: commit.command.call(
                    self._turns.queue, p, self._turns.keeper
                )  # type: ignore[misc]
            )
        if slow:
            self._turns.advance(active, force=True)

    def start_local(self, active: Active, commands: list[r.Command]) -> bool:
        """Begin local activities; whether the turn asks for nothing else."""
        run = active.run
        assert run is not None
        for command in commands:
            if type(command) is r.Act and command.local and command.seq in run.local:
                self._attempt_local(active, command, 1)
        return (
            bool(active.local)
            and run.closed is None
            and all(type(c) in _LIGHT and getattr(c, "local", True) for c in commands)
        )

    def _attempt_local(self, active: Active, act: r.Act, attempt: int) -> None:
        run = active.run
        assert run is not None and self._turns.calls is not None
        fn, args = run.local[act.seq]
        call = msgspec.structs.replace(
            call_of(run, act, "", self._turns.store.clock.now_ms()), attempt=attempt
        )

        def done(running: Running, outcome: Outcome) -> None:
            active.local.pop(act.seq, None)
            if self._turns.active.get(run.begin.run_id) is not active:
                return
            if outcome.failure is None:
                self._turns.answered(active, r.Answer(act.seq, attempt, outcome.data))
                return
            pause, state = next_attempt(call, outcome, self._turns.store.clock.now_ms())
            if pause is None:
                failure = wrapped(
                    act.name, act.seq, attempt, outcome.failure, state, self._turns.worker
                )
                self._turns.answered(active, r.Answer(act.seq, attempt, failure=failure))
                return
            active.local[act.seq] = running  # it goes on
            loop = asyncio.get_running_loop()
            loop.call_later(pause / 1000, self._attempt_local_again, active, act, attempt + 1)

        key = (run.begin.run_id, act.seq, attempt)
        function = Function(fn, act.name)
        active.local[act.seq] = self._turns.calls.attempts.start(
            key, function, args, lambda: info_of(call, (), local=True), act.rules, done
        )

    def _attempt_local_again(self, active: Active, act: r.Act, attempt: int) -> None:
        run = active.run
        if (
            run is None
            or self._turns.active.get(run.begin.run_id) is not active
            or self._turns.stopping
        ):
            return
        if act.seq in run.local:
            self._attempt_local(active, act, attempt)

    async def find_lost(self, replayed: list[Active]) -> None:
        """Activities that ran in a worker that is gone, without an entry: they are tried again."""
        steps = [
            [s for s, act in a.run.open_acts.items() if not act.local] for a in replayed if a.run
        ]
        commands: list[tuple[Any, ...]] = []
        for active, open_ in zip(replayed, steps, strict=True):
            key = self._turns.store.keys.of(active.task.jid).job(active.task.jid)
            commands.append(("HMGET", key, RUN, *(f"s{s}" for s in open_)))
        rows = await self._turns.runs.execute(commands)
        for active, open_, row in zip(replayed, steps, rows, strict=True):
            lost = [s for s, value in zip(open_, row[1:], strict=True) if value is None]
            answered = {i.seq for _, i in active.inputs if isinstance(i, r.Answer)}
            for seq in lost:
                if seq not in answered:
                    self._lose(active, seq)
            self._turns.advance(active, force=bool(active.extras))

    def _lose(self, active: Active, seq: int) -> None:
        run = active.run
        assert run is not None
        act = run.open_acts[seq]
        failure = r.Failure("lost", f"the worker of activity {act.name!r} died", "WORKER_LOST")
        outcome = Outcome(failure=failure, names=frozenset({"WorkerLostFailure"}))
        call = call_of(run, act, self._turns.hint, self._turns.store.clock.now_ms())
        pause, state = next_attempt(call, outcome, self._turns.store.clock.now_ms())
        if pause is None:
            reason = wrapped(act.name, seq, 1, failure, state, "")
            active.answers.append(r.Answer(seq, 1, failure=reason))
            return
        again = msgspec.structs.replace(call, attempt=2, lost=1)
        active.extras.append(lambda commit: retry_ops(commit.command, again, 0, failure, None))
