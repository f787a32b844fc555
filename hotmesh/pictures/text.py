"""Graphs and timelines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hotmesh.pictures.graph import Graph, LegLike
from hotmesh.pictures.scale import Scale, duration_text
from hotmesh.pictures.timeline import Bar, chart_of
from hotmesh.pictures.tree import Tree
from hotmesh.pictures.words import clean, columns, fit

WIDTH = 80
NAME_MAX, STATE, TIME = 22, 13, 11
"""Columns of a timeline's table."""
FOLD, TICK_ROOM = 5, 9


def graph_text(graphs: Graph | Sequence[Graph], *, width: int = WIDTH) -> str:
    """Graphs as trees, none wider than a terminal.

    A chain goes straight down (`↓`) and branches are indented. An activity that several lead to
    stands below all of them, after `●`; they name it after `→`, and after `↑` one further up.
    """
    graphs = [graphs] if isinstance(graphs, Graph) else list(graphs)
    blocks = []
    for graph in graphs:
        lines = [fit(clean(graph.title), width)]
        if graph.about:
            lines.append(fit(clean(" · ".join(graph.about)), width))
        lines += ["", *Tree(graph, width).lines()]
        blocks.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(blocks) + "\n"


def timeline_text(legs: Iterable[LegLike], *, width: int = WIDTH, now_ms: int | None = None) -> str:
    """A run as a table with bars: █ someone at work, ─ waiting, ⋯ idle time that was folded."""
    chart = chart_of(legs, now_ms=now_ms)
    names = max([columns(bar.name) for bar in chart.bars] + [8])
    name_room = min(names, max(NAME_MAX, width // 4))
    room = max(TICK_ROOM, width - name_room - STATE - 2 * TIME - 4)
    scale = Scale(chart.moments, chart.busy, width=room, fold=FOLD)
    begin_ms = chart.moments[0]
    head = _row(("activity", "state", "began", "took", _ticks(scale, room)), name_room)
    rows = [head]
    for bar in chart.bars:
        began = "0" if bar.begin_ms == begin_ms else duration_text(bar.begin_ms - begin_ms)
        cells = (bar.name, _state(bar), began, _took(bar), _cells(bar, scale, room))
        rows.append(_row(cells, name_room))
    folded = [piece.length_text for piece in scale.pieces if piece.folded]
    if folded:
        rows += ["", f"⋯ {', '.join(folded)} in which nothing began or ended"]
    return "\n".join(fit(row.rstrip(), width) for row in rows) + "\n"


def _row(cells: tuple[str, str, str, str, str], names: int) -> str:
    name, state, began, took, bar = cells
    return " ".join((_left(name, names), _left(state, STATE), _right(began), _right(took), bar))


def _left(text: str, room: int) -> str:
    text = fit(text, room)
    return text + " " * (room - columns(text))


def _right(text: str) -> str:
    text = fit(text, TIME)
    return " " * (TIME - columns(text)) + text


def _state(bar: Bar) -> str:
    tries = f" ×{bar.attempt + 1}" if bar.attempt else ""
    code = f" {bar.code}" if bar.state == "failed" and bar.code else ""
    return f"{bar.state}{code}{tries}"


def _took(bar: Bar) -> str:
    took = duration_text(bar.end_ms - bar.begin_ms)
    return f"{took}…" if bar.state in ("open", "waiting") else took


def _ticks(scale: Scale, room: int) -> str:
    line = [" "] * (room + TICK_ROOM)
    end = 0
    for place, words in scale.ticks(TICK_ROOM):
        at = min(round(place), room - 1)
        if at >= end:  # not on the label before, which may be a long one
            line[at : at + 1 + len(words)] = f"╵{words}"
            end = at + 2 + len(words)
    for piece in scale.pieces:
        if piece.folded:
            line[int(piece.left + FOLD / 2)] = "⋯"
    return "".join(line).rstrip()[:room]


def _cells(bar: Bar, scale: Scale, room: int) -> str:
    begin = min(round(scale.place(bar.begin_ms)), room - 1)
    end = max(begin + 1, min(room, round(scale.place(bar.end_ms))))
    line = " " * begin + ("█" if bar.is_work else "─") * (end - begin)
    for piece in scale.pieces:
        if piece.folded and begin < piece.right and piece.left < end:
            left, right = max(begin, round(piece.left)), min(end, round(piece.right))
            line = line[:left] + "╌" * max(0, right - left) + line[max(left, right) :]
    return line
