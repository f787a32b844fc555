"""`hotmesh doctor`."""

from __future__ import annotations

from hotmesh.cli.context import Cli
from hotmesh.lifecycle import EXIT_DONE, EXIT_FAILED
from hotmesh.quorum.doctor import TO_DO, examine


async def doctor(*, all: bool = False, cli: Cli) -> int:
    """Examine server, fleet and app: what is wrong, what a crash can lose, and what to do.

    The exit code is 1 when something needs doing.

    Args:
        all: Print what is well, too.
    """
    async with cli.attached() as (connection, store):
        verdicts = await examine(connection, store, backlog_max=cli.settings.engine.backlog_max)
    needs_doing = any(v.level in TO_DO for v in verdicts)
    if cli.output.json:
        cli.output.result({"healthy": not needs_doing, "checks": verdicts})
        return EXIT_FAILED if needs_doing else EXIT_DONE
    loss = next(v for v in verdicts if v.check == "persistence")
    shown = [v for v in verdicts if all or v.level != "ok"]
    cli.output.line(f"what a crash can lose: {loss.said}")
    if shown:
        rows = [(v.level, v.check, v.said, v.fix or "-") for v in shown]
        cli.output.table(("", "check", "found", "what to do"), rows)
    done = sum(v.level == "ok" for v in verdicts)
    cli.output.line(f"{done} of {len(verdicts)} checks are well")
    return EXIT_FAILED if needs_doing else EXIT_DONE
