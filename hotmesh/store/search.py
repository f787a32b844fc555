"""Statistics and indexes as they are read: by job key, time slot and facet, over all partitions."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from hotmesh.compiler import Program
from hotmesh.connect import ReplyError
from hotmesh.core.identity import job_key_of
from hotmesh.core.stats import INFINITY, name_of, slot_ms, slot_name
from hotmesh.errors import QueryInvalid, TopicNotFound
from hotmesh.mapping import Env
from hotmesh.store.jobs import Store

SEGMENTS_MAX = 2_000
_PICK: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "mdn": statistics.median,
}
_RANGES = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Index(Struct, frozen=True):
    """One index list: of a facet in a slot."""

    name: str
    facet: str


class _Window(Struct, frozen=True):
    """What a query asks for: job key and the slots, by the time of their beginning (0 for the
    endless one).
    """

    topic: str
    key: str
    granularity: str
    slots: tuple[int, ...]

    def name(self, slot: int) -> str:
        text = "0" if self.granularity == INFINITY else slot_name(slot, self.granularity)
        return name_of(self.topic, self.key, text)


async def get_stats(
    store: Store, program: Program, topic: str, query: dict[str, Any], env: Env
) -> dict[str, Any]:
    """Totals of the whole window, and unless `sparse` of each slot: `measures` are counts,
    `aggregates` the rest.

    Raises:
        TopicNotFound, QueryInvalid
    """
    window = _window(program, topic, query, env)
    segments = []
    totals: dict[str, float] = {}
    values: dict[str, list[float]] = {}
    kinds = _kinds(program, topic)
    for slot in window.slots:
        sums, found = await _read_slot(store, program, topic, window.name(slot))
        for name, amount in sums.items():
            totals[name] = totals.get(name, 0) + amount
        for path, numbers in found.items():
            values.setdefault(path, []).extend(numbers)
        segment: dict[str, Any] = {
            "time": _iso(slot, window),
            "measures": _counts(sums),
        }
        if aggregates := _aggregates(sums, found, kinds):
            segment["aggregates"] = aggregates
        if "count" in sums:
            segment["count"] = _plain(sums["count"])
        segments.append(segment)
    result = _head(window, query)
    result["count"] = _plain(totals.get("count", 0))
    result["measures"] = _counts(totals)
    if aggregates := _aggregates(totals, values, kinds):
        result["aggregates"] = aggregates
    if not query.get("sparse"):
        result["segments"] = segments
    return result


async def get_ids(
    store: Store,
    program: Program,
    topic: str,
    query: dict[str, Any],
    facets: Sequence[str],
    env: Env,
) -> dict[str, Any]:
    """Job ids of index lists, facet by facet and slot by slot.

    Raises:
        TopicNotFound, QueryInvalid
    """
    window = _window(program, topic, query, env)
    facets = tuple(facets) or await _known_facets(store, program, topic, window)
    counts = dict.fromkeys(facets, 0)
    segments = []
    for slot in window.slots:
        measures = []
        for facet in facets:
            ids = await ids_of(store, Index(window.name(slot), facet))
            counts[facet] += len(ids)
            time = _iso(slot, window)
            measures.append(
                {"type": "ids", "target": facet, "time": time, "count": len(ids), "ids": ids}
            )
        segments.append({"time": _iso(slot, window), "measures": measures})
    result = _head(window, query)
    result.pop("end", None)
    result["facets"] = list(facets)
    result["counts"] = [{"facet": f, "count": n} for f, n in counts.items()]
    result["segments"] = segments
    return result


async def find_indexes(
    store: Store,
    program: Program,
    topic: str,
    query: dict[str, Any],
    facets: Sequence[str],
    env: Env,
) -> list[Index]:
    """The index lists that a query means; those that were counted when no facet is named."""
    window = _window(program, topic, query, env)
    facets = tuple(facets) or await _known_facets(store, program, topic, window)
    return [Index(window.name(slot), facet) for slot in window.slots for facet in facets]


async def ids_of(store: Store, index: Index) -> list[str]:
    """Job ids of one index list, in the order in which the jobs began."""
    ids: list[str] = []
    for partition in store.keys.partitions:
        key = partition.stats(index.name, "i", index.facet)
        ids += [i.decode() for i in await store.transport.execute("LRANGE", key, 0, -1)]
    return ids


async def drop_indexes(store: Store, indexes: Sequence[Index]) -> None:
    """Forget index lists."""
    for index in indexes:
        for partition in store.keys.partitions:
            await store.transport.execute("UNLINK", partition.stats(index.name, "i", index.facet))


# -- reading one slot


async def _read_slot(
    store: Store, program: Program, topic: str, name: str
) -> tuple[dict[str, float], dict[str, list[float]]]:
    paths = [p for m, p, _ in _trigger(program, topic).measures if m in ("mdn", "min", "max")]
    sums: dict[str, float] = {}
    values: dict[str, list[float]] = {}
    for partition in store.keys.partitions:
        commands: list[tuple[Any, ...]] = [("HGETALL", partition.stats(name, "s", ""))]
        commands += [("ZRANGE", partition.stats(name, "v", p), 0, -1, "WITHSCORES") for p in paths]
        replies = await store.transport.execute_many(commands)
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply
        flat = replies[0]
        for i in range(0, len(flat), 2):
            field = flat[i].decode()
            sums[field] = sums.get(field, 0) + float(flat[i + 1])
        for path, reply in zip(paths, replies[1:], strict=True):
            values.setdefault(path, []).extend(float(s) for s in reply[1::2])
    return sums, {p: v for p, v in values.items() if v}


def _counts(sums: dict[str, float]) -> list[dict[str, Any]]:
    """Counts per value, in the order in which they were first seen."""
    return [
        {"target": name[len("count:") :], "type": "count", "value": _plain(amount)}
        for name, amount in sums.items()
        if name.startswith("count:")
    ]


def _aggregates(
    sums: dict[str, float], values: dict[str, list[float]], kinds: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    """What else the model measures. Beside `measures`, where the original has counts alone."""
    found = []
    for kind, path in kinds:
        total = sums.get(f"sum:{path}")
        numbers = values.get(path)
        if kind == "sum" and total is not None:
            value = total
        elif kind == "avg" and total is not None:
            value = total / sums["count"]
        elif kind in _PICK and numbers:
            value = _PICK[kind](numbers)
        else:
            continue
        found.append({"target": path, "type": kind, "value": _plain(value)})
    return found


async def _known_facets(
    store: Store, program: Program, topic: str, window: _Window
) -> tuple[str, ...]:
    indexed = {path for m, path, _ in _trigger(program, topic).measures if m == "index"}
    facets: dict[str, None] = {}
    for slot in window.slots:
        sums, _ = await _read_slot(store, program, topic, window.name(slot))
        for name in sums:
            if name.startswith("count:"):
                facet = name[len("count:") :]
                if facet.partition(":")[0] in indexed:
                    facets[facet] = None
    return tuple(facets)


# -- the window


def _window(program: Program, topic: str, query: dict[str, Any], env: Env) -> _Window:
    graph = program.graph(topic)
    if graph is None:
        raise TopicNotFound(
            topic=topic, app_id=program.app_id, version=program.version, near=program.near(topic)
        )
    node = program.node(graph.trigger)
    stats = node.plan.stats
    granularity = str(query.get("granularity") or (stats.granularity if stats else "5m"))
    key = job_key_of(node, query.get("data") or {}, env)
    if not key:
        raise QueryInvalid(
            f"the query's data give no job key for topic {topic!r}; send the fields that "
            "stats.key reads"
        )
    return _Window(topic, key, granularity, _slots(query, granularity, env.now_ms))


def _slots(query: dict[str, Any], granularity: str, now_ms: int) -> tuple[int, ...]:
    size = slot_ms(granularity)
    if not size:
        return (0,)
    start, end, length = query.get("start"), query.get("end"), query.get("range")
    given = sum(x is not None for x in (start, end, length))
    if given not in (1, 2):
        raise QueryInvalid(
            "a query over time slots takes two of start, end and range (or one of start "
            "and end, for one slot)"
        )
    length_ms = _range_ms(length) if length is not None else 0
    first = _time_ms(start, now_ms) if start is not None else None
    last = _time_ms(end, now_ms) if end is not None else None
    if first is None and last is None:
        raise QueryInvalid("a range needs a start or an end beside it")
    if first is None:
        assert last is not None
        first = last - length_ms
    if last is None:
        last = first + length_ms
    slots = tuple(range(first // size * size, last + 1, size))
    if not 0 < len(slots) <= SEGMENTS_MAX:
        raise QueryInvalid(
            f"the query spans {len(slots):,} slots; 1 to {SEGMENTS_MAX:,} can be read at once"
        )
    return slots


def _range_ms(text: Any) -> int:
    text = str(text)
    size = _RANGES.get(text[-1:])
    if size is None or not text[:-1].isdigit():
        raise QueryInvalid(f"range {text!r} is not such as 15m, 1h or 1d")
    return int(text[:-1]) * size


def _time_ms(value: Any, now_ms: int) -> int:
    if value == "NOW":
        return now_ms
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError as exc:
        raise QueryInvalid(f"{value!r} is not a time; write ISO 8601 or NOW") from exc
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1000)


def _head(window: _Window, query: dict[str, Any]) -> dict[str, Any]:
    head: dict[str, Any] = {"key": window.key, "granularity": window.granularity}
    for name in ("range", "start", "end"):
        if query.get(name) is not None:
            head[name] = query[name]
    return head


def _iso(slot: int, window: _Window) -> str:
    if window.granularity == INFINITY:
        return "0"
    return f"{datetime.fromtimestamp(slot / 1000, UTC):%Y-%m-%dT%H:%MZ}"


def _kinds(program: Program, topic: str) -> list[tuple[str, str]]:
    return [(m, p) for m, p, _ in _trigger(program, topic).measures if m not in ("count", "index")]


def _trigger(program: Program, topic: str) -> Any:
    graph = program.graph(topic)
    assert graph is not None
    return program.node(graph.trigger)


def _plain(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value
