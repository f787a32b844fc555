"""Activation: ask every member whether it can run a version; when all can, one write switches new
jobs to it.

The switch is atomic by construction: every start compares its version with the partition's, in the
script that creates the job. The handshake is there so that no member is surprised: who can't read
the plan says so, and nothing changes.
"""

from __future__ import annotations

import asyncio

import msgspec

from hotmesh.connect import Connection
from hotmesh.errors import ActivationFailed
from hotmesh.ids import guid
from hotmesh.log import get_logger
from hotmesh.quorum.member import Answer, Profile, Question, decode_answer, encode, profiles
from hotmesh.router.member import is_dead
from hotmesh.store import Plans, Store

log = get_logger("hotmesh.quorum")

ANSWER_S = 5.0
ASK_AGAIN_S = 0.5  # pub/sub may lose the question or the answer


class Activation:
    """Activates versions, from any process."""

    def __init__(self, connection: Connection, store: Store, plans: Plans) -> None:
        self._connection, self._store, self._plans = connection, store, plans
        self._answers: dict[str, Answer] = {}
        self._heard = asyncio.Event()

    async def activate(self, version: str, *, timeout_s: float = ANSWER_S) -> None:
        """Have all new jobs start on a version.

        Raises:
            VersionNotFound: It was never deployed.
            ActivationFailed: A member can't run it, or does not answer. Nothing has changed.
        """
        members = [p for p in await profiles(self._store) if not is_dead(p.consumer)]
        # With members it is they who must be able to read it; alone, this process stands for them.
        sha = await (self._plans.sha(version) if members else self._plans.prepare(version))
        if members:
            await self._ask(members, version, sha, timeout_s)
        if not await self._plans.seal(version, sha):
            raise self._failed(version, {"deploy": "another model was deployed under it meanwhile"})
        await self._plans.activate(version)
        log.info("version.activated", app=self._store.keys.app_id, version=version)

    async def _ask(self, members: list[Profile], version: str, sha: str, timeout_s: float) -> None:
        request = guid()
        channel = self._store.keys.caller(request)
        question = encode(Question("prepare", request, channel, version))
        self._answers.clear()
        subscription = await self._connection.bus.subscribe(channel, self._hear)
        try:
            async with asyncio.timeout(timeout_s):
                while not all(m.guid in self._answers for m in members):
                    await self._store.transport.execute("PUBLISH", self._store.keys.fleet, question)
                    await self._settle(members)
        except TimeoutError:
            pass  # who is silent is named below
        finally:
            await subscription.unsubscribe()
        self._verdict(members, version, sha, timeout_s)

    async def _settle(self, members: list[Profile]) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + ASK_AGAIN_S
        while loop.time() < until and not all(m.guid in self._answers for m in members):
            self._heard.clear()
            try:
                await asyncio.wait_for(self._heard.wait(), max(0.01, until - loop.time()))
            except TimeoutError:
                return

    def _verdict(self, members: list[Profile], version: str, sha: str, timeout_s: float) -> None:
        against: dict[str, str] = {}
        for member in members:
            answer = self._answers.get(member.guid)
            if answer is None and not is_dead(member.consumer):
                what = f"did not answer within {timeout_s:g} s"
                against[member.guid] = f"{what} ({member.host}, pid {member.pid})"
            elif answer is not None and not answer.ok:
                against[member.guid] = answer.reason
            elif answer is not None and answer.sha != sha:
                against[member.guid] = "read another model under it; activate again"
        if against:
            raise self._failed(version, against)

    def _failed(self, version: str, members: dict[str, str]) -> ActivationFailed:
        return ActivationFailed(app_id=self._store.keys.app_id, version=version, members=members)

    def _hear(self, channel: bytes, payload: bytes) -> None:
        try:
            answer = decode_answer(payload)
        except msgspec.DecodeError as exc:
            log.warning("answer.unreadable", error=str(exc))
            return
        self._answers[answer.guid] = answer
        self._heard.set()
