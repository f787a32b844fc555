"""Options of activities and workflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

from msgspec import Struct

from hotmesh.durations import Duration, parse
from hotmesh.errors import SettingsInvalid
from hotmesh.run_messages import CallRules

Cancellation = Literal["try_cancel", "wait_completed", "abandon"]
ClosePolicy = Literal["abandon", "terminate", "request_cancel"]
Reuse = Literal["allow", "failed_only", "reject"]
Conflict = Literal["fail", "use_existing", "terminate_existing"]


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How failed attempts are tried again.

    Attributes:
        maximum_attempts: In all, the first included; 0 without a limit, 1 for no retry.
        initial_interval: The delay before the second attempt.
        backoff_coefficient: What each further delay is multiplied by.
        maximum_interval: The longest delay.
        non_retryable: Exceptions, as classes or names, that are not tried again; their subclasses
            neither.
        jitter: The share of a delay that is drawn at random.
    """

    maximum_attempts: int = 50
    initial_interval: Duration = "1s"
    backoff_coefficient: float = 2.0
    maximum_interval: Duration = "120s"
    non_retryable: Sequence[type[BaseException] | str] = ()
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if self.maximum_attempts < 0:
            raise SettingsInvalid(f"maximum_attempts is 0 or more, not {self.maximum_attempts}")
        if self.backoff_coefficient < 1:
            raise SettingsInvalid(
                f"backoff_coefficient is at least 1, not {self.backoff_coefficient}"
            )
        if not 0 <= self.jitter <= 1:
            raise SettingsInvalid(f"jitter lies between 0 and 1, not {self.jitter}")
        parse(self.initial_interval), parse(self.maximum_interval)


HOTMESH_RETRY = RetryPolicy(
    maximum_attempts=0, initial_interval="10s", backoff_coefficient=10, maximum_interval="1 year"
)
"""What the original does with a workflow that raises: it is tried again for ever, ever later."""


class ActivityOptions(Struct, frozen=True, kw_only=True):
    """How an activity is run. None takes what the decorator says, or the default.

    Attributes:
        task_queue: Where it runs; the workflow's queue by default.
        retry: 50 attempts by default, with delays of 1 s, 2 s, … 120 s.
        start_to_close_timeout: One attempt; 60 s by default.
        schedule_to_close_timeout: All attempts and the delays between them.
        schedule_to_start_timeout: Waiting for a worker; not tried again when it is over.
        heartbeat_timeout: Silence within one attempt.
        cancellation: What a cancelled wait does: `try_cancel` asks the activity to stop and goes
            on, `wait_completed` waits for its end, `abandon` lets it run.
        step_id: A name that a replay must meet again at this step.
        throw_on_error: With False the failure is returned.
    """

    task_queue: str | None = None
    retry: RetryPolicy | None = None
    start_to_close_timeout: Duration | None = None
    schedule_to_close_timeout: Duration | None = None
    schedule_to_start_timeout: Duration | None = None
    heartbeat_timeout: Duration | None = None
    cancellation: Cancellation | None = None
    step_id: str | None = None
    summary: str | None = None
    throw_on_error: bool | None = None
    headers: dict[str, Any] | None = None

    def over(self, other: ActivityOptions | None) -> ActivityOptions:
        """These, and what they leave open from others."""
        if other is None:
            return self
        given = {
            name: getattr(other, name) if getattr(self, name) is None else getattr(self, name)
            for name in self.__struct_fields__
        }
        return ActivityOptions(**given)

    def rules(self) -> CallRules:
        """What travels with the call."""
        retry = self.retry or _RETRY
        close = self.start_to_close_timeout
        return CallRules(
            retry.maximum_attempts,
            parse(retry.initial_interval),
            retry.backoff_coefficient,
            parse(retry.maximum_interval),
            tuple(_type_name(t) for t in retry.non_retryable),
            START_TO_CLOSE_MS if close is None else parse(close),
            parse(self.heartbeat_timeout) if self.heartbeat_timeout is not None else 0,
            0,
            retry.jitter,
        )


class ActivityKeywords(TypedDict, total=False):
    """What `@activity` takes."""

    name: str | None
    task_queue: str | None
    retry: RetryPolicy | None
    start_to_close_timeout: Duration | None
    schedule_to_close_timeout: Duration | None
    schedule_to_start_timeout: Duration | None
    heartbeat_timeout: Duration | None
    cancellation: Cancellation | None


class WorkflowKeywords(TypedDict, total=False):
    """What `@workflow` takes; see `WorkflowOptions`."""

    name: str | None
    task_queue: str | None
    retry: RetryPolicy | None
    suspend_on: Sequence[type[BaseException]]
    strict_tasks: bool
    on_nondeterminism: Literal["suspend", "fail"]
    strict_args: bool
    versioning: Literal["auto", "pinned"]


class StartKeywords(TypedDict, total=False):
    """What `client.workflow.start` takes beside the workflow and its arguments."""

    args: Sequence[Any] | None
    task_queue: str | None
    workflow_id: str | None
    conflict: Conflict
    reuse: Reuse
    request_id: str | None
    retry: RetryPolicy | None
    run_timeout: Duration | None
    execution_timeout: Duration | None
    start_delay: Duration | None
    expire: Duration | None
    fields: dict[str, Any] | None
    search_attributes: dict[str, Any] | None
    memo: dict[str, Any] | None
    headers: dict[str, Any] | None
    signal: tuple[Any, ...] | None
    cron: str


class ChildKeywords(TypedDict, total=False):
    """What `execute_child` and `start_child` take beside the workflow and its arguments."""

    args: Sequence[Any] | None
    workflow_id: str | None
    task_queue: str | None
    parent_close_policy: ClosePolicy
    cancellation: Cancellation
    reuse: Reuse
    retry: RetryPolicy | None
    run_timeout: Duration | None
    execution_timeout: Duration | None
    memo: dict[str, Any] | None
    search_attributes: dict[str, Any] | None
    step_id: str


START_TO_CLOSE_MS = 60_000
_RETRY = RetryPolicy()


def _type_name(kind: type[BaseException] | str) -> str:
    return kind if isinstance(kind, str) else kind.__qualname__


def workflow_rules(retry: RetryPolicy | None) -> CallRules | None:
    """A workflow's own policy as it travels."""
    if retry is None:
        return None
    return ActivityOptions(retry=retry).rules()


def delay_ms(rules: CallRules, attempt: int, draw: float = 0.0) -> int:
    """The delay after a failed attempt (from 1)."""
    # The exponent is bounded: a float overflows long after any delay has reached its limit.
    delay = min(rules.initial_ms * rules.factor ** min(attempt - 1, 60), rules.delay_ms_max)
    return round(delay * (1 - rules.jitter * draw))
