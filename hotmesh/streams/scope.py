"""Which event is being handled here: what `send` and tables look for."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from hotmesh.streams.partition import Run
    from hotmesh.streams.transaction import Transaction


class Scope(Protocol):
    """Where a handler runs: one instance of an agent in one partition."""

    @property
    def run(self) -> Run:
        """The partition."""

    @property
    def has_event(self) -> bool:
        """Whether something is being handled that effects can belong to."""

    def transaction(self) -> Transaction:
        """Of the event at hand; opened when it is first needed.

        Raises:
            NoEvent: There is no event at hand.
        """

    def at_ms(self, table: Any) -> int:
        """The time that a table's windows go by."""


current: ContextVar[Scope | None] = ContextVar("hotmesh_event", default=None)
"""None outside of agents."""
