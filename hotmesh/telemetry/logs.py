"""structlog for a program that owns its process; a library never configures logs.

Events go through the standard loggers `hotmesh.*`, so their levels and handlers count, and what
user code logs with `logging` comes out in the same form. Everything goes to stderr. An event of a
handler, its own included, has `job` and `activity`; one of a traced run has `trace` and `span` too.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, TextIO

import structlog
from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id
from structlog.typing import EventDict, Processor, WrappedLogger


def configure_logs(
    level: str = "info", format: str = "auto", *, stream: TextIO | None = None
) -> None:
    """Set up logging of this process.

    Args:
        level: `debug`, `info`, `warning` or `error`: what the root logger lets through. A logger
            with a level of its own keeps it.
        format: `console` for people, `json` for one object per line; `auto` chooses by whether
            `stream` is a terminal.
        stream: Where to; stderr as it is at the time of the call.
    """
    stream = stream or sys.stderr
    is_console = format == "console" or (format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(is_console, stream.isatty()),
            ],
            # What user code logs with `logging` belongs to its job as well.
            foreign_pre_chain=[structlog.contextvars.merge_contextvars, *_shared()],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        # The level comes first: an event that is not wanted costs a look-up and no more.
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def add_span(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The ids of the span in which an event was logged, as `trace` and `span`, unless it has its
    own.
    """
    context = trace.get_current_span().get_span_context()
    if context.is_valid and "trace" not in event:
        event["trace"] = format_trace_id(context.trace_id)
        event["span"] = format_span_id(context.span_id)
    return event


def _shared() -> list[Processor]:
    return [
        add_span,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _renderers(is_console: bool, has_colours: bool) -> list[Processor]:
    if is_console:
        # Not the traceback of rich: it shows local variables, and they hold payloads.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=has_colours, exception_formatter=plain)]
    return [structlog.processors.format_exc_info, _render_json]


def _render_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return json.dumps(event, default=_text)


def _text(value: Any) -> str:
    # A log line is never lost because something in it has no encoding. Entry ids are bytes.
    return value.decode(errors="replace") if isinstance(value, bytes) else repr(value)
