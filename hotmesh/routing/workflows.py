"""Entries → workflows: starts and signals, applied once however often an entry is delivered."""

from __future__ import annotations

from typing import Any

from hotmesh.connect import Connection
from hotmesh.core import Limits
from hotmesh.engine import Engine
from hotmesh.messages import Signal
from hotmesh.payload import BYTES_MAX, encode
from hotmesh.store import Keys, Plans, Store, partitions_of
from hotmesh.telemetry import Observer, spans
from hotmesh.telemetry.metrics import Metrics

STEPS_MAX = 1_000
BACKLOG_MAX = 100_000


class Workflows:
    """A client of one app's workflows.

    A start leaves a receipt beside the job, in the same script. Its record alone is no proof: it
    may have expired when an entry is delivered again by a process that was away for long. The
    receipt goes once the entry is acknowledged, and by itself after a week.
    """

    def __init__(self, engine: Engine, plans: Plans, store: Store) -> None:
        self._engine, self._plans, self._store = engine, plans, store

    @classmethod
    async def open(
        cls, connection: Connection, app_id: str, namespace: str, metrics: Metrics
    ) -> Workflows:
        """Find out how the app is partitioned.

        Raises:
            AppNotFound: Nothing is active yet.
        """
        app_key = Keys(namespace, app_id).app
        count = await partitions_of(connection.transport, app_key, None)
        store = Store(connection.transport, Keys(namespace, app_id, count))
        await store.open()
        plans = Plans(store)
        # Nobody has fixed the count of an app that was never deployed: look again later.
        await plans.active()
        limits = Limits(STEPS_MAX, BYTES_MAX, count)
        observer = Observer(app_id, metrics, store.clock.now_ms)
        engine = Engine(store, plans, observer, limits, backlog_max=BACKLOG_MAX)
        return cls(engine, plans, store)

    async def start(self, topic: str, data: Any, once: str) -> str:
        """Start a job, unless `once` has started one; its id.

        Raises:
            AppNotFound, TopicNotFound, PayloadInvalid, MappingError, Overloaded
            DuplicateJob: The model derives the job's id from the payload, and another entry has
            started that one.
        """
        jid, _ = await self._engine.start(
            topic,
            data,
            request=once,
            once=once,
            trace=spans.current(),
        )
        return jid

    def receipt(self, once: str, job_id: str) -> str:
        """The key of a start's receipt. Once the entry is acknowledged it is of no use any more."""
        return self._store.keys.of(job_id).receipt(once)

    async def signal(self, topic: str, data: Any, once: str) -> None:
        """Wake one hook; a repeated sending within ten minutes does nothing.

        Raises:
            HookNotFound, MappingError, Overloaded
        """
        plain = {} if data is None else data
        raw = encode(plain, what=f"the signal of topic {topic!r}")
        program = await self._plans.active(refresh=True)
        signal = Signal("success", 200, raw, once, spans.current())
        await self._engine.signal(program, topic, plain, signal)
