"""The history of a run, to read, to keep and to draw.

history = await handle.history()
for event in history: print(event.id, event.kind, event.fields)
Path("run.json").write_text(history.to_json())
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, overload

import msgspec

from hotmesh.core.durable import records as r
from hotmesh.core.durable.events import Event, events_of
from hotmesh.core.durable.steps import Steps, steps_of
from hotmesh.errors import FormatUnknown, PayloadInvalid

FORMAT = 1
"""Of the JSON; a later release reads it, and adds fields only."""

TimelineFormat = Literal["text", "svg", "mermaid"]


class _Stored(msgspec.Struct):
    format: int
    workflow_id: str
    run_id: str
    items: list[bytes]
    ended_ms: int = 0


class History(Sequence[Event]):
    """What happened to one run, as events in their order.

    Attributes:
        workflow_id, run_id: Whose it is.
        items: As they are stored: what a replay needs.
        ended_ms: Server time at which the run ended; 0 while it is open.
    """

    def __init__(
        self, workflow_id: str, run_id: str, items: Sequence[bytes], *, ended_ms: int = 0
    ) -> None:
        self.workflow_id, self.run_id = workflow_id, run_id
        self.items, self.ended_ms = tuple(items), ended_ms

    @cached_property
    def records(self) -> list[r.Item]:
        """The items, decoded."""
        return r.decode_items(self.items)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """All events."""
        return tuple(events_of(self.records, ended_ms=self.ended_ms))

    @property
    def workflow(self) -> str:
        """The name of the workflow whose run this is."""
        first = self.records[0] if self.items else None
        return first.workflow if isinstance(first, r.Begin) else ""

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events: `["START", "TASK", …]`."""
        return [event.kind for event in self.events]

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | Sequence[Event]:
        return self.events[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, History):
            return NotImplemented
        return (self.workflow_id, self.run_id, self.items, self.ended_ms) == (
            other.workflow_id,
            other.run_id,
            other.items,
            other.ended_ms,
        )

    def __hash__(self) -> int:
        return hash((self.workflow_id, self.run_id, len(self.items)))

    def __repr__(self) -> str:
        return f"<history of {self.workflow_id!r} run {self.run_id}: {len(self.items)} items>"

    # -- to keep

    def to_json(self) -> str:
        """The whole history as JSON: the events to read, and the items, from which `from_json`
        makes the same history again.
        """
        value = {
            "format": FORMAT,
            "workflow_id": self.workflow_id,
            "run_id": self.run_id,
            "ended_ms": self.ended_ms,
            "events": [self._readable(event) for event in self.events],
            "items": list(self.items),
        }
        return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> History:
        """A history that `to_json` has written, by this release or an earlier one.

        Raises:
            PayloadInvalid: It is none.
            FormatUnknown: A later release has written it.
        """
        try:
            stored = msgspec.json.decode(text, type=_Stored)
        except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error) as exc:
            raise PayloadInvalid(f"this is not the JSON of a history: {exc}") from exc
        if stored.format > FORMAT:
            raise FormatUnknown(f"a history of format {stored.format} needs a later release")
        return cls(stored.workflow_id, stored.run_id, stored.items, ended_ms=stored.ended_ms)

    def _readable(self, event: Event) -> msgspec.Raw:
        try:
            return msgspec.Raw(msgspec.json.encode(event))
        except (TypeError, ValueError, msgspec.EncodeError):
            # Keys that JSON has no form for: the items hold them all the same.
            fields = {name: _shown(value) for name, value in event.fields.items()}
            return msgspec.Raw(msgspec.json.encode(msgspec.structs.replace(event, fields=fields)))

    # -- to draw

    def steps(self, *, apart: bool = False) -> Steps:
        """The steps with their times, for pictures of one's own.

        Args:
            apart: Each step with a name of its own.
        """
        return steps_of(self.events, apart=apart)

    def timeline(self, format: TimelineFormat = "text", *, width: int = 80) -> str:
        """The run as a picture: along time as `text` or `svg`, or its steps as a `mermaid` graph.

        Args:
            width: Columns of the text.
        """
        from hotmesh import pictures

        about = (self.workflow_id,)
        title = self.workflow or "workflow"
        if format == "text":
            return pictures.timeline_text(self.steps().legs, width=width)
        if format == "svg":
            return pictures.timeline_svg(self.steps().legs, title=title, about=about)
        if format != "mermaid":
            raise ValueError(f"a timeline is text, svg or mermaid, not {format!r}")
        steps = self.steps(apart=True)
        graph = pictures.from_legs(steps.legs, steps.edges, title=title, about=about)
        return pictures.graph_mermaid(graph)


def _shown(value: Any) -> Any:
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, msgspec.EncodeError):
        return repr(value)
    return value
