"""A handle on a workflow: its result, and everything that can be said to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from hotmesh.core.durable import records as r
from hotmesh.core.state import ERROR, STATUS, UPDATED
from hotmesh.durable import payloads
from hotmesh.durable.errors import (
    UpdateFailedError,
    WaitTimeoutError,
    WorkflowCancelled,
    WorkflowClosedError,
    WorkflowContinued,
    WorkflowFailed,
    WorkflowInterrupted,
    WorkflowNotFound,
)
from hotmesh.durable.failures import error_of
from hotmesh.durable.interceptors import Call
from hotmesh.durable.search import read
from hotmesh.durations import Duration, parse
from hotmesh.errors import JobNotFound, JobTimeout, Overloaded
from hotmesh.ids import guid
from hotmesh.run_messages import RunStop
from hotmesh.store import Verdict, retrying
from hotmesh.store.runs import ATTRIBUTES, MEMO, NEXT, RESULT, RUN, STATE, InputOf

if TYPE_CHECKING:
    from hotmesh.durable.client import Client
    from hotmesh.durable.history import History
    from hotmesh.durable.listing import WorkflowDescription

R = TypeVar("R")

UPDATE_POLL_S = 0.25


class WorkflowHandle(Generic[R]):
    """One workflow, by its id.

    Attributes:
        workflow_id: Its id.
        run_id: The run that a start gave; "" stands for whichever has the id now.
    """

    def __init__(
        self, client: Client, workflow_id: str, run_id: str = "", decode: Any = payloads.decode
    ) -> None:
        self._client, self.workflow_id, self.run_id = client, workflow_id, run_id
        self._decode = decode

    def __repr__(self) -> str:
        return f"<workflow {self.workflow_id!r} run {self.run_id or '(current)'}>"

    # -- its end

    async def result(self, timeout: Duration | None = None, *, follow: bool = True) -> R:
        """What the workflow returns, once it does.

        Cancelling who waits does not touch the workflow.

        Args:
            timeout: How long to wait; None for as long as it takes.
            follow: Whether a run that continues as another is followed.

        Raises:
            WorkflowFailed: It failed, was cancelled or timed out; `cause` says why.
            WorkflowInterrupted: It was interrupted or terminated.
            WorkflowNotFound: There is none: it never ran, or has expired.
            WaitTimeoutError: It goes on, and has given nothing yet.
            WorkflowContinued: With `follow=False`.
        """
        point = await self._client.open()
        timeout_s = None if timeout is None else parse(timeout) / 1000
        if not follow:
            return await self._outcome_of(await self._record(self.run_id))
        if self.run_id:
            record = await self._client.outcome(self.workflow_id, self.run_id)
            if record is not None:
                return await self._outcome_of(record)
        try:
            await point.results.wait(self.workflow_id, timeout_s, look=True)
        except JobTimeout as exc:
            raise WaitTimeoutError(
                f"workflow {self.workflow_id!r} gave no result within {timeout_s:g} s; it goes on",
                workflow_id=self.workflow_id,
                run_id=self.run_id,
            ) from exc
        except JobNotFound as exc:
            raise self._not_found() from exc
        return await self._outcome_of(await self._record(""))

    async def _record(self, run_id: str) -> dict[str, bytes]:
        point = await self._client.open()
        record = await point.runs.record(self.workflow_id, run_id)
        if not record:
            raise self._not_found()
        return record

    async def _outcome_of(self, record: dict[str, bytes]) -> R:
        state = record[STATE].decode()
        run_id = record[RUN].decode()
        if state == "completed":
            value: R = self._decode(await self._client.unpack(record[RESULT]))
            return value
        if state == "continued":
            raise WorkflowContinued(
                workflow_id=self.workflow_id,
                run_id=run_id,
                new_run_id=record.get(NEXT, b"").decode(),
            )
        if int(record[STATUS]) > 0:
            raise WaitTimeoutError(
                f"workflow {self.workflow_id!r} is still running", workflow_id=self.workflow_id
            )
        if ERROR not in record:
            return None  # type: ignore[return-value]
        failure = r.decode_error(record[ERROR])
        raise self._failed(state, run_id, await self._client.unpack_failure(failure))

    def _failed(self, state: str, run_id: str, failure: r.Failure) -> WorkflowFailed:
        kind: type[WorkflowFailed] = WorkflowFailed
        if state in ("terminated", "interrupted"):
            kind = WorkflowInterrupted
        elif state == "canceled":
            kind = WorkflowCancelled
        words = state.replace("_", " ")
        innermost = failure
        while innermost.cause is not None:
            innermost = innermost.cause
        message = f"workflow {self.workflow_id!r} {words}: {failure.message}"
        if innermost.message not in message:
            message += f" ({innermost.message})"
        error = kind(
            message,
            workflow_id=self.workflow_id,
            run_id=run_id,
            status=state,
            code=failure.code,
        )
        error.__cause__ = error_of(failure)
        error.type = failure.type
        return error

    # -- what is said to it

    async def signal(self, name: str, *data: Any, dedup: str | None = None) -> None:
        """Send a signal to it; returns once the run's history holds it.

        Args:
            dedup: Signals with the same key count once.

        Raises:
            WorkflowNotFound: There is no open run of this id.
        """

        async def last(call: Call) -> None:
            what = f"signal {call.name!r}"
            args = await self._client.pack(payloads.encode_args(call.args, what))
            rid = guid() if dedup is None else f"{self.workflow_id}/{dedup}"
            headers = await self._client.pack_headers(call.headers)
            await self.add(r.Sent(call.name, args, rid, headers=headers), rid)

        await self._through("signal_workflow", name, data, last)

    async def _through(
        self, method: str, name: str, args: tuple[Any, ...], last: Callable[[Call], Any]
    ) -> Any:
        call = Call(name=name, args=args, workflow_id=self.workflow_id)
        return await self._client.through(method, call, last)

    async def cancel(self, reason: str = "", *, before_start: str = "run") -> None:
        """Ask it to cancel: its code gets `CancelledError`, may clean up, and may refuse.

        Args:
            before_start: `skip` ends a run whose code has not begun yet without beginning it.

        Raises:
            WorkflowNotFound: There is no open run of this id.
        """

        async def last(call: Call) -> None:
            await self.add(r.CancelAsked(call.args[0], before_start == "skip"), guid())

        await self._through("cancel_workflow", "", (reason,), last)

    async def hook(self, fn: Any, *args: Any) -> None:
        """Run another function beside its main one.

        Raises:
            WorkflowNotFound: There is no open run of this id.
        """
        from hotmesh.durable.definition import name_of

        name = name_of(fn)
        rid = guid()
        data = await self._client.pack(payloads.encode_args(args, f"hook {name!r}"))
        await self.add(r.Hooked(name, data, rid), rid)

    async def add(self, record: r.Input, rid: str) -> str:
        """Put an input into its history; the run that took it.

        Raises:
            WorkflowNotFound: There is no open run of this id.
            Overloaded: Its history is full.
        """
        point = await self._client.open()
        encoded = r.encode_input(record)
        for _ in range(5):
            head = (await point.runs.heads([self.workflow_id]))[0]
            if head is None or not head.is_open:
                raise self._not_found(ended=head is not None)
            item = InputOf(
                jid=self.workflow_id,
                run_id=head.run_id,
                record=encoded,
                queue=head.queue,
                keeper=head.keeper,
                rid=rid,
            )
            verdict = (await retrying(lambda i=item: point.runs.add([i]), what="signal"))[0]  # type: ignore[misc]
            if verdict in (Verdict.APPLIED, Verdict.DUPLICATE):
                return head.run_id
            if verdict is Verdict.OVERLOADED:
                raise Overloaded(f"the history of workflow {self.workflow_id!r} is full")
        raise self._not_found(ended=True)

    async def interrupt(self, reason: str = "interrupted", *, throw: bool = True) -> None:
        """End it at once, without a word of its code.

        Args:
            throw: Whether its result raises; without, it is None.

        Raises:
            WorkflowNotFound: There is no open run of this id.
        """
        await self._stop("interrupted", reason, throw)

    async def terminate(self, reason: str = "terminated") -> None:
        """End it at once, without a word of its code.

        Raises:
            WorkflowNotFound: There is no open run of this id.
        """
        await self._stop("terminated", reason, True)

    async def _stop(self, state: str, reason: str, throw: bool) -> None:
        async def last(call: Call) -> None:
            point = await self._client.open()
            event = RunStop(self.workflow_id, "", call.name, call.args[0], throw)
            if not await point.engine.runs.stop(event):
                raise self._not_found()

        await self._through("terminate_workflow", state, (reason,), last)

    async def update(
        self, name: str, *args: Any, update_id: str | None = None, timeout: Duration = "1 minute"
    ) -> Any:
        """Ask for something and wait for the answer.

        Args:
            update_id: The same id is one update, however often it is sent.

        Raises:
            UpdateFailedError: Its validator refused, or its handler failed.
            WorkflowClosedError: The run ended before it answered.
            WorkflowNotFound, WaitTimeoutError
        """

        async def last(call: Call) -> Any:
            return await self._update(call, update_id or guid(), timeout)

        return await self._through("update_workflow", name, args, last)

    async def _update(self, call: Call, uid: str, timeout: Duration) -> Any:
        point = await self._client.open()
        name = call.name
        data = await self._client.pack(payloads.encode_args(call.args, f"update {name!r}"))
        headers = await self._client.pack_headers(call.headers)
        asked = r.Asked(uid, name, data, self._client.guid, headers)
        run_id = await self.add(asked, f"{self.workflow_id}/update/{uid}")
        deadline = asyncio.get_running_loop().time() + parse(timeout) / 1000
        event = self._client.listen(self.workflow_id)
        try:
            while True:
                event.clear()
                names = [f"u{uid}", STATUS, RUN]
                answer, status, current = await point.runs.fields(self.workflow_id, names)
                if answer is not None:
                    return await self._answered(answer, run_id)
                if status is None or int(status) <= 0 or current != run_id.encode():
                    raise WorkflowClosedError(
                        f"workflow {self.workflow_id!r} ended before update {name!r} was answered",
                        workflow_id=self.workflow_id,
                        run_id=run_id,
                    )
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    raise WaitTimeoutError(
                        f"update {name!r} of workflow {self.workflow_id!r} was not answered",
                        workflow_id=self.workflow_id,
                        run_id=run_id,
                    )
                try:
                    await asyncio.wait_for(event.wait(), min(left, UPDATE_POLL_S))
                except TimeoutError:
                    pass
        finally:
            self._client.unlisten(self.workflow_id, event)

    execute_update = update

    async def _answered(self, answer: bytes, run_id: str) -> Any:
        reply = msgspec.msgpack.decode(answer, type=r.Replied)
        if reply.failure is None:
            return payloads.decode(await self._client.unpack(reply.data))
        failure = await self._client.unpack_failure(reply.failure)
        what = "was rejected" if reply.rejected else "failed"
        error = UpdateFailedError(
            f"an update of workflow {self.workflow_id!r} {what}: {failure.message}",
            workflow_id=self.workflow_id,
            run_id=run_id,
            update_id=reply.uid,
            rejected=reply.rejected,
        )
        error.__cause__ = error_of(failure)
        raise error

    async def query(
        self,
        name: str,
        *args: Any,
        timeout: Duration = "10s",
        reject_if: str | None = None,
    ) -> Any:
        """Ask a query handler of its code, running or ended.

        Args:
            reject_if: `closed` or `not_completed`: states in which no answer is wanted.

        Raises:
            QueryFailedError, QueryRejectedError, QueryTimeoutError, WorkflowNotFound
        """
        from hotmesh.durable.queries import ask

        async def last(call: Call) -> Any:
            timeout_s = parse(timeout) / 1000
            return await ask(self._client, self, call.name, call.args, timeout_s, reject_if)

        return await self._through("query_workflow", name, args, last)

    # -- what is known of it

    async def status(self) -> str:
        """`running`, `completed`, `failed`, `canceled`, `terminated`, `interrupted`, `timed_out`
        or `continued`.

        Raises:
            WorkflowNotFound: There is none of this id.
        """
        return (await self._record(self.run_id if await self._is_archived() else ""))[
            STATE
        ].decode()

    async def _is_archived(self) -> bool:
        if not self.run_id:
            return False
        return await self._client.outcome(self.workflow_id, self.run_id) is not None

    async def describe(self) -> WorkflowDescription:
        """Everything that its record says, as `WorkflowDescription`."""
        from hotmesh.durable.listing import description_of

        record = await self._record(self.run_id if await self._is_archived() else "")
        point = await self._client.open()
        items = await point.runs.history(self.workflow_id, record[RUN].decode())
        if MEMO in record:
            record[MEMO] = bytes(await self._client.unpack(record[MEMO]))
        return description_of(self.workflow_id, record, items)

    async def history(self) -> History:
        """What happened to it, as a `History`: events in their order, `to_json()`, `timeline()`."""
        from hotmesh.durable.history import History

        point = await self._client.open()
        record = await self._record(self.run_id)
        run_id = record[RUN].decode()
        items = await point.runs.history(self.workflow_id, run_id)
        ended_ms = int(record[UPDATED]) if int(record[STATUS]) <= 0 else 0
        return History(self.workflow_id, run_id, items, ended_ms=ended_ms)

    async def fields(self, *names: str) -> dict[str, Any]:
        """The fields that its code has set with `search()`; all of them without names."""
        record = await self._record("")
        found = {k[1:]: read(v) for k, v in record.items() if k.startswith("_")}
        return found if not names else {n: found.get(n) for n in names}

    query_state = fields

    async def memo(self) -> dict[str, Any]:
        """Its memo."""
        raw = (await self._record("")).get(MEMO)
        return payloads.decode(await self._client.unpack(raw)) or {} if raw else {}

    async def search_attributes(self) -> dict[str, Any]:
        """What it is found by."""
        raw = (await self._record("")).get(ATTRIBUTES)
        return payloads.decode(raw) or {} if raw else {}

    def _not_found(self, *, ended: bool = False) -> WorkflowNotFound:
        how = "has ended" if ended else "was not found: it never ran, has ended or has expired"
        return WorkflowNotFound(
            f"workflow {self.workflow_id!r} {how}",
            workflow_id=self.workflow_id,
            run_id=self.run_id,
        )
