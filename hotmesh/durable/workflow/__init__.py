"""What the code of a workflow calls.

A workflow is an async function (or a class with one `@workflow.run` method) that takes up where it
was after any crash: what it awaits is recorded, and its code is run again from the record. Ordinary
asyncio works inside; what could differ between two runs of the same code (clocks, chance, I/O) goes
through this module or into an activity.

The module itself may be called: `@durable.workflow(name=...)` is `@workflow.defn(name=...)`.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from hotmesh.durable.errors import ApplicationError, FatalError
from hotmesh.durable.options import RetryPolicy
from hotmesh.durable.workflow.activities import (
    Proxies,
    execute_activity,
    execute_local_activity,
    once,
    proxy_activities,
)
from hotmesh.durable.workflow.chance import (
    now,
    random,
    sleep,
    sleep_for,
    sleep_until,
    time,
    uuid4,
)
from hotmesh.durable.workflow.children import (
    cancel,
    continue_as_new,
    execute_child,
    interrupt,
    start_child,
)
from hotmesh.durable.workflow.context import (
    in_workflow,
)
from hotmesh.durable.workflow.definitions import (
    PROGRAMMING_ERRORS,
    defn,
    query,
    run,
    update,
)
from hotmesh.durable.workflow.futures import (
    all,
    shield,
    wait,
)
from hotmesh.durable.workflow.signals import (
    SignalQueue,
    all_handlers_finished,
    condition,
    hook,
    set_query_handler,
    set_signal_handler,
    set_update_handler,
    signal,
    signal_queue,
    wait_condition,
    wait_for_signal,
)
from hotmesh.durable.workflow.state import (
    WorkflowInfo,
    cancel_requested,
    continue_as_new_suggested,
    deprecate_patch,
    emit,
    get_context,
    info,
    is_replaying,
    logger,
    patched,
    search,
    unsafe,
    upsert_memo,
    upsert_search_attributes,
)

__all__ = [
    "PROGRAMMING_ERRORS",
    "ApplicationError",
    "FatalError",
    "Proxies",
    "RetryPolicy",
    "SignalQueue",
    "WorkflowInfo",
    "all",
    "all_handlers_finished",
    "cancel",
    "cancel_requested",
    "condition",
    "continue_as_new",
    "continue_as_new_suggested",
    "defn",
    "deprecate_patch",
    "emit",
    "execute_activity",
    "execute_child",
    "execute_local_activity",
    "get_context",
    "hook",
    "in_workflow",
    "info",
    "interrupt",
    "is_replaying",
    "logger",
    "now",
    "once",
    "patched",
    "proxy_activities",
    "query",
    "random",
    "run",
    "search",
    "set_query_handler",
    "set_signal_handler",
    "set_update_handler",
    "shield",
    "signal",
    "signal_queue",
    "sleep",
    "sleep_for",
    "sleep_until",
    "start_child",
    "time",
    "unsafe",
    "update",
    "upsert_memo",
    "upsert_search_attributes",
    "uuid4",
    "wait",
    "wait_condition",
    "wait_for_signal",
]


class _Module(types.ModuleType):
    def __call__(self, target: Any = None, /, **options: Any) -> Any:
        return defn(**options) if target is None else defn(target)


sys.modules[__name__].__class__ = _Module
