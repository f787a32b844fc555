"""Routes as a file says them: tables `[routes.<name>]` and `[emits.<name>]` of TOML, checked as a
whole.

    [routes.approvals]
    from = "orders"                        # a topic; or stream = "legacy:orders"
    match = {type = "order.placed", key = "eu-*"}
    to = "order.approval.requested"        # a workflow; or signal = "…", or topic = "…"
    map = {id = "{value.id}"}

    [emits.shipped]
    activity = "emit.shipped"              # the topic of worker activities
    topic = "orders.shipped"

Every fault is found at once, with the file and the place, and with the name that was meant.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from hotmesh.durations import Duration
from hotmesh.errors import Finding, HotMeshError, SettingsInvalid
from hotmesh.mesh import RetryPolicy
from hotmesh.routing.route import Match
from hotmesh.routing.router import ROUTE_RETRY, Router

TABLES = ("routes", "emits")

C = TypeVar("C")


class RetryConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`retry` of a route; see `hotmesh.RetryPolicy`."""

    maximum_attempts: int = ROUTE_RETRY.maximum_attempts
    initial_interval: str | int | float = "1s"
    backoff_coefficient: float = 2.0
    maximum_interval: str | int | float = "100s"
    jitter: float = 0.2
    codes: tuple[int, ...] = ()

    def policy(self) -> RetryPolicy:
        """The same as the router takes it."""
        return RetryPolicy(**msgspec.structs.asdict(self))


class RouteConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table `[routes.<name>]`.

    Attributes:
        source: `from`: the topic that is read.
        stream, field: Instead: a plain Redis stream, and the field that holds its values as JSON.
        to, signal, topic: The target, one of them.
        match: Which entries are meant: `type`, `key`, `when`.
        map: What the target gets.
        rate: Such as `100/s`, in each process.
        concurrency: Entries at once in each process.
        start: Where a new group begins.
        retry: When failures are tried again.
        dead_letter: False: what failed for good is logged and forgotten.
        duplicates: `dead_letter` or `drop`: an entry whose job's id is taken.
    """

    source: str = msgspec.field(default="", name="from")
    stream: str = ""
    field: str = ""
    to: str | None = None
    signal: str | None = None
    topic: str | None = None
    match: Match = Match()
    map: dict[str, Any] | None = None
    rate: str | None = None
    concurrency: int | None = None
    start: Any = "earliest"  # a Position; a time of TOML is a datetime
    retry: RetryConfig = RetryConfig()
    dead_letter: bool = True
    duplicates: Literal["dead_letter", "drop"] = "dead_letter"


class EmitConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table `[emits.<name>]`: activities that append to a topic; see `Router.emit`."""

    activity: str
    topic: str
    concurrency: int | None = None


class Tables(Struct, frozen=True):
    """What a file says, by name."""

    routes: dict[str, RouteConfig]
    emits: dict[str, EmitConfig]


class RoutesInvalid(SettingsInvalid):
    """A file of routes can't be used; `findings` holds every fault."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(str(f) for f in self.findings))


def read_tables(path: Path) -> Tables:
    """What a file says; other tables are not looked at.

    Raises:
        RoutesInvalid: Every fault that can be seen without a router: what is no TOML, unknown keys,
            wrong types.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RoutesInvalid([Finding("there is no such file", file=str(path))]) from None
    except (OSError, ValueError) as exc:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise RoutesInvalid([Finding(f"it can't be read: {exc}", file=str(path))]) from exc
    if not any(content.get(table) for table in TABLES):
        near = next((n for t in TABLES for n in get_close_matches(t, content, n=1)), None)
        meant = f"; did you mean 'routes' by {near!r}?" if near else ""
        fault = (
            f"there is nothing for a router in it: write [routes.<name>] with from and to{meant}"
        )
        raise RoutesInvalid([Finding(fault, path="routes", file=str(path))])
    findings: list[Finding] = []
    routes = _read(content, "routes", RouteConfig, findings, str(path))
    emits = _read(content, "emits", EmitConfig, findings, str(path))
    if findings:
        raise RoutesInvalid(findings)
    return Tables(routes, emits)


def _read(
    content: dict[str, Any], name: str, kind: type[C], findings: list[Finding], file: str
) -> dict[str, C]:
    tables = content.get(name, {})
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        fault = f"they are tables with names, as in [{name}.approvals]"
        findings.append(Finding(fault, path=name, file=file))
        return {}
    found: dict[str, C] = {}
    for key, table in tables.items():
        place = f"{name}.{key}"
        unknown = list(_unknown(table, kind, place, file))
        findings += unknown
        if unknown:
            continue
        try:
            found[key] = msgspec.convert(table, kind)
        except (msgspec.ValidationError, SettingsInvalid) as exc:
            findings.append(_finding(exc, place, file))
    return found


def add_tables(router: Router, tables: Tables, *, file: str, concurrency: int = 100) -> None:
    """Give a router what a file says.

    Args:
        concurrency: Of routes that say nothing.

    Raises:
        RoutesInvalid: With every fault.
    """
    findings: list[Finding] = []
    for name, route in tables.routes.items():
        place = f"routes.{name}"
        try:
            router.route(
                route.source,
                stream=route.stream,
                field=route.field,
                to=route.to,
                signal=route.signal,
                topic=route.topic,
                map=route.map,
                match=route.match,
                name=name,
                duplicates=route.duplicates,
                concurrency=concurrency if route.concurrency is None else route.concurrency,
                retry=route.retry.policy(),
                dead_letter=route.dead_letter,
                rate=route.rate,
                start=route.start,
                path=place,
            )
        except HotMeshError as exc:
            text = str(exc)
            where, colon, rest = text.partition(": ")
            inside = colon and where.startswith(place)
            findings.append(
                Finding(rest if inside else text, path=where if inside else place, file=file)
            )
    for name, emit in tables.emits.items():
        try:
            at_once = concurrency if emit.concurrency is None else emit.concurrency
            router.emit(emit.activity, topic=emit.topic, concurrency=at_once)
        except HotMeshError as exc:
            findings.append(Finding(str(exc), path=f"emits.{name}", file=file))
    if findings:
        raise RoutesInvalid(findings)


def router_of(
    path: Path,
    redis: Any,
    *,
    group: str,
    app: str | None,
    namespace: str,
    lease: Duration,
    grace: Duration,
    concurrency: int,
) -> Router:
    """A router with the routes of a file.

    Raises:
        RoutesInvalid: With every fault.
    """
    router = Router(redis, group, app=app, namespace=namespace, lease=lease, grace=grace)
    add_tables(router, read_tables(path), file=str(path), concurrency=concurrency)
    return router


def _unknown(table: dict[str, Any], kind: Any, place: str, file: str) -> Iterator[Finding]:
    """Keys that there are not, in a table and those inside it."""
    inner = {"match": Match, "retry": RetryConfig}
    known = {f.encode_name for f in msgspec.structs.fields(kind)}
    for key, value in table.items():
        if key not in known:
            near = get_close_matches(key, known, n=1, cutoff=0.5)
            meant = f"; did you mean {near[0]!r}?" if near else f"; known are {_listed(known)}"
            yield Finding(f"there is no key {key!r}{meant}", path=f"{place}.{key}", file=file)
        elif kind is RouteConfig and key in inner and isinstance(value, dict):
            yield from _unknown(value, inner[key], f"{place}.{key}", file)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _finding(exc: Exception, place: str, file: str) -> Finding:
    text, _, field = str(exc).partition(" - at `$")
    path = f"{place}{field.rstrip('`')}"
    return Finding(text.replace("`", ""), path=path, file=file)
