"""What type checkers see of `durable.activity` and `durable.workflow`: modules that can be called.

A module that is a decorator has no form in Python's types; a class whose `__new__` gives something
else has. At run time these names are the modules (see their ends), and nothing imports this.
"""
# mypy: disable-error-code=misc

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar, Unpack, overload

import hotmesh.durable.activity as _a
import hotmesh.durable.workflow as _w
from hotmesh.durable.options import ActivityKeywords, WorkflowKeywords

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


class activity:
    """`hotmesh.durable.activity`."""

    @overload
    def __new__(cls, fn: Callable[P, Awaitable[R]], /) -> _a.Activity[P, R]: ...
    @overload
    def __new__(cls, fn: Callable[P, R], /) -> _a.Activity[P, R]: ...
    @overload
    def __new__(cls, **options: Unpack[ActivityKeywords]) -> _a.Makes: ...
    def __new__(cls, fn: Any = None, /, **options: Any) -> Any: ...

    Activity: TypeAlias = _a.Activity
    ActivityInfo: TypeAlias = _a.ActivityInfo
    cancel_reason = _a.cancel_reason
    complete_later = _a.complete_later
    defn = _a.defn
    heartbeat = _a.heartbeat
    in_activity = _a.in_activity
    info = _a.info
    is_cancelled = _a.is_cancelled
    logger = _a.logger
    shutting_down = _a.shutting_down
    wait_cancelled = _a.wait_cancelled


class workflow:
    """`hotmesh.durable.workflow`."""

    @overload
    def __new__(cls, target: F, /) -> F: ...
    @overload
    def __new__(cls, **options: Unpack[WorkflowKeywords]) -> Callable[[F], F]: ...
    def __new__(cls, target: Any = None, /, **options: Any) -> Any: ...

    PROGRAMMING_ERRORS = _w.PROGRAMMING_ERRORS
    ApplicationError: TypeAlias = _w.ApplicationError
    FatalError: TypeAlias = _w.FatalError
    Proxies: TypeAlias = _w.Proxies
    RetryPolicy: TypeAlias = _w.RetryPolicy
    SignalQueue: TypeAlias = _w.SignalQueue
    WorkflowInfo: TypeAlias = _w.WorkflowInfo
    all = _w.all
    all_handlers_finished = _w.all_handlers_finished
    cancel = _w.cancel
    cancel_requested = _w.cancel_requested
    condition = _w.condition
    continue_as_new = _w.continue_as_new
    continue_as_new_suggested = _w.continue_as_new_suggested
    defn = _w.defn
    deprecate_patch = _w.deprecate_patch
    emit = _w.emit
    execute_activity = _w.execute_activity
    execute_child = _w.execute_child
    execute_local_activity = _w.execute_local_activity
    get_context = _w.get_context
    hook = _w.hook
    in_workflow = _w.in_workflow
    info = _w.info
    interrupt = _w.interrupt
    is_replaying = _w.is_replaying
    logger = _w.logger
    now = _w.now
    once = _w.once
    patched = _w.patched
    proxy_activities = _w.proxy_activities
    query = _w.query
    random = _w.random
    run = _w.run
    search = _w.search
    set_query_handler = _w.set_query_handler
    set_signal_handler = _w.set_signal_handler
    set_update_handler = _w.set_update_handler
    shield = _w.shield
    signal = _w.signal
    signal_queue = _w.signal_queue
    sleep = _w.sleep
    sleep_for = _w.sleep_for
    sleep_until = _w.sleep_until
    start_child = _w.start_child
    time = _w.time
    unsafe = _w.unsafe
    update = _w.update
    upsert_memo = _w.upsert_memo
    upsert_search_attributes = _w.upsert_search_attributes
    uuid4 = _w.uuid4
    wait = _w.wait
    wait_condition = _w.wait_condition
    wait_for_signal = _w.wait_for_signal
