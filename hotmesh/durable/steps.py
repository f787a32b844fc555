"""What workflow code awaits: one future per step, whose cancellation is a command of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from hotmesh.durable.loop import LoopFuture

if TYPE_CHECKING:
    from hotmesh.durable.run import Run

T = TypeVar("T")


class Step(LoopFuture[T]):
    """A step of a run that has been asked for.

    It may be awaited, put into `asyncio.gather`, `wait`, `create_task` or a task group, or left
    alone: it runs from the moment of the call.

    Attributes:
        seq: Its number in the run.
        failure: Of a step with `throw_on_error=False`.
    """

    __slots__ = ("decode", "kind", "name", "on_cancel", "run", "seq", "throws", "waits")

    def __init__(
        self,
        run: Run,
        seq: int,
        kind: str,
        name: str,
        decode: Callable[[Any], Any] | None = None,
        on_cancel: Callable[[Step[Any]], bool] | None = None,
    ) -> None:
        super().__init__(loop=run.loop)
        self.number = run.loop.next_number()
        self.run, self.seq, self.kind, self.name = run, seq, kind, name
        self.decode, self.on_cancel = decode, on_cancel
        self.throws = True
        self.waits = False  # for the end of what was cancelled

    def cancel(self, msg: Any = None) -> bool:
        """Give the step up. What that means to it, its options say."""
        if self.done() or self.waits:
            return not self.done()
        if self.run.ending or self.on_cancel is None or self.on_cancel(self):
            return super().cancel(msg)
        self.waits = True
        return True

    def settle_cancelled(self) -> None:
        """The cancelled step has ended: whoever waits goes on with the cancellation."""
        super().cancel()


class ChildHandle(Step[T]):
    """A child that runs; awaiting it gives its result.

    Attributes:
        workflow_id, run_id: Which.
    """

    __slots__ = ("run_id", "workflow_id")

    workflow_id: str
    run_id: str

    def signal(self, name: str, *args: Any) -> Step[None]:
        """Send a signal to it."""
        from hotmesh.durable.run_asks import signal_out

        return signal_out(self.run, self.workflow_id, "", name, args)
