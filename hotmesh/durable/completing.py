"""Answers to activities that come from elsewhere: `activity.complete_later()`.

The step's field in the run's record holds its current attempt, as for workers: an answer for any
other attempt is refused.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from hotmesh.core.durable import records as r
from hotmesh.durable import payloads
from hotmesh.durable.attempts import Outcome
from hotmesh.durable.calls import next_attempt, retry_ops, wrapped
from hotmesh.durable.errors import ActivityGoneError
from hotmesh.durable.failures import failure_of, names_of
from hotmesh.durable.tracing import leg_trace
from hotmesh.errors import NameInvalid
from hotmesh.run_messages import Call
from hotmesh.store import Verdict, retrying
from hotmesh.store.runs import InputOf, RunCommand, RunHead

if TYPE_CHECKING:
    from hotmesh.durable.client import Client

OPEN_S, OPEN_POLL_S = 10.0, 0.05
"""An attempt that was begun without a queue is written a moment after it said `complete_later`; an
answer that is faster waits for it so long.
"""

_decode_token = msgspec.msgpack.Decoder(tuple[str, str, int, int, str]).decode


class ActivityHandle:
    """One attempt at an activity, by its token. Made by `client.activity(token)`.

    Attributes:
        workflow_id, run_id: Whose step it is.
        seq, attempt: Which.
    """

    def __init__(self, client: Client, token: bytes) -> None:
        try:
            jid, run_id, seq, attempt, _ = _decode_token(token)
        except (msgspec.DecodeError, TypeError) as exc:
            raise NameInvalid(
                f"{token!r:.40} is no task token; it comes from activity.info().task_token"
            ) from exc
        self._client = client
        self.workflow_id, self.run_id, self.seq, self.attempt = jid, run_id, seq, attempt

    def __repr__(self) -> str:
        return f"<activity {self.seq} of run {self.run_id} attempt {self.attempt}>"

    async def complete(self, value: Any = None) -> None:
        """Give its result.

        Raises:
            ActivityGoneError: The attempt is not the current one, or its run has ended.
            PayloadError: The value can't be encoded.
        """
        data = payloads.encode(value, f"the result of step {self.seq}")
        await self._answer(r.Answer(self.seq, self.attempt, data))

    async def fail(self, error: BaseException) -> None:
        """Say that the attempt failed; it is tried again as the step's policy says.

        Raises:
            ActivityGoneError: The attempt is not the current one, or its run has ended.
        """
        head, cancelled = await self._head()
        call = await self._call(head)
        outcome = Outcome(failure=failure_of(error), names=frozenset(names_of(error)))
        assert outcome.failure is not None
        point = await self._client.open()
        now_ms = point.store.clock.now_ms()
        pause, state = next_attempt(call, outcome, now_ms, cancelled=cancelled)
        if pause is None:
            why = wrapped(call.name, self.seq, self.attempt, outcome.failure, state, "")
            await self._answer(r.Answer(self.seq, self.attempt, failure=why))
            return
        failure = outcome.failure
        if point.coder is not None:
            failure = (await point.coder.seal([failure]))[0]
        command = RunCommand(point.store, self.workflow_id, self.run_id)
        again = msgspec.structs.replace(call, attempt=self.attempt + 1, lost=0)
        retry_ops(command, again, pause, failure, None)
        await self._step(command)

    async def heartbeat(self, *details: Any) -> bool:
        """Say how far it is: the next attempt reads it.

        Returns:
            Whether the activity is asked to stop: then `report_cancelled`, or complete it.

        Raises:
            ActivityGoneError: The attempt is not the current one, was given up, or its run has
                ended.
        """
        _, cancelled = await self._head()
        raw = await self._client.pack(payloads.encode(list(details), "heartbeat details"))
        point = await self._client.open()
        command = RunCommand(point.store, self.workflow_id, self.run_id)
        command.set({f"b{self.seq}": bytes(raw)})
        await self._step(command)
        return cancelled

    async def report_cancelled(self) -> None:
        """Say that it has stopped because it was asked to.

        Raises:
            ActivityGoneError: The attempt is not the current one, or its run has ended.
        """
        failure = r.Failure("cancelled", "REQUESTED", code=410)
        await self._answer(r.Answer(self.seq, self.attempt, failure=failure))

    async def _head(self) -> tuple[RunHead, bool]:
        """The run, once it waits for this attempt; and whether that is asked to stop."""
        point = await self._client.open()
        names = [f"s{self.seq}", f"x{self.seq}"]
        deadline = asyncio.get_running_loop().time() + OPEN_S
        while True:
            head = (await point.runs.heads([self.workflow_id]))[0]
            if head is None or head.run_id != self.run_id or not head.is_open:
                raise self._gone("its run has ended")
            current, cancelled = await point.runs.fields(self.workflow_id, names)
            if current == str(self.attempt).encode():
                return head, cancelled is not None
            if current is not None or self.attempt > 1 or await self._is_over():
                raise self._gone("another attempt is the current one, or the step is over")
            if asyncio.get_running_loop().time() > deadline:
                raise self._gone("it has not said complete_later")
            await asyncio.sleep(OPEN_POLL_S)

    async def _items(self) -> list[r.Item]:
        point = await self._client.open()
        return r.decode_items(await point.runs.history(self.workflow_id, self.run_id))

    async def _is_over(self) -> bool:
        """Whether the history has an end of the step, or nothing of it."""
        asked = False
        for item in await self._items():
            inside = (*item.ins, *item.commands) if isinstance(item, r.Turn) else (item,)
            for record in inside:
                if isinstance(record, (r.Answer, r.ActCancel)) and record.seq == self.seq:
                    return True
                asked = asked or (isinstance(record, r.Act) and record.seq == self.seq)
        return not asked

    async def _call(self, head: RunHead) -> Call:
        """The call that the attempt is of, made again from the history."""
        items = await self._items()
        begin = items[0]
        assert isinstance(begin, r.Begin)
        for turn in items:
            for act in turn.commands if isinstance(turn, r.Turn) else ():
                if isinstance(act, r.Act) and act.seq == self.seq:
                    assert isinstance(turn, r.Turn)
                    limit_ms = act.schedule_to_close_ms
                    deadline_ms = turn.now_ms + limit_ms if limit_ms else 0
                    return Call(
                        self.workflow_id,
                        self.run_id,
                        self.seq,
                        act.name,
                        begin.queue,
                        act.queue,
                        act.args,
                        self.attempt,
                        head.keeper,
                        msgspec.structs.replace(act.rules, deadline_ms=deadline_ms),
                        workflow=begin.workflow,
                        headers=act.headers,
                        trace=leg_trace(begin, act.name, act.seq),
                    )
        raise self._gone("its history has no such step")

    async def _answer(self, answer: r.Answer) -> None:
        head, _ = await self._head()
        point = await self._client.open()
        if point.coder is not None:
            answer = (await point.coder.seal([answer]))[0]
        item = InputOf(
            jid=self.workflow_id,
            run_id=self.run_id,
            record=r.encode_input(answer),
            queue=head.queue,
            keeper=head.keeper,
            step=f"s{self.seq}",
            value=str(self.attempt),
        )
        verdict = (await retrying(lambda: point.runs.add([item]), what="answer"))[0]
        self._check(verdict)

    async def _step(self, command: RunCommand) -> None:
        point = await self._client.open()
        guard = ["step", self.run_id, f"s{self.seq}", str(self.attempt), "", [], ""]
        built = command.build(guard)
        self._check(Verdict((await retrying(lambda: point.runs.run([built]), what="answer"))[0]))

    def _check(self, verdict: Verdict) -> None:
        if verdict is not Verdict.APPLIED:
            raise self._gone(f"the step has moved on ({verdict.name.lower()})")

    def _gone(self, why: str) -> ActivityGoneError:
        return ActivityGoneError(
            f"attempt {self.attempt} of step {self.seq} of workflow {self.workflow_id!r} "
            f"(run {self.run_id}) takes no answer: {why}"
        )
