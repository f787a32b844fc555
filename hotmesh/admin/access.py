"""Who may ask: a token where there is one; else this machine, and no web page of others.

Without a token the admin listens on loopback alone. A page of another site could still reach it
from a browser on this machine, by a name that it has pointed at 127.0.0.1 or by a form that it
posts: so the Host must be a name of loopback, and a request that changes something must not come
from elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.requests import Request

from hotmesh.admin.errors import Refused

CHALLENGE = 'Basic realm="hotmesh", charset="UTF-8"'
"""Browsers ask for a password then; any user name will do."""


def check(request: Request, token: str | None) -> None:
    """Let a request pass.

    Raises:
        Refused: 401 without the token, 403 from another site.
    """
    if token is not None:
        if not is_known(request, token):
            raise Refused(
                401,
                "this admin needs its token: send 'Authorization: Bearer TOKEN', or any user name "
                "and the token as password",
                headers={"WWW-Authenticate": CHALLENGE},
            )
    elif not _is_local_name(request.url.hostname or ""):
        raise Refused(
            403,
            "without a token this admin answers to names of this machine only; ask for "
            "127.0.0.1 or localhost, or set admin.token",
        )
    if request.method not in ("GET", "HEAD"):
        _check_origin(request)


def is_known(request: Request, token: str | None) -> bool:
    """Whether a caller may see details: it shows the token, or none is asked for."""
    if token is None:
        return True
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(value.strip().encode(), token.encode())


def _check_origin(request: Request) -> None:
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Refused(403, "a page of another site may not change anything here")


def _is_local_name(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
