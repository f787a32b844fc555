"""The page for people: plain HTML, no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

from hotmesh.admin.health import Health
from hotmesh.quorum import Profile
from hotmesh.store.dead import Facts

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884;
  vertical-align: top; overflow-wrap: anywhere }
form { display: inline }
.bad { color: #c33; font-weight: 600 }
"""


def render(title: str, health: Health, members: Sequence[Profile], letters: Sequence[Facts]) -> str:
    """The page."""
    links = " · ".join(
        f'<a href="{path}">{path}</a>'
        for path in ("/healthz", "/readyz", "/metrics", "/quorum", "/dlq", "/openapi.json")
    )
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{links}</p>",
        "<h2>Health</h2>",
        _table(("check", "state"), ((c.name, "ok" if c.ok else c.reason) for c in health.checks)),
        '<p class="bad">not ready</p>' if not health.ready else "",
        f"<h2>Members ({len(members)})</h2>",
        _table(
            ("member", "roles", "host", "pid", "release"),
            ((m.guid, " ".join(m.roles), m.host, m.pid, m.release) for m in members),
        )
        if members
        else "<p>Nobody is there; start <code>hotmesh engine</code> and <code>hotmesh worker</code>"
        "</p>",
        f"<h2>Dead letters ({len(letters)})</h2>",
        _letters(letters) if letters else "<p>There are none.</p>",
        "<p>A job: <code>/jobs/ID</code>, drawn: <code>/jobs/ID?format=svg</code></p>",
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><body>{body}</body></html>"
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(c))}</td>' for c in row)}</tr>" for row in rows)
    return _framed(columns, body)


def _letters(letters: Sequence[Facts]) -> str:
    rows = []
    for letter in letters:
        id = quote(letter.id, safe="")
        job = (
            f'<a href="/jobs/{quote(letter.job, safe="")}">{escape(letter.job)}</a>'
            if letter.job
            else ""
        )
        acts = "".join(
            f'<form method="post" action="/dlq/{id}/{act}"><button>{act}</button></form> '
            for act in ("retry", "drop")
        )
        cells = (
            f'<a href="/dlq/{id}">{escape(letter.id)}</a>',
            escape(letter.at),
            job,
            escape(letter.stream),
            str(letter.deliveries),
            escape(letter.reason),
            acts,
        )
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    columns = ("id", "at", "job", "stream", "deliveries", "reason", "")
    return _framed(columns, "".join(rows))


def _framed(columns: Sequence[str], body: str) -> str:
    head = "".join(f"<th>{column}</th>" for column in columns)
    return f"<table><tr>{head}</tr>{body}</table>"
