"""An event with the entry that brought it, the fields that it needs, and what was decided on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from hotmesh.compiler import Node, Program
from hotmesh.core import Outcome
from hotmesh.core.context import base_of, generation_of
from hotmesh.messages import (
    Begun,
    ChildStart,
    Redeliver,
    Reply,
    Wake,
    Woken,
)
from hotmesh.store import Apply, Entry, New

Key: TypeAlias = tuple[str, bytes]
"""Stream and entry id."""


class Arrival(Struct, frozen=True):
    """An event and the entry that brought it.

    Attributes:
        consumer: Who must still hold the entry for the event to count; "" for anybody.
    """

    stream: str
    group: str
    id: bytes
    event: Any
    consumer: str = ""

    @property
    def key(self) -> tuple[str, bytes]:
        """What tells its entry from every other."""
        return (self.stream, self.id)

    @property
    def source(self) -> tuple[str, str, str]:
        """What arrivals that one script settles have in common."""
        return (self.stream, self.group, self.consumer)


def _fields(program: Program, arrivals: Sequence[Arrival]) -> list[str] | None:
    """The fields that these events need; None for all of them."""
    names: dict[str, None] = {}
    for arrival in arrivals:
        event = arrival.event
        if isinstance(event, Redeliver):
            names[event.work.aid + base_of(event.work.dad)] = None
        elif isinstance(event, Begun):
            names[event.aid + base_of(event.dad)] = None
            names[f"{event.aid}{event.dad}/k"] = None
        elif isinstance(event, (Reply, Wake, Woken)):
            try:
                node = program.node(event.aid)
                base_of(event.dad)
            except (KeyError, ValueError):
                return None  # an entry that names nothing of this version: the decision says so
            names[event.aid + base_of(event.dad)] = None
            loads = program.loads(event.aid)
            if loads is None:
                return None
            if node.plan.each is not None:
                _add_item(names, node, event.dad)
            for kind, other in loads:
                address = node.address(event.dad, other)
                names[f"{other.id}{address}/{kind}" if kind else other.id + base_of(address)] = None
        elif not isinstance(event, ChildStart):
            return None
    return list(names)


def _add_item(names: dict[str, None], node: Node, dad: str) -> None:
    """Of an answer to one item of `each`: whether it has come before, and the input that waits
    for its lane.
    """
    names[f"{node.id}{dad}/r"] = None
    after = int(dad.rpartition(",")[2]) + node.plan.concurrency
    names[f"{node.id}{generation_of(dad, after)}/i"] = None


class Decision:
    """What was decided for one job, and which arrivals it takes."""

    __slots__ = ("arrivals", "item", "outcome")

    def __init__(
        self,
        jid: str,
        rev: int,
        outcome: Outcome,
        arrivals: Sequence[Arrival],
        *,
        new: bool = False,
    ) -> None:
        self.outcome, self.arrivals = outcome, list(arrivals)
        self.item: Apply | New | None = None
        if not outcome.effects:
            return
        first = arrivals[0]
        ids = tuple(a.id for a in arrivals)
        entries = Entry(first.stream, first.group, ids, first.consumer)
        if new:
            start = first.event
            assert isinstance(start, ChildStart)
            app = start.origin[0] if start.origin else ""
            request = f"{app}{start.parent_jid}/{start.nonce}/{start.parent_aid}{start.parent_dad}"
            self.item = New(jid=jid, effects=outcome.effects, request=request, entries=entries)
        else:
            self.item = Apply(jid=jid, rev=rev, effects=outcome.effects, entries=entries)
