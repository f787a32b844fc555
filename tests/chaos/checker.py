"""What must hold after a run, and what was seen of it. Facts in, violations out: no I/O but the
ledger's file, so that the checker can be checked.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shapes import Job

UNDELIVERABLE = 999


@dataclass
class Outcome:
    """What a client saw of one job.

    Attributes:
        accepted: The start was acknowledged, or a result came.
        data: The result, by the first way that gave it; None when none did.
        again: The result as it was read once more.
        ended: When the job ended, by the server's clock; 0 when it is not known.
        error: What went wrong instead.
    """

    job: Job
    accepted: bool = False
    data: dict[str, Any] | None = None
    again: dict[str, Any] | None = None
    ended: float = 0.0
    error: str = ""
    starts: int = 0


@dataclass(frozen=True)
class Call:
    """A line of the ledger: a worker has begun a call."""

    root: str
    jid: str
    aid: str
    dad: str
    attempt: int
    guid: str
    pid: int

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """The effect that the call stands for."""
        return (self.root, self.jid, self.aid, self.dad, self.attempt)


@dataclass
class Record:
    """Everything that is known of one phase.

    Attributes:
        published: How often the result of each job was heard.
        deaf: Times (from, to) in which a published result may have gone unheard.
        quiet: What the server still held when all was done, by kind; empty is right.
        deaths: Processes that ended without a fault of ours.
        is_calm: No fault was done: each call runs once, and every published result is heard.
    """

    outcomes: Sequence[Outcome]
    calls: Sequence[Call]
    published: Counter[str]
    deaf: Sequence[tuple[float, float]] = ()
    quiet: dict[str, Any] = field(default_factory=dict)
    deaths: Sequence[str] = ()
    is_calm: bool = False


def read_ledger(path: Path) -> list[Call]:
    """The ledger; its lines are whole, for each was one write."""
    calls = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        calls.append(Call(**{name: row[name] for name in Call.__dataclass_fields__}))
    return calls


def check(record: Record) -> list[str]:
    """Every violation, in words."""
    found: list[str] = []
    calls = defaultdict(list)
    for call in record.calls:
        calls[call.root].append(call)
    for outcome in record.outcomes:
        job = outcome.job.id
        found += [f"{job}: {fault}" for fault in _result(outcome)]
        found += [f"{job}: {fault}" for fault in _calls(outcome, calls[job], record.is_calm)]
        found += [f"{job}: {fault}" for fault in _published(outcome, record)]
    found += [f"left on the server: {what}: {value}" for what, value in record.quiet.items()]
    found += [f"died by itself: {death}" for death in record.deaths]
    return found


def _result(outcome: Outcome) -> Iterable[str]:
    if not outcome.accepted:
        yield f"was never accepted: {outcome.error}"
    elif outcome.data is None:
        dead = " (undeliverable)" if f"{UNDELIVERABLE}" in outcome.error else ""
        yield f"has no result{dead}: {outcome.error or 'it did not finish'}"
    elif outcome.data != outcome.job.data:
        yield f"gave {outcome.data}, not {outcome.job.data}"
    elif outcome.again != outcome.job.data:
        yield f"gave {outcome.again} when read again, not {outcome.job.data}; {outcome.error}"


def _calls(outcome: Outcome, calls: Sequence[Call], is_calm: bool) -> Iterable[str]:
    if outcome.data is None:
        return  # said already
    distinct = Counter(key[2] for key in {c.key for c in calls})
    if distinct != Counter(outcome.job.calls):
        yield f"made the calls {dict(distinct)}, not {outcome.job.calls}"
    guids = defaultdict(set)
    for call in calls:
        guids[call.key].add(call.guid)
    for key, ids in guids.items():
        if len(ids) > 1:
            yield f"ordered {key[2]}{key[3]} attempt {key[4]} more than once: {sorted(ids)}"
    if is_calm:
        for key, times in Counter(c.key for c in calls).items():
            if times > 1:
                yield f"ran {key[2]}{key[3]} {times} times without any fault"


def _published(outcome: Outcome, record: Record) -> Iterable[str]:
    heard = record.published[outcome.job.id]
    if heard > 1:
        yield f"its result was published {heard} times"
    was_deaf = any(began <= outcome.ended <= ended for began, ended in record.deaf)
    if heard == 0 and outcome.ended and not was_deaf:
        yield "its published result was not heard, and nothing made us deaf then"


@dataclass(frozen=True)
class Summary:
    """Counters for people, and for "this must happen sometimes"."""

    jobs: int
    by_shape: dict[str, int]
    calls: int
    repeated_calls: int
    moved_calls: int
    unheard: int
    repeated_starts: int


def summary(record: Record) -> Summary:
    """What happened."""
    pids: dict[Any, set[int]] = defaultdict(set)
    for call in record.calls:
        pids[call.key].add(call.pid)
    return Summary(
        jobs=len(record.outcomes),
        by_shape=dict(sorted(Counter(o.job.shape for o in record.outcomes).items())),
        calls=len(record.calls),
        repeated_calls=len(record.calls) - len(pids),
        moved_calls=sum(len(p) > 1 for p in pids.values()),
        unheard=sum(record.published[o.job.id] == 0 for o in record.outcomes),
        repeated_starts=sum(o.starts > 1 or o.job.repeats for o in record.outcomes),
    )
