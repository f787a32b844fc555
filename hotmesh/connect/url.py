"""`redis=` in all its forms → an `Address`: where the server is and how to sign in.

Nothing is connected here. An `Address` holds secrets, so its repr is masked, and no error of this
module repeats a piece of a URL that could belong to a password: one with an unescaped `/`, `#`, `?`
or `@` splits a URL in surprising places.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import redis.asyncio as redis_asyncio
from redis.asyncio.connection import (
    AbstractConnection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.connection import Connection as TCPConnection
from redis.asyncio.sentinel import SentinelConnectionPool

from hotmesh.errors import ConnectionInvalid

URL_VARIABLE = "HOTMESH_REDIS_URL"
HOME_VARIABLE = "HOTMESH_HOME"
HOME_DEFAULT = ".hotmesh"

ACCEPTED = "redis://, rediss:// and unix:// URLs"
ESCAPE = (
    "if the password has characters such as / # ? @ or %, percent-encode them (urllib.parse.quote)"
)
LATER = {"redis+sentinel": "Sentinel", "redis+cluster": "Cluster"}

# What of a foreign client's settings says where the server is and who we are; TLS options are known
# by their prefix. Everything else (timeouts, retries, decoding) gets our own safe values.
IDENTITY = frozenset(
    {
        "host",
        "port",
        "path",
        "db",
        "username",
        "password",
        "credential_provider",
        "socket_keepalive_options",
        "socket_type",
    }
)


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """One server, and how to sign in to it.

    Attributes:
        kind: The redis-py connection class that reaches it.
        options: Keyword arguments of that class, without those that the factory sets; secrets too.
    """

    kind: type[AbstractConnection]
    options: Mapping[str, Any]

    @property
    def place(self) -> str:
        """`host:port`, or the path of the socket."""
        if "path" in self.options:
            return str(self.options["path"])
        host = str(self.options.get("host", "localhost"))
        return f"{f'[{host}]' if ':' in host else host}:{self.options.get('port', 6379)}"

    @property
    def user(self) -> str:
        """Who we sign in as, for messages."""
        if self.options.get("credential_provider") is not None:
            return "the user of the credential provider"
        return f"user {self.options.get('username') or 'default'!r}"

    @property
    def masked(self) -> str:
        """The URL without its password, for logs."""
        who = quote(str(self.options.get("username") or ""), safe="")
        if self.options.get("password") or self.options.get("credential_provider"):
            who += ":***"
        at = f"{who}@" if who else ""
        if "path" in self.options:
            return f"unix://{at}{self.place}?db={self.options.get('db') or 0}"
        scheme = "rediss" if issubclass(self.kind, SSLConnection) else "redis"
        return f"{scheme}://{at}{self.place}/{self.options.get('db') or 0}"

    def scrub(self, text: str) -> str:
        """`text` without the password, should a foreign library have put it there."""
        password = str(self.options.get("password") or "")
        return text.replace(password, "***") if password else text

    def __repr__(self) -> str:
        return f"Address({self.masked})"


@dataclass(frozen=True, slots=True)
class EmbeddedHome:
    """Where the embedded server of this machine keeps its socket and data."""

    path: Path


Source = str | redis_asyncio.Redis | ConnectionPool | None


def resolve(
    redis: Source, *, home: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Address | EmbeddedHome:
    """Decide which server `redis=` means. The one place where connecting looks at the environment.

    Args:
        redis: A URL, a `redis.asyncio` client or pool, or None for `HOTMESH_REDIS_URL` and, when
            that is unset or empty, the embedded server.
        home: Where the embedded server lives; by default `HOTMESH_HOME`, else `.hotmesh` in the
            working directory.
        environ: The environment.

    Raises:
        ConnectionInvalid: It is something that can't be connected to.
    """
    if isinstance(redis, str):
        return parse_url(redis)
    if redis is not None:
        return of_client(redis)
    if url := environ.get(URL_VARIABLE):
        return parse_url(url, name=URL_VARIABLE)
    return EmbeddedHome(home or Path(environ.get(HOME_VARIABLE) or HOME_DEFAULT).absolute())


def of_client(client: object) -> Address:
    """Where an existing `redis.asyncio` client or pool connects to; it is left alone itself."""
    pool = client.connection_pool if isinstance(client, redis_asyncio.Redis) else client
    if isinstance(pool, SentinelConnectionPool) or isinstance(client, redis_asyncio.RedisCluster):
        raise ConnectionInvalid(
            "redis= is a Sentinel or Cluster client; these come in a later release, "
            f"pass a client of one server or one of {ACCEPTED}"
        )
    if not isinstance(pool, ConnectionPool):
        raise ConnectionInvalid(
            f"redis= is a {type(client).__module__}.{type(client).__qualname__}; it takes one of "
            f"{ACCEPTED}, a redis.asyncio.Redis or ConnectionPool (not the blocking redis.Redis), "
            "a hotmesh Connection, or None"
        )
    options = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if name in IDENTITY or name.startswith("ssl_")
    }
    return Address(pool.connection_class, options)


def parse_url(url: str, *, name: str = "redis=") -> Address:
    """Parse a URL; `name` says in messages where it came from.

    Raises:
        ConnectionInvalid: A wrong scheme, part or option; the message repeats nothing secret.
    """
    scheme, mark, _ = url.partition("://")
    if not mark or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        raise ConnectionInvalid(f"{name} is not a URL; it takes {ACCEPTED}")
    scheme = scheme.lower()
    if scheme in LATER:
        raise ConnectionInvalid(
            f"{name} asks for {LATER[scheme]}, which comes in a later release; use {ACCEPTED}"
        )
    if scheme not in ("redis", "rediss", "unix"):
        raise ConnectionInvalid(f"{name} has the scheme {scheme}://; it takes {ACCEPTED}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # The text of a ValueError may quote half a password: neither shown nor chained.
        raise ConnectionInvalid(f"{name} has a port or host that can't be read; {ESCAPE}") from None
    if parts.fragment or "@" in parts.query:
        raise ConnectionInvalid(f"{name} has an unescaped # or ? in it; {ESCAPE}")
    options = _query(parts, scheme, name)
    for key, value in (("username", parts.username), ("password", parts.password)):
        if value:
            options[key] = unquote(value)
    if scheme == "unix":
        return Address(UnixDomainSocketConnection, options | _unix(parts, name))
    options |= {"host": unquote(parts.hostname or "localhost"), "port": port or 6379}
    if database := parts.path.strip("/"):
        options.setdefault("db", _number(database, f"the database at the end of {name}"))
    return Address(SSLConnection if scheme == "rediss" else TCPConnection, options)


def _unix(parts: SplitResult, name: str) -> dict[str, Any]:
    if parts.hostname or not parts.path.strip("/"):
        raise ConnectionInvalid(
            f"{name} needs an absolute path after unix://, as in unix:///run/redis.sock"
        )
    return {"path": unquote(parts.path)}


# -- options


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ConnectionInvalid(f"{what} must be a whole number; {ESCAPE}")
    return int(text)


def _text(text: str, what: str) -> str:
    if not text:
        raise ConnectionInvalid(f"{what} is empty")
    return text


def _truth(text: str, what: str) -> bool:
    truths = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in truths:
        raise ConnectionInvalid(f"{what} must be true or false")
    return truths[text.lower()]


def _requirement(text: str, what: str) -> str:
    if text not in ("required", "optional", "none"):
        raise ConnectionInvalid(f"{what} must be required, optional or none")
    return text


OPTIONS: Mapping[str, Callable[[str, str], Any]] = {
    "db": _number,
    "username": _text,
    "password": _text,
}
TLS_OPTIONS: Mapping[str, Callable[[str, str], Any]] = {
    "ssl_ca_certs": _text,
    "ssl_ca_path": _text,
    "ssl_cert_reqs": _requirement,
    "ssl_certfile": _text,
    "ssl_check_hostname": _truth,
    "ssl_ciphers": _text,
    "ssl_keyfile": _text,
    "ssl_password": _text,
}


def _query(parts: SplitResult, scheme: str, name: str) -> dict[str, Any]:
    allowed = {**OPTIONS, **TLS_OPTIONS} if scheme == "rediss" else dict(OPTIONS)
    options: dict[str, Any] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in allowed:
            shown = key if re.fullmatch(r"[a-z_]{1,40}", key) else "one that is not a plain name"
            raise ConnectionInvalid(
                f"{name} has an unknown option ({shown}); "
                f"a {scheme}:// URL takes {', '.join(sorted(allowed))}"
            )
        options[key] = allowed[key](value, f"option {key} of {name}")
    return options
