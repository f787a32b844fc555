"""`hotmesh rollcall`."""

from __future__ import annotations

import time

from hotmesh.cli.context import Cli


async def rollcall(*, cli: Cli) -> None:
    """Print who is there: the engines and workers of the app."""
    async with cli.mesh() as mesh:
        members = await mesh.roll_call()
    if cli.output.json:
        cli.output.result({"members": members})
        return
    if not members:
        cli.output.line("nobody is there; start hotmesh engine and hotmesh worker")
        return
    now_ms = time.time() * 1000  # of this host: good enough for people
    cli.output.table(
        ("member", "roles", "host", ">pid", "release", ">heard"),
        [
            (
                m.guid,
                " ".join(m.roles),
                m.host,
                m.pid,
                m.release,
                f"{max(0, now_ms - m.seen_ms) / 1000:.0f} s ago",
            )
            for m in sorted(members, key=lambda m: (m.roles, m.guid))
        ],
    )
