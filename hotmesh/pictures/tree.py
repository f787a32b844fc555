"""A graph as an indented tree of lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import reduce
from typing import NamedTuple

from hotmesh.pictures.graph import Edge, Graph, Node
from hotmesh.pictures.words import clean, columns, fit

LABEL_MAX = 36
"""Columns of a condition."""
_INDENT = {"├─ ": "│  ", "└─ ": "   "}


class _Step(NamedTuple):
    """A line to come.

    Attributes:
        words: For a line that only names the node: its own place is elsewhere.
        edge: The edge that leads there.
    """

    prefix: str
    mark: str
    name: str
    words: str = ""
    edge: Edge | None = None


class Tree:
    """One graph, walked by its dominators: below each node stands what only it leads to.

    Args:
        width: Columns of a line.
    """

    def __init__(self, graph: Graph, width: int) -> None:
        self.width = width
        self.nodes = {n.id: n for n in graph.nodes if n.kind not in ("topic", "graph")}
        self.out: dict[str, list[Edge]] = {name: [] for name in self.nodes}
        self.back: set[int] = set()
        self.remarks: dict[str, list[str]] = {name: [] for name in self.nodes}
        labels = {n.id: n.label for n in graph.nodes}
        for edge in graph.drawn_edges:
            if edge.kind == "flow" and edge.source in self.out and edge.target in self.out:
                self.out[edge.source].append(edge)
            elif edge.source not in self.nodes and edge.target in self.nodes:
                self.remarks[edge.target].append(f"woken by {labels[edge.source]}")
            elif edge.kind == "signal" and edge.source in self.nodes:
                where = f"{edge.label} in " if edge.label else "wakes "
                self.remarks[edge.source].append(where + labels[edge.target])
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
        """The lines, none wider than the tree may be."""
        below: dict[str, list[str]] = {name: [] for name in ("", *self.nodes)}
        for name in self.order:
            below[self.above[name]].append(name)
        starts = sorted(below[""], key=lambda name: name in self.joins)
        todo = deque(_Step("", "● " if name in self.joins else "", name) for name in starts)
        while todo:
            stack = [todo.popleft()]
            while stack:
                step = stack.pop()
                if not step.words and columns(step.prefix) > self.width // 2:
                    # Too deep for the terminal: it starts again at the margin, after the rest.
                    todo.append(_Step("", "⋯ ", step.name))
                    words = f"⋯ {clean(self.nodes[step.name].label)}, further down"
                    step = step._replace(words=words)
                yield self._line(step)
                if not step.words:
                    prefix = step.prefix + _INDENT.get(step.mark, "")
                    stack += reversed(list(self._following(step.name, prefix, below[step.name])))

    def _following(self, name: str, prefix: str, below: list[str]) -> Iterator[_Step]:
        edges = self.out[name]
        for index, edge in enumerate(edges):
            is_last = index == len(edges) - 1
            mark = "├─ " if not is_last else "└─ " if index else "↓ "
            words = ""
            if id(edge) in self.back or edge.target in self.joins:
                arrow = "↑" if id(edge) in self.back else "→"
                words = f"{arrow} {clean(self.nodes[edge.target].label)}"
                mark = mark if len(edges) > 1 else ""
            yield _Step(prefix, mark, edge.target, words, edge)
        for target in below:
            if target in self.joins:
                yield _Step(prefix, "● ", target)

    def _line(self, step: _Step) -> str:
        words = step.words or self._words(self.nodes[step.name])
        label = taken = ""
        if step.edge is not None:
            label = f"[{fit(clean(step.edge.label), LABEL_MAX)}] " if step.edge.label else ""
            taken = "  (not taken)" if step.edge.taken is False else ""
        return fit(f"{step.prefix}{step.mark}{label}{words}{taken}", self.width)

    def _words(self, node: Node) -> str:
        about = " ".join((node.kind, *node.details[:1]))
        said = ", ".join((f"{node.label} · {about}", *node.details[1:], *self.remarks[node.id]))
        state = "not reached" if node.state == "idle" else node.state
        found = ", ".join(part for part in (state, node.note) if part)
        return clean(f"{said} — {found}" if found else said)
