"""Signals, conditions, handlers and hooks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal, TypeVar, overload

from hotmesh.durable import run_asks
from hotmesh.durable.definition import HandlerDef, HandlerOptions, name_of
from hotmesh.durable.run import Run
from hotmesh.durable.run_inputs import drain, signal_value
from hotmesh.durable.steps import Step
from hotmesh.durable.workflow.context import current
from hotmesh.durable.workflow.definitions import handler
from hotmesh.durations import Duration, parse

F = TypeVar("F", bound=Callable[..., Any])


async def wait_for_signal(*names: str, timeout: Duration | None = None) -> list[Any]:
    """Wait until every one of these signals has come: their payloads, in the order of the names.

    A signal is sent to the run (`handle.signal`), or by its name alone (`client.workflow.signal`,
    `workflow.signal`) to whoever waits for it. One that came before is taken at once; one sent by
    its name alone is kept for ten minutes.

    Raises:
        TimeoutError: They have not all come in time.
        SignalConflictError: Another run waits for one of the names already.
    """
    run_ = current("wait_for_signal")
    steps = [run_asks.wait_signal(run_, _check_name(name)) for name in names]
    if timeout is None:
        return list(await asyncio.gather(*steps))
    async with asyncio.timeout(parse(timeout) / 1000):
        return list(await asyncio.gather(*steps))


async def condition(name: str, timeout: Duration | None = None) -> Any:
    """The payload of one signal; False when it did not come in time."""
    try:
        return (await wait_for_signal(name, timeout=timeout))[0]
    except TimeoutError:
        return False


def _check_name(name: str) -> str:
    if not isinstance(name, str) or not name or name.startswith("__"):
        raise ValueError(
            f"{name!r} can't be the name of a signal: a text that does not begin with __"
        )
    return name


async def wait_condition(predicate: Callable[[], bool], timeout: Duration | None = None) -> None:
    """Wait until something is true of the run's own state.

    Args:
        predicate: Looked at whenever the code has come to rest. It must not await.

    Raises:
        TimeoutError: It did not become true in time.
    """
    run_ = current("wait_condition")
    run_.check("wait_condition")
    waiting = run_.loop.wait_condition(predicate)
    if timeout is None:
        await waiting
        return
    async with asyncio.timeout(parse(timeout) / 1000):
        await waiting


class SignalQueue:
    """Signals of one name, in the order in which they came."""

    def __init__(self, name: str) -> None:
        self.name = _check_name(name)

    async def get(self) -> Any:
        """The next one's payload."""
        return (await wait_for_signal(self.name))[0]

    def get_nowait(self) -> Any:
        """The next one's payload.

        Raises:
            asyncio.QueueEmpty: None has come.
        """
        box = current("signal_queue").mailbox.get(self.name)
        if not box:
            raise asyncio.QueueEmpty
        return signal_value(box.popleft().args)

    def qsize(self) -> int:
        """How many have come and were not taken."""
        return len(current("signal_queue").mailbox.get(self.name, ()))

    def empty(self) -> bool:
        """Whether none is there."""
        return self.qsize() == 0


def signal_queue(name: str) -> SignalQueue:
    """The signals of one name as a queue: buffered, ordered."""
    return SignalQueue(name)


@overload
def signal(target: F, /) -> F: ...


@overload
def signal(
    *,
    name: str | None = None,
    unfinished: Literal["warn", "abandon"] = "warn",
    on_error: Literal["fail", "log"] = "fail",
) -> Callable[[F], F]: ...


@overload
def signal(
    target: str, data: Any = None, /, *, workflow_id: str = "", run_id: str = ""
) -> Step[None]: ...


def signal(
    target: Any = None, *data: Any, workflow_id: str = "", run_id: str = "", **options: Any
) -> Any:
    """Send a signal, or mark a method as the handler of one.

    `await workflow.signal("name", data)` wakes whoever waits for the name; with `workflow_id=` it
    goes to that run, and awaiting it raises `WorkflowNotFound` when there is none.
    `@workflow.signal` or `@workflow.signal(name=...)` marks a handler; name "" takes every signal
    that has no handler of its own.
    """
    if isinstance(target, str):
        return run_asks.signal_out(
            current("signal"), workflow_id, run_id, _check_name(target), data
        )
    return handler("signal", target, options)


def set_signal_handler(name: str, fn: Callable[..., Any], **options: Any) -> None:
    """Handle signals of a name from now on; those that came before are given to it at once."""
    run_ = current("set_signal_handler")
    _set(run_, "signal", name, fn, options)
    for waiting in list(run_.mailbox) if name == "" else [name]:
        drain(run_, waiting)


def set_query_handler(name: str, fn: Callable[..., Any]) -> None:
    """Answer queries of a name from now on."""
    _set(current("set_query_handler"), "query", name, fn, {})


def set_update_handler(
    name: str,
    fn: Callable[..., Any],
    *,
    validator: Callable[..., Any] | None = None,
    **options: Any,
) -> None:
    """Answer updates of a name from now on."""
    run_ = current("set_update_handler")
    _set(run_, "update", name, fn, options)
    run_.handlers[("update", name)].validator = validator


def _set(run_: Run, kind: Any, name: str, fn: Callable[..., Any], options: dict[str, Any]) -> None:
    run_.check(f"set_{kind}_handler")
    handler = HandlerDef(fn, HandlerOptions(kind=kind, name=name, **options), method=False)
    run_.handlers[(kind, name)] = handler


def all_handlers_finished() -> bool:
    """Whether no handler of a signal or update runs; for `wait_condition`."""
    return not any(not t.done() for t in current("all_handlers_finished").handling)


async def hook(fn: Any, *args: Any, workflow_id: str | None = None) -> None:
    """Run a function beside the main one, in this run or another.

    It shares the run's loop, handlers and fields, and is cancelled when the main function ends.

    Args:
        fn: An async function that the target's worker has registered (`hooks=` or `workflows=`),
            or its name.
        workflow_id: The run; this one by default.

    Raises:
        WorkflowNotFound: The run has ended.
    """
    run_ = current("hook")
    await run_asks.hook_out(run_, workflow_id or run_.jid, name_of(fn), args)
