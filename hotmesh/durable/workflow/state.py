"""What is kept of a run, and what it knows of itself."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from hotmesh.durable import payloads, run_asks
from hotmesh.durable.guard import skip_guards
from hotmesh.durable.run import limits_reached
from hotmesh.durable.search import Search
from hotmesh.durable.steps import Step
from hotmesh.durable.workflow.context import current, in_workflow


def continue_as_new_suggested() -> bool:
    """Whether the history has grown so long that it is time to continue as new."""
    return limits_reached(current("continue_as_new_suggested"))


def search() -> Search:
    """The run's fields: read and written by its code, and found by others."""
    return Search(current("search"))


def upsert_search_attributes(**attributes: Any) -> None:
    """Change what the run is found by (`client.workflow.list`); None removes."""
    run_asks.change_attributes(current("upsert_search_attributes"), attributes)


def upsert_memo(**memo: Any) -> None:
    """Change what is told of the run beside its result."""
    run_asks.change_memo(current("upsert_memo"), memo)


def emit(topic: str, data: Any = None) -> Step[None]:
    """Publish an event, once."""
    return run_asks.emit(current("emit"), topic, data)


def patched(change_id: str) -> bool:
    """Whether this run takes the new path of a change: True for runs that come here first with the
    new code, False for those that were past it.
    """
    return run_asks.patched(current("patched"), change_id, deprecated=False)


def deprecate_patch(change_id: str) -> None:
    """No run takes the old path of a change any more; the mark is tolerated in histories."""
    run_asks.patched(current("deprecate_patch"), change_id, deprecated=True)


class WorkflowInfo(Struct, frozen=True, kw_only=True):
    """What a run knows of itself.

    Attributes:
        history_length: Items of its history.
        attempt: Of the workflow's own retry policy, from 1.
        parent_id: The workflow that started it as a child, or "".
    """

    workflow_id: str
    run_id: str
    workflow: str
    task_queue: str
    namespace: str
    attempt: int
    started_at: datetime
    first_run_id: str
    previous_run_id: str
    parent_id: str
    parent_run_id: str
    root_id: str
    history_length: int
    trace: str
    headers: dict[str, Any]
    memo: dict[str, Any]
    search_attributes: dict[str, Any]
    build: str
    last_result: Any


def info() -> WorkflowInfo:
    """What the run knows of itself."""
    run_ = current("info")
    begin, parent = run_.begin, run_.begin.parent
    return WorkflowInfo(
        workflow_id=run_.jid,
        run_id=begin.run_id,
        workflow=begin.workflow,
        task_queue=begin.queue,
        namespace=run_.namespace,
        attempt=begin.attempt,
        started_at=datetime.fromtimestamp(begin.at_ms / 1000, UTC),
        first_run_id=begin.first_run_id or begin.run_id,
        previous_run_id=begin.previous_run_id,
        parent_id=parent.jid if parent else "",
        parent_run_id=parent.run_id if parent else "",
        root_id=begin.root or run_.jid,
        history_length=run_.known,
        trace=begin.trace,
        headers={k: payloads.decode(v) for k, v in begin.headers.items()},
        memo=dict(run_.memo),
        search_attributes=dict(run_.attributes),
        build=begin.build,
        last_result=payloads.decode(begin.last_result),
    )


get_context = info


def cancel_requested() -> bool:
    """Whether somebody asked the run to cancel."""
    return current("cancel_requested").cancel_requested


def is_replaying() -> bool:
    """Whether the code is fed from the record. What it does must not depend on it."""
    return current("is_replaying").replaying


class _Unsafe:
    """Ways around the guards."""

    def skip_guards(self) -> AbstractContextManager[None]:
        """Let the code do what is forbidden. What depends on it must not become a step."""
        return skip_guards()


unsafe = _Unsafe()


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """Says nothing while the code is fed from the record."""

    def isEnabledFor(self, level: int) -> bool:
        return (not in_workflow() or not current("logger").replaying) and super().isEnabledFor(
            level
        )

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        if in_workflow():
            run_ = current("logger")
            extra = dict(kwargs.get("extra") or {})
            extra |= {"job": run_.jid, "run": run_.begin.run_id, "workflow": run_.begin.workflow}
            kwargs["extra"] = extra
        return msg, kwargs


logger = _Logger(logging.getLogger("hotmesh.workflow"), {})
"""A logger for workflow code: with the run's ids, and silent in replays."""
