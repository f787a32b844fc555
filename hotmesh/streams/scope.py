"""Which event is being handled here: what `send` and tables look for."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hotmesh.streams.transaction import Transaction

current: ContextVar[Transaction | None] = ContextVar("hotmesh_event", default=None)
"""The transaction of the event at hand; None outside of agents."""
