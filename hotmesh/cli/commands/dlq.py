"""`hotmesh dlq`: dead letters, and what a person decides about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from hotmesh.cli.context import Cli, Context
from hotmesh.cli.letters import desk_store, is_of_router, letter_of, letters_of
from hotmesh.cli.output import UsageError, one_line
from hotmesh.lifecycle import EXIT_DONE, EXIT_FAILED
from hotmesh.routing.desk import Letter, redrive_letter
from hotmesh.store import Store
from hotmesh.store.dead import (
    DEAD_MAX,
    DeadLetter,
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
async def list_letters(
    *,
    limit: int = LIST_DEFAULT,
    job: str | None = None,
    topic: str = "",
    stream: str = "",
    group: str = "",
    cli: Cli,
) -> None:
    """List dead letters of an app, or of a router's group, the newest first.

    Args:
        limit: At most so many.
        job: Only those of a job.
        topic: Those of a router: the topic that it reads.
        stream: Those of a router: the plain stream that it reads.
        group: The router's group; that of a route is GROUP.ROUTE.
    """
    if limit < 1:
        raise UsageError(f"--limit is at least 1, not {limit}")
    if topic or stream or group:
        letters = [_of_router(x) for x in await letters_of(cli, topic, stream, group, limit)]
    else:
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
    content: Any
    if is_of_router(id):
        async with desk_store(cli) as store:
            found = await letter_of(store, id)
        if found is None:
            raise DeadLetterNotFound(id)
        letter, content, decoded = _of_router(found), _texts(found), True
    else:
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
    if ids and [id for id in ids if is_of_router(id)] == list(ids):
        async with desk_store(cli) as store:
            for id in ids:
                ok = await redrive_letter(store, id, again=act is retry)
                (done if ok else missing).append(id)
    else:
        await _each_of_app(cli, ids, all, act, done, missing)
    cli.output.result({did: done}, f"{did} {len(done)}")
    for id in missing:
        cli.output.error(DeadLetterNotFound(id))
    return EXIT_FAILED if missing else EXIT_DONE


async def _each_of_app(
    cli: Context,
    ids: tuple[str, ...],
    all: bool,
    act: Callable[[Store, str], Awaitable[bool]],
    done: list[str],
    missing: list[str],
) -> None:
    async with cli.store() as store:
        wanted = [d.id for d in await find(store, limit=DEAD_MAX)] if all else ids
        for id in wanted:
            (done if await act(store, id) else missing).append(id)


def _of_router(letter: Letter) -> DeadLetter:
    return DeadLetter(
        id=letter.id,
        reason=letter.reason,
        stream=letter.source,
        job="",
        deliveries=letter.deliveries,
        payload=b"".join(letter.fields.values()),
        at_ms=letter.at_ms,
    )


def _texts(letter: Letter) -> dict[str, str]:
    return {name: value.decode(errors="replace") for name, value in letter.fields.items()}
