"""Load and apply: one read for a batch of jobs, one script per transition, both in one pipeline.

The store is functions over one connection. It knows keys, scripts and verdicts; what a transition
means is the core's.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from enum import IntEnum
from typing import Any, TypeVar

from msgspec import Struct

from hotmesh.connect import Commands, ReplyError, Transport
from hotmesh.core import Append, Effect, Job, decode_job, decode_record
from hotmesh.core.state import HEAD, REQUEST
from hotmesh.errors import HotMeshError, Overloaded, ServerUnavailable, StateLost
from hotmesh.log import get_logger
from hotmesh.store.encode import Command
from hotmesh.store.keys import Keys, Partition
from hotmesh.store.scripts import Script, load

BATCH_MAX = 500
"""Commands of one pipeline: more would hold all of them and their replies in memory for nothing."""

RELOADS_MAX = 3
RETRIES_MAX = 6
ANSWER_RETRIES_MAX = 40
"""About half a minute of an outage: a finished handler's answer is worth that wait."""

T = TypeVar("T")

log = get_logger("hotmesh.store")


class Verdict(IntEnum):
    """What `apply.lua` answered. All but APPLIED have written nothing."""

    APPLIED = 1
    STALE = 2
    DUPLICATE = 3
    VERSION = 4
    OVERLOADED = 5
    LOST = 6
    UNSEEN = 7
    GONE = 8


_VERDICTS = {int(v): v for v in Verdict}


class Entry(Struct, frozen=True):
    """Entries of one stream that a transition settles.

    Attributes:
        consumer: Who must still hold them, or the transition is refused; "" for anybody.
    """

    stream: str
    group: str
    ids: tuple[bytes, ...]
    consumer: str = ""


class Apply(Struct, frozen=True, kw_only=True):
    """One transition of an existing job.

    Attributes:
        rev: The revision that it was decided on; 0 when there was no job.
        entries: What it acknowledges; None for a client's call.
        extra: Ops of the store itself (a dead letter), beside the core's effects.
    """

    jid: str
    rev: int
    effects: Sequence[Effect]
    entries: Entry | None = None


class New(Struct, frozen=True, kw_only=True):
    """One transition that creates its job.

    Attributes:
        request: Tells a repeated call of one request from another one with the same job id; ""
            when the id itself does.
        version: What must be active; "" when any will do (a child runs on its parent's).
        backlog_max: Refuse when the first stream that it appends to holds this many entries; 0 for
            no bound.
    """

    jid: str
    effects: Sequence[Effect]
    request: str = ""
    version: str = ""
    backlog_max: int = 0
    entries: Entry | None = None


class Clock:
    """The server's clock, seen from here: its last reading plus the time since."""

    __slots__ = ("_at", "_ms", "skew_ms")

    def __init__(self) -> None:
        self._ms, self._at, self.skew_ms = 0, 0.0, 0

    def read(self, reply: Sequence[bytes]) -> int:
        """Take a TIME reply; milliseconds since the epoch, with the skew of tests."""
        self._ms = int(reply[0]) * 1000 + int(reply[1]) // 1000
        self._at = time.monotonic()
        return self._ms + self.skew_ms

    def now_ms(self) -> int:
        """About what the server's clock says; `Store.open` has read it once before."""
        return self._ms + int((time.monotonic() - self._at) * 1000) + self.skew_ms


class Store:
    """Jobs of one app over one connection."""

    def __init__(self, transport: Transport, keys: Keys) -> None:
        self.transport, self.keys = transport, keys
        self.clock = Clock()
        self.scripts = self.load_scripts(shebang=True)
        self._apply = ""

    @staticmethod
    def load_scripts(*, shebang: bool) -> dict[str, Script]:
        """The scripts that `run` knows by name; `hotmesh.streams` has more."""
        return load(shebang=shebang)

    async def open(self) -> None:
        """Make the scripts known and read the clock; again on every connection that follows."""
        probe = await self.transport.execute_many([("SCRIPT", "LOAD", "#!lua\nreturn 1")])
        # Redis 6.2 can't compile the first line that later servers want.
        self.scripts = self.load_scripts(shebang=not isinstance(probe[0], ReplyError))
        self._apply = self.scripts["apply"].sha
        self.transport.on_connect.append(self._load_scripts)
        await self._load_scripts(self.transport)

    async def _load_scripts(self, connection: Commands) -> None:
        commands: list[tuple[Any, ...]] = [("TIME",)]
        commands += [("SCRIPT", "LOAD", s.text) for s in self.scripts.values()]
        replies = await connection.execute_many(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        self.clock.read(replies[0])

    async def load(self, wanted: Sequence[tuple[str, Sequence[str] | None]]) -> list[Job | None]:
        """Read jobs, in one pipeline, and the server's clock with them.

        Args:
            wanted: Job id and the fields to read besides the head of the record; None for all of
                them.

        Returns:
            One job each, None where there is none. Fields that were not asked for are absent.
        """
        commands: list[tuple[Any, ...]] = [("TIME",)]
        for jid, names in wanted:
            key = self.keys.of(jid).job(jid)
            commands.append(("HGETALL", key) if names is None else ("HMGET", key, *HEAD, *names))
        replies = await self._many(commands)
        self.clock.read(replies[0])
        jobs: list[Job | None] = []
        for (jid, names), reply in zip(wanted, replies[1:], strict=True):
            if names is None:
                record = {reply[i].decode(): reply[i + 1] for i in range(0, len(reply), 2)}
                jobs.append(decode_record(jid, record))
            else:
                jobs.append(decode_job(jid, reply, zip(names, reply[len(HEAD) :], strict=True)))
        return jobs

    async def apply(self, batch: Sequence[Apply | New]) -> list[Verdict]:
        """Run one script per transition, in one pipeline, in order.

        Args:
            batch: Applies of one job must be in the order of their `rev`.

        Returns:
            One verdict per element. All but APPLIED wrote nothing.

        Raises:
            ServerUnavailable: The connection was lost. Any prefix may have been applied; deciding
            again on fresh state is safe. StateLost: A key of the transition holds something else,
            or its group is gone.
        """
        replies = await self._run([self._command(item) for item in batch])
        return [_VERDICTS[r] for r in replies]

    def built(self, command: Command, guard: list[Any]) -> tuple[Any, ...]:
        """A whole `apply` command."""
        return command.arguments(self._apply, guard, self.clock.skew_ms)

    def _command(self, item: Apply | New) -> tuple[Any, ...]:
        partition = self.keys.of(item.jid)
        entries = item.entries
        command = Command(partition.job(item.jid), entries.stream if entries else "")
        if isinstance(item, Apply):
            rev = str(item.rev) if item.rev else ""
            guard: list[Any] = ["request", rev]
            if entries:
                guard = ["entry", rev, entries.group, list(_ids(entries)), entries.consumer]
        else:
            guard = self._new_guard(item, command, partition)
        command.add(self.keys, partition, item.effects)
        if isinstance(item, New):
            if item.request:
                command.ops[0] += [REQUEST, item.request]
            guard[3:5] = self._backlog(item, command, partition)
        return command.arguments(self._apply, guard, self.clock.skew_ms)

    def _backlog(self, item: New, command: Command, partition: Partition) -> list[int]:
        """The bound on the first worker stream that the start adds to, and the stream's
        position; zeros for none.
        """
        for effect in item.effects if item.backlog_max else ():
            if isinstance(effect, Append) and effect.stream == "worker":
                return [item.backlog_max, command.key(partition.worker(effect.name))]
        return [0, 0]

    def _new_guard(self, item: New, command: Command, partition: Partition) -> list[Any]:
        command.key(partition.version)  # always third: the guard names it by position
        guard: list[Any] = ["new", item.request, item.version, 0, 0]
        if item.entries:
            guard += [item.entries.group, list(_ids(item.entries)), item.entries.consumer]
        return guard

    async def answer(
        self, entry: Entry, consumer: str, ops: Sequence[list[Any]], keys: Sequence[str]
    ) -> Verdict:
        """Settle one entry that this consumer holds, with ops that write no job.

        Args:
            ops: Their keys are named by position: the first of `keys` is 3.

        Returns:
            APPLIED, or LOST when the entry is another's by now.
        """
        command = Command(entry.stream, entry.stream)
        command.keys += keys
        command.ops += ops
        guard = ["owner", entry.group, consumer, next(_ids(entry))]
        arguments = command.arguments(self._apply, guard, self.clock.skew_ms)
        return Verdict((await self._run([arguments]))[0])

    async def pop_due(self, partition: Partition, limit: int = 500) -> tuple[int, int]:
        """Move due timers into the engine stream.

        Returns:
            How many, and the milliseconds until the next one, -1 when there is none.
        """
        sha = self.scripts["due"].sha
        command = ("EVALSHA", sha, 2, partition.timers, partition.engine, self.clock.skew_ms, limit)
        moved, next_ms = (await self._run([command]))[0]
        return moved, next_ms

    async def acknowledge(self, entries: Entry) -> None:
        """Settle entries that ask for nothing: late or repeated ones.

        A lost reply leaves them to be found again.
        """
        for first in range(0, len(entries.ids), BATCH_MAX):
            ids = entries.ids[first : first + BATCH_MAX]
            ack = ("XACK", entries.stream, entries.group, *ids)
            await self._many([ack, ("XDEL", entries.stream, *ids)])

    async def run(self, script: str, keys: Sequence[str], *arguments: Any) -> Any:
        """Run one of the small scripts."""
        sha = self.scripts[script].sha
        return (await self._run([("EVALSHA", sha, len(keys), *keys, *arguments)]))[0]

    async def _many(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        replies = await self.transport.execute_many(commands)
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise translated(reply)
        return replies

    async def _run(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Run scripts; reload them and resend the refused ones when the server has forgotten them.

        A refused script wrote nothing, and the order among the refused is kept, so resending is
        safe.
        """
        replies = await self.replies(commands)
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise translated(reply)
        return replies

    async def replies(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """The same, each with its own reply or `ReplyError`."""
        replies = await self.transport.execute_many(commands)
        for _ in range(RELOADS_MAX):
            refused = [
                i
                for i, r in enumerate(replies)
                if isinstance(r, ReplyError) and r.kind == "NOSCRIPT"
            ]
            if not refused:
                break
            await self._load_scripts(self.transport)
            again = await self.transport.execute_many([commands[i] for i in refused])
            for i, reply in zip(refused, again, strict=True):
                replies[i] = reply
        return replies


async def retrying(
    call: Callable[[], Awaitable[T]], *, what: str, tries_max: int = RETRIES_MAX
) -> T:
    """Repeat a guarded call while the server can't be reached or refuses, a bounded number of
    times.

    Raises:
        ServerUnavailable: It failed every time; whether it took effect is not known.
    """
    for attempt in range(tries_max - 1):
        try:
            return await call()
        except (ServerUnavailable, Overloaded) as exc:
            log.warning("call.retried", call=what, attempt=attempt + 1, error=str(exc))
            await asyncio.sleep(min(0.02 * 2 ** min(attempt, 10), 1.0) * random.uniform(0.5, 1.0))
    return await call()


def _ids(entries: Entry) -> Any:
    return (i.decode() for i in entries.ids)


_ADVICE = {
    "MISCONF": "the server can't write to its disk; free space there, and it goes on by itself",
    "READONLY": "the server is a replica by now; connect to its primary",
    "NOREPLICAS": "too few replicas follow the server; see its min-replicas-to-write",
    "LOADING": "the server is loading its data; try again",
    "BUSY": "the server is busy with a script of somebody else; end it with SCRIPT KILL",
    "CLUSTERDOWN": "the cluster is down",
}


def translated(error: ReplyError) -> HotMeshError:
    """What the server refused, in words that say what to do. Nothing was written.

    The kind may stand inside the message: a script without the first line of version 7 reports it
    so.
    """
    text = str(error)
    if any(kind in text[:200] for kind in ("WRONGTYPE", "NOGROUP")):
        return StateLost(f"the server no longer holds what was there before: {text}")
    if "OOM command not allowed" in text:
        return Overloaded(
            "the server is out of memory; raise maxmemory, or let finished jobs expire"
        )
    for kind, advice in _ADVICE.items():
        if error.kind == kind or f" {kind} " in text[:120]:
            return ServerUnavailable(f"{advice} (it said: {text})")
    return error
