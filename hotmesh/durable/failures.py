"""Exceptions ⇄ failures that cross processes. Reporting a failure never fails itself."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

from msgspec import Raw

from hotmesh.core.durable.records import Failure
from hotmesh.durable import payloads
from hotmesh.durable.errors import (
    ActivityError,
    ApplicationError,
    CancelledFailure,
    ChildWorkflowError,
    DurableError,
    FatalError,
    MaxedError,
    PayloadError,
    TerminatedFailure,
    TimeoutFailure,
    WorkerLostFailure,
)
from hotmesh.run_messages import NIL

STACK_MAX, MESSAGE_MAX, DEPTH_MAX = 8_000, 8_000, 20


def failure_of(error: BaseException, depth: int = 0) -> Failure:
    """An exception as it travels."""
    kind = _kind(error)
    cause = error.__cause__
    fatal = isinstance(error, (PayloadError,)) or getattr(error, "non_retryable", False)
    return Failure(
        kind,
        _message(error)[:MESSAGE_MAX],
        _type(error),
        _code(error, fatal),
        fatal,
        _details(getattr(error, "details", ())),
        _stack(error),
        failure_of(cause, depth + 1) if cause is not None and depth < DEPTH_MAX else None,
        _facts(error),
        getattr(error, "next_retry_delay_ms", -1),
    )


def names_of(error: BaseException) -> set[str]:
    """Every name by which a policy may call an exception: its own and its bases'."""
    names = {getattr(error, "type", "")}
    for kind in type(error).__mro__:
        names |= {kind.__name__, kind.__qualname__, f"{kind.__module__}.{kind.__qualname__}"}
    return names


def error_of(failure: Failure) -> DurableError:
    """The exception that a failure stands for."""
    facts = failure.facts
    error: DurableError
    match failure.kind:
        case "activity":
            kind = MaxedError if failure.code == MaxedError.code else ActivityError
            error = kind(
                failure.message,
                name=str(facts.get("name", "")),
                seq=int(facts.get("seq", 0)),
                attempt=int(facts.get("attempt", 0)),
                retry_state=str(facts.get("retry_state", "")),
                worker=str(facts.get("worker", "")),
            )
        case "child":
            error = ChildWorkflowError(
                failure.message,
                workflow_id=str(facts.get("workflow_id", "")),
                run_id=str(facts.get("run_id", "")),
                workflow=str(facts.get("workflow", "")),
            )
        case "timeout":
            details = _plain_details(failure.details)
            error = TimeoutFailure(
                failure.message, timeout_type=failure.type, last_heartbeat_details=details
            )
        case "cancelled":
            error = CancelledFailure(failure.message)
        case "terminated":
            error = TerminatedFailure(failure.message)
        case "lost":
            error = WorkerLostFailure(failure.message)
        case "payload":
            error = PayloadError(failure.message)
        case _:
            error = ApplicationError(
                failure.message,
                *_plain_details(failure.details),
                type=failure.type,
                non_retryable=failure.fatal,
            )
            if failure.fatal and failure.type == FatalError.__qualname__:
                error = FatalError(failure.message, *_plain_details(failure.details))
    error.code = failure.code
    error.type, error.stack = failure.type, failure.stack
    if failure.stack:
        error.add_note(failure.stack)
    if failure.cause is not None:
        error.__cause__ = error_of(failure.cause)
    return error


_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (ActivityError, "activity"),
    (ChildWorkflowError, "child"),
    (TimeoutFailure, "timeout"),
    (CancelledFailure, "cancelled"),
    (asyncio.CancelledError, "cancelled"),
    (TerminatedFailure, "terminated"),
    (WorkerLostFailure, "lost"),
    (PayloadError, "payload"),
)


def _kind(error: BaseException) -> str:
    return next((name for kind, name in _KINDS if isinstance(error, kind)), "application")


def _type(error: BaseException) -> str:
    if isinstance(error, TimeoutFailure):
        return error.timeout_type
    if isinstance(error, DurableError) and error.type:
        return error.type
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__qualname__}"


def _code(error: BaseException, fatal: bool) -> int:
    code = getattr(error, "code", None)
    if type(code) is int and 100 <= code <= 999:
        return code
    return 598 if fatal else 599


def _message(error: BaseException) -> str:
    try:
        if isinstance(error, DurableError):
            return error.message
        if isinstance(error, KeyError):  # its text is no more than the key
            return f"{type(error).__name__}: {error}"
        return str(error) or type(error).__name__
    except Exception as exc:  # noqa: BLE001 - user code; a failure to report must not fail
        return f"{type(error).__name__} (whose text can't be had: {type(exc).__name__})"


def _stack(error: BaseException) -> str:
    if isinstance(error, DurableError) and error.stack:
        return error.stack
    if error.__traceback__ is None:
        return ""
    return "".join(traceback.format_tb(error.__traceback__))[-STACK_MAX:]


def _details(details: Any) -> Raw:
    if not details:
        return NIL
    try:
        return payloads.encode(list(details), "the details of an error")
    except PayloadError:
        return payloads.encode([repr(d) for d in details], "the details of an error")


def _plain_details(details: Raw) -> list[Any]:
    value = payloads.decode(details)
    return value if isinstance(value, list) else []


def _facts(error: BaseException) -> dict[str, str | int]:
    if isinstance(error, ActivityError):
        return {
            "name": error.name,
            "seq": error.seq,
            "attempt": error.attempt,
            "retry_state": error.retry_state,
            "worker": error.worker,
        }
    if isinstance(error, ChildWorkflowError):
        return {
            "workflow_id": error.workflow_id,
            "run_id": error.run_id,
            "workflow": error.workflow,
        }
    return {}
