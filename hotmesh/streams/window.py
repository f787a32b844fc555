"""Windows: which spans of time a moment belongs to. Pure arithmetic, in milliseconds.

Tumbling windows follow each other; hopping ones begin every `step` and overlap. A sliding window
ends at the moment that is looked at: it is kept as tumbling panes of `step`, which are added up. A
session lasts as long as no `gap` passes between two events of a key.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from hotmesh.durations import Duration, parse
from hotmesh.errors import SettingsInvalid

Kind = Literal["tumbling", "hopping", "sliding", "session"]
Late = Literal["drop", "dead_letter"]
EXPIRES_DEFAULT = "1 day"
SLIDING_PANES = 60
"""Panes of a sliding window that names no step: its edge is then a sixtieth of its size unsharp."""

PANES_MAX = 1_000


class Span(Struct, frozen=True, order=True):
    """One window: from `start_ms`, up to but not including `end_ms`."""

    start_ms: int
    end_ms: int

    @property
    def pane(self) -> str:
        """Its name in keys."""
        return str(self.start_ms)


class Window(Struct, frozen=True, kw_only=True):
    """The windows of a table.

    Attributes:
        size_ms, step_ms: Of tumbling windows both are the same. Of sessions: 0.
        gap_ms: The silence that ends a session; 0 for other kinds.
        expires_ms: How long after its end a window is kept, and takes late events.
        grace_ms: How long after its end, in event time, a window is said to be closed.
        late: What becomes of an event whose window has expired: the change is dropped, or the
            event goes to the dead letters.
        idle_ms: After so long without an event, time goes on by the clock; 0: never.
        merge: How panes of a sliding window, or sessions that grow together, become one.
    """

    kind: Kind
    size_ms: int
    step_ms: int
    gap_ms: int = 0
    expires_ms: int
    grace_ms: int = 0
    late: Late = "drop"
    idle_ms: int = 0
    merge: Callable[[Any, Any], Any] = operator.add

    def spans(self, at_ms: int) -> list[Span]:
        """The windows that an event of this time changes, the oldest first. Not of sessions."""
        last = at_ms - at_ms % self.step_ms
        if self.kind == "sliding":
            return [Span(last, last + self.step_ms)]
        first = last - (self.size_ms - 1 - at_ms % self.step_ms) // self.step_ms * self.step_ms
        return [
            Span(start, start + self.size_ms)
            for start in range(first, last + 1, self.step_ms)
            if start + self.size_ms > at_ms
        ]

    def seen(self, at_ms: int) -> list[Span]:
        """The windows that a look at this time adds up: one, or the panes of a sliding window."""
        if self.kind != "sliding":
            return self.spans(at_ms)[-1:] if self.kind == "tumbling" else self.spans(at_ms)[:1]
        last = at_ms - at_ms % self.step_ms
        count = -(-self.size_ms // self.step_ms)
        starts = [last - i * self.step_ms for i in range(count - 1, -1, -1)]
        return [Span(s, s + self.step_ms) for s in starts]

    def expired(self, end_ms: int, watermark_ms: int) -> bool:
        """Whether a window that ended then is gone by now."""
        return end_ms + self.expires_ms <= watermark_ms


def tumbling(size: Duration, **options: Any) -> Window:
    """Windows of one size that follow each other."""
    size_ms = _positive("size", size)
    return _window("tumbling", size_ms, size_ms, options)


def hopping(size: Duration, step: Duration, **options: Any) -> Window:
    """Windows of one size that begin every `step`; an event belongs to size / step of them."""
    size_ms, step_ms = _positive("size", size), _positive("step", step)
    if step_ms > size_ms:
        raise SettingsInvalid("the step of a hopping window is at most its size")
    return _window("hopping", size_ms, step_ms, options)


def sliding(size: Duration, step: Duration | None = None, **options: Any) -> Window:
    """The time before each moment; sharp to a `step`."""
    size_ms = _positive("size", size)
    step_ms = _positive("step", step) if step is not None else max(1, size_ms // SLIDING_PANES)
    return _window("sliding", size_ms, step_ms, options)


def session(gap: Duration, **options: Any) -> Window:
    """As long as no `gap` passes between two events of a key."""
    return _window("session", 0, 1, {**options, "gap_ms": _positive("gap", gap)})


def _window(kind: Kind, size_ms: int, step_ms: int, options: dict[str, Any]) -> Window:
    if size_ms // step_ms > PANES_MAX:
        raise SettingsInvalid(
            f"a {kind} window has at most {PANES_MAX} steps, not {size_ms // step_ms}; "
            "take a longer step"
        )
    expires = options.pop("expires", None)
    grace, idle = options.pop("grace", 0), options.pop("idle", None)
    if options.get("late") not in (None, "drop", "dead_letter"):
        raise SettingsInvalid(f"late is 'drop' or 'dead_letter', not {options['late']!r}")
    options = {name: value for name, value in options.items() if value is not None}
    return Window(
        kind=kind,
        size_ms=size_ms,
        step_ms=step_ms,
        expires_ms=parse(EXPIRES_DEFAULT if expires is None else expires),
        grace_ms=parse(grace),
        idle_ms=parse(idle) if idle is not None else 0,
        **options,
    )


def _positive(name: str, value: Duration) -> int:
    ms = parse(value)
    if ms < 1:
        raise SettingsInvalid(f"the {name} of a window is at least a millisecond, not {value!r}")
    return ms
