"""The other members of the mesh: who they are, what they are told, and messages between them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from hotmesh.connect import Connection, Subscription
from hotmesh.errors import PayloadTooLarge
from hotmesh.log import get_logger
from hotmesh.payload import decode, encode
from hotmesh.quorum import wire
from hotmesh.store import Store

log = get_logger("hotmesh.mesh")

MESSAGE_BYTES_MAX = 1_024
"""Pub/sub carries hints: larger ones are held in the server for every slow subscriber."""

WAITING_MAX = 1_000


class QuorumMessage(Struct, frozen=True, kw_only=True):
    """What one mesh told others.

    Attributes:
        kind: What it is about, in the sender's words.
        data: Plain data.
        topic: Set when it was for members that serve this topic.
        guid: Set when it was for one member.
        sender: The guid of the mesh that sent it.
    """

    kind: str
    data: Any
    topic: str = ""
    guid: str = ""
    sender: str = ""


QuorumHandler: TypeAlias = Callable[[QuorumMessage], Awaitable[None] | None]


class QuorumSubscription:
    """One handler of messages between members."""

    def __init__(self, guid: str, topics: Collection[str], handler: QuorumHandler) -> None:
        self._guid, self._topics, self._handler = guid, frozenset(topics), handler
        self._queue: asyncio.Queue[wire.Message] = asyncio.Queue(WAITING_MAX)
        self._bus: Subscription | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, connection: Connection, channel: str) -> None:
        """Subscribe; returns when the server has confirmed."""
        self._task = asyncio.create_task(self._run(), name="quorum.subscription")
        self._bus = await connection.bus.subscribe(channel, self._hear)

    async def unsubscribe(self) -> None:
        """Detach this handler. Idempotent."""
        if self._bus is not None:
            await self._bus.unsubscribe()
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    def _hear(self, channel: bytes, payload: bytes) -> None:
        try:
            message = wire.decode_message(payload)
        except msgspec.DecodeError as exc:
            log.warning("message.unreadable", error=str(exc))
            return
        if message.guid not in ("", self._guid):
            return
        if message.topic and message.topic not in self._topics:
            return
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            log.warning("message.overrun", dropped=1, waiting=WAITING_MAX)

    async def _run(self) -> None:
        while True:
            sent = await self._queue.get()
            try:
                message = QuorumMessage(
                    kind=sent.kind,
                    data=decode(sent.data),
                    topic=sent.topic,
                    guid=sent.guid,
                    sender=sent.sender,
                )
                result = self._handler(message)
                if inspect.isawaitable(result):
                    await result
            except Exception:
                log.exception("message.handler_failed", kind=sent.kind)


async def tell(store: Store, message: QuorumMessage) -> int:
    """Publish a message; how many connections heard it.

    Raises:
        PayloadInvalid, PayloadTooLarge: The data can't be carried.
    """
    raw = encode(message.data, what=f"the message {message.kind!r}")
    sent = wire.Message(message.kind, raw, message.topic, message.guid, message.sender)
    packed = wire.encode(sent)
    if len(packed) > MESSAGE_BYTES_MAX:
        what = f"the message {message.kind!r}"
        raise PayloadTooLarge(what=what, size_bytes=len(packed), limit_bytes=MESSAGE_BYTES_MAX)
    heard: int = await store.transport.execute("PUBLISH", store.keys.talk, packed)
    return heard
