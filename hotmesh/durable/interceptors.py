"""Interceptors: code around every start, step, signal, query and activity.

An interceptor overrides the methods that it cares for; each gets the call on its way and `next`,
which goes on with it. Of several the first registered is the outermost.

Those of workflows run on the run's own loop, under the guards, and may ask for steps: such steps
are part of the code of every workflow of the worker, so adding one under running workflows is a
change of their code (see `workflow.patched`).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from hotmesh.durable.errors import RegistrationError

if TYPE_CHECKING:
    from hotmesh.durable.activity import ActivityInfo
    from hotmesh.durable.handle import WorkflowHandle
    from hotmesh.durable.loop import DeterministicLoop


class Call(Struct, kw_only=True):
    """One call on its way. What an interceptor changes before `next(call)`, the rest sees.

    Attributes:
        name: Of the workflow, activity, signal, query or update; of `sleep` and
            `continue_as_new` the workflow's.
        args: By position. A sleep has its duration, a cancellation its reason.
        headers: Text to anything that a payload may hold. Those of a start reach the workflow, its
            activities and children, and the run that follows; signals and updates of a client
            carry theirs to the handler. Queries have none.
        options: The keyword arguments of the call that were given.
        workflow_id: The run that it is about; "" where it has none yet.
    """

    name: str
    args: tuple[Any, ...] = ()
    headers: dict[str, Any] = {}
    options: dict[str, Any] = {}
    workflow_id: str = ""


Next: TypeAlias = Callable[[Call], Any]
Async: TypeAlias = Callable[[Call], Awaitable[Any]]


class ClientInterceptor:
    """Around what a client sends. For `Client(interceptors=[...])`."""

    async def start_workflow(self, call: Call, next: Async) -> WorkflowHandle[Any]:
        """`client.workflow.start` and what is made of it."""
        handle: WorkflowHandle[Any] = await next(call)
        return handle

    async def signal_workflow(self, call: Call, next: Async) -> None:
        """A signal; `workflow_id` is "" for one that is sent by its name alone."""
        await next(call)

    async def query_workflow(self, call: Call, next: Async) -> Any:
        """`handle.query`."""
        return await next(call)

    async def update_workflow(self, call: Call, next: Async) -> Any:
        """`handle.update`."""
        return await next(call)

    async def cancel_workflow(self, call: Call, next: Async) -> None:
        """`handle.cancel`."""
        await next(call)

    async def terminate_workflow(self, call: Call, next: Async) -> None:
        """`handle.terminate` and `handle.interrupt`."""
        await next(call)


class WorkflowInterceptor:
    """Around the code of workflows and what it asks for. For `Worker.create(interceptors=[...])`.

    `call_activity`, `call_local_activity`, `send_signal` and `send_cancel` may be plain methods or
    `async def`; either way `next(call)` gives something to await, and the step is asked for when
    `next` is called.
    """

    async def run_workflow(self, call: Call, next: Async) -> Any:
        """The main function."""
        return await next(call)

    async def handle_signal(self, call: Call, next: Async) -> None:
        """The handler of a signal."""
        await next(call)

    def handle_query(self, call: Call, next: Next) -> Any:
        """The handler of a query. It only reads."""
        return next(call)

    def validate_update(self, call: Call, next: Next) -> None:
        """The validator of an update, if it has one. It only reads, and raises to refuse; never
        called in a replay.
        """
        next(call)

    async def handle_update(self, call: Call, next: Async) -> Any:
        """The handler of an update."""
        return await next(call)

    def call_activity(self, call: Call, next: Next) -> Awaitable[Any]:
        """An activity. One that this asks for itself comes here too: look at `call.name`."""
        awaitable: Awaitable[Any] = next(call)
        return awaitable

    def call_local_activity(self, call: Call, next: Next) -> Awaitable[Any]:
        """A local activity, or `workflow.once`."""
        awaitable: Awaitable[Any] = next(call)
        return awaitable

    async def start_child(self, call: Call, next: Async) -> Any:
        """A child; gives its handle."""
        return await next(call)

    def send_signal(self, call: Call, next: Next) -> Awaitable[None]:
        """`workflow.signal`."""
        awaitable: Awaitable[None] = next(call)
        return awaitable

    def send_cancel(self, call: Call, next: Next) -> Awaitable[None]:
        """`workflow.cancel`."""
        awaitable: Awaitable[None] = next(call)
        return awaitable

    def continue_as_new(self, call: Call, next: Next) -> Any:
        """The run's own end and next beginning; `next` never returns."""
        return next(call)

    async def sleep(self, call: Call, next: Async) -> float:
        """`workflow.sleep_for` and `sleep_until`; `asyncio.sleep` does not come here."""
        slept: float = await next(call)
        return slept


class ActivityInterceptor:
    """Around activities where they run. For `Worker.create(interceptors=[...])`."""

    async def run_activity(self, call: Call, next: Async) -> Any:
        """An attempt, also of a plain function (which runs in its thread) and of local ones."""
        return await next(call)

    def heartbeat(self, call: Call, next: Next) -> None:
        """`activity.heartbeat`; `args` are the details. From the thread of a plain function."""
        next(call)

    def activity_info(self, call: Call, next: Next) -> ActivityInfo:
        """`activity.info`."""
        info: ActivityInfo = next(call)
        return info


Interceptor: TypeAlias = ClientInterceptor | WorkflowInterceptor | ActivityInterceptor

_KINDS = (ClientInterceptor, WorkflowInterceptor, ActivityInterceptor)


class Chain:
    """The interceptors of one side, by the method that they override."""

    def __init__(self, kind: type, interceptors: Sequence[Interceptor]) -> None:
        mine = [i for i in interceptors if isinstance(i, kind)]
        self._methods: dict[str, list[Callable[..., Any]]] = {}
        for name, plain in vars(kind).items():
            if not name.startswith("_"):
                found = [getattr(i, name) for i in mine if getattr(type(i), name) is not plain]
                if found:
                    self._methods[name] = found

    def __contains__(self, method: str) -> bool:
        return method in self._methods

    def __call__(self, method: str, call: Call, last: Next) -> Any:
        """What the outermost gives; `last` is what would have happened without any."""
        for around in reversed(self._methods.get(method, ())):
            last = partial(_call, around, last)
        return last(call)

    def steps(self, method: str, call: Call, last: Next, loop: DeterministicLoop) -> Any:
        """The same where each gives a step: coroutines become tasks, so that they run at once."""
        for around in reversed(self._methods[method]):
            last = partial(_step, around, last, loop)
        return last(call)


def chain_of(kind: type, interceptors: Sequence[Interceptor]) -> Chain | None:
    """The chain of one side; None when nobody is on it, so that there is nothing to ask.

    Raises:
        RegistrationError: One is no interceptor.
    """
    for given in interceptors:
        if not isinstance(given, _KINDS):
            raise RegistrationError(
                f"{given!r:.80} is no interceptor; make an object of a class that inherits from "
                "ClientInterceptor, WorkflowInterceptor or ActivityInterceptor"
            )
    if not any(isinstance(i, kind) for i in interceptors):
        return None
    return Chain(kind, interceptors)


def _call(around: Callable[..., Any], following: Next, call: Call) -> Any:
    return around(call, following)


def _step(
    around: Callable[..., Any], following: Next, loop: DeterministicLoop, call: Call
) -> asyncio.Future[Any]:
    given = around(call, following)
    if inspect.iscoroutine(given):
        return loop.create_task(given, name=f"interceptor of {call.name}")
    result: asyncio.Future[Any] = given
    return result
