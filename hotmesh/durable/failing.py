"""Turns that fail although the business has not: the run waits for mended code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hotmesh.core.durable import records as r
from hotmesh.durable.errors import CodecError, NonDeterminismError
from hotmesh.durable.failures import failure_of
from hotmesh.durable.task_failure import TurnFailed
from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.run_messages import RunTask, RunTimer, encode_run
from hotmesh.store import GROUP_WORKER
from hotmesh.store.runs import RunCommand, RunHead

if TYPE_CHECKING:
    from hotmesh.durable.active import Active
    from hotmesh.durable.turns import Turns

log = get_logger("hotmesh.durable")

FAILURE_MS_MIN, FAILURE_MS_MAX = 1_000, 60_000
TOLD_MAX = 1_000


class Failing:
    """Puts off the runs of one worker whose turns fail."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._told: set[str] = set()

    def failed(
        self,
        active: Active,
        error: BaseException,
        answers: Sequence[r.Answer] = (),
    ) -> None:
        """The code is at fault: the run stays open and is tried again later.

        Args:
            answers: Of activities run here, which the failed turn was given.
        """
        cause = error.__cause__ if isinstance(error, TurnFailed) and error.__cause__ else error
        run = active.run
        if (
            isinstance(cause, NonDeterminismError)
            and run is not None
            and run.definition.options.on_nondeterminism == "fail"
        ):
            self._fail_run(active, cause)
            return
        self._turns.failures += 1
        text = f"{type(cause).__name__}: {cause}"
        if text not in self._told:
            if len(self._told) < TOLD_MAX:
                self._told.add(text)
            log.error(
                "turn.failed",
                job=active.task.jid,
                run=active.task.run_id,
                error=text,
                exc_info=cause,
            )
        kept = _worth_keeping(active, answers)
        self._turns.forget(active)
        self._turns.spawn(self._put_off(active, text, kept))

    def _fail_run(self, active: Active, error: NonDeterminismError) -> None:
        """A history that does not fit ends the run, where its definition says so."""
        run = active.run
        assert run is not None
        run.closed = r.Fail(failure_of(error))
        active.items = [
            r.Turn(run.now_ms, (), (run.closed,), self._turns.worker, self._turns.build)
        ]
        active.commands = [run.closed]
        self._turns.send(active)

    async def _put_off(self, active: Active, error: str, kept: list[r.Answer]) -> None:
        task = active.task
        delivery = active.deliveries[0]
        try:
            head, count = await self._failure_count(task)
            if head is None or head.run_id != task.run_id or not head.is_open:
                await self._turns.drop_all(active.deliveries)
                return
            pause_ms = min(FAILURE_MS_MIN * 2 ** min(count, 10), FAILURE_MS_MAX)
            command = RunCommand(self._turns.store, task.jid, task.run_id, delivery.stream)
            fields = {"t": b"1", "tf": str(count + 1).encode(), "te": error[:2000].encode()}
            command.set(fields)
            if kept:
                command.history([r.encode_input(answer) for answer in await self._sealed(kept)])
            command.timer(encode_run(RunTimer(task.jid, task.run_id, 0, "task")), pause_ms)
            history = command.key(command.partition.history(task.run_id))
            guard = ["turn", task.run_id, head.rev, "end", history, 1_000_000_000, GROUP_WORKER]
            guard += [[delivery.id.decode()]]
            await self._turns.runs.run([command.build(guard)])
            self._turns.router.done([delivery.key])
            self._turns.settle_rest(active.deliveries[1:])
        except HotMeshError as exc:
            log.warning("turn.retried", job=task.jid, error=str(exc))
            self._turns.router.retry(active.deliveries)

    async def _sealed(self, answers: list[r.Answer]) -> list[r.Answer]:
        coder = self._turns.coder
        if coder is None:
            return answers
        try:
            return await coder.seal(answers)
        except CodecError as exc:
            # Perhaps what the turn failed of: without a record, their activities are lost attempts.
            log.warning("answers.dropped", steps=[a.seq for a in answers], error=str(exc))
            return []

    async def _failure_count(self, task: RunTask) -> tuple[RunHead | None, int]:
        head = (await self._turns.runs.heads([task.jid]))[0]
        count = (await self._turns.runs.fields(task.jid, ["tf"]))[0]
        return head, int(count or 0)


def _worth_keeping(active: Active, answers: Sequence[r.Answer]) -> list[r.Answer]:
    """Answers to steps that history holds: their activities must not run again because the code
    that wanted them was at fault.
    """
    unwritten = {c.seq for c in active.commands if type(c) is r.Act}
    given = [i for turn in active.items for i in turn.ins if type(i) is r.Answer]
    return [a for a in (*given, *answers, *active.answers) if a.seq not in unwritten]
