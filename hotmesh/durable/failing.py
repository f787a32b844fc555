"""Turns that fail although the business has not: the run waits for mended code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotmesh.core.durable import records as r
from hotmesh.durable.errors import NonDeterminismError
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

    def failed(self, active: Active, error: BaseException, head: RunHead | None) -> None:
        """The code is at fault: the run stays open and is tried again later."""
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
        self._turns.forget(active)
        self._turns.spawn(self._put_off(active, text))
        del head

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

    async def _put_off(self, active: Active, error: str) -> None:
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

    async def _failure_count(self, task: RunTask) -> tuple[RunHead | None, int]:
        head = (await self._turns.runs.heads([task.jid]))[0]
        count = (await self._turns.runs.fields(task.jid, ["tf"]))[0]
        return head, int(count or 0)
