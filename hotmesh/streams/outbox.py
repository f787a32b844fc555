"""What a partition has for others: stored by its commits, brought there afterwards, once each.

The outbox is a stream beside the partition. Its entries are numbered without gaps by the commits
that store them; whoever runs the partition appends them to their topics under the partition's name
as a producer, so that an entry which is brought again is known there (`produce.lua`).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from hotmesh.errors import HotMeshError, ServerUnavailable
from hotmesh.log import get_logger
from hotmesh.streams import produce
from hotmesh.streams.commit import Commit
from hotmesh.streams.keys import Slot, internal_topic
from hotmesh.streams.topics import TopicSpec
from hotmesh.streams.transaction import Delta
from hotmesh.streams.wire import fields_of

if TYPE_CHECKING:
    from hotmesh.streams.client import Client
    from hotmesh.streams.lease import Held

log = get_logger("hotmesh.streams")

PAGE = 500
PAUSE_S_MAX = 1.0
STOP_S = 5.0
DELTAS = "deltas"
"""The internal topic whose entries are added to values of the partition that they are sent to."""


class Parcel:
    """One entry for another partition."""

    __slots__ = ("fields", "number", "partition", "topic")

    def __init__(self, number: int, topic: str, partition: int, fields: list[Any]) -> None:
        self.number, self.topic, self.partition, self.fields = number, topic, partition, fields


class Outbox:
    """Of one partition that this process runs."""

    def __init__(self, client: Client, app_id: str, slot: Slot, held: Held) -> None:
        self._client, self._store = client, client.store
        self._key, self._held = slot.outbox(app_id), held
        self._producer = f"~{app_id}/{slot.number}"
        self._deltas_topic = internal_topic(app_id, DELTAS)
        self.unstored: list[Parcel] = []
        self._storing: list[Parcel] = []
        self._ready: deque[Parcel] = deque()
        self._work = asyncio.Event()
        self._ending = False
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._ready) + len(self.unstored)

    async def load(self) -> None:
        """Find what the owner before has left, and begin to bring."""
        last = "-"
        while True:
            rows = await self._store.transport.execute(
                "XRANGE", self._key, last, "+", "COUNT", PAGE
            )
            for id, fields in rows:
                number = int(id.partition(b"-")[0])
                topic, partition = fields[1].decode(), int(fields[3])
                self._ready.append(Parcel(number, topic, partition, fields[4:]))
            if len(rows) < PAGE:
                break
            last = f"({rows[-1][0].decode()}"
        self._work.set()
        loop = asyncio.get_running_loop()
        # Owned: `stop` ends and awaits it.
        self._task = loop.create_task(self._bring_all(), name="partition.outbox")

    async def stop(self, *, at_once: bool) -> None:
        """End; bring what is stored first, unless `at_once`. The next owner finds the rest."""
        self._ending = True
        self._work.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=0 if at_once else STOP_S)
            self._task.cancel()
            await asyncio.wait([self._task])

    # -- filled by commits

    def add(self, topic: str, partition: int, fields: list[Any]) -> None:
        """An entry that the next commit stores."""
        self._held.sent += 1
        self.unstored.append(Parcel(self._held.sent, topic, partition, fields))

    def add_delta(self, delta: Delta) -> None:
        """A number for a value of another partition."""
        cell = delta.cell
        told = (cell.part.table.name, cell.pane, cell.key, delta.amount)
        self.add(
            self._deltas_topic, cell.home, fields_of(msgspec.msgpack.encode(told), b"m:", cell.key)
        )

    def store(self, commit: Commit) -> None:
        """Put what is new into a commit."""
        self._storing, self.unstored = self.unstored, []
        for parcel in self._storing:
            commit.append(
                self._key,
                ("topic", parcel.topic, "to", parcel.partition, *parcel.fields),
                id=f"{parcel.number}-0",
            )
        if self._storing:
            commit.add("HSET", 1, "s", self._storing[-1].number)

    def stored(self) -> None:
        """The commit was applied."""
        if self._storing:
            self._ready.extend(self._storing)
            self._storing = []
            self._work.set()

    # -- emptied by this task

    async def _bring_all(self) -> None:
        pause_s = 0.02
        while True:
            await self._work.wait()
            self._work.clear()
            while self._ready:
                batch = [self._ready[i] for i in range(min(PAGE, len(self._ready)))]
                try:
                    await self._bring(batch)
                    pause_s = 0.02
                except HotMeshError as exc:
                    log.warning("outbox.retried", error=str(exc))
                    await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                    pause_s = min(pause_s * 2, PAUSE_S_MAX)
                    continue
                for _ in batch:
                    self._ready.popleft()
            if self._ending:
                return

    async def _bring(self, batch: list[Parcel]) -> None:
        groups: dict[tuple[str, int], list[Parcel]] = {}
        for parcel in batch:
            groups.setdefault((parcel.topic, parcel.partition), []).append(parcel)
        await asyncio.gather(*[self._append(*where, group) for where, group in groups.items()])
        await self._store.transport.execute(
            "XTRIM", self._key, "MINID", f"{batch[-1].number + 1}-0"
        )

    async def _append(self, topic: str, partition: int, group: list[Parcel]) -> None:
        spec: TopicSpec = await self._client.topic(topic)
        slot = self._client.space.slot(partition)
        keys = [slot.entries(topic), slot.receipt(f"{self._producer}/{topic}")]
        waiting = []
        for parcel in group:
            one = produce.Waiting(parcel.fields, None, 0)
            one.number = parcel.number
            waiting.append(one)
        verdict = (await produce.append(self._store, keys, spec, waiting))[0]
        if verdict != produce.APPENDED:
            raise ServerUnavailable(
                f"partition {partition} of topic {topic!r} is full: some group is far behind"
            )
