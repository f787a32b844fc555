"""`hotmesh topics`, `lag`, `reset`: the groups of topics and how far they are."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from hotmesh.cli.context import Cli
from hotmesh.cli.output import UsageError
from hotmesh.cli.stream_apps import spec_of, streams
from hotmesh.durations import parse
from hotmesh.errors import DurationInvalid
from hotmesh.streams import admin
from hotmesh.streams.topics import find_all


async def topics(*, all: bool = False, cli: Cli) -> None:
    """List the topics of the namespace.

    Args:
        all: Those inside apps too.
    """
    async with streams(cli) as client:
        found = [t for t in await admin.topics(client) if all or "~" not in t.name]
    if cli.output.json:
        cli.output.result({"topics": [msgspec.to_builtins(t) for t in found]})
        return
    if not found:
        cli.output.line("there are no topics; an app or a router that is started declares its own")
        return
    cli.output.table(
        ("topic", ">partitions", ">entries", ">maxlen", ">dead", "type", "groups"),
        [
            (t.name, t.partitions, t.length, t.maxlen or "-", t.dead, t.types or "-",
             " ".join(t.groups) or "-")
            for t in found
        ],
    )  # fmt: skip


async def lag(topic: str | None = None, *, group: str | None = None, cli: Cli) -> None:
    """How far groups are behind, by partition.

    Args:
        topic: Of one topic; of all without it.
        group: Only this group.
    """
    async with streams(cli) as client:
        if topic is not None:
            found = await admin.lags(client, topic, await spec_of(client, topic), group)
        else:
            every = await find_all(client.store)
            found = [x for t, s in every.items() for x in await admin.lags(client, t, s, group)]
    if cli.output.json:
        cli.output.result({"lag": [msgspec.to_builtins(x) for x in found]})
        return
    if not found:
        cli.output.line("no group reads there")
        return
    cli.output.table(
        ("topic", "group", ">partition", ">behind", ">pending", ">oldest", "owner"),
        [
            (x.topic, x.group, x.partition, x.behind, x.pending, f"{x.oldest_ms / 1000:.1f} s",
             x.owner or "-")
            for x in found
        ],
    )  # fmt: skip


async def reset(topic: str, group: str, *, to: str, force: bool = False, cli: Cli) -> None:
    """Have a group go on from somewhere else. What it has done is not taken back.

    Args:
        topic: The topic.
        group: The group; of an agent it is APP.AGENT.
        to: earliest, latest, a time (2026-01-31T12:00:00Z, or 2h for two hours ago), or the id of
            the entry that is to be the next.
        force: Also while workers run it: they start its partitions again.
    """
    async with streams(cli) as client:
        spec = await spec_of(client, topic)
        place = _place(to, client.store.clock.now_ms())
        done = await admin.reset(client, topic, spec, group, place, force=force)
    cli.output.result(
        {"topic": topic, "group": group, "after": {str(p): id for p, id in done.items()}},
        "\n".join(f"{topic}/{p}: {group} goes on behind {id}" for p, id in done.items()),
    )


def _place(to: str, now_ms: int) -> str:
    if to in ("earliest", "latest"):
        return to
    ms, dash, number = to.partition("-")
    if ms.isdigit() and (not dash or number.isdigit()) and len(ms) >= 10:
        return to
    try:
        return str(now_ms - parse(to))
    except DurationInvalid:
        pass
    try:
        at = datetime.fromisoformat(to)
    except ValueError as exc:
        raise UsageError(
            f"--to: {to!r} is none of earliest, latest, a time such as 2026-01-31T12:00:00Z, a "
            "duration such as 2h, and the id of an entry"
        ) from exc
    return str(int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000))
