"""`hotmesh dlq`: dead letters, and what a person decides about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from hotmesh.cli.context import Cli, Context
from hotmesh.cli.output import UsageError, one_line
from hotmesh.lifecycle import EXIT_DONE, EXIT_FAILED
from hotmesh.store import Store
from hotmesh.store.dead import (
    DEAD_MAX,
    DeadLetterNotFound,
    content_of,
    drop,
    facts_of,
    find,
    get,
    retry,
)

LIST_DEFAULT = 100

app = App(name="dlq", help="Dead letters: entries that nobody could handle.")


Ids = Annotated[tuple[str, ...], Parameter(negative=())]


@app.command(name="list")
async def list_letters(*, limit: int = LIST_DEFAULT, job: str | None = None, cli: Cli) -> None:
    """List dead letters, the newest first.

    Args:
        limit: At most so many.
        job: Only those of a job.
    """
    if limit < 1:
        raise UsageError(f"--limit is at least 1, not {limit}")
    async with cli.store() as store:
        letters = await find(store, limit=limit, job=job)
    shown = [facts_of(d) for d in letters]
    if cli.output.json:
        cli.output.result({"dead_letters": shown})
        return
    if not letters:
        cli.output.line("there are no dead letters")
        return
    cli.output.table(
        ("id", "at", "job", "stream", ">deliveries", "reason"),
        [(d.id, d.at, d.job or "-", d.stream, d.deliveries, d.reason) for d in shown],
    )


@app.command
async def show(id: str, /, *, cli: Cli) -> None:
    """Show one dead letter with what the entry holds.

    Args:
        id: As `dlq list` shows it.
    """
    async with cli.store() as store:
        letter = await get(store, id)
    content, decoded = content_of(letter.payload)
    facts = msgspec.structs.asdict(facts_of(letter)) | {"content": content, "decoded": decoded}
    if cli.output.json:
        cli.output.result(facts)
        return
    for name in ("id", "at", "reason", "stream", "job", "deliveries"):
        cli.output.line(f"{name:<11} {one_line(str(facts[name]))}")
    cli.output.data(facts["content"])


@app.command(name="retry")
async def retry_letters(*ids: str, all: bool = False, cli: Cli) -> int:
    """Give entries another life: each goes back to the stream that it came from.

    Args:
        ids: As `dlq list` shows them.
        all: All of them.
    """
    return await _each(cli, ids, all, retry, "retried")


@app.command(name="drop")
async def drop_letters(*ids: str, all: bool = False, cli: Cli) -> int:
    """Forget dead letters.

    Args:
        ids: As `dlq list` shows them.
        all: All of them.
    """
    return await _each(cli, ids, all, drop, "dropped")


async def _each(
    cli: Context,
    ids: tuple[str, ...],
    all: bool,
    act: Callable[[Store, str], Awaitable[bool]],
    did: str,
) -> int:
    if bool(ids) == all:
        raise UsageError("give the ids of dead letters, or --all")
    done: list[str] = []
    missing: list[str] = []
    async with cli.store() as store:
        wanted = [d.id for d in await find(store, limit=DEAD_MAX)] if all else ids
        for id in wanted:
            (done if await act(store, id) else missing).append(id)
    cli.output.result({did: done}, f"{did} {len(done)}")
    for id in missing:
        cli.output.error(DeadLetterNotFound(id))
    return EXIT_FAILED if missing else EXIT_DONE
