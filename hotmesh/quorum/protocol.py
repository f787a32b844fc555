"""Activation: ask every member whether it can run a version; when all can, one write switches new
jobs to it.

The switch is atomic by construction: every start compares its version with the partition's, in the
script that creates the job. The handshake is there so that no member is surprised: who can't read
the plan says so, and nothing changes.
"""

from __future__ import annotations

from hotmesh.connect import Connection
from hotmesh.errors import ActivationFailed
from hotmesh.log import get_logger
from hotmesh.quorum.asking import Asking
from hotmesh.quorum.roll import GONE_MS, beats
from hotmesh.quorum.wire import Answer, Profile
from hotmesh.router.member import is_dead
from hotmesh.store import Plans, Store

log = get_logger("hotmesh.quorum")

ANSWER_S = 5.0


class Activation:
    """Activates versions, from any process."""

    def __init__(self, connection: Connection, store: Store, plans: Plans) -> None:
        self._connection, self._store, self._plans = connection, store, plans

    async def activate(self, version: str, *, timeout_s: float = ANSWER_S) -> None:
        """Have all new jobs start on a version.

        Raises:
            VersionNotFound: It was never deployed.
            ActivationFailed: A member can't run it, or does not answer. Nothing has changed.
        """
        now_ms = self._store.clock.now_ms()
        members = [
            p
            for p in await beats(self._store)
            if now_ms - p.seen_ms < GONE_MS and not is_dead(p.consumer)
        ]
        # With members it is they who must be able to read it; alone, this process stands for them.
        sha = await (self._plans.sha(version) if members else self._plans.prepare(version))
        if members:
            asking = Asking(self._connection, self._store)
            guids = [m.guid for m in members]
            answers = await asking.ask("prepare", guids, timeout_s, version=version)
            self._verdict(members, answers, version, sha, timeout_s)
        if not await self._plans.seal(version, sha):
            raise self._failed(version, {"deploy": "another model was deployed under it meanwhile"})
        await self._plans.activate(version)
        log.info("version.activated", app=self._store.keys.app_id, version=version)

    def _verdict(
        self,
        members: list[Profile],
        answers: dict[str, Answer],
        version: str,
        sha: str,
        timeout_s: float,
    ) -> None:
        against: dict[str, str] = {}
        for member in members:
            answer = answers.get(member.guid)
            where = f"({member.host}, pid {member.pid}, release {member.release})"
            if answer is None and not is_dead(member.consumer):
                against[member.guid] = f"did not answer within {timeout_s:g} s {where}"
            elif answer is not None and not answer.ok:
                against[member.guid] = f"{answer.reason} {where}"
            elif answer is not None and answer.sha != sha:
                against[member.guid] = f"read another model under it; activate again {where}"
        if against:
            raise self._failed(version, against)

    def _failed(self, version: str, members: dict[str, str]) -> ActivationFailed:
        return ActivationFailed(app_id=self._store.keys.app_id, version=version, members=members)
