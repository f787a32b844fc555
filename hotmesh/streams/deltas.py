"""Numbers that events of other partitions add to values of this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hotmesh.log import get_logger
from hotmesh.streams.agent import INTERNAL_MAX, Agent
from hotmesh.streams.cells import MISSING
from hotmesh.streams.keys import internal_topic
from hotmesh.streams.outbox import DELTAS
from hotmesh.streams.topic import Topic
from hotmesh.streams.topics import Wanted
from hotmesh.streams.window import Span

if TYPE_CHECKING:
    from hotmesh.streams.app import App
    from hotmesh.streams.stream import Stream

log = get_logger("hotmesh.streams")


def deltas_agent(app: App) -> Agent:
    """The agent of the app that adds them: exactly once, like every agent."""

    async def add(stream: Stream[Any]) -> None:
        scope = stream.instance
        async for name, pane, key, amount in stream:
            table = app.tables.get(name)
            if table is None:  # of a release that has another table
                log.warning("delta.unknown_table", table=name)
                continue
            transaction = scope.transaction()
            cell = transaction.cell(table, pane, key)
            value = transaction.read(cell)
            before = table.default_value() if value is MISSING else value
            transaction.write(cell, before + amount)
            if pane and table.window is not None:
                window = table.window
                size_ms = window.step_ms if window.kind == "sliding" else window.size_ms
                part = scope.run.part(table)
                transaction.saw_pane(part, Span(int(pane), int(pane) + size_ms))
                transaction.saw_time(part, int(pane))

    topic: Topic[Any] = Topic(
        internal_topic(app.id, DELTAS),
        lambda: app.client,
        value_type=tuple[str, str, bytes, Any],
        codec="msgpack",
        wanted=Wanted(maxlen=INTERNAL_MAX * app.count),
        partitions_default=app.count,
    )
    return Agent(
        app, add, name=DELTAS, topics=[topic], concurrency=1, sinks=(), retry=None,
        supervise="restart",
    )  # fmt: skip
