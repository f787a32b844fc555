"""Answers to those who ask: a hint by pub/sub, the answer itself as a key that expires.

A hint that was lost costs time, not the answer: whoever waits looks at the key again and again, in
every partition, because an event may have moved.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from hotmesh.connect import Subscription
from hotmesh.errors import HotMeshError, ServerUnavailable
from hotmesh.ids import guid
from hotmesh.streams.record import Codec

if TYPE_CHECKING:
    from hotmesh.streams.client import Client

LOOK_S_MIN, LOOK_S_MAX = 0.5, 5.0
_ANY: Codec[Any] = Codec()


class AgentTimeout(HotMeshError):
    """An agent gave no answer in time. The event goes on."""

    code = 504

    def __init__(self, *, agent: str, timeout_s: float) -> None:
        self.agent, self.timeout_s = agent, timeout_s
        super().__init__(
            f"agent {agent!r} gave no answer within {timeout_s:g} s; is a worker of the app "
            "running (hotmesh worker -A module:app)?"
        )


class Pending:
    """One answer that is waited for."""

    def __init__(self, replies: Replies, request: str) -> None:
        self.request = request
        self.address = f"{replies.client}/{request}".encode()
        self.hint: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._replies = replies

    async def wait(self, agent: str, timeout_s: float | None) -> Any:
        """The answer."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s if timeout_s is not None else None
        look_s = LOOK_S_MIN
        while True:
            left_s = look_s if until is None else min(look_s, until - loop.time())
            if not self.hint.done() and left_s > 0:
                await asyncio.wait([self.hint], timeout=left_s)
            partition = self.hint.result() if self.hint.done() else None
            found = await self._replies.fetch(self.request, partition)
            if found is not None:
                return self._replies.read(agent, found)
            if until is not None and loop.time() >= until:
                raise AgentTimeout(agent=agent, timeout_s=timeout_s or 0)
            if self.hint.done():  # of an answer that a fail-over has lost
                self.hint = loop.create_future()
            look_s = min(look_s * 2, LOOK_S_MAX)


class Replies:
    """Of one client."""

    def __init__(self, client: Client, partitions: int, types: list[Codec[Any]]) -> None:
        self.client = guid()
        self._client, self._partitions, self._types = client, partitions, types
        self._waiting: dict[str, Pending] = {}
        self._subscription: Subscription | None = None
        self._subscribing = asyncio.Lock()

    async def expect(self) -> Pending:
        """Something is about to be asked."""
        async with self._subscribing:  # orders the I/O
            if self._subscription is None:
                self._subscription = await self._client.connection.bus.subscribe(
                    self._client.space.replies(self.client), self._hint
                )
        pending = Pending(self, guid())
        self._waiting[pending.request] = pending
        return pending

    def forget(self, pending: Pending) -> None:
        """Nobody waits any more."""
        self._waiting.pop(pending.request, None)

    def _hint(self, channel: bytes, payload: bytes) -> None:
        partition, _, request = payload.decode(errors="replace").partition("/")
        pending = self._waiting.get(request)
        if pending is not None and not pending.hint.done() and partition.isdigit():
            pending.hint.set_result(int(partition))

    async def fetch(self, request: str, partition: int | None) -> bytes | None:
        """Take an answer, if it is there."""
        numbers = range(self._partitions) if partition is None else [partition]
        space = self._client.space
        keys = [space.slot(n).reply(f"{self.client}/{request}") for n in numbers]
        found = await self._client.connection.transport.execute_many([("GET", k) for k in keys])
        for key, value in zip(keys, found, strict=True):
            if isinstance(value, ServerUnavailable):
                raise value
            if isinstance(value, bytes):
                await self._client.connection.transport.execute("UNLINK", key)
                return value
        return None

    def read(self, agent: str, data: bytes) -> Any:
        """The value of an answer; raises what it says."""
        from hotmesh.streams.agent import AgentError

        ok, tag, payload = msgspec.msgpack.decode(data)
        if not ok:
            raise AgentError(agent=agent, code=payload[0], message=payload[1])
        for codec in self._types:
            if codec.knows(tag):
                return codec.decode(payload, tag)
        return _ANY.decode(payload, tag) if tag[:2] in (b"j:", b"m:") else _plain(payload, tag)

    async def close(self) -> None:
        """Hear no more."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()


def encode_reply(value: Any) -> bytes:
    """An answer as it is kept.

    Raises:
        PayloadInvalid: It has no encoding.
    """
    codec: Codec[Any] = _ANY if type(value) in _BUILTIN else Codec(type(value))
    payload, tag = codec.encode(value, what="an answer")
    return msgspec.msgpack.encode((True, tag, payload))


def encode_failure(exc: BaseException) -> bytes:
    """A failure as an answer."""
    code = getattr(exc, "code", 500)
    told = (code if isinstance(code, int) else 500, str(exc)[:2000] or type(exc).__name__)
    return msgspec.msgpack.encode((False, b"", told))


_BUILTIN = (type(None), bool, int, float, str, dict, list, tuple, set)


def _plain(payload: bytes, tag: bytes) -> Any:
    return payload.decode() if tag == b"s:" else payload
