"""Loggers of the library: structlog's way of calling, the standard library's loggers underneath,
quiet until configured.

A program sees events once it configures `logging` (or calls `telemetry.logs.configure_logs`, as
the command does). Nothing is ever printed by the library itself.
"""

from __future__ import annotations

import logging
from typing import Any, cast

import structlog
from structlog.stdlib import BoundLogger

logging.getLogger("hotmesh").addHandler(logging.NullHandler())


def get_logger(name: str) -> BoundLogger:
    """A logger named `hotmesh.…`.

    Its events go the program's way if it has configured structlog, else to `logging`.
    """
    return cast(
        BoundLogger,
        structlog.wrap_logger(
            logging.getLogger(name),
            processors=[_Processors()],
            wrapper_class=BoundLogger,
            context_class=dict,
            cache_logger_on_first_use=True,
        ),
    )


class _Processors:
    """The program's own chain of processors when it has configured one, else plain `logging`
    records.
    """

    def __call__(self, logger: Any, method: str, event: Any) -> Any:
        event = structlog.stdlib.filter_by_level(logger, method, event)
        if structlog.is_configured():
            for processor in structlog.get_config()["processors"]:
                event = processor(logger, method, event)
            return event
        event = structlog.contextvars.merge_contextvars(logger, method, event)
        name = event.pop("event")
        told = " ".join(f"{k}={v!r}" for k, v in event.items() if k != "exc_info")
        exc_info = {"exc_info": event["exc_info"]} if "exc_info" in event else {}
        return (f"{name} {told}" if told else name,), exc_info
