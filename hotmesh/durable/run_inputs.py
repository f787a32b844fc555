"""What inputs do to a run in memory: one function per kind of record, and the table of all.

They only make things ready; the loop runs when all inputs of a turn have been taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from hotmesh.core.durable import records as r
from hotmesh.durable import payloads
from hotmesh.durable.definition import HandlerDef
from hotmesh.durable.errors import (
    FieldTypeError,
    NonDeterminismError,
    PayloadError,
    SignalConflictError,
    WorkflowAlreadyStarted,
    WorkflowEvicted,
    WorkflowNotFound,
)
from hotmesh.durable.errors_guard import WorkflowForbiddenError
from hotmesh.durable.failures import error_of, failure_of
from hotmesh.durable.run_read import read, read_by
from hotmesh.durable.steps import ChildHandle, Step
from hotmesh.durable.task_failure import TurnFailed
from hotmesh.log import get_logger
from hotmesh.run_messages import NIL

if TYPE_CHECKING:
    from hotmesh.durable.run import Run

log = get_logger("hotmesh.durable")


def take_begin(run: Run, record: r.Begin) -> None:
    run.begun = True


def take_answer(run: Run, record: r.Answer) -> None:
    run.open_acts.pop(record.seq, None)
    run.local.pop(record.seq, None)
    resolve(run, record.seq, record.data, record.failure)


def take_fired(run: Run, record: r.Fired) -> None:
    timer = run.timers.pop(record.seq, None)
    if timer is not None:
        run.loop.fire(timer)


def take_sent(run: Run, record: r.Sent) -> None:
    if record.seq:
        step = run.steps.get(record.seq)
        if step is not None and not step.done():
            heard(run, step, record)
            return
    run.mailbox.setdefault(record.name, deque()).append(record)
    if run.main is not None:
        drain(run, record.name)


def heard(run: Run, step: Step[Any], record: r.Sent) -> None:
    del run.steps[step.seq]
    queue = run.waiting.get(step.name)
    if queue is not None and step in queue:
        queue.remove(step)
    if record.conflict:
        step.set_exception(SignalConflictError(record.name))
    else:
        step.set_result(signal_value(record.args))


def drain(run: Run, name: str) -> None:
    """Give signals of a name to who takes them: waits first, then handlers."""
    box = run.mailbox.get(name)
    while box and run.waiting.get(name):
        step = run.waiting[name].popleft()
        run.steps.pop(step.seq, None)
        run.commands.append(r.WaitCancel(step.seq, name))
        step.set_result(signal_value(box.popleft().args))
    handler = run.handlers.get(("signal", name)) or run.handlers.get(("signal", ""))
    while box and handler is not None:
        handle(run, handler, box.popleft())
    if not box:
        run.mailbox.pop(name, None)


def handle(run: Run, handler: HandlerDef, record: r.Sent) -> None:
    try:
        args = handler.signature.args(record.args)
    except PayloadError as exc:
        if not run.replaying:
            log.error("signal.dropped", job=run.jid, signal=record.name, error=str(exc))
        return
    if not handler.options.name:
        args = [record.name, *args]
    spawn(run, handler, args, f"signal {record.name}", partial(signal_done, run), record)


def spawn(
    run: Run,
    handler: HandlerDef,
    args: list[Any],
    name: str,
    done: Callable[[asyncio.Task[Any]], None],
    record: r.Sent | r.Asked,
) -> asyncio.Task[Any]:
    task = run.loop.create_task(call(run, handler, args, record), name=name)
    run.handling[task] = handler
    task.add_done_callback(done)
    return task


async def call(run: Run, handler: HandlerDef, args: list[Any], record: r.Sent | r.Asked) -> Any:
    bound = (run.instance,) if is_method(run, handler) else ()
    method = f"handle_{handler.options.kind}"
    if run.interceptors is None or method not in run.interceptors:
        return await _handled(handler, bound, args)
    asked = run.call(record.name, args, headers_of(record))
    return await run.interceptors(method, asked, lambda c: _handled(handler, bound, c.args))


async def _handled(handler: HandlerDef, bound: tuple[Any, ...], args: Sequence[Any]) -> Any:
    result = handler.fn(*bound, *args)
    return await result if handler.is_async else result


def headers_of(record: r.Sent | r.Asked) -> dict[str, Any]:
    """What came with a signal or an update."""
    return {k: payloads.decode(v) for k, v in record.headers.items()}


def is_method(run: Run, handler: HandlerDef) -> bool:
    kind = run.definition.handlers.get((handler.options.kind, handler.options.name))
    return kind is handler and run.definition.kind is not None


def signal_done(run: Run, task: asyncio.Task[Any]) -> None:
    handler = run.handling.pop(task)
    if task.cancelled():
        return
    error = task.exception()
    if error is None or run.ending:
        return
    if handler.options.on_error == "fail":
        run.failed(error)
    elif not run.replaying:
        log.error("signal.failed", job=run.jid, signal=handler.options.name, exc_info=error)


def take_asked(run: Run, record: r.Asked) -> None:
    if record.uid in run.updates:
        return
    handler = run.handlers.get(("update", record.name)) or run.handlers.get(("update", ""))
    if run.replaying:
        if record.uid not in run.recorded_accepts:
            return  # it was rejected, which is not kept
    elif not valid(run, handler, record):
        return
    assert handler is not None
    run.updates[record.uid] = None
    run.commands.append(r.Accepted(record.uid, record.name, record.args, record.caller))
    args = handler.signature.args(record.args)
    done = partial(update_done, run, record=record)
    task = spawn(run, handler, args, f"update {record.name}", done, record)
    run.updates[record.uid] = task


def valid(run: Run, handler: HandlerDef | None, record: r.Asked) -> bool:
    error: BaseException
    if handler is None:
        known = sorted(n for kind, n in run.handlers if kind == "update")
        error = LookupError(
            f"workflow {run.definition.name!r} has no update {record.name!r}; it has "
            f"{', '.join(known) or 'none'}"
        )
    else:
        try:
            args = handler.signature.args(record.args)
            if handler.validator is not None:
                _validate(run, handler.validator, args, record)
            return True
        except Exception as exc:  # noqa: BLE001 - user code; it becomes the answer
            error = exc
    reply = r.Replied(record.uid, NIL, failure_of(error), True, record.caller)
    run.commands.append(reply)
    return False


def _validate(run: Run, validator: Callable[..., Any], args: list[Any], record: r.Asked) -> None:
    what = f"the validator of {record.name!r}"
    if run.interceptors is None or "validate_update" not in run.interceptors:
        read(run, validator, args, what)
        return
    asked = run.call(record.name, args, headers_of(record))
    read_by(run, "validate_update", asked, validator, what)


def update_done(run: Run, task: asyncio.Task[Any], *, record: r.Asked) -> None:
    run.handling.pop(task, None)
    if run.ending or task.cancelled():
        return
    error = task.exception()
    data, failure = NIL, None
    if isinstance(error, (WorkflowForbiddenError, NonDeterminismError, WorkflowEvicted)):
        run.failed(error)
        return
    if error is None:
        try:
            data = payloads.encode(task.result(), f"the result of update {record.name!r}")
        except PayloadError as exc:
            failure = failure_of(exc)
    else:
        failure = failure_of(error)
    run.commands.append(r.Replied(record.uid, data, failure, False, record.caller))


def take_hooked(run: Run, record: r.Hooked) -> None:
    fn = run.hook_functions.get(record.name)
    if fn is None:
        raise TurnFailed from LookupError(
            f"no hook function {record.name!r} is registered with this worker"
        )
    args = payloads.Signature(fn, f"hook {record.name!r}").args(record.args)
    task = run.loop.create_task(fn(*args), name=f"hook {record.name}")
    run.hooks.append(task)
    task.add_done_callback(partial(hook_done, run))


def hook_done(run: Run, task: asyncio.Task[Any]) -> None:
    run.hooks.remove(task)
    if not task.cancelled() and not run.ending and (error := task.exception()) is not None:
        run.failed(error)


def take_cancel(run: Run, record: r.CancelAsked) -> None:
    run.cancel_requested, run.cancel_reason = True, record.reason
    if run.main is not None:
        run.main.cancel(record.reason or None)
    elif record.skip:
        run.close(r.Canceled(record.reason))


def take_child_began(run: Run, record: r.ChildBegan) -> None:
    step = run.steps.get(-record.seq)
    if step is None or step.done():
        return
    del run.steps[-record.seq]
    child = run.steps.get(record.seq)
    if record.failure is not None:
        run.children.pop(record.seq, None)
        run.steps.pop(record.seq, None)
        error: Exception = error_of(record.failure)
        if record.failure.type == "WorkflowAlreadyStarted":
            error = _already(record.failure)
        step.set_exception(error)
        if child is not None:
            child.set_exception(error)
            child.exception()
        return
    if isinstance(child, ChildHandle):
        child.run_id = record.run_id
    step.set_result(child)


def take_child_ended(run: Run, record: r.ChildEnded) -> None:
    run.children.pop(record.seq, None)
    began = run.steps.pop(-record.seq, None)
    child = run.steps.get(record.seq)
    if began is not None and not began.done():  # both came in one turn, or the first was lost
        if isinstance(child, ChildHandle):
            child.run_id = record.run_id
        began.set_result(child)
    resolve(run, record.seq, record.data, record.failure)


def take_arrived(run: Run, record: r.Arrived) -> None:
    if record.failure is None:
        resolve(run, record.seq, NIL, None)
        return
    step = run.steps.pop(record.seq, None)
    if step is not None and not step.done():
        step.set_exception(WorkflowNotFound(record.failure.message))


def take_found(run: Run, record: r.Found) -> None:
    step = run.steps.pop(record.seq, None)
    if step is None or step.done():
        return
    values = payloads.decode(record.values)
    for value in values:
        if isinstance(value, list) and value[:1] == ["!"]:
            step.set_exception(FieldTypeError(value[1]))
            return
    assert step.decode is not None
    step.set_result(step.decode(values))


def take_closed(run: Run, record: r.Closed) -> None:
    run.ending = True


def resolve(run: Run, seq: int, data: Raw, failure: r.Failure | None) -> None:
    step = run.steps.pop(seq, None)
    if step is None or step.done():
        return
    if step.waits:
        step.settle_cancelled()
    elif failure is not None:
        error = error_of(failure)
        if step.throws:
            step.set_exception(error)
        else:
            step.set_result(error)
    else:
        try:
            step.set_result(step.decode(data) if step.decode is not None else None)
        except PayloadError as exc:
            step.set_exception(exc)


def signal_value(args: Raw) -> Any:
    """What a wait gives for a signal: its one argument, or all of them."""
    values = payloads.decode(args)
    if isinstance(values, list) and len(values) == 1:
        return values[0]
    return values or None


def _already(failure: r.Failure) -> Exception:
    return WorkflowAlreadyStarted(
        failure.message,
        workflow_id=str(failure.facts.get("workflow_id", "")),
        run_id=str(failure.facts.get("run_id", "")),
    )


APPLY: dict[type, Callable[[Run, Any], None]] = {
    r.Begin: take_begin,
    r.Answer: take_answer,
    r.Fired: take_fired,
    r.Sent: take_sent,
    r.Asked: take_asked,
    r.Hooked: take_hooked,
    r.CancelAsked: take_cancel,
    r.ChildBegan: take_child_began,
    r.ChildEnded: take_child_ended,
    r.Arrived: take_arrived,
    r.Found: take_found,
    r.Closed: take_closed,
}
