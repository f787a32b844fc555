"""A server in memory: partitions with streams, groups, timers, slots and job hashes.

Streams have the consumer-group semantics that were measured on real servers, with what surprises
about them: XACK does not ask who holds an entry, a read of one's own pending list counts as a
delivery, a claim leaves the old holder in the belief that it still holds. Effects go through
`hotmesh.core.fold`; `tests/integration/test_store_fold.py` compares that with `apply.lua`. The
guards here repeat `hotmesh/store/lua/guards`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hotmesh.core import Append, Effect, Stored, fold
from hotmesh.core.outcome import Note
from hotmesh.core.state import REQUEST, REV, STATUS
from hotmesh.ids import partition_of
from hotmesh.messages import Reply, decode_engine_entry
from hotmesh.store import Verdict

START_MS = 1_760_000_000_000


class Violation(AssertionError):
    """Something happened that must not."""


@dataclass(slots=True)
class Pending:
    """One row of a group's pending list."""

    consumer: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it lies in a stream: field `p`, and field `d` of the few that have one."""

    id: bytes
    payload: bytes
    extra: bytes | None = None


@dataclass(slots=True)
class Stream:
    """One stream and its one group."""

    name: tuple[int, str, str]
    entries: dict[bytes, Entry] = field(default_factory=dict)
    pending: dict[bytes, Pending] = field(default_factory=dict)
    unread: list[bytes] = field(default_factory=list)
    added: int = 0

    def add(self, payload: bytes, extra: bytes | None = None) -> bytes:
        self.added += 1
        id = b"%d-0" % self.added
        self.entries[id] = Entry(id, payload, extra)
        self.unread.append(id)
        return id

    def read(self, consumer: str, count: int) -> list[Entry]:
        """XREADGROUP with `>`."""
        ids, self.unread = self.unread[:count], self.unread[count:]
        for id in ids:
            self.pending[id] = Pending(consumer)
        return [self.entries[i] for i in ids if i in self.entries]

    def history(self, consumer: str) -> list[Entry]:
        """XREADGROUP with `0`: a delivery more of what the consumer holds."""
        found = []
        for id, row in self.pending.items():
            if row.consumer == consumer:
                row.count += 1
                if id in self.entries:
                    found.append(self.entries[id])
        return found

    def claim(self, consumer: str, *, spare: Collection[str] = (), count: int = 100) -> list[Entry]:
        """XAUTOCLAIM of entries whose lease has run out: any, but those of the `spare` ones."""
        found: list[Entry] = []
        for id, row in list(self.pending.items()):
            if len(found) == count:
                break
            if row.consumer == consumer or row.consumer in spare:
                continue
            if id not in self.entries:
                del self.pending[id]
                continue
            self.pending[id] = Pending(consumer, row.count + 1)
            found.append(self.entries[id])
        return found

    def holds(self, consumer: str, id: bytes) -> bool:
        row = self.pending.get(id)
        return row is not None and row.consumer == consumer

    def settle(self, ids: Iterable[bytes]) -> None:
        """XACK, whoever holds them, and XDEL."""
        for id in ids:
            self.pending.pop(id, None)
            self.entries.pop(id, None)
            if id in self.unread:
                self.unread.remove(id)

    @property
    def is_empty(self) -> bool:
        return not self.entries and not self.pending


class Partition:
    """What shares one hash tag."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.jobs: dict[str, dict[str, bytes]] = {}
        self.expires_at_ms: dict[str, int] = {}
        self.streams: dict[tuple[str, str], Stream] = {}
        self.shared = Stored()  # timers, slots, receipts, statistics

    def stream(self, kind: str, name: str = "") -> Stream:
        found = self.streams.get((kind, name))
        if found is None:
            found = self.streams[kind, name] = Stream((self.number, kind, name))
        return found

    def worker_streams(self) -> list[Stream]:
        return [s for (kind, _), s in sorted(self.streams.items()) if kind == "worker"]


@dataclass(frozen=True, slots=True)
class Held:
    """The entries that a transition settles. `consumer`: who must still hold them, or ""."""

    stream: Stream
    ids: tuple[bytes, ...]
    consumer: str = ""


class Server:
    """All partitions, one clock, and a record of what was applied.

    Attributes:
        broken: Names of guards that are left out: `rev`, `new`, `owner`.
        expires: Whether records are deleted when their time has come.
    """

    def __init__(
        self, partitions: int = 1, *, broken: Collection[str] = (), expires: bool = False
    ) -> None:
        self.now_ms = START_MS
        self.partitions = [Partition(i) for i in range(partitions)]
        self.broken, self.expires = broken, expires
        self.notes: list[Note] = []
        self.published: list[tuple[str, str, bytes]] = []
        self.child_replies: dict[tuple[str, str, str], int] = {}

    def of(self, jid: str) -> Partition:
        return self.partitions[partition_of(jid, len(self.partitions))]

    def load(self, jid: str, names: Sequence[str] | None) -> dict[str, bytes] | None:
        """HGETALL, or HMGET of these; None when there is no such job."""
        fields = self._fields(jid)
        if fields is None:
            return None
        if names is None:
            return dict(fields)
        return {n: fields[n] for n in names if n in fields}

    def _fields(self, jid: str) -> dict[str, bytes] | None:
        part = self.of(jid)
        if self.expires and part.expires_at_ms.get(jid, self.now_ms + 1) <= self.now_ms:
            part.jobs.pop(jid, None)
            part.expires_at_ms.pop(jid, None)
        return part.jobs.get(jid)

    # -- apply.lua

    def apply(
        self,
        jid: str,
        rev: int,
        effects: Sequence[Effect],
        held: Held | None,
        notes: Sequence[Note] = (),
    ) -> Verdict:
        """The guard `entry`, or `request` when nothing is held."""
        fields = self._fields(jid) or {}
        if "rev" not in self.broken and int(fields.get(REV, b"0")) != rev:
            return Verdict.STALE
        return self._write(jid, effects, held, notes)

    def create(
        self,
        jid: str,
        request: str,
        effects: Sequence[Effect],
        held: Held | None,
        notes: Sequence[Note] = (),
    ) -> Verdict:
        """The guard `new`."""
        fields = self._fields(jid) or {}
        if REV in fields and "new" not in self.broken:
            mine = bool(request) and fields.get(REQUEST) == request.encode()
            return Verdict.DUPLICATE if mine else Verdict.STALE
        verdict = self._write(jid, effects, held, notes)
        if verdict is Verdict.APPLIED and request:
            self.of(jid).jobs[jid][REQUEST] = request.encode()
        return verdict

    def answer(self, held: Held, part: Partition, effects: Sequence[Effect]) -> Verdict:
        """The guard `owner`: effects that write no job."""
        if "owner" not in self.broken and not self._holds_all(held):
            return Verdict.LOST
        held.stream.settle(held.ids)
        self._fold(part, "", {}, effects)
        return Verdict.APPLIED

    def pop_due(self, part: Partition, limit: int = 500) -> int:
        """due.lua."""
        timers = part.shared.timers
        due = sorted((at, entry) for entry, at in timers.items() if at <= self.now_ms)[:limit]
        for _, entry in due:
            part.stream("engine").add(entry)
            del timers[entry]
        return len(due)

    # -- inside

    def _write(
        self, jid: str, effects: Sequence[Effect], held: Held | None, notes: Sequence[Note]
    ) -> Verdict:
        if held is not None:
            if held.consumer and "owner" not in self.broken and not self._holds_all(held):
                return Verdict.LOST
            held.stream.settle(held.ids)
        part = self.of(jid)
        before = dict(part.jobs.get(jid, {}))
        fields = dict(before)
        self._fold(part, jid, fields, effects)
        if fields:
            part.jobs[jid] = fields
        self._watch(jid, before, fields, effects)
        self.notes += notes
        return Verdict.APPLIED

    def _fold(
        self, part: Partition, jid: str, fields: dict[str, bytes], effects: Sequence[Effect]
    ) -> None:
        shared = part.shared
        shared.fields, shared.streams, shared.woken = fields, {}, []
        shared.published, shared.expires_at_ms = self.published, None
        for effect in effects:
            fold(shared, effect, self.now_ms)
        for (kind, name), payloads in shared.streams.items():
            for payload in payloads:
                part.stream(kind, name).add(payload)
        for waiter, signal in shared.woken:
            there, _, entry = waiter.partition(b":")
            if int(there) == part.number:
                part.stream("engine").add(entry, signal)
            else:
                part.stream("outbox", there.decode()).add(entry, signal)
        if shared.expires_at_ms is not None:
            part.expires_at_ms[jid] = shared.expires_at_ms

    def _watch(
        self,
        jid: str,
        before: Mapping[str, bytes],
        after: Mapping[str, bytes],
        effects: Sequence[Effect],
    ) -> None:
        if int(before.get(STATUS, b"1")) <= 0:
            changed = {k for k in after if before.get(k) != after[k]} - {REV, "u"}
            if changed:
                raise Violation(f"job {jid} has ended, and {sorted(changed)} changed")
        if -1_000 < int(after.get(STATUS, b"1")) < 0:
            raise Violation(f"job {jid} has a status of {after[STATUS]!r}")
        for effect in effects:
            if isinstance(effect, Append) and effect.stream in ("engine", "outbox"):
                event = decode_engine_entry(effect.payload)
                if isinstance(event, Reply) and event.status != "pending":
                    leg = (event.jid, event.aid, event.dad)
                    self.child_replies[leg] = self.child_replies.get(leg, 0) + 1

    def _holds_all(self, held: Held) -> bool:
        return all(held.stream.holds(held.consumer, id) for id in held.ids)

    # -- for checks

    def leftovers(self) -> list[str]:
        """What lies about that should be gone when all work is done."""
        found: list[str] = []
        for part in self.partitions:
            for stream in part.streams.values():
                if not stream.is_empty:
                    what = f"{len(stream.entries)} entries, {len(stream.pending)} pending"
                    found.append(f"stream {stream.name}: {what}")
            found += [f"a timer for {entry!r}" for entry in part.shared.timers]
            for kind in (part.shared.waiters, part.shared.early):
                found += [f"slot {slot}: {rows!r}" for slot, rows in kind.items() if rows]
        return found

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Every job by its id: raw fields."""
        return {jid: dict(f) for part in self.partitions for jid, f in part.jobs.items()}
