"""One question to members, and their answers: by pub/sub, which may lose either, so it is asked
again until all have answered or the time is up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import msgspec

from hotmesh.connect import Connection
from hotmesh.ids import guid as new_guid
from hotmesh.log import get_logger
from hotmesh.quorum.wire import Answer, Question, decode_answer, encode
from hotmesh.store import Store

log = get_logger("hotmesh.quorum")

ASK_AGAIN_S = 0.5


class Asking:
    """A question that is under way."""

    def __init__(self, connection: Connection, store: Store) -> None:
        self._connection, self._store = connection, store
        self._answers: dict[str, Answer] = {}
        self._heard = asyncio.Event()

    async def ask(
        self,
        what: str,
        members: Collection[str],
        timeout_s: float,
        *,
        version: str = "",
        target: str = "",
    ) -> dict[str, Answer]:
        """The answers of members, by guid, as soon as all are there; who is silent is missing.

        Raises:
            ServerUnavailable: It could not be asked.
        """
        if not members:
            return {}
        request = new_guid()
        channel = self._store.keys.caller(request)
        question = encode(Question(what, request, channel, version, target))
        subscription = await self._connection.bus.subscribe(channel, self._hear)
        try:
            async with asyncio.timeout(timeout_s):
                while not self._complete(members):
                    await self._store.transport.execute("PUBLISH", self._store.keys.fleet, question)
                    await self._settle(members)
        except TimeoutError:
            pass  # who is silent is missing
        finally:
            await subscription.unsubscribe()
        return self._answers

    def _complete(self, members: Collection[str]) -> bool:
        return all(guid in self._answers for guid in members)

    async def _settle(self, members: Collection[str]) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + ASK_AGAIN_S
        while loop.time() < until and not self._complete(members):
            self._heard.clear()
            try:
                await asyncio.wait_for(self._heard.wait(), max(0.01, until - loop.time()))
            except TimeoutError:
                return

    def _hear(self, channel: bytes, payload: bytes) -> None:
        try:
            answer = decode_answer(payload)
        except msgspec.DecodeError as exc:
            log.warning("answer.unreadable", error=str(exc))
            return
        self._answers[answer.guid] = answer
        self._heard.set()
