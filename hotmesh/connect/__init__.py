"""Connections: from `redis=` to a transport for commands, readers that block, and a pub/sub bus.

`open` is the way in. What it gives owns all that it made and closes it; a client of the caller is
never closed and never used, only asked where it connects to.
"""

from __future__ import annotations

import warnings
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from hotmesh.connect.bus import Bus, Handler, Subscription
from hotmesh.connect.client import Dialer
from hotmesh.connect.server import ServerFacts, check
from hotmesh.connect.transport import Arg, Commands, ReplyError, Transport
from hotmesh.connect.url import Address, EmbeddedHome, Source, parse_url, resolve
from hotmesh.errors import ServerUnavailable

if TYPE_CHECKING:
    from hotmesh.connect.embedded import EmbeddedServer

__all__ = [
    "Address",
    "Arg",
    "Bus",
    "Commands",
    "Connection",
    "EmbeddedHome",
    "Handler",
    "ReplyError",
    "ServerFacts",
    "Source",
    "Subscription",
    "Transport",
    "check",
    "open",
    "resolve",
]


_CLOSED = "this connection is closed"


class Connection:
    """All that one component has open to one server; an async context manager.

    Attributes:
        transport: For commands, shared by all tasks of this event loop.
        url_masked: The server's URL without its password, for logs.
    """

    def __init__(
        self,
        address: Address,
        role: str,
        *,
        lender: Connection | None = None,
        embedded: EmbeddedServer | None = None,
    ) -> None:
        """Made by `open`. Transport and bus of a `lender` are shared, and stay open."""
        self.url_masked = address.masked
        self._address = address
        self._dial = Dialer(address, role)
        self._lender = lender
        self._embedded = embedded
        self._bus: Bus | None = None
        self._readers: list[Transport] = []
        self._closed = False
        self.transport: Transport = lender.transport if lender else Transport(self._dial)

    @property
    def address(self) -> Address:
        """Where the server is, secrets included."""
        return self._address

    @property
    def bus(self) -> Bus:
        """Pub/sub; it connects with its first subscription."""
        if self._lender is not None:
            return self._lender.bus
        if self._bus is None:
            if self._closed:
                raise ServerUnavailable(_CLOSED)
            self._bus = Bus(self._dial)
        return self._bus

    async def reader(self, *, silence_s: float | None = None) -> Transport:
        """A transport of its own for blocking reads, connected.

        Args:
            silence_s: Drop the connection when a read is answered by nothing for so long, which
                must be more than it may block; None for never.

        A caller that is cancelled while it reads loses what it would have read: end it by
        `transport.unblock(reader)` instead. Close it when done, or leave that to `close`.

        Raises:
            ServerUnavailable: It could not be connected.
        """
        if self._closed:
            raise ServerUnavailable(_CLOSED)
        reader = Transport(self._dial, command_timeout_s=silence_s)
        self._readers = [r for r in self._readers if not r.closed] + [reader]
        try:
            await reader.ready()
        except BaseException:
            await reader.close()
            raise
        return reader

    async def close(self) -> None:
        """Close what this connection has opened. May be called twice."""
        self._closed = True
        embedded, self._embedded = self._embedded, None
        # From the last to the first, and each even if another was cancelled.
        async with AsyncExitStack() as stack:
            if embedded is not None:
                stack.push_async_callback(embedded.release)
            if self._lender is None:
                stack.push_async_callback(self.transport.close)
            if self._bus is not None:
                stack.push_async_callback(self._bus.close)
            for reader in self._readers:
                stack.push_async_callback(reader.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<hotmesh Connection to {self.url_masked}{' (closed)' if self._closed else ''}>"

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(
                f"{self!r} was never closed; call close(), or use 'async with'",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )


async def open(
    redis: Source | Connection = None,
    *,
    home: Path | None = None,
    role: str = "client",
) -> Connection:
    """Connect to the server that `redis=` means.

    Args:
        redis: A URL (`redis://`, `rediss://`, `unix://`); an existing `redis.asyncio` client or
            pool, whose address and credentials are used and which stays open; a `Connection`, whose
            transport and bus are then shared; or None for `HOTMESH_REDIS_URL` and, when that is
            unset, the embedded server.
        home: Where the embedded server lives; see `resolve`.
        role: What we are, for the name in CLIENT LIST.

    Raises:
        ConnectionInvalid: It is something that can't be connected to.
        ServerUnavailable: Nothing answers there within 5 s, or we are refused.
        ServerUnsuitable: What answers is no Redis.
    """
    if isinstance(redis, Connection):
        return Connection(redis._address, role, lender=redis)
    place = resolve(redis, home=home)
    if isinstance(place, Address):
        connection = Connection(place, role)
    else:
        # Only who needs the embedded server pays for its import.
        from hotmesh.connect.embedded import ensure

        embedded = await ensure(place.path)
        connection = Connection(parse_url(embedded.url), role, embedded=embedded)
    try:
        await connection.transport.ready()
    except BaseException:
        await connection.close()
        raise
    return connection
