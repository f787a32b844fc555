"""`hotmesh rollcall`."""

from __future__ import annotations

from hotmesh.cli.arguments import check_duration
from hotmesh.cli.context import Cli
from hotmesh.cli.fleet import (
    MEMBER_COLUMNS,
    PART_COLUMNS,
    member_rows,
    part_rows,
    throttle_line,
)
from hotmesh.durations import parse
from hotmesh.quorum import roll_call
from hotmesh.quorum.throttle import throttles


async def rollcall(*, timeout: str = "1s", cli: Cli) -> None:
    """Print who is there, how each is, and what its streams hold.

    Args:
        timeout: How long members may take to answer; 0s takes what they told last.
    """
    check_duration(timeout, "--timeout")
    async with cli.attached() as (connection, store):
        members = await roll_call(connection, store, timeout_s=parse(timeout) / 1000)
        in_force = await throttles(store)
        now_ms = store.clock.now_ms()
    members.sort(key=lambda m: (m.roles, m.guid))
    if cli.output.json:
        cli.output.result({"members": members, "throttles": in_force, "now_ms": now_ms})
        return
    for scope, throttle in sorted(in_force.items()):
        cli.output.line(throttle_line(scope, throttle))
    if not members:
        cli.output.line("nobody is there; start hotmesh engine and hotmesh worker")
        return
    cli.output.table(MEMBER_COLUMNS, member_rows(members, now_ms))
    cli.output.line("")
    cli.output.table(PART_COLUMNS, part_rows(members))
