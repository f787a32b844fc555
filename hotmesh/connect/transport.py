"""Commands at the price of bytes: one write per turn of the event loop, replies matched in order.

redis-py connects, encrypts and signs in (see `client`); from then on its socket is ours. Commands
of one turn are packed by hiredis into one write; replies are parsed by hiredis as they arrive and
given to whoever is next in line. Three rules hold it together: a slot leaves the line only when its
reply has come, so that a cancelled caller can't shift the replies of others; when a connection is
lost, all that was on its way fails and nothing is sent again, because it is not known what took
effect; the next command connects again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, final

import hiredis

from hotmesh.connect.client import UNSENT_BYTES_MAX, Dial, Wire, again
from hotmesh.errors import HotMeshError, Overloaded, ServerUnavailable, ServerUnsuitable

Arg: TypeAlias = bytes | str | int | float

CLOSED = "the connection to the server was closed by this process"
_NOTHING = object()
# Its stub names a tuple of one.
_pack_command: Callable[[tuple[Arg, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]


class ReplyError(HotMeshError):
    """The server answered a command with an error; the command is done and the connection goes on.

    Attributes:
        kind: The first word, such as NOSCRIPT, NOGROUP, OOM, READONLY, LOADING, NOPERM, MISCONF,
            WRONGTYPE or ERR.
    """

    def __init__(self, text: str) -> None:
        self.kind = text.partition(" ")[0]
        super().__init__(text)


class Commands(Protocol):
    """What an `on_connect` callback gets: a way to send before all other commands."""

    async def execute(self, *args: Arg) -> Any: ...
    async def execute_many(self, commands: Sequence[Sequence[Arg]]) -> list[Any]: ...


@final
@dataclass(slots=True)
class Batch:
    """One future for the replies of many commands."""

    future: asyncio.Future[list[Any]]
    count: int
    replies: list[Any]


Slot: TypeAlias = "asyncio.Future[Any] | Batch"


def pack(*commands: Sequence[Arg]) -> bytes:
    """Commands as bytes.

    Raises:
        TypeError: An argument is none of bytes, str, int and float (a bool is refused too).
        ValueError: One is empty: that has no reply, so all later ones would go to wrong callers.
    """
    if not all(commands):
        raise ValueError("a command needs at least its name")
    return b"".join(map(_pack_command, map(tuple, commands)))


class Link(Wire):
    """A wire for commands; until it is attached it is the queue of a connection to be."""

    def __init__(self, timeout_s: float | None, on_room: Callable[[], None]) -> None:
        super().__init__(timeout_s)
        self.pending: deque[Slot] = deque()
        self.in_flight = 0  # replies that are still to come
        self.unsent = 0  # bytes of this turn
        self._out: list[bytes] = []
        self._on_room = on_room
        self._parser = hiredis.Reader(replyError=ReplyError, notEnoughData=_NOTHING)

    def push(self, packed: bytes, slot: Slot, count: int) -> None:
        """Queue one write of `count` commands; it goes out at the end of this turn."""
        if self.transport is not None:
            if not self._out:
                self.loop.call_soon(self._flush)
            if not self.pending:
                self.expect()
        self._out.append(packed)
        self.pending.append(slot)
        self.in_flight += count
        self.unsent += len(packed)

    def take(self, queue: Link) -> None:
        """Send what was queued for this connection, less what nobody waits for any more."""
        for packed, slot in zip(queue._out, queue.pending, strict=True):
            future, count = (slot.future, slot.count) if type(slot) is Batch else (slot, 1)
            if not future.done():
                self.push(packed, slot, count)
        queue._out.clear()
        queue.pending.clear()

    async def execute(self, *args: Arg) -> Any:
        (reply,) = await self.execute_many([args])
        if type(reply) is ReplyError:
            raise reply
        return reply

    async def execute_many(self, commands: Sequence[Sequence[Arg]]) -> list[Any]:
        if self.lost is not None:
            raise again(self.lost)
        batch = Batch(self.loop.create_future(), len(commands), [])
        if commands:
            self.push(pack(*commands), batch, batch.count)
            await batch.future
        return batch.replies

    def due(self) -> bool:
        return bool(self.pending)

    def drop(self, error: HotMeshError) -> None:
        if self.lost is None:
            super().drop(error)
            for slot in self.pending:
                future = slot.future if isinstance(slot, Batch) else slot
                if not future.done():
                    future.set_exception(again(error))
            self.pending.clear()
            self._out.clear()
            self.in_flight = self.unsent = 0
            self._on_room()

    def _flush(self) -> None:
        if self.transport is not None and self.lost is None:
            data = b"".join(self._out)
            self._out.clear()
            self.unsent = 0
            self.transport.write(data)
            self._on_room()

    def resume_writing(self) -> None:
        self.paused = False
        self._on_room()

    def data_received(self, data: bytes) -> None:
        if self.lost is not None:
            return
        self.heard_at = self.loop.time()
        try:
            self._parser.feed(data)
            self._match()
        except hiredis.ProtocolError as exc:
            self.nonsense(f"what is not a reply ({exc})")
        except IndexError:  # nobody in line
            self.nonsense("a reply to nothing")

    def _match(self) -> None:
        """Give each reply that is complete to the slot at the head of the line."""
        gets, pending = self._parser.gets, self.pending
        while (reply := gets()) is not _NOTHING:
            slot = pending[0]
            if type(slot) is Batch:
                slot.replies.append(reply)
                if len(slot.replies) < slot.count:
                    continue
                future, count, reply = slot.future, slot.count, slot.replies
            else:
                future, count = slot, 1
            pending.popleft()
            self.in_flight -= count
            if future.done():  # its caller was cancelled: the reply ends here
                continue
            if type(reply) is ReplyError:
                future.set_exception(reply)
            else:
                future.set_result(reply)
        self._on_room()


class Transport:
    """Commands over one connection that comes back by itself.

    A command that was on its way when the connection was lost fails with `ServerUnavailable` and is
    never repeated here: the caller knows whether it may be. A cancelled caller does no harm, but
    its command may still take effect. What has no reply or several (`SUBSCRIBE`, `CLIENT REPLY`)
    does not belong here; nor does, except on a `Connection.reader`, what blocks. The server may
    answer a batch as a whole, so one that takes it longer than the timeout counts as silence.

    Attributes:
        on_connect: Called in order after each (re)connect, before any other command is sent; they
            send through their argument, not the transport. If one fails, connecting has failed.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        command_timeout_s: float | None = 5.0,
        connect_deadline_s: float = 5.0,
        in_flight_max: int = 10_000,
    ) -> None:
        """Make it, in the event loop that will use it; the first command connects.

        Args:
            dial: Connects; see `client.Dialer`.
            command_timeout_s: Drop the connection when nothing at all has arrived for so long while
                replies are due; None for blocking reads, which rely on TCP keepalive.
            connect_deadline_s: How long commands wait for a connection before they fail.
            in_flight_max: Commands without a reply (10,000 take some 10 MB); above it `execute`
                waits and `send` raises.
        """
        self.on_connect: list[Callable[[Commands], Awaitable[None]]] = []
        self._dial = dial
        self._loop = asyncio.get_running_loop()
        self._timeout_s = command_timeout_s
        self._deadline_s = connect_deadline_s
        self._in_flight_max = in_flight_max
        self._closed = False
        self._connector: asyncio.Task[None] | None = None
        self._waiters: deque[tuple[asyncio.Future[None], int]] = deque()
        self._link = self._new_link()
        self._link.drop(ServerUnavailable("not connected yet"))

    @property
    def client_id(self) -> int | None:
        """The server's number for the present connection; None without one."""
        return self._link.client_id if self._link.lost is None else None

    @property
    def closed(self) -> bool:
        return self._closed

    def send(self, *args: Arg) -> asyncio.Future[Any]:
        """Send one command without waiting, not even for room; the future will have its reply.

        Raises:
            Overloaded: `in_flight_max` commands, or 4 MiB of unsent bytes, wait already.
            ServerUnavailable: Closed.
        """
        packed = _pack_command(args) if args else pack(args)
        if self._full(1):
            raise Overloaded(
                f"{self._link.in_flight} commands wait for this server already", retry_after_ms=100
            )
        future: asyncio.Future[Any] = self._loop.create_future()
        self._live().push(packed, future, 1)
        return future

    async def execute(self, *args: Arg) -> Any:
        """Send one command and give its reply: bytes, int, list or None.

        Raises:
            ReplyError: The server refused it.
            ServerUnavailable: No connection within the deadline; or it was lost, and then the
                command may have taken effect.
        """
        packed = _pack_command(args) if args else pack(args)
        if self._waiters or self._full(1):
            await self._room(1)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._live().push(packed, future, 1)
        return await future

    async def execute_many(self, commands: Sequence[Sequence[Arg]]) -> list[Any]:
        """Send many commands in one write; their replies in order, each a value or a `ReplyError`.

        More than `in_flight_max` go in several writes, one after the other.

        Raises:
            ServerUnavailable: As in `execute`; any prefix may have taken effect.
        """
        size = self._in_flight_max
        if len(commands) > size:
            chunks = [commands[at : at + size] for at in range(0, len(commands), size)]
            return [reply for chunk in chunks for reply in await self.execute_many(chunk)]
        packed = pack(*commands)
        if not packed:
            return []
        if self._waiters or self._full(len(commands)):
            await self._room(len(commands))
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        self._live().push(packed, Batch(future, len(commands), []), len(commands))
        return await future

    async def ready(self) -> None:
        """Return once the server answers; raises `ServerUnavailable` or `ServerUnsuitable`."""
        with contextlib.suppress(ReplyError):  # refused is answered
            await self.execute("PING")

    async def unblock(self, reader: Transport) -> bool:
        """End the blocking read of another transport, as if its time was up.

        Returns:
            False if it was not blocked, perhaps not yet: repeat until the read has returned.
        """
        client_id = reader.client_id
        return client_id is not None and bool(await self.execute("CLIENT", "UNBLOCK", client_id))

    async def close(self) -> None:
        """Close; what is in flight fails with `ServerUnavailable`. May be called twice."""
        self._closed = True
        self._link.drop(ServerUnavailable(CLOSED))
        self._make_room()
        if self._connector is not None:
            self._connector.cancel()
            await asyncio.wait([self._connector])
        await asyncio.shield(self._link.closed)

    # connecting

    def _new_link(self) -> Link:
        return Link(self._timeout_s, self._make_room)

    def _live(self) -> Link:
        """The link to push to: connected, or the queue of the connection that is being made."""
        if self._link.lost is None:
            return self._link
        if self._closed:
            raise ServerUnavailable(CLOSED)
        self._link = self._new_link()
        # Owned: `close` cancels and awaits it. All callers share this one attempt.
        self._connector = self._loop.create_task(self._connect(self._link))
        return self._link

    async def _connect(self, queue: Link) -> None:
        try:
            link = await self._establish()
        except (ServerUnavailable, ServerUnsuitable) as exc:
            queue.drop(exc)
        except BaseException as exc:
            # An on_connect callback failed, or close() cancelled us: whoever waits must hear of it.
            error = ServerUnavailable(CLOSED if self._closed else f"connecting failed: {exc!r}")
            error.__cause__ = exc
            queue.drop(error)
            if not isinstance(exc, Exception):
                raise
        else:
            self._link = link
            link.take(queue)
            self._make_room()

    async def _establish(self) -> Link:
        link = self._new_link()
        link.attach(await self._dial(self._deadline_s))
        try:
            async with asyncio.timeout(self._deadline_s):
                for callback in self.on_connect:
                    await callback(link)
        except BaseException:
            link.drop(ServerUnavailable(CLOSED))
            raise
        if self._closed:  # and whatever we awaited has swallowed the cancellation
            link.drop(ServerUnavailable(CLOSED))
        if link.lost is not None:
            raise link.lost
        return link

    # back-pressure

    def _full(self, count: int) -> bool:
        link = self._link
        crowded = link.in_flight + count > self._in_flight_max
        return crowded or link.paused or link.unsent > UNSENT_BYTES_MAX

    async def _room(self, count: int) -> None:
        """Wait in line until `count` more commands fit."""
        while not self._closed:
            turn: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append((turn, count))
            try:
                await turn
            except asyncio.CancelledError:
                self._make_room()  # what was meant for us goes to the next
                raise
            if not self._full(count):
                return

    def _make_room(self) -> None:
        """Wake as many as fit, oldest first."""
        if self._waiters and not self._full(1):
            free = self._in_flight_max - self._link.in_flight
            while self._waiters:
                turn, count = self._waiters[0]
                if not turn.done():  # one that was cancelled takes no room
                    free -= count
                    if free < 0 and not self._closed:
                        return
                    turn.set_result(None)
                self._waiters.popleft()
