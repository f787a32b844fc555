"""A run along time: what the timelines, as SVG and as text, are drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from hotmesh.pictures.graph import LegLike, State
from hotmesh.pictures.run import WAITING_TYPES, dimension_text, note_of, states_of
from hotmesh.pictures.words import clean


class Bar(Struct, frozen=True, kw_only=True):
    """One leg: from when it began to when it was done, or to the end of the picture.

    Attributes:
        is_work: Someone was at work all the time. Hooks and awaits wait, and what a cycle came
            back to rests between its turns.
        note: Duration, code, retries.
    """

    activity: str
    kind: str
    dimension: str
    begin_ms: int
    end_ms: int
    state: State
    code: int
    attempt: int
    is_work: bool
    note: str

    @property
    def name(self) -> str:
        """Activity and dimension, the latter when it is not all zeros."""
        return f"{self.activity} {self.dimension}".rstrip()


class Lane(Struct, frozen=True):
    """The legs of one activity, in rows of legs that follow each other."""

    activity: str
    rows: tuple[tuple[Bar, ...], ...]


class Chart(Struct, frozen=True, kw_only=True):
    """All legs, in the order in which they began.

    Attributes:
        moments, busy: What `Scale` wants to know.
    """

    bars: tuple[Bar, ...]
    moments: tuple[int, ...]
    busy: tuple[tuple[int, int], ...]


def chart_of(legs: Iterable[LegLike], *, now_ms: int | None = None) -> Chart:
    """The chart of a run.

    Args:
        now_ms: Where open legs end; by default at the last thing that is known.
    """
    legs = sorted(legs, key=lambda leg: (leg.began_ms, leg.dimension.count(",")))
    moments = {ms for leg in legs for ms in (leg.began_ms, leg.changed_ms)} or {0}
    begin_ms, last_ms = min(moments), max(moments)
    if now_ms is not None:
        last_ms = max(last_ms, now_ms)
        moments.add(last_ms)
    seen = zip(legs, states_of(legs), strict=True)
    bars = tuple(_bar(leg, state, begin_ms, last_ms) for leg, state in seen)
    busy = tuple((bar.begin_ms, bar.end_ms) for bar in bars if bar.is_work)
    return Chart(bars=bars, moments=tuple(sorted(moments)), busy=busy)


def _bar(leg: LegLike, state: State, begin_ms: int, last_ms: int) -> Bar:
    end_ms = max(leg.began_ms, last_ms if state in ("open", "waiting") else leg.changed_ms)
    return Bar(
        activity=clean(leg.activity),
        kind=clean(leg.type),
        dimension=dimension_text(leg),
        begin_ms=leg.began_ms,
        end_ms=end_ms,
        state=state,
        code=leg.code,
        attempt=leg.attempt,
        is_work=leg.type not in WAITING_TYPES and leg.generations <= 1,
        note=note_of(leg, state, begin_ms=begin_ms, now_ms=last_ms),
    )


def lanes_of(bars: Sequence[Bar]) -> list[Lane]:
    """Bars by activity, in the order in which the activities began."""
    by_activity: dict[str, list[list[Bar]]] = {}
    for bar in bars:
        rows = by_activity.setdefault(bar.activity, [])
        for row in rows:
            if row[-1].end_ms <= bar.begin_ms:
                row.append(bar)
                break
        else:
            rows.append([bar])
    return [Lane(name, tuple(map(tuple, rows))) for name, rows in by_activity.items()]
