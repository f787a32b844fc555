"""Versions of an app: stored plans, the active one, and a cache of programs.

A plan never changes under its version once it was activated, so a cached program is never wrong;
an unknown version is fetched, never guessed. Every process notes now and then which versions it
uses, before it does: `store/collect.py` forgets plans that nobody has used or needs.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from msgspec import Struct

from hotmesh.compiler import Plan, Program, decode_plan, encode_plan, link
from hotmesh.connect import ReplyError
from hotmesh.errors import AppNotFound, SettingsInvalid, VersionNotFound, VersionSealed
from hotmesh.store.jobs import Store

CACHED_MAX = 20
"""Programs kept per process: the active version, and those that jobs in flight still run on."""

USED_EVERY_S = 30.0
"""How often a process notes that it uses a version. What was noted so long ago may be in use."""

_PARTITIONS, _ACTIVATED, _DIGEST = "partitions", "activated:", "digest:"


class Deployed(Struct, frozen=True):
    """What a deploy did: whether the stored plan differs from what was there."""

    version: str
    changed: bool


class Plans:
    """Plans of one app."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._programs: OrderedDict[str, Program] = OrderedDict()
        self._noted: dict[str, float] = {}  # when the use of a version must be noted again
        self.active_version = ""  # as last seen; the server compares it at every start
        self.is_abroad = False  # this app has to do with another one
        self.on_abroad: list[Callable[[], None]] = []  # told once of that

    async def deploy(self, plan: Plan) -> Deployed:
        """Store a plan under its version. Nothing runs on it before it is activated.

        Raises:
            VersionSealed: The version was activated before with another model: jobs may run on it.
        """
        keys = self._store.keys
        data = encode_plan(plan)
        before = await self._store.transport.execute("HGET", keys.plans, plan.version)
        if before is not None and (before == data or decode_plan(before).digest == plan.digest):
            return Deployed(plan.version, changed=False)
        activated, digest = _ACTIVATED + plan.version, _DIGEST + plan.version
        arguments = (plan.version, data, activated, digest, plan.digest)
        if not await self._store.run("deploy", [keys.plans, keys.app], *arguments):
            raise VersionSealed(app_id=plan.app_id, version=plan.version)
        return Deployed(plan.version, changed=True)

    async def is_taken(self, plan: Plan) -> bool:
        """Whether the plan's version was activated with another model, so that it can't be
        deployed.
        """
        keys, version = self._store.keys, plan.version
        fields = (_ACTIVATED + version, _DIGEST + version)
        activated, digest = await self._store.transport.execute("HMGET", keys.app, *fields)
        stored = await self._store.transport.execute("HGET", keys.plans, version)
        if activated is None:
            return False
        known = digest.decode() if digest is not None else ""
        return (decode_plan(stored).digest if stored is not None else known) != plan.digest

    async def plan(self, version: str) -> Plan:
        """A stored plan.

        Raises:
            VersionNotFound: There is none.
            FormatUnknown: A newer release wrote it.
        """
        return decode_plan(await self._stored(version))

    async def _stored(self, version: str) -> bytes:
        data: bytes | None = await self._store.transport.execute(
            "HGET", self._store.keys.plans, version
        )
        if data is None:
            raise VersionNotFound(
                app_id=self._store.keys.app_id, version=version, known=await self.versions()
            )
        return data

    async def versions(self) -> list[str]:
        """Deployed versions, sorted."""
        names = await self._store.transport.execute("HKEYS", self._store.keys.plans)
        return sorted(n.decode() for n in names)

    def cached(self, version: str) -> Program | None:
        """The program, if this process has it and has noted its use."""
        if self._noted.get(version, 0.0) < time.monotonic():
            return None
        return self._programs.get(version)

    async def prepare(self, version: str) -> str:
        """Try whether this process can run a version that may still be deployed anew; the plan's
        SHA-1.

        Nothing is cached: only an activated version is what it is for good.

        Raises:
            VersionNotFound, FormatUnknown
        """
        data = await self._stored(version)
        self._linked(decode_plan(data))
        return _sha(data)

    async def sha(self, version: str) -> str:
        """The SHA-1 of a stored plan, which this process need not be able to read.

        Raises:
            VersionNotFound
        """
        return _sha(await self._stored(version))

    async def program(self, version: str) -> Program:
        """The program of a version that has been activated, linked once per process. Its use is
        noted before this returns.
        """
        program = self._programs.get(version)
        if program is None:
            program = self._linked(await self.plan(version))
            self._programs[version] = program
            while len(self._programs) > CACHED_MAX:
                self._noted.pop(self._programs.popitem(last=False)[0], None)
        else:
            self._programs.move_to_end(version)
        await self._note_use(version)
        return program

    async def _note_use(self, version: str) -> None:
        now = time.monotonic()
        if self._noted.get(version, 0.0) < now:
            now_ms = self._store.clock.now_ms()
            await self._store.transport.execute("HSET", self._store.keys.uses, version, now_ms)
            self._noted[version] = now + USED_EVERY_S

    def _linked(self, plan: Plan) -> Program:
        if plan.goes_abroad:
            self.go_abroad()
        return link(plan)

    def go_abroad(self) -> None:
        """A job of this app has to do with another app. Idempotent."""
        if not self.is_abroad:
            self.is_abroad = True
            for call in self.on_abroad:
                call()

    async def active(self, *, refresh: bool = False) -> Program:
        """The program that new jobs start on.

        Raises:
            AppNotFound: Nothing is active.
        """
        if refresh or not self.active_version:
            partition = self._store.keys.partitions[0]
            version = await self._store.transport.execute("GET", partition.version)
            if version is None:
                raise AppNotFound(self._store.keys.app_id)
            self.active_version = version.decode()
        return await self.program(self.active_version)

    async def seal(self, version: str, sha: str) -> bool:
        """Make a version's plan unchangeable; False when it is not the one with this SHA-1 any
        more.
        """
        keys = self._store.keys
        now_ms = self._store.clock.now_ms()
        field = _ACTIVATED + version
        return bool(
            await self._store.run("seal", [keys.plans, keys.app], version, sha, field, now_ms)
        )

    async def activate(self, version: str) -> None:
        """Have every partition start new jobs on a sealed version from now on."""
        for partition in self._store.keys.partitions:
            await self._store.run("activate", [partition.version], version)
        self.active_version = version


async def partitions_of(transport: object, app_key: str, wanted: int | None) -> int:
    """The partition count of an app: fixed by whoever comes first.

    Raises:
        SettingsInvalid: It was fixed to another count before.
    """
    if wanted is not None and not 1 <= wanted <= 256:
        raise SettingsInvalid(f"partitions must lie between 1 and 256, not {wanted}")
    replies: Sequence[object] = await transport.execute_many(  # type: ignore[attr-defined]
        [("HSETNX", app_key, _PARTITIONS, wanted or 1), ("HGET", app_key, _PARTITIONS)]
        if wanted
        else [("HGET", app_key, _PARTITIONS)]
    )
    _raise(*replies)
    found = int(replies[-1]) if replies[-1] is not None else 1  # type: ignore[call-overload]
    if wanted is not None and found != wanted:
        raise SettingsInvalid(
            f"partitions={wanted}, but this app has had {found} since it was first used; "
            "the count can't change while its jobs exist"
        )
    return found


def _sha(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _raise(*replies: object) -> None:
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply
