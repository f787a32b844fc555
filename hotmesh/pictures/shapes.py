"""One node as SVG: its shape by kind, its text, and how large it must be."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from msgspec import Struct

from hotmesh.pictures.graph import KINDS, Node
from hotmesh.pictures.layout import Box, Size
from hotmesh.pictures.style import DETAIL_SIZE, LABEL_SIZE, num, text, title
from hotmesh.pictures.words import BOLD, clean, clip, width, wrap

ROOM = 210.0
"""The widest that text in a node may be; longer text is wrapped or cut, and whole in the
tooltip.
"""
WIDTH_MIN = 76.0
LABEL_LEADING, DETAIL_LEADING = 17.0, 15.0
PAD_Y = 9.0

_PAD_X = {"hook": 22.0, "signal": 20.0, "interrupt": 18.0, "trigger": 18.0, "cycle": 18.0}
_PAD_X |= {"topic": 18.0, "await": 16.0}
_PAD_X_OTHER = 13.0
_WORDS = {"topic": "signal topic", "graph": "graph"}
_LINES = {"cycle": " dashed", "topic": " dotted", "graph": " dotted"}
_TAB = 4.0
_INSET = 3.0


class Face(Struct, frozen=True):
    """The text of a node as it is drawn: wrapped and cut.

    Attributes:
        subject: The kind in a word, and what it is about.
        paint: The class of its colours: its state if it has one, else its kind.
    """

    names: tuple[str, ...]
    subject: tuple[str, str]
    details: tuple[str, ...]
    note: str
    paint: str
    size: Size


def face_of(node: Node) -> Face:
    """What is written on a node, and the size that takes."""
    names = wrap(node.label, ROOM / BOLD, LABEL_SIZE, lines_max=2) or (" ",)
    kind = clean(_WORDS.get(node.kind, node.kind))
    about = node.details[0] if node.details else ""
    about = clip(about, ROOM - width(f"{kind} ", DETAIL_SIZE * BOLD), DETAIL_SIZE)
    details = tuple(clip(d, ROOM, DETAIL_SIZE) for d in node.details[1:])
    said = ", ".join(part for part in (_state_word(node), node.note) if part)
    note = clip(said, ROOM / BOLD, DETAIL_SIZE)
    widest = max(
        *(width(n, LABEL_SIZE) * BOLD for n in names),
        width(f"{kind} ", DETAIL_SIZE) * BOLD + width(about, DETAIL_SIZE),
        width(note, DETAIL_SIZE) * BOLD,
        *(width(d, DETAIL_SIZE) for d in details),
        WIDTH_MIN - 2 * _PAD_X_OTHER,
    )
    lines = 1 + len(details) + bool(note)
    tall = len(names) * LABEL_LEADING + lines * DETAIL_LEADING + 2 * PAD_Y
    tab = _TAB if node.kind == "graph" else 0.0
    size = Size(
        round(widest + 2 * _PAD_X.get(node.kind, _PAD_X_OTHER) + tab, 1), round(tall + tab, 1)
    )
    paint = f"s-{node.state}" if node.state else f"k-{_painted(node.kind)}"
    return Face(names, (kind, about), details, note, paint, size)


def _state_word(node: Node) -> str:
    return {"": "", "idle": "not reached"}.get(node.state, node.state)


def _painted(kind: str) -> str:
    return kind if kind in KINDS else "worker"


def node_svg(node: Node, face: Face, box: Box) -> Iterator[str]:
    """The node's group."""
    yield f"<g{' class=' + chr(34) + 'off' + chr(34) if node.state == 'idle' else ''}>"
    yield title(_tooltip(node))
    yield from shape(node.kind, box, face.paint)
    drop = _TAB if node.kind == "graph" else 0.0
    x = box.x + (box.width - drop) / 2
    y = box.y + drop + PAD_Y - 4
    for name in face.names:
        y += LABEL_LEADING
        yield text(x, y, name, names="name")
    y += DETAIL_LEADING
    kind, about = face.subject
    tail = f' <tspan class="soft">{escape(clean(about))}</tspan>' if about else ""
    yield (
        f'<text x="{num(x)}" y="{num(y)}" text-anchor="middle"><tspan class="note {face.paint} '
        f'tint">{escape(kind)}</tspan>{tail}</text>'
    )
    for detail in face.details:
        y += DETAIL_LEADING
        yield text(x, y, detail, names="soft")
    if face.note:
        y += DETAIL_LEADING
        yield text(x, y, face.note, names=f"note {face.paint} tint")
    yield "</g>"


def _tooltip(node: Node) -> str:
    parts = [f"{node.label}: {_WORDS.get(node.kind, node.kind)}", *node.details]
    parts += [part for part in (_state_word(node), node.note) if part]
    return "; ".join(parts)


def shape(kind: str, box: Box, paint: str) -> Iterator[str]:
    """The outline of a kind, in the colours of a class."""
    css = f'class="box {paint}{_LINES.get(kind, "")}"'
    x, y, w, h = box
    if kind in ("trigger", "cycle", "topic"):
        yield _rect(css, box, min(h / 2, 20.0))
    elif kind == "hook":
        yield _polygon(css, box, min(12.0, h / 3), full=True)
    elif kind == "interrupt":
        yield _polygon(css, box, min(10.0, h / 3), full=False)
    elif kind == "signal":
        tip = min(14.0, h / 2)
        yield _path(
            css, [(x, y), (x + w - tip, y), (x + w, y + h / 2), (x + w - tip, y + h), (x, y + h)]
        )
    elif kind == "graph":
        tab = min(_TAB, h / 4)
        yield _rect(css, Box(x + tab, y, w - tab, h - tab), 4)
        yield _rect(css, Box(x, y + tab, w - tab, h - tab), 4)
    else:
        yield _rect(css, box, 5)
        if kind == "await":
            inner = Box(x + _INSET, y + _INSET, w - 2 * _INSET, h - 2 * _INSET)
            yield _rect(f'class="fine {paint}"', inner, 3)


def _rect(css: str, box: Box, radius: float) -> str:
    x, y, w, h = map(num, box)
    return f'<rect {css} x="{x}" y="{y}" width="{w}" height="{h}" rx="{num(radius)}"/>'


def _polygon(css: str, box: Box, cut: float, *, full: bool) -> str:
    """A hexagon (`full`: its sides end in points) or an octagon."""
    x, y, w, h = box
    side = h / 2 if full else cut
    corners = [(x + cut, y), (x + w - cut, y), (x + w, y + side), (x + w, y + h - side)]
    corners += [(x + w - cut, y + h), (x + cut, y + h), (x, y + h - side), (x, y + side)]
    return _path(css, list(dict.fromkeys(corners)))


def _path(css: str, corners: list[tuple[float, float]]) -> str:
    points = "L".join(f"{num(x)} {num(y)}" for x, y in corners)
    return f'<path {css} d="M{points}Z"/>'
