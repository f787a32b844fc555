"""Errors as JSON: what, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hotmesh.errors import HotMeshError, ServerUnavailable
from hotmesh.log import get_logger

log = get_logger("hotmesh.admin")

JSON = "application/json"


class Problem(Struct, frozen=True, kw_only=True):
    """Why a request was not done.

    Attributes:
        type: The class of the error.
        code: The HTTP status.
        message: What is wrong, and what to do.
    """

    type: str
    code: int
    message: str


class Refused(HotMeshError):
    """A request that can't be done as it was asked. `code` is the HTTP status."""

    def __init__(self, code: int, message: str, *, headers: Mapping[str, str] = {}) -> None:
        self.code, self.headers = code, headers
        super().__init__(message)


def json(value: Any, status: int = 200, headers: Mapping[str, str] = {}) -> Response:
    """A JSON response: structs as objects, bytes in Base64."""
    return Response(
        msgspec.json.encode(value, enc_hook=str), status, headers=dict(headers), media_type=JSON
    )


def problem(type_: str, status: int, message: str, headers: Mapping[str, str] = {}) -> Response:
    """An error as a response."""
    return json({"error": Problem(type=type_, code=status, message=message)}, status, headers)


async def on_error(request: Request, exc: Exception) -> Response:
    """An error of ours, with its own status where HTTP has it."""
    assert isinstance(exc, HotMeshError)
    status = 503 if isinstance(exc, ServerUnavailable) else exc.code
    headers = exc.headers if isinstance(exc, Refused) else {}
    if not 400 <= status <= 599:
        status = 500
    return problem(type(exc).__name__, status, str(exc), headers)


async def on_http(request: Request, exc: Exception) -> Response:
    """A path or a method that is not there."""
    assert isinstance(exc, HTTPException)
    path, known = request.url.path, request.app.state.paths
    if exc.status_code == 404:
        near = get_close_matches(path, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        return problem("NotFound", 404, f"there is no {path[:200]!r}; {hint}")
    if exc.status_code == 405:
        allowed = ", ".join(sorted((exc.headers or {}).get("Allow", "").split(", ")))
        text = f"{request.method} is not possible here; {path} takes {allowed}"
        return problem("MethodNotAllowed", 405, text, {"Allow": allowed})
    return problem("HTTPError", exc.status_code, str(exc.detail))


async def on_fault(request: Request, exc: Exception) -> Response:
    """A fault of ours: told in the log, not to the caller."""
    log.error("request.failed", path=request.url.path, exc_info=exc)
    return problem("InternalError", 500, "the admin has failed; its log says how")
