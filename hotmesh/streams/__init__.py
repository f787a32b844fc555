"""Topics, agents and tables over Redis Streams. `hotmesh.App` is the way in."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotmesh.streams.agent import Agent, AgentError
    from hotmesh.streams.app import App
    from hotmesh.streams.event import Event
    from hotmesh.streams.produce import Sent
    from hotmesh.streams.record import Codec, Record, Undecodable
    from hotmesh.streams.replies import AgentTimeout
    from hotmesh.streams.stream import Stream
    from hotmesh.streams.table import Table
    from hotmesh.streams.topic import NotOpen, Topic
    from hotmesh.streams.window import Span, Window

_MODULE_OF = {
    "Agent": "agent",
    "AgentError": "agent",
    "AgentTimeout": "replies",
    "App": "app",
    "Codec": "record",
    "Event": "event",
    "NotOpen": "topic",
    "Record": "record",
    "Sent": "produce",
    "Span": "window",
    "Stream": "stream",
    "Table": "table",
    "Topic": "topic",
    "Undecodable": "record",
    "Window": "window",
}

__all__ = [
    "Agent",
    "AgentError",
    "AgentTimeout",
    "App",
    "Codec",
    "Event",
    "NotOpen",
    "Record",
    "Sent",
    "Span",
    "Stream",
    "Table",
    "Topic",
    "Undecodable",
    "Window",
]


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: a router alone needs no tables.
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'hotmesh.streams' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hotmesh.streams.{module}"), name)
