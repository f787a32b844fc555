"""One value, now: how a handler that can't await reads a table's cell that is not in memory.

`totals[key]` is an expression: it can't wait for the event loop. What it needs is nearly always in
memory; when it is not, this asks the server over a socket of its own and blocks the loop for one
round trip. Small tables are loaded whole when a partition is taken, so that this is rare.
"""

from __future__ import annotations

from typing import Any

import redis
from redis import exceptions
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.backoff import NoBackoff
from redis.retry import Retry

from hotmesh.connect import Address
from hotmesh.errors import ServerUnavailable

TIMEOUT_S = 5.0


class Peek:
    """Reads by blocking; connects when it is first needed.

    Attributes:
        count: Reads so far.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._client: redis.Redis | None = None
        self.count = 0

    def hget(self, key: str, field: bytes) -> bytes | None:
        """A field of a hash.

        Raises:
            ServerUnavailable: No answer within 5 s.
        """
        self.count += 1
        try:
            found: Any = self._opened().hget(key, field)
        except (exceptions.RedisError, OSError) as exc:
            raise ServerUnavailable(f"a table's value could not be read: {exc}") from exc
        return found if found is None or isinstance(found, bytes) else bytes(found)

    def close(self) -> None:
        """Close the socket. May be called twice."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _opened(self) -> redis.Redis:
        if self._client is None:
            kind: Any = redis.Connection
            if issubclass(self._address.kind, UnixDomainSocketConnection):
                kind = redis.UnixDomainSocketConnection
            elif issubclass(self._address.kind, SSLConnection):
                kind = redis.SSLConnection
            pool = redis.ConnectionPool(
                kind,
                max_connections=1,
                protocol=2,
                retry=Retry(NoBackoff(), 1),  # it only reads
                socket_timeout=TIMEOUT_S,
                **self._address.options,
            )
            self._client = redis.Redis(connection_pool=pool)
        return self._client
