"""Runs the example over three processes, receives its trace over OTLP, and draws it.

`python contrib/otel/draw_trace.py docs/img/trace.svg`. The picture is made of what was received.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from receiver import Received, Receiver

EXAMPLE = Path(__file__).parent / "example"
ROW, LEFT, WIDTH, PAD = 22, 300, 520, 12
COLOURS = {"hotmesh-pubsub": "#8a6d3b", "hotmesh-engine": "#2b6cb0", "hotmesh-worker": "#2f855a"}
STOP_S = 30


def record() -> list[Received]:
    """The spans of one run: a client, an engine and a worker, each a process."""
    with Receiver() as receiver, tempfile.TemporaryDirectory(prefix="hotmesh-trace-") as home:
        environ = os.environ | {"HOTMESH_HOME": home, "HOTMESH_OTEL_ENDPOINT": receiver.url}
        environ.pop("HOTMESH_REDIS_URL", None)
        staying = [
            _start(environ, "engine", "--app", "shop"),
            _start(environ, "worker", "-A", "workers", "--app", "shop"),
        ]
        try:
            for process in staying:
                _until_ready(process)
            _run(environ, "deploy", "model.yaml", "--activate")
            receiver.spans.clear()
            _run(environ, "--app", "shop", "pubsub", "order.placed", json.dumps({"order": 7}))
        finally:
            for process in staying:
                process.send_signal(signal.SIGTERM)
            for process in staying:
                process.wait(STOP_S)
                if process.stdout is not None:
                    process.stdout.close()
        return sorted(receiver.spans, key=lambda s: s.start_ns)


def _command(*args: str) -> list[str]:
    return [sys.executable, "-m", "hotmesh", *args]


def _start(environ: dict[str, str], *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        _command(*args), cwd=EXAMPLE, env=environ, stdout=subprocess.PIPE, text=True
    )


def _until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready: "):
            return
    raise SystemExit("a process has ended before it was ready")


def _run(environ: dict[str, str], *args: str) -> None:
    subprocess.run(_command(*args), cwd=EXAMPLE, env=environ, check=True, capture_output=True)


def rows_of(spans: Sequence[Received]) -> list[tuple[int, Received]]:
    """Spans as a tree shows them: depth, and what hangs under each, in the order of time."""
    children: dict[str, list[Received]] = {}
    ids = {span.span for span in spans}
    for span in spans:
        children.setdefault(span.parent if span.parent in ids else "", []).append(span)
    rows: list[tuple[int, Received]] = []
    stack = [(0, span) for span in reversed(children.get("", []))]
    while stack:
        depth, span = stack.pop()
        rows.append((depth, span))
        stack += [(depth + 1, child) for child in reversed(children.get(span.span, []))]
    return rows


def draw(spans: Sequence[Received]) -> str:
    """The trace as a waterfall, with its links as curves."""
    rows = rows_of(spans)
    began, ended = min(s.start_ns for s in spans), max(s.end_ns for s in spans)
    scale = WIDTH / max(1, ended - began)
    at = {span.span: number for number, (_, span) in enumerate(rows)}
    height = len(rows) * ROW + 3 * ROW + PAD
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 90} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for number, (service, colour) in enumerate(COLOURS.items()):
        x = PAD + number * 150
        parts.append(f'<rect x="{x}" y="{PAD}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="{PAD + 10}">{service.removeprefix("hotmesh-")}</text>')
    top = 2 * ROW
    for number, (depth, span) in enumerate(rows):
        y = top + number * ROW
        x = LEFT + (span.start_ns - began) * scale
        width = max(3.0, (span.end_ns - span.start_ns) * scale)
        leg = span.attributes.get("hotmesh.activity.leg")
        name = f"{span.name} · leg {leg}" if leg else span.name
        took = f"{(span.end_ns - span.start_ns) / 1e6:.1f} ms"
        colour = COLOURS.get(span.service, "#555")
        if number % 2 == 0:
            parts.append(f'<rect y="{y}" width="100%" height="{ROW}" fill="#f4f6f8"/>')
        parts.append(f'<text x="{PAD + depth * 9}" y="{y + 15}">{escape(name)}</text>')
        parts.append(
            f'<rect x="{x:.1f}" y="{y + 5}" width="{width:.1f}" height="12" rx="2" '
            f'fill="{colour}"><title>{escape(name)}, {took}</title></rect>'
        )
        parts.append(f'<text x="{x + width + 5:.1f}" y="{y + 15}" fill="#666">{took}</text>')
    for number, (_, span) in enumerate(rows):
        for kind, _, other in span.links:
            if kind == "join" and other in at:
                y, z = top + number * ROW + 11, top + at[other] * ROW + 11
                x = LEFT + (span.start_ns - began) * scale
                parts.append(
                    f'<path d="M{x:.1f} {y} C {x - 60:.1f} {y}, {x - 60:.1f} {z}, {x:.1f} {z}" '
                    'fill="none" stroke="#c53030" stroke-dasharray="4 3"/>'
                )
    text = f"{(ended - began) / 1e6:.0f} ms, {len(rows)} spans; dashed: a link of a join"
    parts.append(f'<text x="{PAD}" y="{height - PAD}" fill="#666">{text}</text></svg>')
    return "\n".join(parts) + "\n"


def main() -> None:
    """Record and draw."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    Path(sys.argv[1]).write_text(draw(record()))


if __name__ == "__main__":
    main()
