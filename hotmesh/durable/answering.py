"""Questions to runs, answered from memory or from the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotmesh.durable import queries
from hotmesh.durable.active import Active
from hotmesh.durable.errors import CodecError
from hotmesh.durable.run import Run
from hotmesh.errors import HotMeshError
from hotmesh.router import Delivery
from hotmesh.run_messages import RunQuery, RunTask

if TYPE_CHECKING:
    from hotmesh.durable.turns import Turns


class Answering:
    """Answers what clients ask of the runs of one worker."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def ask(self, delivery: Delivery, query: RunQuery) -> None:
        """Answer a question from memory, or else from the history."""
        active = self._turns.active.get(query.run_id)
        if active is not None:
            active.queries.append((delivery, query))
            return
        run = self._turns.cache.get(query.run_id)
        if run is not None:
            self._turns.spawn(self._answer(delivery, query, run))
        else:
            self._turns.spawn(self.replay_for(delivery, query))

    def answer_queries(self, active: Active) -> None:
        """Questions that came while a turn was not committed yet."""
        waiting, active.queries = active.queries, []
        for delivery, query in waiting:
            if active.run is not None:
                self._turns.spawn(self._answer(delivery, query, active.run))
            else:
                self._turns.spawn(self.replay_for(delivery, query))

    async def _answer(self, delivery: Delivery, query: RunQuery, run: Run) -> None:
        coder = self._turns.coder
        try:
            asked = query if coder is None else (await coder.open([query]))[0]
            if run.ending:  # it has left this memory since: its code can't be asked any more
                await self.replay_for(delivery, query)
                return
            said = queries.answer(run, asked)
            if coder is not None:
                said = await queries.sealed(said, coder)
        except CodecError as exc:
            said = queries.refuse(exc)
        await self._reply(delivery, query, said)

    async def replay_for(self, delivery: Delivery, query: RunQuery) -> None:
        try:
            items = await self._turns.runs.history(query.jid, query.run_id)
            decoded = await self._turns.read(items)
            if isinstance(decoded, Exception):
                raise decoded
            run = self._turns.create(RunTask(query.jid, query.run_id), decoded[0])
            run.replay(decoded)
            await self._answer(delivery, query, run)
            self._turns.tear_down(run)
            return
        except HotMeshError as exc:
            said = queries.refuse(exc)
        except Exception as exc:  # noqa: BLE001 - user code; it becomes the answer
            said = queries.refuse(exc.__cause__ or exc)
        await self._reply(delivery, query, said)

    async def _reply(self, delivery: Delivery, query: RunQuery, said: bytes) -> None:
        if self._turns.store.clock.now_ms() < query.before_ms:
            await self._turns.runs.reply(query.jid, query.qid, said, query.caller)
        await self._turns.drop_all([delivery])
