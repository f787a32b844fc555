"""A member of the fleet: it says that it is there, and answers what the fleet asks."""

from __future__ import annotations

import asyncio
import os
import socket

import msgspec
from msgspec import Struct

from hotmesh.connect import Connection, ReplyError
from hotmesh.errors import HotMeshError
from hotmesh.log import get_logger
from hotmesh.store import Plans, Store

log = get_logger("hotmesh.quorum")

BEAT_S = 3.0
SILENT_MS = 15_000
"""A member that has not been heard of for so long counts as gone."""


class Profile(Struct, frozen=True, kw_only=True):
    """What a member tells of itself.

    Attributes:
        roles: `engine`, and `worker:<topic>` for each topic it serves.
        consumer: A consumer name of its process: tells on its host whether it is dead.
        seen_ms: When it was last heard of, on the server's clock.
    """

    guid: str
    roles: tuple[str, ...]
    host: str
    pid: int
    release: str
    consumer: str
    seen_ms: int = 0


class Question(Struct, array_like=True, frozen=True, tag="ask1"):
    """To all members. `what` is `prepare` (can you run this version?) or `ping`."""

    what: str
    request: str
    origin: str
    version: str = ""


class Answer(Struct, array_like=True, frozen=True, tag="say1"):
    """To the member that asked: a reason when the answer is no; the SHA-1 of the plan when it is
    yes.
    """

    request: str
    guid: str
    ok: bool
    reason: str = ""
    sha: str = ""


encode = msgspec.msgpack.Encoder().encode
decode_question = msgspec.msgpack.Decoder(Question).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
decode_profile = msgspec.msgpack.Decoder(Profile).decode


class Member:
    """This process in the fleet. A component."""

    name = "member"

    def __init__(
        self,
        connection: Connection,
        store: Store,
        plans: Plans,
        *,
        guid: str,
        roles: tuple[str, ...],
        release: str,
        consumer: str,
    ) -> None:
        self.profile = Profile(
            guid=guid,
            roles=roles,
            host=socket.gethostname(),
            pid=os.getpid(),
            release=release,
            consumer=consumer,
        )
        self._connection, self._store, self._plans = connection, store, plans
        self._questions: asyncio.Queue[Question] = asyncio.Queue(100)
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Leave the fleet. Idempotent."""
        self._draining.set()

    async def run(self, started: asyncio.Event) -> None:
        """Beat and answer until drained."""
        keys = self._store.keys
        subscription = await self._connection.bus.subscribe(keys.fleet, self._hear)
        try:
            await self._beat()
            started.set()
            async with asyncio.TaskGroup() as tasks:
                side = [tasks.create_task(self._beats()), tasks.create_task(self._answers())]
                await self._draining.wait()
                for task in side:
                    task.cancel()
        finally:
            await self._leave()
            await subscription.unsubscribe()

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await self._beat()
            except HotMeshError as exc:
                log.warning("beat.failed", error=str(exc))

    async def _beat(self) -> None:
        profile = msgspec.structs.replace(self.profile, seen_ms=self._store.clock.now_ms())
        await self._store.transport.execute(
            "HSET", self._store.keys.members, profile.guid, encode(profile)
        )

    async def _leave(self) -> None:
        try:
            await self._store.transport.execute("HDEL", self._store.keys.members, self.profile.guid)
        except HotMeshError as exc:
            log.warning("leave.failed", error=str(exc))  # the fleet will see the silence

    def _hear(self, channel: bytes, payload: bytes) -> None:
        try:
            question = decode_question(payload)
        except msgspec.DecodeError as exc:
            log.warning("question.unreadable", error=str(exc))
            return
        if not self._questions.full():
            self._questions.put_nowait(question)

    async def _answers(self) -> None:
        while True:
            question = await self._questions.get()
            ok, reason, sha = True, "", ""
            if question.what == "prepare":
                try:
                    sha = await self._plans.prepare(question.version)
                except HotMeshError as exc:
                    ok, reason = False, str(exc)
            answer = Answer(question.request, self.profile.guid, ok, reason, sha)
            try:
                await self._store.transport.execute("PUBLISH", question.origin, encode(answer))
            except HotMeshError as exc:
                log.warning("answer.failed", error=str(exc))


async def profiles(store: Store) -> list[Profile]:
    """Members that were heard of lately, by their beats."""
    reply = await store.transport.execute("HGETALL", store.keys.members)
    if isinstance(reply, ReplyError):
        raise reply
    found = []
    for value in reply[1::2]:
        try:
            profile = decode_profile(value)
        except msgspec.DecodeError:
            continue  # of a release that tells it otherwise
        if store.clock.now_ms() - profile.seen_ms < SILENT_MS:
            found.append(profile)
    return found
