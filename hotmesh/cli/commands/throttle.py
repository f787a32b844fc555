"""`hotmesh throttle`, `pause` and `resume`: one thing, said in three ways."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from hotmesh.cli.context import Cli, Context
from hotmesh.cli.fleet import throttle_line
from hotmesh.router.pace import PAUSED

Guid = Annotated[str | None, Parameter(allow_leading_hyphen=True)]


async def throttle(
    ms: Annotated[int, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    topic: str | None = None,
    guid: Guid = None,
    reason: str = "",
    cli: Cli,
) -> None:
    """Slow members down: each entry makes the next one wait. Kept until it is lifted.

    Args:
        ms: Milliseconds per entry and process; 0 lifts, -1 pauses.
        topic: Only the workers of this topic.
        guid: Only this member.
        reason: Shown to who looks.
    """
    await _say(cli, ms, topic, guid, reason)


async def pause(*, topic: str | None = None, guid: Guid = None, reason: str = "", cli: Cli) -> None:
    """Have members take nothing until they are resumed. What they hold they finish.

    Args:
        topic: Only the workers of this topic; without topic and guid, everybody.
        guid: Only this member.
        reason: Shown to who looks.
    """
    await _say(cli, PAUSED, topic, guid, reason)


async def resume(*, topic: str | None = None, guid: Guid = None, cli: Cli) -> None:
    """Lift a pause or a throttle; without topic and guid, all of them.

    Args:
        topic: That of the workers of this topic.
        guid: That of this member.
    """
    await _say(cli, 0, topic, guid, "")


async def _say(cli: Context, ms: int, topic: str | None, guid: str | None, reason: str) -> None:
    async with cli.mesh() as mesh:
        confirmed = await mesh.throttle(ms, topic, guid, reason=reason)
        throttles = await mesh.throttles()
    if cli.output.json:
        cli.output.result({"ms": ms, "confirmed": confirmed, "throttles": throttles})
        return
    whom = f"topic {topic}" if topic else f"member {guid}" if guid else "everybody"
    did = "paused" if ms < 0 else f"{ms} ms per entry" if ms else "resumed"
    heard = "every member that is there has confirmed"
    if not confirmed:
        heard = "not every member has confirmed; who is silent reads it within seconds"
    cli.output.line(f"{did}: {whom}; {heard}")
    for scope, left in sorted(throttles.items()):
        cli.output.note(f"in force: {throttle_line(scope, left)}")
