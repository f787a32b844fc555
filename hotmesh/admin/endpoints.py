"""The table of addresses: the app and its OpenAPI document are both made of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, get_args

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from hotmesh.admin import views
from hotmesh.admin.health import Health

View: TypeAlias = Callable[[views.State, Request], Awaitable[Response]]


class Parameter(Struct, frozen=True, kw_only=True):
    """Of the path or the query."""

    name: str
    about: str
    place: str = "query"
    schema: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "string"})


class Endpoint(Struct, frozen=True, kw_only=True):
    """One address.

    Attributes:
        gives: The struct of its JSON; None for `media`.
        fails: Statuses of errors, with when.
        is_open: Whether it answers without the token.
    """

    method: str
    path: str
    view: View
    about: str
    gives: type[Struct] | None = None
    media: tuple[str, ...] = ("application/json",)
    parameters: tuple[Parameter, ...] = ()
    fails: dict[int, str] = {}
    is_open: bool = False


_ABSENT = "The process has not joined yet, or the server is away."
_LETTER = Parameter(name="id", place="path", about="As the list shows it: partition:entry.")
_NO_LETTER = "There is no such dead letter."

ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/healthz",
        view=views.healthz,
        about="Whether the process lives: its event loop answers.",
        gives=views.Alive,
        is_open=True,
    ),
    Endpoint(
        method="GET",
        path="/readyz",
        view=views.readyz,
        about="Whether it does its work; with the token, what does not.",
        gives=Health,
        fails={503: "It does not; the same document says why."},
        is_open=True,
    ),
    Endpoint(
        method="GET",
        path="/metrics",
        view=views.metrics,
        about="Every metric of the process, for Prometheus.",
        media=("text/plain", "application/openmetrics-text"),
    ),
    Endpoint(
        method="GET",
        path="/quorum",
        view=views.quorum,
        about="Roll call: the members of the app.",
        gives=views.Members,
        fails={503: _ABSENT},
    ),
    Endpoint(
        method="GET",
        path="/jobs/{id}",
        view=views.job,
        about="A job, running or done: its data and its run, or a drawing of it.",
        gives=views.Job,
        media=("application/json", "image/svg+xml", "text/plain"),
        parameters=(
            Parameter(name="id", place="path", about="The job's id."),
            Parameter(
                name="format",
                about="json; svg or mermaid, a graph; timeline (SVG) or text, along time.",
                schema={"type": "string", "enum": list(get_args(views.Format)), "default": "json"},
            ),
        ),
        fails={400: "There is no such format.", 404: "There is no such job.", 503: _ABSENT},
    ),
    Endpoint(
        method="GET",
        path="/dlq",
        view=views.letters,
        about="Dead letters, the newest first.",
        gives=views.Letters,
        parameters=(
            Parameter(
                name="limit",
                about="At most so many.",
                schema={
                    "type": "integer",
                    "minimum": 1,
                    "maximum": views.LIST_MAX,
                    "default": views.LIST_DEFAULT,
                },
            ),
            Parameter(name="job", about="Only those of a job."),
        ),
        fails={400: "The limit is none.", 503: _ABSENT},
    ),
    Endpoint(
        method="GET",
        path="/dlq/{id}",
        view=views.letter,
        about="One dead letter with what its entry holds.",
        gives=views.Letter,
        parameters=(_LETTER,),
        fails={404: _NO_LETTER, 503: _ABSENT},
    ),
    Endpoint(
        method="POST",
        path="/dlq/{id}/retry",
        view=views.retry,
        about="Give the entry another life: it goes back to the stream that it came from.",
        gives=views.Done,
        parameters=(_LETTER,),
        fails={404: _NO_LETTER, 503: _ABSENT},
    ),
    Endpoint(
        method="POST",
        path="/dlq/{id}/drop",
        view=views.drop,
        about="Forget it.",
        gives=views.Done,
        parameters=(_LETTER,),
        fails={404: _NO_LETTER, 503: _ABSENT},
    ),
    Endpoint(
        method="GET",
        path="/",
        view=views.index,
        about="A page for people.",
        media=("text/html",),
    ),
)
"""Every address but `/openapi.json`, which tells of them."""
