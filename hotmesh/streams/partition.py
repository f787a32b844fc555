"""One partition of an app, as its owner runs it: tables, what is to be committed, the outbox.

Events that are complete wait here for the next commit; one commit is under way at a time, so
commits grow with the load. A commit that was applied frees the places of its events; one that is
refused means that the partition is another's by now, and everything here is void.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hotmesh.errors import HotMeshError, ServerUnavailable
from hotmesh.log import get_logger
from hotmesh.streams import commit as commits
from hotmesh.streams.cells import Cell, Part
from hotmesh.streams.commit import DEAD_MAX, Commit
from hotmesh.streams.event import Event
from hotmesh.streams.outbox import Outbox
from hotmesh.streams.transaction import Delta, Send, Transaction

if TYPE_CHECKING:
    from hotmesh.streams.client import Client
    from hotmesh.streams.lease import Held
    from hotmesh.streams.part import AgentPart
    from hotmesh.streams.peek import Peek
    from hotmesh.streams.replica import Replicas
    from hotmesh.streams.table import Table
    from hotmesh.streams.topics import TopicSpec

log = get_logger("hotmesh.streams")

REPLY_MS = 60_000
PAUSE_S_MIN, PAUSE_S_MAX = 0.02, 1.0
OUTBOX_MAX = 5_000
"""Entries for other partitions that wait: above it this partition takes no further events."""

TRIM_EVERY = 1_000
"""Entries that commits append to a topic before it is trimmed."""

Applied = Callable[[], None]


class Run:
    """Made when a partition is taken; ended when it is let go of or lost.

    Attributes:
        number: The partition.
        lost: Set when it is another's: whatever runs here is to stop.
    """

    def __init__(
        self,
        client: Client,
        app_id: str,
        held: Held,
        peek: Peek,
        replicas: Replicas,
        on_void: Callable[[Held], None],
    ) -> None:
        self.number, self.held = held.number, held
        self.slot = client.space.slot(held.number)
        self.lost = asyncio.Event()
        self.late_count = 0
        self.outbox = Outbox(client, app_id, self.slot, held)
        self._client, self._store, self._app_id, self._peek = client, client.store, app_id, peek
        self._parts: dict[Table[Any], Part] = {}
        self._acks: dict[tuple[AgentPart, str], list[bytes]] = {}
        self._later: list[Callable[[Commit], None]] = []
        self._applied: list[Applied] = []
        self._appended: dict[str, tuple[TopicSpec, int]] = {}  # since they were trimmed
        self._full: set[str] = set()
        self._open = 0  # transactions
        self._on_void, self._replicas = on_void, replicas
        self._work = asyncio.Event()
        self._ending = False
        self._number = 0
        self._task: asyncio.Task[None] | None = None

    # -- start and end

    async def start(self, tables: list[Table[Any]]) -> None:
        """Load what is small of the tables, and what the outbox still holds; begin to commit."""
        for table in tables:
            if table.spec is not None and self.number < table.spec.partitions:
                part = self._parts[table] = Part(table, self.slot, self._peek)
                await part.load(self._store)
        await self.outbox.load()
        loop = asyncio.get_running_loop()
        # Owned: `stop` ends and awaits it.
        self._task = loop.create_task(self._commit_all(), name=f"partition.{self.number}")

    async def stop(self) -> None:
        """Commit what is complete, send what is in the outbox, and end."""
        self._ending = True
        self._work.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        await self.outbox.stop(at_once=self.lost.is_set())

    def void(self) -> None:
        """The partition is another's: nothing more is written."""
        if not self.lost.is_set():
            self.lost.set()
            self._work.set()
            self._on_void(self.held)

    # -- for scopes

    def now_ms(self) -> int:
        """The server's clock."""
        return self._store.clock.now_ms()

    def open(self) -> Transaction:
        """A transaction for an event."""
        self._open += 1
        return Transaction(self)

    def close(self) -> None:
        """A transaction has ended."""
        self._open -= 1

    def part(self, table: Table[Any]) -> Part:
        """This partition's part of a table: of one with fewer partitions, a part that is empty."""
        found = self._parts.get(table)
        if found is None:
            found = self._parts[table] = Part(table, self.slot, self._peek)
        return found

    def cell_of(self, table: Table[Any], home: int, pane: str, key: bytes) -> Cell:
        """A cell of another partition, as it is stored right now; of a global table from the copy
        in this process.
        """
        if table.window is None and self._replicas.has(table):
            return Cell(self.part(table), home, pane, key, self._replicas.get(table, key))
        slot = self._client.space.slot(home)
        raw = self._peek.hget(slot.table(self._app_id, table.name, pane), key)
        return Cell(self.part(table), home, pane, key, raw)

    def note_late(self, table: Table[Any]) -> None:
        """An event came too late for a table."""
        self.late_count += 1
        log.debug("event.late", table=table.name, partition=self.number)

    # -- what is to be committed

    def acknowledge(self, part: AgentPart, stream: str, id: bytes) -> None:
        """An entry is handled."""
        found = self._acks.get((part, stream))
        if found is None:
            found = self._acks[part, stream] = []
        found.append(id)
        self._work.set()

    def take(self, transaction: Transaction, deltas: list[Delta]) -> None:
        """What a complete transaction sends."""
        for send in transaction.sends:
            self.send(send)
        for address, payload in transaction.replies:
            self.reply(address, payload)
        for delta in deltas:
            self.outbox.add_delta(delta)

    def send(self, send: Send) -> None:
        """An entry for a topic: of this partition it is appended by the commit itself."""
        if send.partition == self.number:
            self._later.append(lambda commit: self._append(commit, send))
        else:
            self.outbox.add(send.topic, send.partition, send.fields)

    async def trim(self) -> None:
        """Keep the topics that are appended to here bounded. One that is full of what some group
        has not handled stops this partition, until it is not.
        """
        for topic, (spec, count) in list(self._appended.items()):
            if count < TRIM_EVERY and topic not in self._full:
                continue
            self._appended[topic] = (spec, 0)
            stream = self.slot.entries(topic)
            if await self._store.run("trim", [stream], spec.length_max):
                self._full.discard(topic)
            elif topic not in self._full:
                log.warning("topic.full", topic=topic, partition=self.number)
                self._full.add(topic)

    def _append(self, commit: Commit, send: Send) -> None:
        if send.spec.length_max and send.spec.full != "trim":
            _, count = self._appended.get(send.topic, (send.spec, 0))
            self._appended[send.topic] = (send.spec, count + 1)
        keep = send.spec.length_max if send.spec.full == "trim" else 0
        commit.append(self.slot.entries(send.topic), send.fields, keep=keep)

    def move(self, topic: str, home: int, event: Event, key: bytes | None) -> None:
        """Hand an event on to the partition where its state lies."""
        entry = event.entry
        fields = entry.fields()
        if entry.foreign is None:
            fields = _moved(fields, key, entry.event_ms)
            if entry.origin is None:
                fields += ["i", event.origin]
        if home == self.number:
            self._later.append(lambda commit: commit.append(self.slot.entries(topic), fields))
        else:
            self.outbox.add(topic, home, fields)

    def reply(self, address: bytes, payload: bytes) -> None:
        """The answer to whoever asked."""
        client, _, request = address.decode(errors="replace").partition("/")
        channel = self._client.space.replies(client)

        def put(commit: Commit) -> None:
            key = commit.key(self.slot.reply(f"{client}/{request}"), "t")
            commit.add("SET", key, payload, "PX", REPLY_MS)
            commit.add("PUBLISH", 0, channel, f"{self.number}/{request}")

        self._later.append(put)

    def bury(self, event: Event, group: str, reason: str) -> None:
        """Into the dead letters of its topic."""
        fields = [*event.entry.fields(), "reason", reason, "group", group, "id", event.entry.id]
        fields += ["attempts", event.attempt + 1]
        dead = self.slot.dead(event.topic)
        self._later.append(lambda commit: commit.append(dead, fields, keep=DEAD_MAX))

    def note_attempts(self, group: str, field: bytes, attempts: int) -> None:
        """Remember how often an entry's handling has failed; 0 forgets it."""

        def put(commit: Commit) -> None:
            key = commit.key(self.slot.attempts(group), "h")
            if attempts:
                commit.add("HSET", key, field, attempts)
            else:
                commit.add("HDEL", key, field)

        self._later.append(put)
        self._work.set()

    def after(self, call: Applied) -> None:
        """Call this once the next commit is applied."""
        self._applied.append(call)
        self._work.set()

    def wake(self) -> None:
        """There is something to commit."""
        self._work.set()

    async def settled(self) -> None:
        """Return when everything that is complete so far is committed, or the partition is lost."""
        done = asyncio.Event()
        self.after(done.set)
        waiting = [asyncio.ensure_future(done.wait()), asyncio.ensure_future(self.lost.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    @property
    def crowded(self) -> bool:
        """Whether too much waits for other partitions, or a topic is full that is sent to here."""
        return bool(self._full) or len(self.outbox) > OUTBOX_MAX

    # -- committing

    async def _commit_all(self) -> None:
        try:
            while not self.lost.is_set():
                await self._work.wait()
                # Everything that becomes complete in this turn of the loop belongs to it too.
                await asyncio.sleep(0)
                self._work.clear()
                await self._commit()
                if self._ending and not self._waiting():
                    return
        except HotMeshError as exc:
            log.error("partition.failed", partition=self.number, error=str(exc))
            self.void()

    def _waiting(self) -> bool:
        return bool(self._acks or self._later or self._applied or self.outbox.unstored)

    async def _commit(self) -> None:
        commit = Commit(self.slot.owner(self._app_id))
        acks, self._acks = self._acks, {}
        later, self._later = self._later, []
        applied, self._applied = self._applied, []
        for (part, stream), ids in acks.items():
            commit.acknowledge(stream, part.group, ids)
        for put in later:
            put(commit)
        for table in self._parts.values():
            table.expire()
            table.store(commit)
            if not self._open:
                table.forget_some()
        self.outbox.store(commit)
        if commit:
            self._number += 1
            if not await self._apply(commit):
                return
        self.outbox.stored()
        for (part, stream), ids in acks.items():
            part.committed(stream, ids)
        for call in applied:
            call()

    async def _apply(self, commit: Commit) -> bool:
        pause_s = PAUSE_S_MIN
        while not self.lost.is_set():
            try:
                verdict = await commits.apply(self._store, commit, self.held.epoch, self._number)
            except ServerUnavailable as exc:
                log.warning("commit.retried", partition=self.number, error=str(exc))
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(pause_s * 2, PAUSE_S_MAX)
                continue
            if verdict == commits.LOST:
                log.warning("partition.lost", partition=self.number, epoch=self.held.epoch)
                self.void()
            return verdict != commits.LOST
        return False

    # -- windows

    def parts(self) -> list[Part]:
        """The parts that are held here."""
        return list(self._parts.values())


def _moved(fields: list[Any], key: bytes | None, event_ms: int) -> list[Any]:
    """The fields of an entry with another key, and the time of the event, which arrives anew."""
    kept: list[Any] = []
    for at in range(0, len(fields), 2):
        if fields[at] not in ("k", "e"):
            kept += fields[at : at + 2]
    at = 4 if len(kept) > 2 and kept[2] == "t" else 2
    told: list[Any] = ["k", key] if key is not None else []
    return [*kept[:at], *told, "e", event_ms, *kept[at:]]
