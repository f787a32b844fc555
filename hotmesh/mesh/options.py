"""What `HotMesh.init` takes, and what deploying gives back."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from hotmesh.durations import Duration, parse
from hotmesh.errors import SettingsInvalid
from hotmesh.messages import RetryRule
from hotmesh.worker import Handler


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How failures are tried again.

    Attributes:
        maximum_attempts: Attempts in all, the first included.
        initial_interval: The delay before the first retry.
        backoff_coefficient: What each further delay is multiplied by.
        maximum_interval: The longest delay.
        jitter: The share of a delay that is drawn at random, so that failures that began together
            spread out.
        codes: Only failures with these codes are retried; empty means all.
    """

    maximum_attempts: int = 5
    initial_interval: Duration = "1s"
    backoff_coefficient: float = 2.0
    maximum_interval: Duration = "100s"
    jitter: float = 0.2
    codes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.maximum_attempts < 1:
            raise SettingsInvalid(f"maximum_attempts is at least 1, not {self.maximum_attempts}")
        if self.backoff_coefficient < 1:
            raise SettingsInvalid(
                f"backoff_coefficient is at least 1, not {self.backoff_coefficient}"
            )
        if not 0 <= self.jitter <= 1:
            raise SettingsInvalid(f"jitter lies between 0 and 1, not {self.jitter}")

    def rule(self) -> RetryRule:
        """The same as it travels."""
        return RetryRule(
            self.maximum_attempts,
            parse(self.initial_interval),
            self.backoff_coefficient,
            parse(self.maximum_interval),
            self.jitter,
            tuple(self.codes),
        )


class Worker(Struct, frozen=True):
    """A function linked to a topic.

    Attributes:
        topic: The `topic` of worker activities in the model.
        handler: An async or a plain function of one argument: the message (`StreamData`), or its
            data when the argument's type is a Struct, dataclass, TypedDict, pydantic model or
            dict. A plain function runs in a thread.
        concurrency: Calls at once in this process.
        retry: What is retried beyond what the model says.
        lease: How long this process may be silent before its calls go to another; the mesh's when
            None.
    """

    topic: str
    handler: Handler
    concurrency: int = 100
    retry: RetryPolicy | None = None
    lease: Duration | None = None

    def __post_init__(self) -> None:
        if not callable(self.handler):
            raise SettingsInvalid(
                f"the handler of topic {self.topic!r} is {type(self.handler).__name__}, not "
                "a function"
            )
        if not 1 <= self.concurrency <= 10_000:
            raise SettingsInvalid(
                f"concurrency of topic {self.topic!r} lies between 1 and 10,000, not "
                f"{self.concurrency}"
            )


class Settings(Struct, frozen=True, kw_only=True):
    """Limits of one mesh.

    Attributes:
        payload_bytes_max: Of one payload, input or answer.
        steps_max: Activities that one transition enters before it goes on with an entry of its own.
        backlog_max: Entries in a worker stream above which new jobs that would add to it are
            refused; 0 for no bound.
        engine_batch: Entries that the engine takes at once.
        deliveries_max: Deliveries of an entry before it goes to the dead letters.
        grace: How long handlers may run on when the mesh stops.
        versions_kept: Versions that were active before and whose plans are kept to go back to,
            though no job needs them.
        allow_eviction: Accept a server that may evict keys. Jobs can vanish then.
        trace_split: A leg that is woken after more than this begins a trace of its own, linked with
            the old one; 0 keeps a run in one trace for ever.
    """

    payload_bytes_max: int = 1_048_576
    steps_max: int = 1_000
    backlog_max: int = 100_000
    engine_batch: int = 200
    deliveries_max: int = 10
    grace: Duration = "30s"
    versions_kept: int = 1
    allow_eviction: bool = False
    trace_split: Duration = "1h"


class DeployResult(Struct, frozen=True, kw_only=True):
    """What a deploy did.

    Attributes:
        version: The version that is stored now; `activate` takes it.
        changed: False when the same model was stored under it before.
        warnings: What is doubtful in the model, each with file, line and path.
    """

    version: str
    changed: bool
    warnings: tuple[str, ...] = ()


class HookAllResult(Struct, frozen=True, kw_only=True):
    """What `hook_all` reached: index lists that held jobs, and the jobs signalled."""

    indexes: tuple[str, ...]
    job_ids: tuple[str, ...]


class PlanResult(Struct, frozen=True, kw_only=True):
    """What deploying a model would change.

    Attributes:
        version: Of the model.
        active: The version that runs now, None for none.
        hot: Whether it can be activated while jobs run. Always true for a new version: jobs in
            flight end on theirs.
        reason: Why it can't, or "".
        added, removed, changed: Activities, as `topic/activity`; among the changed also graphs, as
            `topic`, and `settings`.
        warnings: What is doubtful in the model.
    """

    version: str
    active: str | None
    hot: bool
    reason: str = ""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


Source = Any
"""A model: a path, YAML text or a dict."""
