"""Errors of durable functions, all under `HotMeshError`.

Three families: what user code raises and catches (`ApplicationError`, `ActivityError`, …), what a
client's call gives (`WorkflowFailed`, `WorkflowNotFound`, …), and what fails a turn of a workflow
without failing the run (`NonDeterminismError`, …): the run waits for mended code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hotmesh.durations import Duration, parse
from hotmesh.errors import HotMeshError


class DurableError(HotMeshError):
    """The root of what durable functions raise.

    Attributes:
        message: What happened.
        type: The qualified name of the exception that it stands for.
        details: What was sent along.
        stack: The traceback where it happened, as text.
    """

    code = 599
    type: str = ""
    stack: str = ""
    details: tuple[Any, ...] = ()

    def __init__(self, message: str = "") -> None:
        self.message = message
        super().__init__(message)

    @property
    def cause(self) -> BaseException | None:
        """What it was caused by."""
        return self.__cause__


class ApplicationError(DurableError):
    """An error of user code, with more to say than an exception's text.

    Args:
        message: What happened.
        details: Values to send along; anything that an activity may return.
        type: What handlers tell it by; the class name when empty.
        non_retryable: Whether trying again makes no sense.
        next_retry_delay: Overrides the policy's delay, once.
        category: `benign` is logged at debug only.
    """

    def __init__(
        self,
        message: str = "",
        *details: Any,
        type: str = "",
        non_retryable: bool = False,
        next_retry_delay: Duration | None = None,
        category: str = "",
    ) -> None:
        super().__init__(message)
        self.details, self.type = details, type or _name(self)
        self.non_retryable, self.category = non_retryable, category
        self.next_retry_delay_ms = -1 if next_retry_delay is None else parse(next_retry_delay)
        self.code = 598 if non_retryable else 599


class FatalError(ApplicationError):
    """Stop trying: an `ApplicationError` that is not retried."""

    def __init__(self, message: str = "", *details: Any, type: str = "") -> None:
        super().__init__(message, *details, type=type, non_retryable=True)


class ActivityError(DurableError):
    """An activity failed for good; `cause` says why.

    Attributes:
        name, seq: Which activity, and which step of the run.
        attempt: Attempts that were made.
        retry_state: `fatal`, `max_attempts`, `timeout`, `cancelled`.
        worker: Who made the last attempt.
    """

    def __init__(
        self,
        message: str,
        *,
        name: str = "",
        seq: int = 0,
        attempt: int = 0,
        retry_state: str = "",
        worker: str = "",
    ) -> None:
        super().__init__(message)
        self.name, self.seq, self.attempt = name, seq, attempt
        self.retry_state, self.worker = retry_state, worker


class MaxedError(ActivityError):
    """All attempts at an activity were used."""

    code = 597


class ChildWorkflowError(DurableError):
    """A child failed; `cause` says why.

    Attributes:
        workflow_id, run_id, workflow: Which.
        retry_state: As of an activity.
    """

    def __init__(
        self,
        message: str,
        *,
        workflow_id: str = "",
        run_id: str = "",
        workflow: str = "",
        retry_state: str = "",
    ) -> None:
        super().__init__(message)
        self.workflow_id, self.run_id, self.workflow = workflow_id, run_id, workflow
        self.retry_state = retry_state


class TimeoutFailure(DurableError):
    """Something took too long.

    Attributes:
        timeout_type: START_TO_CLOSE, SCHEDULE_TO_CLOSE, SCHEDULE_TO_START, HEARTBEAT, RUN or
            EXECUTION.
        last_heartbeat_details: What the activity said last.
    """

    code = 596

    def __init__(
        self, message: str, *, timeout_type: str = "", last_heartbeat_details: Sequence[Any] = ()
    ) -> None:
        super().__init__(message)
        self.timeout_type = timeout_type
        self.last_heartbeat_details = tuple(last_heartbeat_details)


class CancelledFailure(DurableError):
    """A cancellation, where it is told as an error."""

    code = 410


class TerminatedFailure(DurableError):
    """The run was ended from outside."""

    code = 410


class WorkerLostFailure(DurableError):
    """The worker of an attempt died."""


class WorkflowError(DurableError):
    """What a client's call about one workflow gives.

    Attributes:
        workflow_id, run_id: Which.
    """

    def __init__(self, message: str, *, workflow_id: str = "", run_id: str = "") -> None:
        super().__init__(message)
        self.workflow_id, self.run_id = workflow_id, run_id


class WorkflowFailed(WorkflowError):
    """A run did not end well; `cause` says why.

    Attributes:
        status: `failed`, `canceled`, `terminated`, `timed_out`.
        code: Of the cause.
    """

    def __init__(
        self, message: str, *, workflow_id: str = "", run_id: str = "", status: str, code: int
    ) -> None:
        super().__init__(message, workflow_id=workflow_id, run_id=run_id)
        self.status, self.code = status, code


class WorkflowCancelled(WorkflowFailed):
    """A run was cancelled, and let it through."""


class WorkflowInterrupted(WorkflowFailed):
    """A run was interrupted or terminated: ended from outside, without a word of its code."""


class WorkflowContinued(WorkflowError):
    """`result(follow=False)` of a run that went on as another.

    Attributes:
        new_run_id: The other.
    """

    def __init__(self, *, workflow_id: str, run_id: str, new_run_id: str) -> None:
        self.new_run_id = new_run_id
        super().__init__(
            f"run {run_id} of workflow {workflow_id!r} continued as run {new_run_id}",
            workflow_id=workflow_id,
            run_id=run_id,
        )


class WorkflowNotFound(WorkflowError):
    """There is no such workflow: it never ran, has expired, or has ended where a running one is
    needed.
    """

    code = 404


class WorkflowAlreadyStarted(WorkflowError):
    """The workflow id is taken; `run_id` has it."""

    code = 409


class WorkflowClosedError(WorkflowError):
    """A run ended before it could answer."""

    code = 410


class SignalConflictError(DurableError):
    """Another run waits for a signal of this name already.

    Attributes:
        name: The signal.
    """

    code = 409

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"another run waits for signal {name!r} already; take a name of your own, such as one "
            "with the workflow id in it"
        )


class UpdateFailedError(WorkflowError):
    """An update was rejected by its validator, or its handler failed.

    Attributes:
        update_id: Which.
        rejected: Whether it was the validator; then nothing has happened.
    """

    def __init__(
        self, message: str, *, workflow_id: str, run_id: str, update_id: str, rejected: bool
    ) -> None:
        super().__init__(message, workflow_id=workflow_id, run_id=run_id)
        self.update_id, self.rejected = update_id, rejected


class UpdateLostError(WorkflowError):
    """An accepted update was cut off when its run continued as another."""


class QueryFailedError(WorkflowError):
    """A query's handler raised, or there is none of that name."""

    code = 500


class QueryRejectedError(WorkflowError):
    """The state of the run is one in which the caller did not want an answer."""

    code = 409


class QueryTimeoutError(WorkflowError):
    """No worker answered a query in time."""

    code = 504


class WaitTimeoutError(WorkflowError, TimeoutError):
    """A caller stopped waiting. The run goes on."""

    code = 504


class NonDeterminismError(DurableError):
    """Replaying a run's history through the code gave something else than what history holds.

    Attributes:
        workflow_id, run_id: Which run.
        turn: Which of its turns, from 1.
        index: Which command of the turn, from 0.
        recorded: What history holds, in words; "" for nothing.
        produced: What the code asked for, in words; "" for nothing.
        site: The line of code that asked, as `file:line`, or "".
        hint: What to do.
    """

    def __init__(
        self,
        *,
        workflow_id: str,
        run_id: str,
        turn: int,
        index: int,
        recorded: str,
        produced: str,
        site: str = "",
        builds: tuple[str, str] = ("", ""),
    ) -> None:
        self.workflow_id, self.run_id = workflow_id, run_id
        self.turn, self.index, self.recorded, self.produced = turn, index, recorded, produced
        self.site, self.builds = site, builds
        self.hint = _hint(recorded, produced)
        where = f" at {site}" if site else ""
        super().__init__(
            f"the code of workflow {workflow_id!r} does not fit its history: in turn {turn}, "
            f"command {index}, history holds {recorded or 'nothing more'}, the code asked for "
            f"{produced or 'nothing more'}{where}; {self.hint}"
        )


class ReadOnlyContextError(DurableError):
    """A query or validator tried to do something.

    Attributes:
        action: What.
    """

    def __init__(self, action: str) -> None:
        self.action = action
        super().__init__(f"{action} is not possible in a query or a validator: they only read")


class NotInWorkflowError(DurableError):
    """A call of `workflow` outside a workflow."""

    def __init__(self, call: str) -> None:
        self.call = call
        super().__init__(f"{call} can only be called by the code of a workflow")


class NotInActivityError(DurableError):
    """A call of `activity` outside an activity."""

    def __init__(self, call: str) -> None:
        self.call = call
        super().__init__(f"{call} can only be called by the code of an activity")


class UnknownWorkflowError(DurableError):
    """No workflow of that name is registered with this worker.

    Attributes:
        name, known: What was wanted, and what there is.
    """

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(
            f"no workflow {name!r} is registered with this worker (it has "
            f"{', '.join(self.known) or 'none'}); add it to workflows=, or start a worker that "
            "has it"
        )


class UnknownActivityError(DurableError):
    """No activity of that name is registered with this worker."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(
            f"no activity {name!r} is registered with this worker (it has "
            f"{', '.join(self.known) or 'none'}); add it to activities=, or start a worker that "
            "has it"
        )


class PayloadError(DurableError):
    """A value can't be encoded, decoded as the annotation says, or is too large."""

    code = 400


class CodecError(DurableError):
    """A payload codec failed, or is missing where one was used."""


class HistoryLimitError(DurableError):
    """A history has grown too long; `continue_as_new` in time prevents that."""


class FieldTypeError(DurableError):
    """A field holds something else than the operation needs."""

    code = 400


class SearchQueryError(DurableError):
    """A listing's query can't be understood."""

    code = 400


class ActivityGoneError(DurableError):
    """The attempt is not the current one any more."""

    code = 410


class RegistrationError(DurableError):
    """A workflow or an activity is not fit to be one."""

    code = 400


class WorkflowEvicted(BaseException):
    """The run leaves this worker's memory. Never seen outside."""


class ContinueAsNewError(BaseException):
    """The run goes on as another. Raised by `workflow.continue_as_new`; let it through."""

    def __init__(self, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        super().__init__("continue as new")
        self.arguments, self.options = args, options


class CompleteLater(BaseException):
    """The activity's answer comes by `client.activity(token)`."""


def _name(error: object) -> str:
    kind = type(error)
    return "" if kind is ApplicationError else kind.__qualname__


def _hint(recorded: str, produced: str) -> str:
    if not produced:
        return (
            "a step was removed, or the code ended early; keep it for runs that have taken it, "
            "behind workflow.patched()"
        )
    if not recorded:
        return "a step was added; put it behind workflow.patched()"
    return (
        "steps were changed or reordered; put the change behind workflow.patched(), or let runs "
        "that are under way end on the old code"
    )
