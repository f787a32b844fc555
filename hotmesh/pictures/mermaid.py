"""Graphs as Mermaid flowcharts, for pages that draw them: `flowchart TD`, states as classes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hotmesh.pictures.graph import KINDS, Edge, Graph, Node
from hotmesh.pictures.style import KIND_PAINT, STATE_PAINT
from hotmesh.pictures.words import clean

_SHAPES = {
    "trigger": ("([", "])"),
    "worker": ("[", "]"),
    "await": ("[[", "]]"),
    "hook": ("{{", "}}"),
    "cycle": ("([", "])"),
    "signal": (">", "]"),
    "interrupt": ("[/", "\\]"),
    "topic": ("(", ")"),
    "graph": ("[(", ")]"),
}
_UNSAFE = re.compile(r"[^A-Za-z0-9]+")
_CODES = {'"': "#quot;", "&": "#amp;", "<": "#lt;", ">": "#gt;"}
_CODES |= {char: f"#{ord(char)};" for char in "#`\\*~"}
_EMPHASIS = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def graph_mermaid(graphs: Graph | Sequence[Graph]) -> str:
    """Graphs as one flowchart, each a subgraph if there are several.

    The box of another graph becomes that graph's trigger when it is among them.
    """
    graphs = [graphs] if isinstance(graphs, Graph) else list(graphs)
    several = len(graphs) > 1
    ids = [_ids(graph, f"g{i}" if several else "n") for i, graph in enumerate(graphs)]
    triggers = {
        graph.title: names[node.id]
        for graph, names in zip(graphs, ids, strict=True)
        for node in reversed(graph.nodes)
        if node.kind == "trigger"
    }
    lines = ["flowchart TD"]
    edges: list[str] = []
    used: set[str] = set()
    for index, (graph, names) in enumerate(zip(graphs, ids, strict=True)):
        if several:
            lines.append(f'  subgraph s{index} ["{_escaped(graph.title)}"]')
        for node in graph.nodes:
            if node.kind == "graph" and several and node.label in triggers:
                names[node.id] = triggers[node.label]
            else:
                used.add(_class(node))
                lines.append(f"{'    ' if several else '  '}{_node(node, names[node.id])}")
        if several:
            lines.append("  end")
        edges += (f"  {_edge(edge, names)}" for edge in graph.drawn_edges)
    lines += edges
    lines += (f"  {line}" for line in _classes(used))
    return "\n".join(lines) + "\n"


def _ids(graph: Graph, prefix: str) -> dict[str, str]:
    """Ids of letters, digits and underscores; the prefix keeps them from being words of Mermaid."""
    found: dict[str, str] = {}
    used: set[str] = set()
    for node in graph.nodes:
        name = wanted = f"{prefix}_{_UNSAFE.sub('_', node.id).strip('_')}"
        number = 1
        while name in used:
            number += 1
            name = f"{wanted}_{number}"
        used.add(name)
        found[node.id] = name
    return found


def _node(node: Node, name: str) -> str:
    begin, end = _SHAPES.get(node.kind, _SHAPES["worker"])
    about = node.details[:1]
    lines = [f"<b>{_escaped(node.label)}</b>", _escaped(" ".join((_word(node), *about)))]
    lines += map(_escaped, node.details[1:])
    if said := ", ".join(part for part in (_state(node), node.note) if part):
        lines.append(f"<i>{_escaped(said)}</i>")
    return f'{name}{begin}"{"<br/>".join(lines)}"{end}:::{_class(node)}'


def _word(node: Node) -> str:
    return "signal topic" if node.kind == "topic" else node.kind


def _state(node: Node) -> str:
    return "not reached" if node.state == "idle" else node.state


def _class(node: Node) -> str:
    # The prefix: Mermaid takes a class called `graph` for its own word.
    return f"is_{node.state or (node.kind if node.kind in KINDS else 'worker')}"


def _edge(edge: Edge, names: dict[str, str]) -> str:
    arrow = "-.->" if edge.kind != "flow" or edge.taken is False else "-->"
    if edge.taken and edge.kind == "flow":
        arrow = "==>"
    label = f'|"{_escaped(edge.label)}"|' if edge.label else ""
    return f"{names[edge.source]} {arrow}{label} {names[edge.target]}"


def _escaped(text: str) -> str:
    """Text inside of quotes: no markup, neither Mermaid's nor HTML's."""
    said = "".join(_CODES.get(char, char) for char in clean(text))
    return _EMPHASIS.sub("#95;", said) or " "


def _classes(used: set[str]) -> Iterator[str]:
    for paints in (KIND_PAINT, STATE_PAINT):
        for name, ((fill, line), _) in paints.items():
            if f"is_{name}" in used:
                # Dark text on the light fills, whatever theme the page has.
                dash = ",stroke-dasharray:6 4" if name in ("cycle", "topic", "graph") else ""
                yield f"classDef is_{name} fill:{fill},stroke:{line},color:#0f172a{dash}"
