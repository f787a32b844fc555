"""`hotmesh top`: a live look at a mesh, for a terminal; for scripts with `--json` or `--once`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from hotmesh.cli.context import Cli, Context
from hotmesh.cli.fleet import known, size, span, state, throttle_line
from hotmesh.cli.output import UsageError, one_line
from hotmesh.durations import parse
from hotmesh.errors import DurationInvalid
from hotmesh.quorum.duties import Duties
from hotmesh.quorum.snapshot import Snapshot, take, with_rates
from hotmesh.store import Plans, Store

if TYPE_CHECKING:
    from rich.console import RenderableType

INTERVAL_MS_MIN = 100
TOPICS_EVERY = 10
"""Looks between two readings of which topics the deployed versions have."""

_STREAMS = ("stream", ">members", ">depth", ">lag", ">in hand", ">oldest", ">in/s", ">out/s")
_MEMBERS = (
    "member",
    "roles",
    "state",
    "host",
    ">in flight",
    ">cpu s",
    ">memory",
    ">loop lag",
    ">heard",
)


async def top(*, interval: str = "1s", once: bool = False, cli: Cli) -> None:
    """Show streams with lag and rates, members and the server, until Ctrl-C.

    With --json, one object per look.

    Args:
        interval: Time between two looks.
        once: Look twice, print once, and end.
    """
    try:
        pause_s = parse(interval) / 1000
    except DurationInvalid as exc:
        raise UsageError(f"--interval: {exc}") from exc
    if pause_s * 1000 < INTERVAL_MS_MIN:
        raise UsageError(f"--interval is at least {INTERVAL_MS_MIN}ms, not {interval}")
    async with cli.attached() as (connection, store):
        looks = _looks(connection, store, pause_s)
        if once or cli.output.json:
            await _print(cli, looks, once)
        else:
            await _live(cli, looks)


async def _looks(connection: Any, store: Store, pause_s: float) -> AsyncIterator[Snapshot]:
    """Snapshots with rates; the first comes after two looks."""
    duties, topics = Duties(store, Plans(store)), set[str]()
    before: Snapshot | None = None
    number = 0
    while True:
        if number % TOPICS_EVERY == 0:
            topics = await duties.topics()
        now = await take(connection, store, topics)
        if before is not None:
            yield with_rates(before, now)
        before, number = now, number + 1
        await asyncio.sleep(pause_s)


async def _print(cli: Context, looks: AsyncIterator[Snapshot], once: bool) -> None:
    async for snapshot in looks:
        if cli.output.json:
            cli.output.result(snapshot)
        else:
            cli.output.console.print(picture(snapshot))
        if once:
            return


async def _live(cli: Context, looks: AsyncIterator[Snapshot]) -> None:
    from rich.live import Live

    with Live(console=cli.output.console, screen=True, auto_refresh=False) as live:
        live.update(_waiting(), refresh=True)
        async for snapshot in looks:
            live.update(picture(snapshot), refresh=True)


def _waiting() -> RenderableType:
    from rich.text import Text

    return Text("looking …")


def picture(snapshot: Snapshot) -> RenderableType:
    """A snapshot as rich shows it."""
    from rich.console import Group
    from rich.text import Text

    limit = f" of {size(snapshot.memory_max_bytes)}" if snapshot.memory_max_bytes else ""
    head = (
        f"app {snapshot.app}, version {snapshot.version or 'none'} | {snapshot.server}, "
        f"{size(snapshot.memory_bytes)}{limit}, {snapshot.commands_s:,} commands/s, "
        f"{snapshot.clients} clients | timers {snapshot.timers:,}, "
        f"dead letters {snapshot.dead_letters:,}"
    )
    held = [throttle_line(scope, t) for scope, t in sorted(snapshot.throttles.items())]
    return Group(
        Text(one_line(head), style="bold"),
        *(Text(one_line(line), style="yellow") for line in held),
        Text(""),
        _table(_STREAMS, _flow_rows(snapshot)),
        Text(""),
        _table(_MEMBERS, _member_rows(snapshot)),
    )


def _flow_rows(snapshot: Snapshot) -> list[Sequence[object]]:
    return [
        (
            flow.topic,
            flow.members or "-",
            *(known(n) for n in (flow.depth, flow.lag, flow.pending)),
            span(flow.oldest_ms) if flow.oldest_ms else "-",
            "-" if flow.in_s is None else f"{flow.in_s:,.1f}",
            "-" if flow.out_s is None else f"{flow.out_s:,.1f}",
        )
        for flow in snapshot.flows
    ]


def _member_rows(snapshot: Snapshot) -> list[Sequence[object]]:
    return [
        (
            m.guid,
            " ".join(m.roles),
            state(m.state, m.throttle_ms),
            m.host,
            m.in_flight,
            f"{m.cpu_s:.1f}",
            size(m.memory_bytes),
            f"{m.loop_lag_ms} ms",
            f"{span(snapshot.at_ms - m.seen_ms)} ago",
        )
        for m in sorted(snapshot.members, key=lambda m: (m.roles, m.guid))
    ]


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left")
    for row in rows:
        table.add_row(*(Text(one_line(str(cell))) for cell in row))
    return table
