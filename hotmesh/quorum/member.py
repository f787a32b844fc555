"""A member of the fleet: it tells how it is with every beat, keeps the throttles that concern it,
and does what the fleet asks.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from hotmesh.connect import Connection, ReplyError
from hotmesh.errors import HotMeshError
from hotmesh.ids import guid as new_guid
from hotmesh.log import get_logger
from hotmesh.quorum import process
from hotmesh.quorum.roll import BEAT_S
from hotmesh.quorum.throttle import effective_ms, parse, scope
from hotmesh.quorum.wire import Answer, Part, Profile, Question, decode_question, encode
from hotmesh.release import RELEASE
from hotmesh.router import Router
from hotmesh.router.member import consumer_name
from hotmesh.router.pace import PAUSED
from hotmesh.store import Keys, Plans, Store, partitions_of

log = get_logger("hotmesh.quorum")

QUESTIONS_MAX = 100
"""Questions that wait to be answered; more are dropped, who asks asks again."""


@dataclass(frozen=True, slots=True)
class Served:
    """A router of this process, as the member sees it.

    Attributes:
        role: `engine`, `worker:<topic>`, or another name.
        topic: What a throttle by topic means; "" for none.
        drain: Ends the component that the router belongs to.
        is_named: Whether roll calls need the names of its streams: they don't follow from its role.
    """

    role: str
    topic: str
    router: Router
    drain: Callable[[], None]
    is_named: bool = False

    def part(self) -> Part:
        """How it is now."""
        router, tally = self.router, self.router.tally
        return Part(
            role=self.role,
            topic=self.topic,
            state=router.state,
            throttle_ms=router.pace.ms,
            capacity=router.settings.capacity,
            in_flight=len(router.held),
            taken=tally.taken,
            settled=tally.settled,
            claimed=tally.claimed,
            failed=tally.failed,
            buried=tally.buried,
            codes=dict(tally.codes),
            streams=tuple(router.streams) if self.is_named else (),
            group=router.group if self.is_named else "",
        )


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
        serves: Callable[[], Sequence[Served]] = tuple,
    ) -> None:
        """`serves` gives the routers of this process as they are at the moment; it is asked with
        every beat.
        """
        self.profile = Profile(
            guid=guid,
            roles=roles,
            host=socket.gethostname(),
            pid=os.getpid(),
            release=release,
            consumer=consumer,
        )
        self._connection, self._store, self._plans = connection, store, plans
        self._serves = serves
        self._questions: asyncio.Queue[Question] = asyncio.Queue(QUESTIONS_MAX)
        self._draining = asyncio.Event()
        self._drained: asyncio.Task[None] | None = None
        self._loop_lag_ms = 0

    def drain(self) -> None:
        """Leave the fleet. Idempotent."""
        self._draining.set()

    async def run(self, started: asyncio.Event) -> None:
        """Beat and answer until drained. Throttles are kept before this counts as started."""
        keys = self._store.keys
        subscription = await self._connection.bus.subscribe(keys.fleet, self._hear)
        try:
            self.profile = msgspec.structs.replace(
                self.profile, started_ms=self._store.clock.now_ms()
            )
            await self.beat()
            started.set()
            async with asyncio.TaskGroup() as tasks:
                side = [
                    tasks.create_task(self._beats(), name="member.beats"),
                    tasks.create_task(self._answers(tasks), name="member.answers"),
                ]
                await self._draining.wait()
                for task in [*side, *([self._drained] if self._drained else [])]:
                    task.cancel()
        finally:
            await self._leave()
            await subscription.unsubscribe()

    # -- beats

    async def _beats(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self._loop_lag_ms = int((loop.time() - due) * 1000)
            await self.beat_or_log()

    async def beat_or_log(self) -> None:
        """`beat`; an error is logged, for the next one makes up for it."""
        await self._try("beat", self.beat())

    async def beat(self) -> None:
        """Keep the throttles that hold, and tell how this process is.

        Pub/sub may lose the hint that they have changed, so they are read again each time.
        """
        keys = self._store.keys
        replies = await self._do(("TIME",), ("HGETALL", keys.throttles))
        now_ms = self._store.clock.read(replies[0])
        found = parse(replies[1])
        for served in self._serves():
            ms = effective_ms(found, served.topic, self.profile.guid)
            if ms != served.router.pace.ms:
                log.warning("throttle.changed", part=served.role, ms=ms)
                await served.router.throttle(ms)
        await self._do(("HSET", keys.members, self.profile.guid, encode(self._now(now_ms))))

    async def _do(self, *commands: tuple[Any, ...]) -> list[Any]:
        replies = await self._store.transport.execute_many(commands)
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply
        return replies

    def _now(self, now_ms: int) -> Profile:
        parts = tuple(served.part() for served in self._serves())
        paces = [part.throttle_ms for part in parts]
        return msgspec.structs.replace(
            self.profile,
            seen_ms=now_ms,
            state=_state([part.state for part in parts]),
            clock_offset_ms=process.offset_ms(now_ms - self._store.clock.skew_ms),
            throttle_ms=PAUSED if PAUSED in paces else max(paces, default=0),
            memory_bytes=process.memory_bytes(),
            cpu_s=process.cpu_s(),
            loop_lag_ms=self._loop_lag_ms,
            parts=parts,
        )

    async def _leave(self) -> None:
        keys = self._store.keys
        own = ("HDEL", keys.throttles, scope(None, self.profile.guid))
        gone = self._do(("HDEL", keys.members, self.profile.guid), own)
        await self._try("leave", gone)  # the fleet will see the silence

    # -- questions

    def _hear(self, channel: bytes, payload: bytes) -> None:
        try:
            question = decode_question(payload)
        except msgspec.DecodeError as exc:
            log.warning("question.unreadable", error=str(exc))
            return
        if question.target in ("", self.profile.guid) and not self._questions.full():
            self._questions.put_nowait(question)

    async def _answers(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            question = await self._questions.get()
            answer = await self._answer(question, tasks)
            told = self._store.transport.execute("PUBLISH", question.origin, encode(answer))
            await self._try("answer", told)

    async def _answer(self, question: Question, tasks: asyncio.TaskGroup) -> Answer:
        guid, sha = self.profile.guid, ""
        try:
            match question.what:
                case "prepare":
                    sha = await self._plans.prepare(question.version)
                case "beat" | "obey":
                    await self.beat()
                case "drain":
                    if not self._serves():
                        return Answer(question.request, guid, False, "it takes no entries")
                    if self._drained is None:
                        self._drained = tasks.create_task(self._drain(), name="member.drain")
                    await self.beat()
                case what:
                    reason = f"release {self.profile.release} knows no question {what!r}"
                    return Answer(question.request, guid, False, reason)
        except HotMeshError as exc:
            return Answer(question.request, guid, False, str(exc))
        return Answer(question.request, guid, True, "", sha)

    async def _drain(self) -> None:
        """Stop taking, and tell when nothing is in hand any more. The process stays."""
        log.info("member.draining", guid=self.profile.guid)
        serves = self._serves()
        for served in serves:
            served.drain()
        for served in serves:
            await served.router.ended.wait()
        log.info("member.drained", guid=self.profile.guid)
        await self.beat_or_log()

    async def _try(self, what: str, call: Coroutine[Any, Any, Any]) -> None:
        try:
            await call
        except HotMeshError as exc:
            log.warning(f"{what}.failed", error=str(exc))


async def join(
    connection: Connection,
    app_id: str,
    *,
    namespace: str = "hm",
    roles: tuple[str, ...],
    serves: Callable[[], Sequence[Served]],
) -> Member:
    """A member for a process that reads streams and holds no mesh, such as a router: it shows in
    roll calls, and is throttled and drained like others. Run it before what it serves, so that a
    throttle is kept from the first entry on.

    Args:
        roles: What it is, such as `router:<group>`.
        serves: Its routers at the moment, with `is_named` set.

    Raises:
        ServerUnavailable: The app could not be looked up.
    """
    count = await partitions_of(connection.transport, Keys(namespace, app_id).app, None)
    store = Store(connection.transport, Keys(namespace, app_id, count))
    await store.open()
    return Member(
        connection,
        store,
        Plans(store),
        guid=new_guid(),
        roles=roles,
        release=RELEASE,
        consumer=consumer_name(),
        serves=serves,
    )


def _state(states: Sequence[str]) -> str:
    """One word for all parts: what stands most in the way of work that they share."""
    if states and all(state == states[0] for state in states):
        return states[0]
    for state in ("draining", "drained", "throttled", "paused"):
        if state in states:
            return "draining" if state == "drained" else "throttled"
    return "running"
