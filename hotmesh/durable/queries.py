"""Questions to the code of a run: asked by clients, answered by workers.

A question travels over the workflow stream, so that whichever worker has the run in memory, or can
replay it, answers. It changes nothing, and leaves no trace in the history.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from hotmesh.core.durable.records import Failure
from hotmesh.durable import payloads, run_read
from hotmesh.durable.codec import Coder
from hotmesh.durable.errors import (
    QueryFailedError,
    QueryRejectedError,
    QueryTimeoutError,
    WorkflowNotFound,
)
from hotmesh.durable.failures import error_of, failure_of
from hotmesh.durable.run import Run
from hotmesh.ids import guid
from hotmesh.run_messages import NIL, RunQuery, encode_run

if TYPE_CHECKING:
    from hotmesh.durable.client import Client
    from hotmesh.durable.handle import WorkflowHandle

POLL_S = 0.25


class Reply(Struct, array_like=True, frozen=True, tag="qreply1"):
    """What a worker says to a question."""

    data: Raw = NIL
    failure: Failure | None = None


def answer(run: Run, query: RunQuery) -> bytes:
    """What a run in memory says to a question."""
    try:
        value = run_read.query(run, query.name, query.args)
        return encode_run(Reply(payloads.encode(value, f"the answer to query {query.name!r}")))
    except Exception as exc:  # noqa: BLE001 - user code; it becomes the answer
        return refuse(exc)


async def sealed(said: bytes, coder: Coder) -> bytes:
    """What a worker says, as the server is to hold it."""
    return encode_run((await coder.seal([msgspec.msgpack.decode(said, type=Reply)]))[0])


def refuse(error: BaseException) -> bytes:
    """That a question can't be answered."""
    return encode_run(Reply(NIL, failure_of(error)))


async def ask(
    client: Client,
    handle: WorkflowHandle[Any],
    name: str,
    args: tuple[Any, ...],
    timeout_s: float,
    reject_if: str | None,
) -> Any:
    """Ask, and wait for the answer."""
    point = await client.open()
    jid = handle.workflow_id
    head = (await point.runs.heads([jid]))[0]
    if head is None:
        raise WorkflowNotFound(f"workflow {jid!r} was not found", workflow_id=jid)
    if (reject_if == "closed" and not head.is_open) or (
        reject_if == "not_completed" and head.state != "completed"
    ):
        raise QueryRejectedError(
            f"workflow {jid!r} is {head.state}", workflow_id=jid, run_id=head.run_id
        )
    data = await client.pack(payloads.encode_args(args, f"query {name!r}"))
    before_ms = point.store.clock.now_ms() + round(timeout_s * 1000)
    query = RunQuery(jid, head.run_id, name, data, guid(), client.guid, before_ms)
    event = client.listen(jid)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    try:
        await point.runs.ask(jid, head.queue, head.keeper, encode_run(query))
        while True:
            event.clear()
            found = await point.runs.answer(jid, query.qid)
            if found is not None:
                return await _value(client, found, jid, head.run_id, name)
            left = deadline - loop.time()
            if left <= 0:
                raise QueryTimeoutError(
                    f"no worker answered query {name!r} of workflow {jid!r} within "
                    f"{timeout_s:g} s; is one of task queue {head.queue!r} running?",
                    workflow_id=jid,
                    run_id=head.run_id,
                )
            try:
                await asyncio.wait_for(event.wait(), min(left, POLL_S))
            except TimeoutError:
                pass
    finally:
        client.unlisten(jid, event)


async def _value(client: Client, found: bytes, jid: str, run_id: str, name: str) -> Any:
    reply = msgspec.msgpack.decode(found, type=Reply)
    if reply.failure is None:
        return payloads.decode(await client.unpack(reply.data))
    failure = await client.unpack_failure(reply.failure)
    error = QueryFailedError(
        f"query {name!r} of workflow {jid!r} failed: {failure.message}",
        workflow_id=jid,
        run_id=run_id,
    )
    error.__cause__ = error_of(failure)
    raise error
