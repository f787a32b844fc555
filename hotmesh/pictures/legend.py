"""The legend of a picture: what occurs in it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from hotmesh.pictures.layout import Box
from hotmesh.pictures.shapes import shape
from hotmesh.pictures.style import DETAIL_SIZE, num, text
from hotmesh.pictures.words import width

_ROW = 22.0
_SAMPLE, _TALL = 24.0, 13.0
_GAP = 18.0
_KIND_WORDS = {"topic": "signal from outside", "graph": "another graph"}
_STATE_WORDS = {"idle": "not reached"}
_BAR_WORDS = {"work": "at work", "wait": "waits", "fold": "nothing begins or ends: folded"}
_LINE_WORDS = {
    "cycle": ("dashed", "goes back"),
    "dotted": ("dotted", "starts, ends or wakes"),
    "taken": ("taken", "taken"),
    "off": ("", "not taken"),
}


class Key(Struct, frozen=True, kw_only=True):
    """What is to be explained.

    Attributes:
        lines: Kinds of edges beside transitions.
        taken: Whether some edges were taken by a run and some were not.
        bars: Of a timeline: `work`, `wait`, `fold`.
    """

    kinds: tuple[str, ...]
    states: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    taken: bool = False
    bars: tuple[str, ...] = ()


def legend_svg(key: Key, x: float, y: float, room: float) -> tuple[list[str], float]:
    """The legend at a place, no wider than `room` unless one entry is; and its height."""
    # Where states give the colours, kinds are told by their shape alone.
    plain = "s-idle" if key.states else ""
    entries = [(_KIND_WORDS.get(k, k), ("kind", k, plain or f"k-{k}")) for k in key.kinds]
    entries += [(_BAR_WORDS[b], ("bar", b, "s-idle")) for b in key.bars]
    entries += [(_STATE_WORDS.get(s, s), ("kind", "worker", f"s-{s}")) for s in key.states]
    for name in _lines(key):
        css, words = _LINE_WORDS[name]
        entries.append((words, ("line", name, css)))
    out = ["<g>"]
    left, top = x, y
    for words, (sort, name, css) in entries:
        wide = _SAMPLE + 7 + width(words, DETAIL_SIZE)
        if left > x and left + wide > x + room:
            left, top = x, top + _ROW
        if sort == "kind":
            out += shape(name, Box(left, top, _SAMPLE, _TALL), css)
        elif sort == "bar":
            out.append(_bar(left, top, name, css))
        else:
            out += _line(left, top + _TALL / 2, name, css)
        out.append(text(left + _SAMPLE + 7, top + 10.5, words, names="soft", anchor="start"))
        left += wide + _GAP
    return [*out, "</g>"], top - y + _ROW if entries else 0.0


def _lines(key: Key) -> Iterator[str]:
    if "cycle" in key.lines:
        yield "cycle"
    if "call" in key.lines or "signal" in key.lines:
        yield "dotted"
    if key.taken:
        yield "taken"
        yield "off"


def _line(x: float, y: float, name: str, css: str) -> Iterator[str]:
    end, names = x + _SAMPLE, f"edge {css}".rstrip()
    yield '<g class="off">' if name == "off" else "<g>"
    yield f'<path class="{names}" d="M{num(x)} {num(y)}L{num(end - 5)} {num(y)}"/>'
    wings = f"L{num(end - 7)} {num(y - 4)}L{num(end - 7)} {num(y + 4)}"
    yield f'<path class="head" d="M{num(end)} {num(y)}{wings}Z"/>'
    yield "</g>"


def _bar(x: float, y: float, name: str, css: str) -> str:
    thin = 4 if name == "wait" else 0
    names = "fold" if name == "fold" else f"box {css}"
    return (
        f'<rect class="{names}" x="{num(x)}" y="{num(y + thin)}" width="{num(_SAMPLE)}" '
        f'height="{num(_TALL - 2 * thin)}" rx="2"/>'
    )
