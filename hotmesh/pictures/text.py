"""Graphs and timelines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import TypeAlias

from hotmesh.pictures.graph import Edge, Graph, LegLike, Node
from hotmesh.pictures.scale import Scale, duration_text
from hotmesh.pictures.timeline import Bar, chart_of
from hotmesh.pictures.words import clean, columns, fit

WIDTH = 80
LABEL_MAX = 36
"""Columns of a condition."""

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
        lines += ["", *_Tree(graph, width).lines()]
        blocks.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(blocks) + "\n"


_Step: TypeAlias = tuple[str, str, str, Edge | None]
"""A line to come: what stands before it, its mark, the node, the edge that leads there."""


class _Tree:
    """One graph, walked by its dominators: below each node what only it leads to."""

    def __init__(self, graph: Graph, width: int) -> None:
        self.width = width
        self.nodes = {n.id: n for n in graph.nodes if n.kind not in ("topic", "graph")}
        self.beside = {n.id: n for n in graph.nodes if n.id not in self.nodes}
        edges = graph.drawn_edges
        self.other = [e for e in edges if e.kind != "flow"]
        self.out: dict[str, list[Edge]] = {name: [] for name in self.nodes}
        for edge in edges:
            if edge.kind == "flow" and edge.source in self.out and edge.target in self.out:
                self.out[edge.source].append(edge)
        self.back: set[int] = set()
        self.order = self._walk()
        self.above = self._dominators()

    def _walk(self) -> list[str]:
        """A topological order; what closes a circle goes into `back`."""
        order: list[str] = []
        state = dict.fromkeys(self.nodes, 0)  # 1: on the way, 2: left
        led = {e.target for edges in self.out.values() for e in edges}
        for root in sorted(self.nodes, key=lambda name: name in led):
            if state[root]:
                continue
            state[root] = 1
            stack = [(root, iter(self.out[root]))]
            while stack:
                name, rest = stack[-1]
                edge = next(rest, None)
                if edge is None:
                    state[name] = 2
                    order.append(name)
                    stack.pop()
                elif state[edge.target] == 1:
                    self.back.add(id(edge))
                elif not state[edge.target]:
                    state[edge.target] = 1
                    stack.append((edge.target, iter(self.out[edge.target])))
        return order[::-1]

    def _dominators(self) -> dict[str, str]:
        """For each node the last one that all ways to it have in common, "" for none."""
        parents: dict[str, list[str]] = {name: [] for name in self.nodes}
        for edges in self.out.values():
            for edge in edges:
                if id(edge) not in self.back:
                    parents[edge.target].append(edge.source)
        place = {name: i for i, name in enumerate(self.order)} | {"": -1}
        above: dict[str, str] = {}

        def shared(one: str, other: str) -> str:
            while one != other:
                if place[one] > place[other]:
                    one = above[one]
                else:
                    other = above[other]
            return one

        for name in self.order:
            above[name] = reduce(shared, parents[name]) if parents[name] else ""
        self.joins = {name for name, found in parents.items() if len(found) > 1}
        return above

    def lines(self) -> Iterator[str]:
        below: dict[str, list[str]] = {"": []}
        for name in self.order:
            below.setdefault(self.above[name], []).append(name)
        roots = [name for name in below[""] if name not in self.joins]
        later = [name for name in below[""] if name in self.joins]
        # What is too deep for the terminal starts again at the margin, after the rest.
        while roots or later:
            stack: list[_Step] = [("", "", name, None) for name in reversed(roots or later)]
            roots, later = [], later if roots else []
            while stack:
                prefix, mark, name, edge = stack.pop()
                node = self.nodes.get(name)
                if node is None or columns(prefix) > self.width // 2:
                    if node is not None:
                        roots.append(name)
                        name = f"⋯ {clean(node.label)}, further down"
                    yield self._line(prefix, mark, edge, name)
                    continue
                yield self._line(prefix, mark, edge, self._words(node))
                inner = prefix + {"├─ ": "│  ", "└─ ": "   "}.get(mark, "")
                stack += reversed(list(self._following(name, inner, below.get(name, []))))

    def _following(self, name: str, prefix: str, below: list[str]) -> Iterator[_Step]:
        edges = self.out[name]
        for index, edge in enumerate(edges):
            target = edge.target
            last = index == len(edges) - 1
            mark = "├─ " if not last else "└─ " if index else "↓ "
            if id(edge) in self.back or target in self.joins:
                label = clean(self.nodes[target].label)
                arrow = "↑" if id(edge) in self.back else "→"
                # Not the id of a node: what only names one has no subtree.
                yield prefix, "" if mark == "↓ " else mark, f"\0{arrow} {label}", edge
            else:
                yield prefix, mark, target, edge
        for target in below:
            if target in self.joins:
                yield prefix, "● ", target, None

    def _line(self, prefix: str, mark: str, edge: Edge | None, words: str) -> str:
        label = f"[{fit(clean(edge.label), LABEL_MAX)}] " if edge is not None and edge.label else ""
        words = words.removeprefix("\0")
        taken = "  (not taken)" if edge is not None and edge.taken is False else ""
        return fit(f"{prefix}{mark}{label}{words}{taken}", self.width)

    def _words(self, node: Node) -> str:
        about = " ".join((node.kind, *node.details[:1]))
        parts = [f"{node.label} · {about}", *node.details[1:]]
        for edge in self.other:
            if edge.target == node.id and edge.source in self.beside:
                parts.append(f"woken by {self.beside[edge.source].label}")
            elif edge.source == node.id and edge.kind == "signal":
                target = self.beside.get(edge.target) or self.nodes[edge.target]
                parts.append(f"{edge.label} in {target.label}" if edge.label else target.label)
        said = ", ".join(parts)
        state = "not reached" if node.state == "idle" else node.state
        if found := ", ".join(part for part in (state, node.note) if part):
            said += f" — {found}"
        return clean(said)


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
