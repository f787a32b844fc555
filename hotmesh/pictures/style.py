"""The look of the pictures: colours, fonts, and the style sheet that every SVG carries.

Colours are written out in every rule, without CSS variables: then viewers that know neither
variables nor media queries (librsvg, resvg, CairoSVG) still draw the light picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

from hotmesh.pictures.words import clean

FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif"
LABEL_SIZE, DETAIL_SIZE, TITLE_SIZE = 13.0, 11.0, 17.0
MARGIN = 24.0

# Fill and line of each kind in a model, and of each state in a run: light, then dark.
Paint = tuple[str, str]
KIND_PAINT: dict[str, tuple[Paint, Paint]] = {
    "trigger": (("#dbeafe", "#2563eb"), ("#172b4d", "#60a5fa")),
    "worker": (("#ffffff", "#64748b"), ("#1e2733", "#94a3b8")),
    "await": (("#ede9fe", "#7c3aed"), ("#2a2145", "#a78bfa")),
    "hook": (("#fef3c7", "#b7791f"), ("#33290f", "#e0b040")),
    "cycle": (("#f1f5f9", "#64748b"), ("#20262e", "#94a3b8")),
    "signal": (("#ccfbf1", "#0f8a7e"), ("#0f2f2d", "#2dd4bf")),
    "interrupt": (("#fee2e2", "#dc2626"), ("#3a1a1c", "#f87171")),
    "topic": (("#f0fdfa", "#0f8a7e"), ("#12211f", "#2dd4bf")),
    "graph": (("#f5f3ff", "#7c3aed"), ("#1f1a30", "#a78bfa")),
}
STATE_PAINT: dict[str, tuple[Paint, Paint]] = {
    "done": (("#dcfce7", "#16803c"), ("#12301d", "#4ade80")),
    "open": (("#dbeafe", "#2563eb"), ("#172b4d", "#60a5fa")),
    "failed": (("#fee2e2", "#dc2626"), ("#3a1a1c", "#f87171")),
    "waiting": (("#fef3c7", "#b45309"), ("#33260c", "#fbbf24")),
    "idle": (("#f8fafc", "#a8b3c2"), ("#161b22", "#4b5563")),
}

_LIGHT = {
    "paper": "#ffffff",
    "rim": "#e2e8f0",
    "ink": "#0f172a",
    "soft": "#556274",
    "line": "#475569",
    "faint": "#c3ccd8",
    "band": "#eef2f7",
}
_DARK = {
    "paper": "#0d1117",
    "rim": "#2b333e",
    "ink": "#e6edf3",
    "soft": "#9aa7b6",
    "line": "#93a1b1",
    "faint": "#3b4552",
    "band": "#171d26",
}

_FIXED = f"""\
.hm text{{font-family:{FONT};font-size:{DETAIL_SIZE:g}px}}
.hm .name{{font-size:{LABEL_SIZE:g}px;font-weight:600}}
.hm .title{{font-size:{TITLE_SIZE:g}px;font-weight:600}}
.hm .note{{font-weight:600}}
.hm .edge{{fill:none;stroke-width:1.5;stroke-linejoin:round}}
.hm .box{{stroke-width:1.5;stroke-linejoin:round}}
.hm .fine{{fill:none;stroke-width:1}}
.hm .dashed{{stroke-dasharray:6 4}}
.hm .dotted{{stroke-dasharray:2 3}}
.hm .taken{{stroke-width:2.25}}
"""


def style_sheet(kinds: Iterable[str], states: Iterable[str]) -> str:
    """CSS for what is drawn, light first, then dark for those who prefer that."""
    light = _themed(_LIGHT, kinds, states, 0)
    dark = _themed(_DARK, kinds, states, 1)
    return f"{_FIXED}{light}@media (prefers-color-scheme:dark){{\n{dark}}}\n"


def _themed(theme: dict[str, str], kinds: Iterable[str], states: Iterable[str], side: int) -> str:
    rules = [
        ".paper{fill:%(paper)s;stroke:%(rim)s}",
        "text{fill:%(ink)s}",
        ".soft{fill:%(soft)s}",
        ".halo{fill:%(paper)s}",
        ".edge{stroke:%(line)s}",
        ".head{fill:%(line)s}",
        ".off .edge{stroke:%(faint)s}",
        ".off .head{fill:%(faint)s}",
        ".off text{fill:%(soft)s}",
        ".lane{fill:%(band)s}",
        ".tick{stroke:%(rim)s;fill:none}",
        ".fold{fill:none;stroke:%(line)s;stroke-dasharray:2 3}",
        ".cut{fill:none;stroke:%(paper)s;stroke-width:2.5}",
    ]
    sheet = [".hm " + rule % theme for rule in rules]
    for prefix, names, paints in (("k", kinds, KIND_PAINT), ("s", states, STATE_PAINT)):
        for name in names:
            if name in paints:
                fill, line = paints[name][side]
                at = f".hm .{prefix}-{name}"
                sheet.append(f"{at}.box{{fill:{fill};stroke:{line}}}")
                sheet.append(f"{at}.fine{{stroke:{line}}}{at}.tint{{fill:{line}}}")
    sheet.append(f".hm .off .tint{{fill:{theme['soft']}}}")
    return "".join(f"{line}\n" for line in sheet)


def text(x: float, y: float, words: str, *, names: str = "", anchor: str = "middle") -> str:
    """A `<text>`; `y` is its base line."""
    css = f' class="{names}"' if names else ""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{num(x)}" y="{num(y)}"{where}{css}>{escape(clean(words))}</text>'


def title(words: str) -> str:
    """What a pointer or a screen reader gets."""
    return f"<title>{escape(clean(words))}</title>"


def attribute(words: str) -> str:
    """A quoted value of an attribute."""
    return quoteattr(clean(words))


def num(value: float) -> str:
    """A coordinate to a tenth: stable text, and more than the eye sees."""
    shown = f"{value:.1f}".removesuffix(".0")
    return "0" if shown == "-0" else shown


def document(width: float, height: float, name: str, sheet: str, body: Iterable[str]) -> str:
    """A whole SVG: a card of its own colour, so that it can be read on any page."""
    w, h = num(width), num(height)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="hm" width="{w}" height="{h}" '
        f'viewBox="0 0 {w} {h}" role="img" aria-label={attribute(name)}>',
        title(name),
        f"<style>\n{sheet}</style>",
        f'<rect class="paper" x=".5" y=".5" width="{num(width - 1)}" height="{num(height - 1)}" '
        'rx="10"/>',
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
