"""The addresses as an ASGI app, which may also be mounted in a service of your own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hotmesh.admin import access, errors
from hotmesh.admin.endpoints import ENDPOINTS, Endpoint
from hotmesh.admin.openapi import document
from hotmesh.admin.page import HEADERS
from hotmesh.admin.views import State
from hotmesh.errors import HotMeshError

OPENAPI = "/openapi.json"


def build(state: State) -> Starlette:
    """The app that looks at `state`."""
    told = document(ENDPOINTS)

    async def openapi(request: Request) -> Response:
        access.check(request, state.token)
        return errors.json(told)

    routes = [_route(endpoint, state) for endpoint in ENDPOINTS]
    app = Starlette(
        routes=[*routes, Route(OPENAPI, openapi, methods=["GET"])],
        exception_handlers={
            HotMeshError: errors.on_error,
            HTTPException: errors.on_http,
            Exception: errors.on_fault,
        },
    )
    app.router.redirect_slashes = False
    app.state.paths = [*dict.fromkeys(e.path for e in ENDPOINTS), OPENAPI]
    return app


def _route(endpoint: Endpoint, state: State) -> Route:
    async def answer(request: Request) -> Response:
        if not endpoint.is_open:
            access.check(request, state.token)
        response = await endpoint.view(state, request)
        # What is shown may be data of users: no cache keeps it, and nothing guesses its type.
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    handle: Callable[[Request], Awaitable[Response]] = answer
    # A job's id may hold a slash.
    path = endpoint.path.replace("/jobs/{id}", "/jobs/{id:path}")
    return Route(path, handle, methods=[endpoint.method])
