"""Pub/sub that survives a cut and says so.

A published message is gone when nobody listens, and a connection may be cut at any time, so two
things only can be relied on: once `subscribe` has returned, messages arrive while the connection
lasts; and after every cut, when all subscriptions are back, `on_gap` is called, which means "look
for yourself, you may have missed something".
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import hiredis

from hotmesh.connect.client import BACKOFF_FIRST_S, BACKOFF_MAX_S, Dial, Socket, Wire, again
from hotmesh.connect.transport import CLOSED, ReplyError, pack
from hotmesh.errors import HotMeshError, ServerUnavailable

Handler: TypeAlias = Callable[[bytes, bytes], None]
"""Takes channel and payload; it is called in the event loop and must be quick."""

PING_EVERY_S = 15.0  # a proxy that has forgotten the connection is noticed within 20 s
ANSWER_WITHIN_S = 5.0
STEADY_S = 5.0  # a connection that lived so long starts a new series of back-offs

log = logging.getLogger("hotmesh.connect.bus")
_NOTHING = object()


@dataclass(slots=True, eq=False)
class Channel:
    """One channel or pattern that the server sends us, and who wants it."""

    verb: str  # SUBSCRIBE or PSUBSCRIBE
    name: bytes
    confirmed: asyncio.Future[None]
    subscriptions: list[Subscription] = field(default_factory=list)


class Subscription:
    """One handler on one channel or pattern."""

    def __init__(self, bus: Bus, channel: Channel, handler: Handler) -> None:
        self._bus, self._channel, self.handler = bus, channel, handler

    async def unsubscribe(self) -> None:
        """Detach this handler: it is not called any more. May be called twice."""
        self._bus._detach(self, self._channel)


class _Wire(Wire):
    """The socket of a bus. Replies come in the order of the commands, messages in between."""

    def __init__(self, deliver: Callable[[str, list[Any]], None]) -> None:
        super().__init__(ANSWER_WITHIN_S)
        self._deliver = deliver
        self._questions: deque[Callable[[ReplyError | None], None]] = deque()
        self._parser = hiredis.Reader(replyError=ReplyError, notEnoughData=_NOTHING)

    def ask(self, answered: Callable[[ReplyError | None], None], *args: bytes | str) -> None:
        """Send a command that has exactly one reply."""
        if self.transport is not None and self.lost is None:
            if not self._questions:
                self.expect()
            self._questions.append(answered)
            self.transport.write(pack(args))

    def due(self) -> bool:
        return bool(self._questions)

    def data_received(self, data: bytes) -> None:
        self.heard_at = self.loop.time()
        try:
            self._parser.feed(data)
            while self.lost is None and (reply := self._parser.gets()) is not _NOTHING:
                if isinstance(reply, list) and reply[0] == b"message":
                    self._deliver("SUBSCRIBE", reply[1:2] + reply[1:])
                elif isinstance(reply, list) and reply[0] == b"pmessage":
                    self._deliver("PSUBSCRIBE", reply[1:])
                else:
                    self._questions.popleft()(reply if isinstance(reply, ReplyError) else None)
        except hiredis.ProtocolError as exc:
            self.nonsense(f"what is not a reply ({exc})")
        except IndexError:
            self.nonsense("a reply to nothing")


class Bus:
    """The subscriptions of one process, over one connection that the first of them opens.

    Attributes:
        on_gap: Called after every re-subscription that follows the loss of the connection.
    """

    def __init__(self, dial: Dial, *, connect_deadline_s: float = 5.0) -> None:
        self.on_gap: list[Callable[[], None]] = []
        self._dial = dial
        self._deadline_s = connect_deadline_s
        self._loop = asyncio.get_running_loop()
        self._channels: dict[tuple[str, bytes], Channel] = {}
        self._wire: _Wire | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    async def subscribe(self, channel: str, handler: Handler) -> Subscription:
        """Call `handler(channel, payload)` for each message; returns when the server has confirmed.

        Raises:
            ServerUnavailable: Not reached within the deadline, or closed.
            ReplyError: Not permitted.
        """
        return await self._attach("SUBSCRIBE", channel, handler)

    async def psubscribe(self, pattern: str, handler: Handler) -> Subscription:
        """The same for all channels that match a glob pattern."""
        return await self._attach("PSUBSCRIBE", pattern, handler)

    async def close(self) -> None:
        """Close; no handler is called any more. May be called twice."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        self._refuse(ServerUnavailable(CLOSED))
        self._channels.clear()

    async def _attach(self, verb: str, name: str, handler: Handler) -> Subscription:
        if self._closed:
            raise ServerUnavailable(CLOSED)
        key = (verb, name.encode())
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = Channel(*key, self._loop.create_future())
            if self._wire is not None:
                self._request(self._wire, channel)
        subscription = Subscription(self, channel, handler)
        channel.subscriptions.append(subscription)
        if self._keeper is None or self._keeper.done():
            # Owned: `close` cancels and awaits it.
            self._keeper = self._loop.create_task(self._keep())
        try:
            # wait(): one caller's cancellation must not cancel the confirmation of the others.
            if not (await asyncio.wait([channel.confirmed], timeout=2 * self._deadline_s))[0]:
                raise ServerUnavailable(f"the server did not confirm the subscription to {name!r}")
            channel.confirmed.result()
        except BaseException:
            self._detach(subscription, channel)
            raise
        return subscription

    def _detach(self, subscription: Subscription, channel: Channel) -> None:
        if subscription in channel.subscriptions:
            channel.subscriptions.remove(subscription)
            key = (channel.verb, channel.name)
            if not channel.subscriptions and self._channels.get(key) is channel:
                del self._channels[key]
                if self._wire is not None:
                    self._wire.ask(
                        lambda _: None, channel.verb.replace("SUB", "UNSUB"), channel.name
                    )

    # what the server says

    def _deliver(self, verb: str, message: list[Any]) -> None:
        name, channel, payload = message
        known = self._channels.get((verb, name))
        for subscription in tuple(known.subscriptions if known else ()):
            _call(subscription.handler, channel, payload)

    def _request(self, wire: _Wire, channel: Channel) -> None:
        wire.ask(lambda error: self._confirm(channel, error), channel.verb, channel.name)

    def _confirm(self, channel: Channel, error: ReplyError | None) -> None:
        if channel.confirmed.done():
            if error is not None:
                # Kept: the next connection asks again, should the permission have come back.
                log.error("bus.resubscribe_refused: %s", error, extra={"channel": channel.name})
        elif error is None:
            channel.confirmed.set_result(None)
        else:
            self._forget(channel, error)

    def _forget(self, channel: Channel, error: HotMeshError) -> None:
        self._channels.pop((channel.verb, channel.name), None)
        channel.confirmed.set_exception(error)
        channel.confirmed.exception()  # looked at, even if all who waited were cancelled

    def _refuse(self, error: HotMeshError) -> None:
        """Fail all who still wait for their first confirmation."""
        for channel in [c for c in self._channels.values() if not c.confirmed.done()]:
            self._forget(channel, again(error))

    # the connection

    async def _keep(self) -> None:
        """Connect, subscribe, stay until the connection is lost, again; until nobody listens."""
        is_first, pause_max_s = True, BACKOFF_FIRST_S
        while self._channels and not self._closed:
            connected_at = self._loop.time()
            try:
                socket = await self._dial(self._deadline_s)
            except HotMeshError as exc:
                log.warning("bus.connect_failed: %s", exc)
                self._refuse(exc)
            else:
                lost = await self._stay(socket, is_first)
                is_first = False
                log.warning("bus.connection_lost: %s", lost)
            if self._loop.time() - connected_at > STEADY_S:
                pause_max_s = BACKOFF_FIRST_S
            await asyncio.sleep(random.uniform(0, pause_max_s))
            pause_max_s = min(BACKOFF_MAX_S, pause_max_s * 2)

    async def _stay(self, socket: Socket, is_first: bool) -> HotMeshError | None:
        wire = _Wire(self._deliver)
        wire.attach(socket)
        try:
            for channel in self._channels.values():
                self._request(wire, channel)
            # Answered after all of them.
            wire.ask((lambda _: None) if is_first else self._tell_gap, "PING")
            self._wire = wire
            while not (await asyncio.wait([wire.closed], timeout=PING_EVERY_S))[0]:
                wire.ask(lambda _: None, "PING")
            return wire.lost
        finally:
            self._wire = None
            wire.drop(ServerUnavailable(CLOSED))
            await asyncio.wait([wire.closed])

    def _tell_gap(self, _: ReplyError | None) -> None:
        for tell in tuple(self.on_gap):
            _call(tell)


def _call(function: Callable[..., None], *args: bytes) -> None:
    try:
        function(*args)
    except Exception:
        # User code: one that fails must not stop the others, nor the connection.
        log.exception("bus.handler_failed", extra={"channel": args[0] if args else b""})
