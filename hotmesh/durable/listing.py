"""Finding workflows: by their state, their search attributes, and what else their records say.

A query is answered from the indexes of `Partition.runs`: those of an attribute's value, or of all
open and closed runs. What an index says is only where to look: each record that it names is read,
and the whole query is asked of it, so a stale index finds nothing that is not so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from hotmesh.core.durable import ledger
from hotmesh.core.durable import records as r
from hotmesh.core.state import META, REV, STATUS, UPDATED, Meta
from hotmesh.durable import payloads
from hotmesh.durable.errors import SearchQueryError, WorkflowNotFound
from hotmesh.durable.point import Point
from hotmesh.durable.search_query import (
    BUILT_IN,
    Both,
    Compare,
    Either,
    Query,
    holds,
    parse,
    time_of,
)
from hotmesh.errors import HotMeshError, Overloaded, SettingsInvalid
from hotmesh.store import Verdict
from hotmesh.store.run_index import forgotten, unindex
from hotmesh.store.runs import (
    ATTRIBUTES,
    FIRST,
    KEEPER,
    MEMO,
    QUEUE,
    RUN,
    STATE,
    RunCommand,
)

PAGE = 200
LIMIT_MAX = 10_000
LOOKS_MAX = 1_000_000
"""Records that one query may look at."""

FAILURES, LAST_ERROR = "tf", "te"
_FIELDS = (RUN, STATE, STATUS, META, UPDATED, QUEUE, ATTRIBUTES, MEMO, FIRST, KEEPER)
_SUMMARY = (*_FIELDS, FAILURES, LAST_ERROR)
_TRIES_MAX = 5


class PendingActivity(Struct, frozen=True, kw_only=True):
    """An activity that a run waits for.

    Attributes:
        seq: Its step.
        attempt: The current one, from 1.
        last_failure: Why the attempt before failed, or None.
    """

    seq: int
    name: str
    task_queue: str
    attempt: int
    last_failure: str | None = None


class WorkflowDescription(Struct, frozen=True, kw_only=True):
    """What is known of a workflow.

    Attributes:
        workflow: The name of its function or class.
        status: `running`, `completed`, `failed`, `canceled`, `terminated`, `interrupted`,
            `timed_out` or `continued`.
        first_run_id: Of the chain of runs that continued one another.
        closed_at: When it ended, or None.
        attempt: Of the workflow's own retry policy; 0 in listings, which do not read it.
        parent_id: The workflow that started it as a child, or "".
        task_failures, last_error: How often its code could not go on (a diverged replay, a missing
            function), and why the last time. The run stays open and is tried again.
        pending_activities: What it waits for; () in listings.
        keeper: The worker that has it in memory, or "".
    """

    workflow_id: str
    run_id: str
    first_run_id: str
    workflow: str
    status: str
    task_queue: str
    started_at: datetime
    closed_at: datetime | None = None
    attempt: int = 0
    parent_id: str = ""
    memo: dict[str, Any] = {}
    search_attributes: dict[str, Any] = {}
    task_failures: int = 0
    last_error: str = ""
    pending_activities: tuple[PendingActivity, ...] = ()
    keeper: str = ""


def description_of(
    workflow_id: str, record: dict[str, bytes], items: Sequence[bytes] = ()
) -> WorkflowDescription:
    """What a record says, and the history of its run, where it is at hand."""
    meta = msgspec.msgpack.decode(record[META], type=Meta)
    is_open = int(record[STATUS]) > 0
    history = r.decode_items(items)
    begin = history[0] if history else None
    return WorkflowDescription(
        workflow_id=workflow_id,
        run_id=record[RUN].decode(),
        first_run_id=record.get(FIRST, record[RUN]).decode(),
        workflow=meta.topic,
        status=record[STATE].decode(),
        task_queue=record[QUEUE].decode(),
        started_at=_time(meta.created_ms),
        closed_at=None if is_open else _time(int(record[UPDATED])),
        attempt=begin.attempt if isinstance(begin, r.Begin) else 0,
        parent_id=meta.parent_jid,
        memo=_mapping(record, MEMO),
        search_attributes=_mapping(record, ATTRIBUTES),
        task_failures=int(record.get(FAILURES, 0)) if is_open else 0,
        last_error=record.get(LAST_ERROR, b"").decode(errors="replace") if is_open else "",
        pending_activities=_pending(record, history) if is_open else (),
        keeper=record.get(KEEPER, b"").decode(),
    )


def _pending(record: dict[str, bytes], history: Sequence[r.Item]) -> tuple[PendingActivity, ...]:
    found = []
    for act in ledger.left_open(history).acts:
        attempt, failure = record.get(f"s{act.seq}", b"1"), record.get(f"f{act.seq}")
        said = msgspec.msgpack.decode(failure, type=r.Failure).message if failure else None
        found.append(
            PendingActivity(
                seq=act.seq,
                name=act.name,
                task_queue=act.queue,
                attempt=int(attempt) if attempt.isdigit() else 1,
                last_failure=said,
            )
        )
    return tuple(found)


def _mapping(record: dict[str, bytes], name: str) -> dict[str, Any]:
    value = payloads.decode(record[name]) if record.get(name) else None
    return value if isinstance(value, dict) else {}


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _facts(found: WorkflowDescription) -> dict[str, Any]:
    return {
        **found.search_attributes,
        "status": found.status,
        "workflow": found.workflow,
        "workflow_id": found.workflow_id,
        "run_id": found.run_id,
        "task_queue": found.task_queue,
        "start_time": found.started_at,
        "close_time": found.closed_at,
    }


# -- finding


async def find(point: Point, query: str = "", limit: int = 1_000) -> list[WorkflowDescription]:
    """Workflows that a query finds, the latest started first.

    Raises:
        SearchQueryError: The query can't be understood, or would look at too many records.
        SettingsInvalid: The limit is out of range.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise SettingsInvalid(f"limit lies between 1 and {LIMIT_MAX:,}, not {limit}")
    found: list[WorkflowDescription] = []
    async for one in matches(point, query):
        found.append(one)
        if len(found) == limit:
            break
    return found


async def count(point: Point, query: str = "") -> int:
    """How many workflows a query finds. Raises as `find`."""
    number = 0
    async for _ in matches(point, query):
        number += 1
    return number


async def matches(point: Point, query: str) -> AsyncIterator[WorkflowDescription]:
    """All that a query finds, read page by page as they are wanted. Raises as `find`."""
    asked = parse(query)
    names = _ids(asked)
    looks = 0
    candidates = _given(names) if names is not None else await _candidates(point, asked)
    seen: set[str] = set()
    async for page in candidates:
        fresh = [jid for jid in dict.fromkeys(page) if jid not in seen]
        seen.update(fresh)
        looks += len(fresh)
        if looks > LOOKS_MAX:
            raise SearchQueryError(
                f"the query would look at more than {LOOKS_MAX:,} workflows; add a comparison "
                "with = to it"
            )
        for found in await _read(point, fresh):
            if holds(asked, _facts(found)):
                yield found


async def _given(names: list[str]) -> AsyncIterator[list[str]]:
    yield names


async def _read(point: Point, jids: Sequence[str]) -> list[WorkflowDescription]:
    keys = point.store.keys
    commands: list[tuple[Any, ...]] = [("HMGET", keys.of(j).job(j), *_SUMMARY) for j in jids]
    found = []
    for jid, row in zip(jids, await point.runs.execute(commands), strict=True):
        record = {n: v for n, v in zip(_SUMMARY, row, strict=True) if v is not None}
        if RUN in record and META in record:  # it may have expired since
            found.append(description_of(jid, record))
    return found


def _ids(query: Query | None) -> list[str] | None:
    """The workflow ids that a query allows, when it names them."""
    match query:
        case Compare("workflow_id", "=", value):
            return [value]
        case Both():
            return next((found for p in query.parts if (found := _ids(p)) is not None), None)
        case Either():
            parts = [_ids(part) for part in query.parts]
            return None if None in parts else [jid for part in parts for jid in part or ()]
        case _:
            return None


def indexes_of(query: Query | None) -> list[list[str]]:
    """Ways to find all that a query could mean: each a list of indexes to be looked at
    together.
    """
    match query:
        case Compare("status", "=", value):
            return [["open" if value == "running" else "closed"]]
        case Compare("close_time", "=" | "<" | "<=" | ">" | ">=", value) if value is not None:
            return [["closed"]]
        case Compare(field, "=", value) if _is_indexed(field, value):
            return [[f"a:{field}={ledger.text_of(value)}"]]
        case Both():
            return [way for part in query.parts for way in indexes_of(part)]
        case Either():
            ways = [indexes_of(part) for part in query.parts]
            if all(ways):
                return [list(dict.fromkeys(name for way in ways for name in way[0]))]
    return []


def _is_indexed(field: str, value: Any) -> bool:
    # Text that reads as a time may stand for a time, whose form in the index is another.
    return field not in BUILT_IN and value is not None and time_of(value) is None


async def _candidates(point: Point, query: Query | None) -> AsyncIterator[list[str]]:
    """Pages of the shortest way to all that a query could mean, the latest start first."""
    partitions = point.store.keys.partitions
    ways = indexes_of(query) or [["open", "closed"]]
    if len(ways) > 1:
        commands: list[tuple[Any, ...]] = [
            ("ZCARD", p.runs(name)) for way in ways for name in way for p in partitions
        ]
        sizes = iter(await point.runs.execute(commands))
        totals = [sum(next(sizes) for _ in range(len(way) * len(partitions))) for way in ways]
        ways = [ways[totals.index(min(totals))]]
    return _merged(point, [p.runs(name) for name in ways[0] for p in partitions])


class _Index:
    """One index, read page by page; members that join meanwhile are not met."""

    __slots__ = ("at", "done", "key", "rows")

    def __init__(self, key: str) -> None:
        self.key, self.at, self.done = key, 0, False
        self.rows: list[tuple[float, str]] = []


async def _merged(point: Point, keys: Sequence[str]) -> AsyncIterator[list[str]]:
    """Members of several indexes by their score, the highest first, in pages."""
    indexes = [_Index(key) for key in keys]
    page: list[str] = []
    while True:
        hungry = [i for i in indexes if not i.rows and not i.done]
        if hungry:
            await _fill(point, hungry)
        full = [i for i in indexes if i.rows]
        if not full:
            break
        best = max(full, key=lambda i: i.rows[-1][0])
        page.append(best.rows.pop()[1])
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


async def _fill(point: Point, indexes: Sequence[_Index]) -> None:
    commands: list[tuple[Any, ...]] = [
        ("ZREVRANGE", i.key, i.at, i.at + PAGE - 1, "WITHSCORES") for i in indexes
    ]
    for index, reply in zip(indexes, await point.runs.execute(commands), strict=True):
        rows = [(float(reply[n + 1]), reply[n].decode()) for n in range(0, len(reply), 2)]
        index.at += len(rows)
        index.done = len(rows) < PAGE
        index.rows = rows[::-1]


# -- deleting


async def delete(point: Point, workflow_id: str) -> None:
    """Delete the record, the history and the index entries of an ended workflow, at once.

    Raises:
        WorkflowNotFound: There is none.
        HotMeshError: It is running.
    """
    for _ in range(_TRIES_MAX):
        record = await point.runs.record(workflow_id)
        if RUN not in record:
            raise WorkflowNotFound(
                f"workflow {workflow_id!r} was not found: it never ran, or has expired",
                workflow_id=workflow_id,
            )
        if int(record[STATUS]) > 0:
            raise HotMeshError(
                f"workflow {workflow_id!r} is running; terminate it, or wait for its end"
            )
        run_id = record[RUN].decode()
        command = RunCommand(point.store, workflow_id, run_id)
        unindex(command, forgotten(workflow_id, run_id, index_names(record)))
        command.ops += [["outlive", command.key(command.partition.history(run_id)), 1], ["delete"]]
        verdict = (
            await point.runs.run([command.build(["entry", record[REV].decode(), "", [], ""])])
        )[0]
        if verdict == Verdict.APPLIED:
            return
    raise Overloaded(f"workflow {workflow_id!r} changed {_TRIES_MAX} times in a row; try again")


def index_names(record: dict[str, bytes]) -> list[str]:
    """The indexes that a record's search attributes put its run into."""
    return ledger.index_names(_mapping(record, ATTRIBUTES))


__all__ = [
    "PendingActivity",
    "WorkflowDescription",
    "count",
    "delete",
    "description_of",
    "find",
]
