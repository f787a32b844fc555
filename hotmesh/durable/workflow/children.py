"""Other runs: children, and what ends a run or another one."""

from __future__ import annotations

import asyncio
import uuid as _uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, NoReturn, TypeVar, Unpack, overload

from hotmesh.core.durable import records as r
from hotmesh.durable import payloads, run_asks
from hotmesh.durable.activity import signature_of
from hotmesh.durable.definition import MARK, WorkflowOptions, name_of
from hotmesh.durable.errors import ApplicationError, ContinueAsNewError
from hotmesh.durable.interceptors import Call
from hotmesh.durable.options import ChildKeywords, ClosePolicy, RetryPolicy, Reuse, workflow_rules
from hotmesh.durable.steps import ChildHandle, Step
from hotmesh.durable.tracing import leg_trace
from hotmesh.durable.workflow.activities import encode_headers
from hotmesh.durable.workflow.context import current
from hotmesh.durations import Duration, parse
from hotmesh.run_messages import NIL

R = TypeVar("R")

DEPTH_MAX = 64


def _child(
    workflow: Any,
    args: Sequence[Any],
    *,
    workflow_id: str | None,
    task_queue: str | None,
    policy: ClosePolicy,
    cancellation: str,
    reuse: Reuse,
    retry: RetryPolicy | None,
    run_timeout: Duration | None,
    execution_timeout: Duration | None,
    memo: dict[str, Any] | None,
    search_attributes: dict[str, Any] | None,
    step_id: str,
    headers: dict[str, Any] | None = None,
) -> tuple[Step[Any], ChildHandle[Any]]:
    run_ = current("execute_child")
    begin = run_.begin
    if begin.depth + 1 > DEPTH_MAX:
        raise ApplicationError(
            f"children are nested deeper than {DEPTH_MAX}; a workflow starts itself without end",
            non_retryable=True,
        )
    kind = name_of(workflow)
    options: WorkflowOptions | None = getattr(workflow, MARK, None)
    queue = task_queue or (options.task_queue if options else None) or begin.queue
    chosen = retry or (options.retry if options else None)
    data = payloads.encode_args(args, f"workflow {kind!r}")

    def make(seq: int) -> r.Child:
        jid = workflow_id or f"{begin.run_id}-{seq}"
        child = r.Begin(
            kind,
            data,
            queue,
            _uuid.UUID(int=run_.ids.getrandbits(128)).hex,
            run_.ids.getrandbits(63),
            parent=r.Parent(run_.jid, begin.run_id, seq, policy),
            root=begin.root or run_.jid,
            run_ms=parse(run_timeout) if run_timeout is not None else 0,
            execution_ms=parse(execution_timeout) if execution_timeout is not None else 0,
            keep_ms=begin.keep_ms,
            retry=workflow_rules(chosen),
            headers=begin.headers if headers is None else encode_headers(headers),
            memo=payloads.encode(memo, "the memo") if memo else NIL,
            attributes=payloads.encode(search_attributes, "search attributes")
            if search_attributes
            else NIL,
            trace=leg_trace(begin, kind, seq),
            depth=begin.depth + 1,
        )
        return r.Child(seq, jid, kind, queue, r.encode_input(child), policy, reuse, step_id)

    decode = payloads.decode if isinstance(workflow, str) else signature_of(workflow).value
    return run_asks.child(run_, make, decode, cancellation)


async def _asked(
    workflow: Any, args: Sequence[Any], *, waits: bool, **options: Any
) -> tuple[Step[Any] | None, ChildHandle[Any]]:
    """Ask for a child, through interceptors; those wait for its start themselves."""
    run_ = current("execute_child")
    if run_.interceptors is None or "start_child" not in run_.interceptors:
        return _child(workflow, args, **options)
    call = run_.call(name_of(workflow), args, options=options)

    async def last(call: Call) -> ChildHandle[Any]:
        began, ended = _child(workflow, call.args, headers=call.headers, **call.options)
        if waits:
            await began
        return ended

    return None, await run_.interceptors("start_child", call, last)


@overload
async def execute_child(
    workflow: Callable[..., Coroutine[Any, Any, R]],
    *positional: Any,
    **options: Unpack[ChildKeywords],
) -> R: ...
@overload
async def execute_child(
    workflow: type | str, *positional: Any, **options: Unpack[ChildKeywords]
) -> Any: ...
async def execute_child(
    workflow: Any,
    *positional: Any,
    args: Sequence[Any] | None = None,
    workflow_id: str | None = None,
    task_queue: str | None = None,
    parent_close_policy: ClosePolicy = "terminate",
    cancellation: Literal["abandon", "try_cancel", "wait_completed"] = "wait_completed",
    reuse: Reuse = "allow",
    retry: RetryPolicy | None = None,
    run_timeout: Duration | None = None,
    execution_timeout: Duration | None = None,
    memo: dict[str, Any] | None = None,
    search_attributes: dict[str, Any] | None = None,
    step_id: str = "",
) -> Any:
    """Run another workflow and wait for its result.

    Args:
        workflow: Its function, class or name.
        args: Its arguments; or give them by position.
        workflow_id: Drawn from this run's id by default.
        parent_close_policy: What becomes of it when this run ends first.

    Raises:
        ChildWorkflowError: It failed; the cause says why.
        WorkflowAlreadyStarted: Its id is taken.
    """
    _, ended = await _asked(
        workflow,
        positional if args is None else args,
        waits=False,
        workflow_id=workflow_id,
        task_queue=task_queue,
        policy=parent_close_policy,
        cancellation=cancellation,
        reuse=reuse,
        retry=retry,
        run_timeout=run_timeout,
        execution_timeout=execution_timeout,
        memo=memo,
        search_attributes=search_attributes,
        step_id=step_id,
    )
    return await ended


@overload
async def start_child(
    workflow: Callable[..., Coroutine[Any, Any, R]],
    *positional: Any,
    **options: Unpack[ChildKeywords],
) -> ChildHandle[R]: ...
@overload
async def start_child(
    workflow: type | str, *positional: Any, **options: Unpack[ChildKeywords]
) -> ChildHandle[Any]: ...
async def start_child(
    workflow: Any,
    *positional: Any,
    args: Sequence[Any] | None = None,
    workflow_id: str | None = None,
    task_queue: str | None = None,
    parent_close_policy: ClosePolicy = "abandon",
    cancellation: Literal["abandon", "try_cancel", "wait_completed"] = "wait_completed",
    reuse: Reuse = "allow",
    retry: RetryPolicy | None = None,
    run_timeout: Duration | None = None,
    execution_timeout: Duration | None = None,
    memo: dict[str, Any] | None = None,
    search_attributes: dict[str, Any] | None = None,
    step_id: str = "",
) -> ChildHandle[Any]:
    """Start another workflow; once it runs, its handle, which may be awaited or left alone.

    Raises:
        WorkflowAlreadyStarted: Its id is taken.
    """
    began, ended = await _asked(
        workflow,
        positional if args is None else args,
        waits=True,
        workflow_id=workflow_id,
        task_queue=task_queue,
        policy=parent_close_policy,
        cancellation=cancellation,
        reuse=reuse,
        retry=retry,
        run_timeout=run_timeout,
        execution_timeout=execution_timeout,
        memo=memo,
        search_attributes=search_attributes,
        step_id=step_id,
    )
    if began is not None:
        await began
    return ended


def interrupt(
    workflow_id: str, *, reason: str = "interrupted", throw: bool = True, run_id: str = ""
) -> Step[None]:
    """End another run at once, without a word of its code.

    Args:
        throw: Whether its result raises; without, it is None.

    Raises:
        WorkflowNotFound: (when awaited) It has ended, or never ran.
    """
    return run_asks.stop_out(
        current("interrupt"), workflow_id, run_id, "interrupted", reason, throw
    )


def cancel(workflow_id: str, *, reason: str = "", run_id: str = "") -> Step[None]:
    """Ask another run to cancel."""
    run_ = current("cancel")

    def last(call: Call) -> Step[None]:
        given = str(call.options.get("run_id", ""))
        return run_asks.stop_out(run_, call.workflow_id, given, "cancel", call.args[0], True)

    call = Call(name="", args=(reason,), workflow_id=workflow_id, options={"run_id": run_id})
    if run_.interceptors is None or "send_cancel" not in run_.interceptors:
        return last(call)
    step: Step[None] = run_.interceptors.steps("send_cancel", call, last, run_.loop)
    return step


def continue_as_new(
    *args: Any,
    workflow: Any = None,
    task_queue: str | None = None,
    run_timeout: Duration | None = None,
) -> Any:
    """End this run and go on as another, of the same id, with a history of its own.

    Signals that nobody has taken go along. Never returns.
    """
    run_ = current("continue_as_new")
    if run_.main is None or asyncio.current_task() is not run_.main:
        raise RuntimeError("continue_as_new can only be called by the main function of a workflow")
    given = {"workflow": workflow, "task_queue": task_queue, "run_timeout": run_timeout}
    given = {name: value for name, value in given.items() if value is not None}
    if run_.interceptors is None or "continue_as_new" not in run_.interceptors:
        _continue(args, given, None)
    call = run_.call(run_.begin.workflow, args, options=given)
    return run_.interceptors(
        "continue_as_new", call, lambda c: _continue(c.args, c.options, c.headers)
    )


def _continue(
    args: tuple[Any, ...], given: dict[str, Any], headers: dict[str, Any] | None
) -> NoReturn:
    options: dict[str, Any] = {"has_args": bool(args)}
    if "workflow" in given:
        options["workflow"] = name_of(given["workflow"])
    if "task_queue" in given:
        options["task_queue"] = given["task_queue"]
    if "run_timeout" in given:
        options["run_ms"] = parse(given["run_timeout"])
    if headers is not None:
        options["headers"] = encode_headers(headers)
    raise ContinueAsNewError(args, options)
