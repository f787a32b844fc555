"""The one place that makes connections: redis-py dials and signs in, then hands over its socket.

All that a connection of hotmesh must not do by itself is switched off here: resending commands
(one lost reply turned one XADD into two), RESP3 with its maintenance notifications (an idle
connection that the server closed goes unnoticed), health checks, decoding. What redis-py raises
becomes one of our errors here, and only here; no message repeats a password.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from redis import exceptions
from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from hotmesh.connect.url import Address
from hotmesh.errors import HotMeshError, ServerUnavailable, ServerUnsuitable

CONNECT_TIMEOUT_S = 5.0  # one attempt: a lost SYN is sent again after 1 and 3 s
BACKOFF_FIRST_S = 0.02
BACKOFF_MAX_S = 1.0  # full jitter: 20 processes that lost one server spread over this
SUSPICION_S = 0.1
UNSENT_BYTES_MAX = 4 * 1024 * 1024  # one large payload and its neighbours


@dataclass(slots=True)
class Socket:
    """A connected and signed-in socket, taken out of a redis-py connection.

    Attributes:
        client_id: The server's number for it; None where CLIENT ID is not permitted.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    client_id: int | None


Dial: TypeAlias = Callable[[float], Awaitable[Socket]]
"""Connects within so many seconds, or raises ServerUnavailable or ServerUnsuitable."""


class Dialer:
    """Connects to one address, as often as asked. It has no state of its own."""

    def __init__(self, address: Address, role: str) -> None:
        """`role` becomes part of the name in CLIENT LIST: `hotmesh:<role>:<pid>`."""
        self.address = address
        # The server refuses names with spaces or control characters.
        self._name = "".join(c if c.isalnum() or c in "._-" else "_" for c in role)

    async def __call__(self, deadline_s: float) -> Socket:
        """Connect, trying again until the deadline, also while the server loads its data.

        Raises:
            ServerUnavailable: Nothing answered in time, or we were refused.
            ServerUnsuitable: What answers is no Redis.
        """
        loop = asyncio.get_running_loop()
        until, pause_max_s = loop.time() + deadline_s, BACKOFF_FIRST_S
        failure: BaseException | None = None
        while True:
            try:
                async with asyncio.timeout_at(min(until, loop.time() + CONNECT_TIMEOUT_S)):
                    return await self._attempt()
            except (exceptions.RedisError, OSError) as exc:
                # An attempt that the deadline cut short says less than the one before it.
                failure = exc if failure is None or not isinstance(exc, TimeoutError) else failure
                pause_s = random.uniform(0, pause_max_s)
                if loop.time() + pause_s >= until or not _passes(exc):
                    raise self._translated(failure, deadline_s) from failure
            await asyncio.sleep(pause_s)
            pause_max_s = min(BACKOFF_MAX_S, pause_max_s * 2)

    async def _attempt(self) -> Socket:
        connection = self._make()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            client_id = await _greet(connection)
            reader, writer = connection._reader, connection._writer
            if reader is None or writer is None:
                raise exceptions.ConnectionError("Connection closed by server.")
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        # The socket changes hands: redis-py would close it when its connection is collected.
        connection._reader = connection._writer = None
        return Socket(reader, writer, client_id)

    def _make(self) -> AbstractConnection:
        options: dict[str, Any] = dict(
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            health_check_interval=0,
            decode_responses=False,
            # None, because redis-py would use asyncio.wait_for, which may swallow a cancellation in
            # Python 3.11. It reads during the handshake only, and we limit that as a whole.
            socket_timeout=None,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            client_name=f"hotmesh:{self._name}:{os.getpid()}",
            driver_info=None,
        )
        if not issubclass(self.address.kind, UnixDomainSocketConnection):
            # redis-py's own options then notice a dead peer within 45 s.
            options["socket_keepalive"] = True
        return self.address.kind(**self.address.options, **options)

    # errors

    def _translated(self, error: BaseException, deadline_s: float) -> HotMeshError:
        cause = _root(error)
        place, text = self.address.place, self.address.scrub(str(cause)).rstrip(".")
        if isinstance(cause, TimeoutError):
            return ServerUnavailable(
                f"Redis at {place} did not answer within {deadline_s:g} s; check that it runs, "
                "that nothing stands between (a firewall, a paused process), and the address"
            )
        if isinstance(cause, exceptions.InvalidResponse):
            return ServerUnsuitable(
                f"what listens at {place} does not speak the protocol of Redis ({text}); "
                "check host and port, and whether it wants TLS (rediss://)"
            )
        if isinstance(cause, (exceptions.AuthenticationError, exceptions.AuthorizationError)):
            return ServerUnavailable(
                f"Redis at {place} refuses {self.address.user} ({text}); "
                "correct the user name and password of redis= or HOTMESH_REDIS_URL"
            )
        if isinstance(cause, exceptions.BusyLoadingError):
            return ServerUnavailable(
                f"Redis at {place} still loads its data after {deadline_s:g} s; try again later"
            )
        if isinstance(cause, exceptions.ResponseError):
            return ServerUnavailable(f"Redis at {place} refuses {self.address.user}: {text}")
        return ServerUnavailable(
            f"no connection to Redis at {place} within {deadline_s:g} s ({text}); "
            "start the server, or correct redis= or HOTMESH_REDIS_URL"
        )


async def _greet(connection: AbstractConnection) -> int | None:
    """The client id, and by PING whether the data is loaded: the handshake works before that."""
    await connection.send_packed_command(connection.pack_commands([("PING",), ("CLIENT", "ID")]))
    answers: list[Any] = []
    for _ in range(2):
        try:
            answers.append(await connection.read_response())
        except exceptions.ResponseError:  # not permitted; LOADING is a ConnectionError
            answers.append(None)
    return cast("int | None", answers[1])


def _root(error: BaseException) -> BaseException:
    """What redis-py wrapped: on unix sockets an AuthenticationError is inside a ConnectionError."""
    while type(error) is exceptions.ConnectionError and isinstance(
        error.__cause__, exceptions.RedisError
    ):
        error = error.__cause__
    return error


def _passes(error: BaseException) -> bool:
    """Whether the fault may be over in a moment, so that trying again makes sense."""
    cause = _root(error)
    if isinstance(cause, (exceptions.AuthenticationError, exceptions.AuthorizationError)):
        return False
    if isinstance(cause, exceptions.ResponseError):
        return str(cause).startswith(("BUSY", "MASTERDOWN", "CLUSTERDOWN"))
    is_untrusted = isinstance(error.__context__, ssl.SSLCertVerificationError)
    return not (is_untrusted or isinstance(cause, exceptions.InvalidResponse))


class Wire(asyncio.Protocol, ABC):
    """A socket of ours from open to lost; a subclass says what to do with what arrives.

    Attributes:
        lost: Why it is of no use any more; None while it is.
        closed: Done when the socket is gone.
        heard_at: When something arrived, or became due; the subclass keeps it.
    """

    def __init__(self, timeout_s: float | None) -> None:
        """Drop the socket when nothing arrives for `timeout_s` while something is due."""
        self.loop = loop = asyncio.get_running_loop()
        self.lost: HotMeshError | None = None
        self.closed: asyncio.Future[None] = loop.create_future()
        self.client_id: int | None = None
        self.paused = False
        self.transport: asyncio.Transport | None = None
        self.heard_at = 0.0
        self._stream: asyncio.StreamWriter | None = None
        self._timeout_s = timeout_s
        self._watchdog: asyncio.TimerHandle | None = None
        self._suspect = False

    def attach(self, socket: Socket) -> None:
        """Take over the socket.

        Nothing is left behind in the stream's buffer: redis-py has read the reply of each command
        that it sent, and RESP2 sends nothing unasked. The end of the file may have been seen there.
        """
        transport = cast(asyncio.Transport, socket.writer.transport)  # typed as write-only
        self.transport, self.client_id = transport, socket.client_id
        # Kept: from Python 3.12 on, a stream writer that is collected closes its transport.
        self._stream = socket.writer
        transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        transport.set_protocol(self)
        if socket.reader.at_eof() or transport.is_closing():
            self.drop(ServerUnavailable("the server closed the connection at once"))

    def drop(self, error: HotMeshError) -> None:
        """Give it up; what waits on it fails with `error`. Idempotent, the first error stands."""
        if self.lost is None:
            self.lost, self.paused = error, False
            if self._watchdog is not None:
                self._watchdog.cancel()
            if self.transport is not None:
                # Not close(): that would wait for a peer which may not read what is buffered.
                self.transport.abort()
            else:
                self.closed.set_result(None)

    def nonsense(self, what: object) -> None:
        """Drop, because of something that can't come here: what follows can't be trusted."""
        self.drop(ServerUnavailable(f"the server sent {what}; the connection was dropped"))

    # the watchdog: one timer per connection, moved on by what arrives

    @abstractmethod
    def due(self) -> bool:
        """Whether the server owes us something."""

    def expect(self) -> None:
        """Something has become due."""
        if self._timeout_s is not None:
            self.heard_at = self.loop.time()
            if self._watchdog is None:
                self._watchdog = self.loop.call_later(self._timeout_s, self._check, self._timeout_s)

    def _check(self, timeout_s: float) -> None:
        self._watchdog = None
        if self.lost is not None or not self.due():
            return
        left_s = self.heard_at + timeout_s - self.loop.time()
        if left_s <= 0 and self._suspect:
            self.drop(
                ServerUnavailable(
                    f"the server has not answered for {timeout_s:g} s; the connection was dropped, "
                    "and what became of the commands on their way is not known"
                )
            )
            return
        # A loop that was blocked runs its timers before it reads: look twice before dropping.
        self._suspect = left_s <= 0
        pause_s = SUSPICION_S if self._suspect else left_s
        self._watchdog = self.loop.call_later(pause_s, self._check, timeout_s)

    # what the event loop calls

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.drop(
            ServerUnavailable(f"the connection to the server was lost{f': {exc}' if exc else ''}")
        )
        if not self.closed.done():
            self.closed.set_result(None)


def again(error: HotMeshError) -> HotMeshError:
    """The same error as a new object: one raised in many tasks would collect their tracebacks."""
    fresh = type(error)(*error.args)
    fresh.__cause__ = error.__cause__
    return fresh
