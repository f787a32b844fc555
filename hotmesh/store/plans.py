"""Versions of an app: stored plans, the active one, and a cache of programs.

A plan never changes under its version once it was activated, so a cached program is never wrong;
an unknown version is fetched, never guessed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from msgspec import Struct

from hotmesh.compiler import Plan, Program, decode_plan, encode_plan, link
from hotmesh.connect import ReplyError
from hotmesh.errors import ActivationFailed, AppNotFound, SettingsInvalid, VersionNotFound
from hotmesh.store.jobs import Store

CACHED_MAX = 20
"""Programs kept per process: the active version, and those that jobs in flight still run on."""

_PARTITIONS, _ACTIVATED = "partitions", "activated:"


class Deployed(Struct, frozen=True):
    """What a deploy did: whether the stored plan differs from what was there."""

    version: str
    changed: bool


class Plans:
    """Plans of one app."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._programs: OrderedDict[str, Program] = OrderedDict()
        self.active_version = ""  # as last seen; the server compares it at every start

    async def deploy(self, plan: Plan) -> Deployed:
        """Store a plan under its version. Nothing runs on it before it is activated.

        Raises:
            ActivationFailed: The version was activated before and this plan is another one: jobs
            may run on it.
        """
        keys = self._store.keys
        data = encode_plan(plan)
        before, activated = await self._store.transport.execute_many(
            [
                ("HGET", keys.plans, plan.version),
                ("HGET", keys.app, _ACTIVATED + plan.version),
            ]
        )
        _raise(before, activated)
        if before == data or (before is not None and decode_plan(before).digest == plan.digest):
            return Deployed(plan.version, changed=False)
        if activated is not None:
            reason = (
                "it was activated before with another model, and jobs may run on it; "
                "give the model a new version"
            )
            raise ActivationFailed(
                app_id=plan.app_id, version=plan.version, members={"deploy": reason}
            )
        await self._store.transport.execute("HSET", keys.plans, plan.version, data)
        self._programs.pop(plan.version, None)
        return Deployed(plan.version, changed=True)

    async def plan(self, version: str) -> Plan:
        """A stored plan.

        Raises:
            VersionNotFound: There is none.
            FormatUnknown: A newer release wrote it.
        """
        data = await self._store.transport.execute("HGET", self._store.keys.plans, version)
        if data is None:
            raise VersionNotFound(
                app_id=self._store.keys.app_id, version=version, known=await self.versions()
            )
        return decode_plan(data)

    async def versions(self) -> list[str]:
        """Deployed versions, sorted."""
        names = await self._store.transport.execute("HKEYS", self._store.keys.plans)
        return sorted(n.decode() for n in names)

    def cached(self, version: str) -> Program | None:
        """The program, if this process has it."""
        return self._programs.get(version)

    async def program(self, version: str) -> Program:
        """The program of a version, linked once per process."""
        program = self._programs.get(version)
        if program is None:
            program = link(await self.plan(version))
            self._programs[version] = program
            while len(self._programs) > CACHED_MAX:
                self._programs.popitem(last=False)
        else:
            self._programs.move_to_end(version)
        return program

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

    async def activate(self, version: str) -> None:
        """Have every partition start new jobs on a version from now on."""
        keys = self._store.keys
        await self._store.transport.execute(
            "HSET", keys.app, _ACTIVATED + version, self._store.clock.now_ms()
        )
        for partition in keys.partitions:
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


def _raise(*replies: object) -> None:
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply
