"""The time axis of a timeline: linear, with its long idle parts folded away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec import Struct

FOLDS_MAX = 12
_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000
_STEPS = (
    *(unit * n for unit in (1, 10, 100, _SECOND) for n in (1, 2, 5)),
    *(_SECOND * n for n in (10, 15, 30)),
    *(_MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * n for n in (1, 2, 3, 6, 12)),
    *(_DAY * n for n in (1, 2, 7, 14, 30, 90, 180)),
)


def duration_text(ms: int) -> str:
    """A length of time in its two largest units: `350 ms`, `1.25 s`, `2 min 5 s`, `3 d 4 h`."""
    if ms < 0:
        return f"-{duration_text(-ms)}"
    if ms < _SECOND:
        return f"{ms} ms"
    if ms < _MINUTE:
        # Two places below 10 s, one above; never 60.
        seconds = f"{min(ms / 1000, 9.99 if ms < 10_000 else 59.9):.{2 if ms < 10_000 else 1}f}"
        return f"{seconds.rstrip('0').rstrip('.')} s"
    units = (("d", _DAY), ("h", _HOUR), ("min", _MINUTE), ("s", _SECOND))
    first = next(i for i, (_, size) in enumerate(units) if ms >= size)
    name, size = units[first]
    text = f"{ms // size:,} {name}"
    if first + 1 < len(units) and (rest := ms % size // units[first + 1][1]):
        text += f" {rest} {units[first + 1][0]}"
    return text


class Piece(Struct, frozen=True, kw_only=True):
    """A part of the axis: from `begin_ms` at `left` to `end_ms` at `right`."""

    begin_ms: int
    end_ms: int
    left: float
    right: float
    folded: bool

    @property
    def length_text(self) -> str:
        return duration_text(self.end_ms - self.begin_ms)


class Scale:
    """Times → places, and back to ticks.

    Args:
        moments: Every time at which something began or ended; not empty.
        busy: Spans in which someone was at work: these are never folded.
        width: Of the whole axis, in any unit.
        fold: The width of a folded part.
    """

    def __init__(
        self, moments: Sequence[int], busy: Sequence[tuple[int, int]], *, width: float, fold: float
    ) -> None:
        times = sorted(set(moments))
        if len(times) == 1:
            times.append(times[0] + 1)
        self.begin_ms = times[0]
        folds_max = max(0, min(FOLDS_MAX, int(width / 2 / fold)))
        folded = _folded(times, busy, folds_max)
        self.pieces = _pieces(times, folded, width, fold)

    def place(self, ms: int) -> float:
        """Where a time is; what lies outside of the axis is at its ends."""
        for piece in self.pieces:
            if ms <= piece.end_ms:
                share = (ms - piece.begin_ms) / (piece.end_ms - piece.begin_ms)
                return piece.left + max(0.0, share) * (piece.right - piece.left)
        return self.pieces[-1].right

    def ticks(self, room: float) -> Iterator[tuple[float, str]]:
        """Places and labels, each at least `room` apart.

        A part that follows a fold begins with its time since the start; the ticks after that count
        from there.
        """
        for index, piece in enumerate(self.pieces):
            if piece.folded:
                continue
            length, wide = piece.end_ms - piece.begin_ms, piece.right - piece.left
            yield piece.left, duration_text(piece.begin_ms - self.begin_ms) if index else "0"
            step = _step(length * room / wide)
            for after in range(step, length + 1, step):
                at = piece.left + wide * after / length
                # The next label begins at the end of this piece.
                if at <= piece.right - room / 2:
                    yield at, f"{'+' if index else ''}{duration_text(after)}"


def _step(ms_min: float) -> int:
    """The smallest nice step that is not below `ms_min`."""
    for step in _STEPS:
        if step >= ms_min:
            return step
    step = 365 * _DAY
    while step < ms_min:
        step *= 2
    return step


def _folded(times: list[int], busy: Sequence[tuple[int, int]], folds_max: int) -> set[int]:
    """The gaps to fold, by the index of their beginning: each took over a third of what is left."""
    rises: dict[int, int] = {}
    for begin, end in busy:
        if begin < end:
            rises[begin] = rises.get(begin, 0) + 1
            rises[end] = rises.get(end, 0) - 1
    idle, running = [], 0
    for index, (begin, end) in enumerate(pairwise(times)):
        running += rises.get(begin, 0)
        if not running:
            idle.append((end - begin, -index))
    left, folded = times[-1] - times[0], set()
    for gap, index in sorted(idle, reverse=True)[:folds_max]:
        if gap >= left or gap < (left - gap) / 2:
            break
        left -= gap
        folded.add(-index)
    return folded


def _pieces(times: list[int], folded: set[int], width: float, fold: float) -> tuple[Piece, ...]:
    spans: list[tuple[int, int, bool]] = []
    for index, (begin, end) in enumerate(pairwise(times)):
        is_folded = index in folded
        if spans and not is_folded and not spans[-1][2]:
            spans[-1] = (spans[-1][0], end, False)
        else:
            spans.append((begin, end, is_folded))
    widths = _widths([end - begin for begin, end, f in spans if not f], width - fold * len(folded))
    pieces, left = [], 0.0
    for begin, end, is_folded in spans:
        right = left + (fold if is_folded else next(widths))
        pieces.append(Piece(begin_ms=begin, end_ms=end, left=left, right=right, folded=is_folded))
        left = right
    return tuple(pieces)


def _widths(lengths: list[int], width: float) -> Iterator[float]:
    """Widths in proportion to lengths, but none so small that it can't be seen."""
    least = width / (3 * len(lengths))
    whole = sum(lengths)
    small = [length * width / whole < least for length in lengths]
    rest = width - least * sum(small)
    whole = sum(length for length, s in zip(lengths, small, strict=True) if not s)
    for length, is_small in zip(lengths, small, strict=True):
        yield least if is_small else rest * length / whole
