"""Durable runs in the store: load, start, add an input, commit a turn.

The record of a run is its job's hash, its history a list beside it. Everything here is one script
per effect, `apply.lua` under one of the guards for runs; see `docs/explanation/durable.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from hotmesh.connect import ReplyError
from hotmesh.core.state import ERROR, META, REV, STATUS, UPDATED
from hotmesh.ids import partition_of
from hotmesh.run_messages import RunTask, encode_run
from hotmesh.store.encode import RECEIPT_MS, Command, text
from hotmesh.store.jobs import Entry, Store, Verdict, translated
from hotmesh.store.keys import Partition

RUN, TASK, STATE, RESULT, QUEUE, KEEPER = "n", "t", "y", "v", "k", "g"
ATTRIBUTES, MEMO, FIRST, NEXT = "a", "o", "i", "nx"
"""Fields of a run's hash beside those of every job; `s<step>` is an open step, `b<step>` what its
activity's heart last said, `_<name>` a field of the user's.
"""

HEAD = (RUN, REV, STATUS, STATE, QUEUE, KEEPER)

ITEMS_MAX = 50_000
"""Items of one history."""

PAGE = 1_000

ANSWER_MS = 60_000
"""How long the answer to a query is kept."""


class RunHead(Struct, frozen=True):
    """What every load of a run asks for."""

    run_id: str
    rev: str
    status: int
    state: str
    queue: str
    keeper: str

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.status > 0


class Started(Struct, frozen=True):
    """What became of a start: APPLIED, or why not, and the run that has the id."""

    verdict: str
    run_id: str


_START = {3: "repeated", 9: "open", 10: "used", 11: "archive"}


class InputOf(Struct, frozen=True, kw_only=True):
    """A record for a run's history.

    Attributes:
        step: The field of the open step that it closes, and the `value` that it must have.
        rid: Its receipt, where no step guards it.
        entry: The entry that brought it.
    """

    jid: str
    run_id: str
    record: bytes
    queue: str
    keeper: str = ""
    step: str = ""
    value: str = ""
    rid: str = ""
    entry: Entry | None = None
    items_max: int = ITEMS_MAX


class RunCommand(Command):
    """One `apply` on a run in the making."""

    __slots__ = ("jid", "partition", "run_id", "store")

    def __init__(self, store: Store, jid: str, run_id: str, entry_stream: str = "") -> None:
        self.store, self.jid, self.run_id = store, jid, run_id
        self.partition: Partition = store.keys.of(jid)
        super().__init__(self.partition.job(jid), entry_stream)

    def history(self, items: Sequence[bytes]) -> None:
        """Items join the history."""
        at = self.key(self.partition.history(self.run_id))
        self.ops.append(["history", at, *map(text, items)])

    def task(self, queue: str, record: bytes, at: int) -> None:
        """Somebody is to look at the run."""
        stream = self.key(self.partition.tasks(queue))
        task = text(encode_run(RunTask(self.jid, self.run_id)))
        self.ops.append(["task", stream, task, text(record), at])

    def call(self, queue: str, payload: bytes, keeper: str = "") -> None:
        """An activity is to be run."""
        stream = self.key(self.partition.calls(queue, keeper))
        self.ops.append(["append", stream, text(payload)])

    def set(self, fields: dict[str, bytes]) -> None:
        """Write fields."""
        op: list[Any] = ["set"]
        for name, value in fields.items():
            op.append(name)
            op.append(text(value))
        self.ops.append(op)

    def drop(self, names: Iterable[str]) -> None:
        """Delete fields."""
        self.ops.append(["drop", *names])

    def timer(self, entry: bytes, after_ms: int) -> None:
        """Have an entry appended to the engine stream later."""
        at = self.key(self.partition.timers)
        self.ops.append(["timer", at, text(entry), after_ms, self.store.keys.wake])

    def untimer(self, entry: bytes) -> None:
        """Take a timer back."""
        self.ops.append(["untimer", self.key(self.partition.timers), text(entry)])

    def post(self, jid: str, payload: bytes) -> None:
        """An entry for the engine of another job's partition."""
        there = partition_of(jid, len(self.store.keys.partitions))
        if there == self.partition.number:
            self.ops.append(["append", self.key(self.partition.engine), text(payload)])
        else:
            outbox = self.key(self.partition.outbox)
            self.ops.append(["forward", outbox, str(there), text(payload)])

    def rank(self, kind: str, score: str) -> None:
        """Join or leave an index of runs."""
        self.ops.append(
            ["rank", self.key(self.partition.runs(kind)), text(self.jid.encode()), score]
        )

    def expire(self, after_ms: int) -> None:
        """The record and its history go after this time."""
        self.ops.append(["expire", after_ms])
        self.ops.append(["outlive", self.key(self.partition.history(self.run_id)), after_ms])

    def tell_caller(self, caller: str) -> None:
        """Publish that the run has ended. Always last."""
        channel = self.store.keys.caller(caller)
        self.ops.append(["publish", channel, text(self.jid.encode())])

    def build(self, guard: list[Any]) -> tuple[Any, ...]:
        """The whole command."""
        return self.store.built(self, guard)


class Runs:
    """Durable runs of one app over one connection."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # -- reading

    async def heads(self, jids: Sequence[str]) -> list[RunHead | None]:
        """The heads of runs, in one pipeline; None where there is none."""
        commands = [("HMGET", self._job(jid), *HEAD) for jid in jids]
        return [head_of(reply) for reply in await self._read(commands)]

    async def load(
        self, wanted: Sequence[tuple[str, str, int]]
    ) -> list[tuple[RunHead | None, list[bytes]]]:
        """Heads, and the items of the histories from an index on, in one pipeline.

        Args:
            wanted: Workflow id, run id, and how many items are known.
        """
        commands: list[tuple[Any, ...]] = [("TIME",)]
        for jid, run_id, known in wanted:
            history = self.store.keys.of(jid).history(run_id)
            commands.append(("HMGET", self._job(jid), *HEAD))
            commands.append(("LRANGE", history, known, -1))
        replies = await self._read(commands)
        self.store.clock.read(replies[0])
        return [(head_of(replies[i]), replies[i + 1]) for i in range(1, len(replies), 2)]

    async def record(self, jid: str, run_id: str = "") -> dict[str, bytes]:
        """The whole record of the current run of an id, or of an earlier one; empty for none."""
        keys = [self._job(jid)]
        if run_id:
            keys.append(self.store.keys.of(jid).archive(jid, run_id))
        for reply in await self._read([("HGETALL", key) for key in keys]):
            fields = {reply[i].decode(): reply[i + 1] for i in range(0, len(reply), 2)}
            if fields and (not run_id or fields.get(RUN, b"").decode() == run_id):
                return fields
        return {}

    async def history(self, jid: str, run_id: str) -> list[bytes]:
        """All items of a run's history, read in pages."""
        key = self.store.keys.of(jid).history(run_id)
        items: list[bytes] = []
        while True:
            page = (await self._read([("LRANGE", key, len(items), len(items) + PAGE - 1)]))[0]
            items += page
            if len(page) < PAGE:
                return items

    async def fields(self, jid: str, names: Sequence[str]) -> list[bytes | None]:
        """Some fields of a run's record."""
        reply: list[bytes | None] = (await self._read([("HMGET", self._job(jid), *names)]))[0]
        return reply

    # -- writing

    async def run(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Run built commands in one pipeline: their answers.

        Raises:
            ServerUnavailable: The connection was lost; what took effect is not known.
        """
        return await self.store._run(commands)

    async def try_all(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """The same, each with its own answer or error."""
        return [
            translated(reply) if isinstance(reply, ReplyError) else reply
            for reply in await self.store.replies(commands)
        ]

    def input(self, item: InputOf) -> tuple[Any, ...]:
        """The command that adds an input and wakes the run."""
        entry = item.entry
        command = RunCommand(self.store, item.jid, item.run_id, entry.stream if entry else "")
        partition = command.partition
        keeper = life = receipt = 0
        if item.keeper:
            keeper = command.key(partition.tasks(item.queue, item.keeper))
            life = command.key(partition.life(item.keeper))
        if item.rid:
            receipt = command.key(partition.receipt(item.rid))
        guard: list[Any] = ["input", item.run_id, item.step, item.value]
        guard += [command.key(partition.history(item.run_id)), text(item.record)]
        guard += [command.key(partition.tasks(item.queue)), keeper, life]
        guard += [text(encode_run(RunTask(item.jid, item.run_id))), receipt, RECEIPT_MS]
        guard += [item.items_max, *_entry(entry)]
        return command.build(guard)

    async def add(self, items: Sequence[InputOf]) -> list[Verdict]:
        """Add inputs, in one pipeline."""
        return [Verdict(r) for r in await self.run([self.input(item) for item in items])]

    def start_guard(
        self,
        command: RunCommand,
        *,
        request: str,
        reuse: str,
        archived: str,
        entry: Entry | None = None,
    ) -> list[Any]:
        """The guard of a start; `archived` is the closed run that makes room."""
        at = command.key(command.partition.archive(command.jid, archived)) if archived else 0
        return ["start", request, reuse, archived, at, *_entry(entry)]

    async def start(self, command: tuple[Any, ...], run_id: str) -> Started:
        """Run a start."""
        reply = (await self.run([command]))[0]
        if isinstance(reply, list):
            return Started(_START[reply[0]], reply[1].decode())
        verdict = Verdict(reply)
        return Started("started" if verdict is Verdict.APPLIED else verdict.name.lower(), run_id)

    async def live(self, partitions: Iterable[Partition], keeper: str, ttl_ms: int) -> None:
        """Say that a worker lives."""
        await self._read([("SET", p.life(keeper), "1", "PX", ttl_ms) for p in partitions])

    async def join(self, queue: str, keeper: str, now_ms: int) -> None:
        """A worker has streams of its own from now on."""
        await self._read(
            [("ZADD", p.keepers(queue), now_ms, keeper) for p in self.store.keys.partitions]
        )

    async def keepers(self, partition: Partition, queue: str) -> list[str]:
        """Workers that have, or had, streams of their own."""
        reply = (await self._read([("ZRANGE", partition.keepers(queue), 0, -1)]))[0]
        return [name.decode() for name in reply]

    async def rehome(
        self, partition: Partition, queue: str, keeper: str, *, dead: bool, limit: int = 500
    ) -> int:
        """Give what a gone worker had to whoever comes; how many entries, -1 while it lives."""
        pairs = [
            (partition.tasks(queue, keeper), partition.tasks(queue)),
            (partition.calls(queue, keeper), partition.calls(queue)),
        ]
        keys = [partition.life(keeper), *(key for pair in pairs for key in pair)]
        moved: int = await self.store.run("rehome", keys, "1" if dead else "0", limit)
        return moved

    async def forget(self, partition: Partition, queue: str, keeper: str) -> None:
        """A gone worker's streams are empty: strike it off."""
        await self._read(
            [("ZREM", partition.keepers(queue), keeper), ("DEL", partition.life(keeper))]
        )

    async def ask(self, jid: str, queue: str, keeper: str, query: bytes) -> None:
        """Put a question to whoever keeps a run."""
        partition = self.store.keys.of(jid)
        keys = [partition.tasks(queue)]
        if keeper:
            keys += [partition.tasks(queue, keeper), partition.life(keeper)]
        await self.store.run("ask", keys, query)

    async def reply(self, jid: str, qid: str, answer: bytes, caller: str) -> None:
        """Keep an answer for a minute, and tell who asked."""
        key = self.store.keys.of(jid).receipt(qid)
        channel = self.store.keys.caller(caller)
        await self._read([("SET", key, answer, "PX", ANSWER_MS), ("PUBLISH", channel, jid)])

    async def answer(self, jid: str, qid: str) -> bytes | None:
        """The answer to a question, if it has come."""
        key = self.store.keys.of(jid).receipt(qid)
        found: bytes | None = (await self._read([("GET", key)]))[0]
        return found

    async def execute(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Plain commands that write no run (heartbeats, indexes), in one pipeline."""
        return await self._read(commands)

    def _job(self, jid: str) -> str:
        return self.store.keys.of(jid).job(jid)

    async def _read(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        replies = await self.store.transport.execute_many(commands)
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise translated(reply)
        return replies


def head_of(reply: Sequence[bytes | None]) -> RunHead | None:
    """A reply to HMGET of HEAD."""
    run_id, rev, status, state, queue, keeper = reply
    if run_id is None or rev is None or status is None:
        return None
    return RunHead(
        run_id.decode(),
        rev.decode(),
        int(status),
        (state or b"").decode(),
        (queue or b"").decode(),
        (keeper or b"").decode(),
    )


def _entry(entry: Entry | None) -> list[Any]:
    if entry is None:
        return ["", [], ""]
    return [entry.group, [i.decode() for i in entry.ids], entry.consumer]


__all__ = [
    "ATTRIBUTES",
    "ERROR",
    "FIRST",
    "ITEMS_MAX",
    "KEEPER",
    "MEMO",
    "META",
    "NEXT",
    "QUEUE",
    "RESULT",
    "REV",
    "RUN",
    "STATE",
    "STATUS",
    "TASK",
    "UPDATED",
    "InputOf",
    "RunCommand",
    "RunHead",
    "Runs",
    "Started",
]
