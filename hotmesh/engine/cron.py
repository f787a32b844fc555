"""Graphs that start by themselves (`cron`): a timer per graph, whose firing starts a job and sets
the next.

Any number of engines may arm a graph: the timer's entry follows from the time that it stands for,
and so does the job's id, so there is one timer and one job per match. A match that nobody was
there for fires once, late; the next is counted from then.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hotmesh.compiler import Program
from hotmesh.core import TimerSet
from hotmesh.errors import DuplicateJob, MappingError, PayloadInvalid
from hotmesh.log import get_logger
from hotmesh.mapping import next_match_ms
from hotmesh.messages import Tick, encode_entry
from hotmesh.store import Apply, Entry
from hotmesh.telemetry import spans

if TYPE_CHECKING:
    from hotmesh.engine.handle import Engine

log = get_logger("hotmesh.engine")


async def arm(engine: Engine, program: Program) -> None:
    """Set the timer of every graph with a `cron`; nothing for one that is set."""
    for graph in program.plan.graphs.values():
        if graph.cron:
            await _set(engine, program, graph.subscribes, graph.cron, engine.store.clock.now_ms())


async def fire(engine: Engine, tick: Tick, entries: Entry) -> None:
    """Start the job of a match, set the next timer, settle the entry.

    A crash in between does it again, to no effect.
    """
    program = await engine.plans.active(refresh=True)
    graph = program.graph(tick.topic)
    if program.version != tick.version or graph is None or not graph.cron:
        await engine.store.acknowledge(entries)  # another version has timers of its own
        return
    data = {"at": datetime.fromtimestamp(tick.at_ms / 1000, UTC).isoformat()}
    try:
        with spans.sending(tick.topic, program.app_id, "") as trace:
            await engine.start(tick.topic, data, job_id=tick.jid, request=tick.jid, trace=trace)
    except DuplicateJob:
        pass  # started by the first delivery of this entry
    except (PayloadInvalid, MappingError) as exc:
        log.error("cron.refused", topic=tick.topic, job=tick.jid, error=str(exc))
    after_ms = max(tick.at_ms, engine.store.clock.now_ms())
    await _set(engine, program, tick.topic, graph.cron, after_ms)
    await engine.store.acknowledge(entries)


async def _set(engine: Engine, program: Program, topic: str, cron: str, after_ms: int) -> None:
    at_ms = next_match_ms(cron, after_ms)
    jid = f"{topic}@{datetime.fromtimestamp(at_ms / 1000, UTC):%Y%m%dT%H%M%SZ}"
    entry = encode_entry(Tick(jid, program.version, topic, at_ms))
    timer = TimerSet(entry, max(0, at_ms - engine.store.clock.now_ms()))
    # The slot of the timer is that of the job it will start, which does not exist yet: revision 0.
    await engine.store.apply([Apply(jid=jid, rev=0, effects=[timer])])
