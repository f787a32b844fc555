"""The timeline of a run as SVG: a lane per activity, a bar per leg, idle time folded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from hotmesh.pictures.graph import LegLike
from hotmesh.pictures.legend import Key, legend_svg
from hotmesh.pictures.scale import Scale, duration_text
from hotmesh.pictures.style import (
    DETAIL_SIZE,
    MARGIN,
    STATE_PAINT,
    TITLE_SIZE,
    document,
    num,
    style_sheet,
    text,
    title,
)
from hotmesh.pictures.timeline import Bar, Chart, Lane, chart_of, lanes_of
from hotmesh.pictures.words import BOLD, clip, width

WIDTH = 960.0
FOLD, TICK_ROOM = 84.0, 72.0
NAMES_MAX = 190.0
ROW, LANE_PAD = 20.0, 4.0
WORK, WAIT = 13.0, 6.0
"""How tall a bar is: someone at work, or only waiting."""
BAR_MIN = 3.0
AXIS = 42.0


def timeline_svg(
    legs: Iterable[LegLike],
    *,
    title: str = "run",
    about: tuple[str, ...] = (),
    now_ms: int | None = None,
) -> str:
    """A run along time, as SVG.

    Args:
        title: The heading, such as the job's topic.
        about: Short texts below it, such as the job's id.
        now_ms: Where open legs end; by default at the last thing that is known.
    """
    chart = chart_of(legs, now_ms=now_ms)
    lanes = lanes_of(chart.bars)
    names = max([min(width(lane.activity, DETAIL_SIZE), NAMES_MAX) for lane in lanes] + [40.0])
    left = MARGIN + names + 14
    scale = Scale(chart.moments, chart.busy, width=WIDTH - MARGIN - left - 8, fold=FOLD)
    heading = list(_heading(title, (*about, _length(chart))))
    top = MARGIN + 36 + AXIS
    tops = [top]
    for lane in lanes:
        tops.append(tops[-1] + len(lane.rows) * ROW + 2 * LANE_PAD)
    frame = _Frame(left, top, tops[-1], scale)
    body = [*heading, *_lane_bands(lanes, tops), *_axis(frame)]
    for lane, y in zip(lanes, tops, strict=False):
        body += _lane(lane, y, frame)
    states = tuple(s for s in STATE_PAINT if any(b.state == s for b in chart.bars))
    bars = [name for name, is_work in (("work", True), ("wait", False)) if _has(chart, is_work)]
    if any(piece.folded for piece in scale.pieces):
        bars.append("fold")
    key = Key(kinds=(), states=states, bars=tuple(bars))
    legend, tall = legend_svg(key, MARGIN, tops[-1] + 20, WIDTH - 2 * MARGIN)
    sheet = style_sheet((), (*states, "idle"))
    return document(WIDTH, tops[-1] + 20 + tall + MARGIN / 2, title, sheet, [*body, *legend])


class _Frame(Struct, frozen=True):
    """Where the chart is."""

    left: float
    top: float
    bottom: float
    scale: Scale

    def x(self, ms: int) -> float:
        return self.left + self.scale.place(ms)


def _has(chart: Chart, is_work: bool) -> bool:
    return any(bar.is_work is is_work for bar in chart.bars)


def _length(chart: Chart) -> str:
    took = duration_text(chart.moments[-1] - chart.moments[0])
    return f"{took} so far" if any(b.state in ("open", "waiting") for b in chart.bars) else took


def _heading(words: str, about: tuple[str, ...]) -> Iterator[str]:
    room = WIDTH - 2 * MARGIN
    shown = clip(words, room / BOLD, TITLE_SIZE)
    yield text(MARGIN, MARGIN + TITLE_SIZE - 2, shown, names="title", anchor="start")
    said = clip(" · ".join(about), room, DETAIL_SIZE)
    yield text(MARGIN, MARGIN + TITLE_SIZE + 15, said, names="soft", anchor="start")


def _lane_bands(lanes: list[Lane], tops: list[float]) -> Iterator[str]:
    for index, (lane, y) in enumerate(zip(lanes, tops, strict=False)):
        if index % 2 == 0:
            yield (
                f'<rect class="lane" x="{num(MARGIN - 8)}" y="{num(y)}" '
                f'width="{num(WIDTH - 2 * MARGIN + 16)}" height="{num(tops[index + 1] - y)}" '
                'rx="4"/>'
            )
        yield "<g>" + title(lane.activity)
        name = clip(lane.activity, NAMES_MAX, DETAIL_SIZE)
        yield text(MARGIN, y + LANE_PAD + ROW / 2 + 4, name, anchor="start") + "</g>"


def _axis(frame: _Frame) -> Iterator[str]:
    label = frame.top - 8
    for piece in frame.scale.pieces:
        if piece.folded:
            x, wide = frame.left + piece.left, piece.right - piece.left
            yield "<g>" + title(f"{piece.length_text} in which nothing began or ended")
            yield (
                f'<rect class="fold" x="{num(x)}" y="{num(frame.top - 4)}" width="{num(wide)}" '
                f'height="{num(frame.bottom - frame.top + 8)}" rx="3"/>'
            )
            yield text(x + wide / 2, label - 15, piece.length_text, names="note soft") + "</g>"
    for place, words in frame.scale.ticks(TICK_ROOM):
        x = frame.left + place
        yield f'<path class="tick" d="M{num(x)} {num(frame.top - 4)}V{num(frame.bottom)}"/>'
        yield text(x, label, words, names="soft")


def _lane(lane: Lane, top: float, frame: _Frame) -> Iterator[str]:
    for index, row in enumerate(lane.rows):
        middle = top + LANE_PAD + (index + 0.5) * ROW
        for at, bar in enumerate(row):
            following = frame.x(row[at + 1].begin_ms) if at + 1 < len(row) else WIDTH - MARGIN + 4
            yield from _bar(bar, middle, frame, following)


def _bar(bar: Bar, middle: float, frame: _Frame, following: float) -> Iterator[str]:
    x = frame.x(bar.begin_ms)
    # A leg that took no time is still to be seen, but never lies on the next one.
    wide = max(frame.x(bar.end_ms) - x, min(BAR_MIN, following - x))
    tall = WORK if bar.is_work else WAIT
    dashed = " dashed" if bar.state in ("open", "waiting") else ""
    yield "<g>" + title(f"{bar.name}: {bar.kind}; {bar.state} {bar.note}".rstrip())
    yield (
        f'<rect class="box s-{bar.state}{dashed}" x="{num(x)}" y="{num(middle - tall / 2)}" '
        f'width="{num(wide)}" height="{num(tall)}" rx="2"/>'
    )
    for piece in frame.scale.pieces:
        if piece.folded and bar.begin_ms <= piece.begin_ms and piece.end_ms <= bar.end_ms:
            at = num(frame.left + (piece.left + piece.right) / 2 - 4)
            yield f'<path class="cut" d="M{at} {num(middle + 5)}l4 -10m4 0l-4 10"/>'
    need = width(bar.note, DETAIL_SIZE)
    if bar.is_work and need + 8 < wide:
        yield text(x + wide / 2, middle + 4, bar.note)
    elif x + wide + need + 10 < following:
        yield text(x + wide + 6, middle + 4, bar.note, names="soft", anchor="start")
    elif not bar.is_work and need + 24 < wide:
        yield _notch(x + wide / 2, middle, need)
        yield text(x + wide / 2, middle + 4, bar.note, names="soft")
    yield "</g>"


def _notch(x: float, y: float, wide: float) -> str:
    """A gap in a thin bar, for its text."""
    left, top = num(x - wide / 2 - 5), num(y - 7)
    return f'<rect class="halo" x="{left}" y="{top}" width="{num(wide + 10)}" height="14" rx="3"/>'
