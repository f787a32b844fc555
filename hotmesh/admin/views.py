"""What each address answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from msgspec import Struct
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hotmesh import pictures
from hotmesh.admin import health, page
from hotmesh.admin.access import is_known
from hotmesh.admin.errors import Refused, json
from hotmesh.mesh import HotMesh, Timeline
from hotmesh.release import RELEASE
from hotmesh.store import dead

LIST_DEFAULT, LIST_MAX = 100, 1_000
FORM = "application/x-www-form-urlencoded"

Format: TypeAlias = Literal["json", "svg", "timeline", "mermaid", "text"]


@dataclass(slots=True)
class State:
    """What the views look at.

    Attributes:
        mesh: None until the process has joined.
    """

    app_id: str
    role: str
    token: str | None = None
    mesh: HotMesh | None = None

    def joined(self) -> HotMesh:
        """The mesh.

        Raises:
            Refused: The process has not joined yet.
        """
        if self.mesh is None:
            raise Refused(503, "this process has not joined the mesh yet; ask again in a moment")
        return self.mesh


class Alive(Struct, frozen=True, kw_only=True):
    """The process answers."""

    app: str
    role: str
    release: str


class Members(Struct, frozen=True, kw_only=True):
    """Who is there. Members are as the release at hand tells them."""

    members: list[dict[str, Any]]


class Job(Struct, frozen=True, kw_only=True):
    """A job.

    Attributes:
        state: `running`, `completed`, `failed` or `interrupted`.
        run: Its legs, edges, times and data.
    """

    job_id: str
    topic: str
    state: str
    run: Timeline


class Letters(Struct, frozen=True, kw_only=True):
    """Dead letters, the newest first, without what they hold."""

    dead_letters: list[dead.Facts]


class Letter(Struct, frozen=True, kw_only=True):
    """A dead letter with what its entry holds: decoded, or as Base64 when it can't be."""

    facts: dead.Facts
    content: Any
    decoded: bool


class Done(Struct, frozen=True, kw_only=True):
    """What was done with a dead letter."""

    id: str
    done: Literal["retried", "dropped"]


async def healthz(state: State, request: Request) -> Response:
    return json(Alive(app=state.app_id, role=state.role, release=RELEASE))


async def readyz(state: State, request: Request) -> Response:
    found = await health.look(state.mesh)
    if not is_known(request, state.token):  # whoever probes need not know why
        found = health.Health(ready=found.ready, checks=())
    return json(found, 200 if found.ready else 503)


async def metrics(state: State, request: Request) -> Response:
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(REGISTRY), media_type=media_type)


async def quorum(state: State, request: Request) -> Response:
    return json({"members": await state.joined().roll_call()})


async def job(state: State, request: Request) -> Response:
    format = request.query_params.get("format", "json")
    if format not in get_args(Format):
        raise Refused(400, f"format is one of {', '.join(get_args(Format))}, not {format!r:.40}")
    run = await state.joined().export(request.path_params["id"])
    if format == "json":
        return json(Job(job_id=run.job_id, topic=run.topic, state=_state(run), run=run))
    text = _drawn(run, format)
    is_svg = format in ("svg", "timeline")
    return Response(text, media_type="image/svg+xml" if is_svg else "text/plain")


async def letters(state: State, request: Request) -> Response:
    limit = _limit(request.query_params)
    job = request.query_params.get("job")
    found = await dead.find(state.joined().store, limit=limit, job=job)
    return json(Letters(dead_letters=[dead.facts_of(d) for d in found]))


async def letter(state: State, request: Request) -> Response:
    found = await dead.get(state.joined().store, request.path_params["id"])
    content, decoded = dead.content_of(found.payload)
    return json(Letter(facts=dead.facts_of(found), content=content, decoded=decoded))


async def retry(state: State, request: Request) -> Response:
    id = request.path_params["id"]
    if not await dead.retry(state.joined().store, id):
        raise dead.DeadLetterNotFound(id)
    return _done(request, Done(id=id, done="retried"))


async def drop(state: State, request: Request) -> Response:
    id = request.path_params["id"]
    if not await dead.drop(state.joined().store, id):
        raise dead.DeadLetterNotFound(id)
    return _done(request, Done(id=id, done="dropped"))


async def index(state: State, request: Request) -> Response:
    found = await health.look(state.mesh)
    members, dead_letters = [], []
    if state.mesh is not None and found.checks[0].ok:
        members = await state.mesh.roll_call()
        dead_letters = await dead.find(state.mesh.store, limit=LIST_DEFAULT)
    title = f"{state.app_id} · {state.role}"
    text = page.render(title, found, members, [dead.facts_of(d) for d in dead_letters])
    return Response(text, media_type="text/html")


def _done(request: Request, done: Done) -> Response:
    if request.headers.get("content-type", "").startswith(FORM):
        return RedirectResponse("/", status_code=303)
    return json(done)


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(LIST_DEFAULT))
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= LIST_MAX:
        raise Refused(400, f"limit is a number from 1 to {LIST_MAX:,}, not {text!r:.40}")
    return int(text)


def _state(run: Timeline) -> str:
    if run.status > 0:
        return "running"
    if run.status < 0:
        return "interrupted"
    return "failed" if run.error else "completed"


def _drawn(run: Timeline, format: str) -> str:
    title, about = run.topic, (run.job_id,)
    if format == "text":
        return pictures.timeline_text(run.legs)
    if format == "timeline":
        return pictures.timeline_svg(run.legs, title=title, about=about)
    graph = pictures.from_legs(run.legs, run.edges, title=title, about=about)
    return pictures.graph_svg(graph) if format == "svg" else pictures.graph_mermaid(graph)
