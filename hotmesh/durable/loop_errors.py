"""Exceptions that nobody awaits: of background tasks, and of plain callbacks.

asyncio reports the former when the garbage collector finds the task. Here they are kept until the
owner asks, at the end of each turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hotmesh.durable.loop_tasks import DurableTimer, LoopHandle

__all__ = ["ErrorHandler", "ReportingLoop"]

ErrorHandler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]


class ReportingLoop(asyncio.AbstractEventLoop):
    """The part of a loop that takes errors."""

    def __init__(self) -> None:
        self._failed: list[asyncio.Task[Any]] = []
        self._errors: list[tuple[str, BaseException]] = []
        self._error_handler: ErrorHandler | None = None

    def uncollected_errors(self) -> list[tuple[str, BaseException]]:
        """The exceptions, since the last call, that nobody has seen: of finished tasks (with the
        task's name) and of plain callbacks. The garbage collector won't report them again.
        """
        errors, self._errors = self._errors, []
        failed, self._failed = self._failed, []
        for task in failed:
            if task._log_traceback and (error := task.exception()) is not None:
                errors.append((task.get_name(), error))
        return errors

    def report_task(self, task: asyncio.Task[Any]) -> None:
        """Remember a task that is done, if its exception has not been seen yet."""
        if not task.cancelled() and task._log_traceback:
            self._failed.append(task)

    def report_callback(self, handle: LoopHandle | DurableTimer, error: BaseException) -> None:
        """Report what a callback raised."""
        name = getattr(handle.callback, "__qualname__", None) or repr(handle.callback)
        self.call_exception_handler(
            {"message": f"callback {name}", "exception": error, "handle": handle}
        )

    def get_exception_handler(self) -> ErrorHandler | None:
        """What was set; None at first."""
        return self._error_handler

    def set_exception_handler(self, handler: ErrorHandler | None) -> None:
        """Let `handler(loop, context)` take what `call_exception_handler` is told."""
        self._error_handler = handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep the exception for `uncollected_errors`."""
        message = str(context.get("message", "unhandled exception"))
        error = context.get("exception")
        self._errors.append((message, error if error is not None else RuntimeError(message)))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report what no caller can be told, to the handler that was set or else the owner."""
        if self._error_handler is None:
            self.default_exception_handler(context)
            return
        try:
            self._error_handler(self, context)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001
            self.default_exception_handler({"message": "exception handler", "exception": error})
