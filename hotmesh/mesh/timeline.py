"""A run as a timeline, from its record: of a graph's job, or of a durable run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from hotmesh.compiler import Node, Program
from hotmesh.core import Job
from hotmesh.core.context import generation_of
from hotmesh.core.durable import records as r
from hotmesh.core.durable.events import events_of, failure_fields
from hotmesh.core.durable.steps import steps_of
from hotmesh.core.state import DONE, OPEN, split_leg


class TimelineLeg(Struct, frozen=True, kw_only=True):
    """One activity at one dimension.

    Attributes:
        state: `open` or `done`.
        began_ms, changed_ms: Server time of its first leg and of its last one.
        duration_ms: Between the two.
        code, attempt: Of its last answer; retries by policy count from 0.
    """

    activity: str
    type: str
    dimension: str
    state: str
    began_ms: int
    changed_ms: int
    duration_ms: int
    code: int
    attempt: int
    generations: int
    error: Any = None


class TimelineEdge(Struct, frozen=True, kw_only=True):
    """A transition that was taken; into a join, one from each parent that the run has entered."""

    source: str
    target: str
    dimension: str


class Timeline(Struct, frozen=True, kw_only=True):
    """A run: what happened, in the order in which it began."""

    job_id: str
    topic: str
    version: str
    status: int
    created_ms: int
    updated_ms: int
    data: dict[str, Any]
    error: Any
    legs: tuple[TimelineLeg, ...]
    edges: tuple[TimelineEdge, ...]


def _sources(node: Node, entered: set[str]) -> tuple[str, ...]:
    """The activities that led to one: for a join, those of its parents that the run has entered."""
    if node.plan.join:
        return tuple(p for p in node.plan.parents if p in entered)
    return (node.plan.parent,) if node.plan.parent else ()


def waiting_of(job: Job, program: Program) -> tuple[str, ...]:
    """What the open activities of a job wait for, in words."""
    waits = []
    for name, leg in job.legs.items():
        aid, _ = split_leg(name)
        node = program.node(aid)
        if leg.state != OPEN:
            continue
        topic = f" on topic {node.topic!r}" if isinstance(node.topic, str) else ""
        if node.plan.hook is not None:
            topic = f" for a signal on {node.plan.hook.topic!r}"
        waits.append(f"{node.type} {aid!r}{topic}")
    return tuple(waits)


def timeline_of(job: Job, program: Program) -> Timeline:
    """The timeline of a job that was loaded whole."""
    legs: list[TimelineLeg] = []
    edges: list[TimelineEdge] = []
    entered = {split_leg(name)[0] for name in job.legs}
    for name, leg in job.legs.items():
        aid, base = split_leg(name)
        node = program.node(aid)
        legs.append(
            TimelineLeg(
                activity=aid,
                type=node.type,
                dimension=generation_of(base, max(0, leg.generation - 1)),
                state="done" if leg.state == DONE else "open",
                began_ms=leg.began_ms,
                changed_ms=leg.changed_ms,
                duration_ms=leg.changed_ms - leg.began_ms,
                code=leg.code,
                attempt=leg.attempt,
                generations=leg.generation,
                error=leg.error,
            )
        )
        edges.extend(
            TimelineEdge(source=source, target=aid, dimension=base)
            for source in _sources(node, entered)
        )
    order = {name: (leg.began_ms, name.count(",")) for name, leg in job.legs.items()}
    names = sorted(order, key=order.__getitem__)
    by_name = dict(zip(job.legs, legs, strict=True))
    return Timeline(
        job_id=job.jid,
        topic=job.meta.topic,
        version=job.meta.version,
        status=job.status,
        created_ms=job.meta.created_ms,
        updated_ms=job.updated_ms,
        data=job.data,
        error=job.error,
        legs=tuple(by_name[n] for n in names),
        edges=tuple(edges),
    )


def timeline_of_run(
    jid: str, status: int, updated_ms: int, fields: dict[str, Any], items: Sequence[bytes]
) -> Timeline:
    """The timeline of a durable run: its steps as legs.

    Args:
        fields: That its code has set.
        items: Its history.
    """
    records = r.decode_items(items)
    begin = records[0]
    assert isinstance(begin, r.Begin)
    events = events_of(records, ended_ms=updated_ms if status <= 0 else 0)
    steps = steps_of(events, apart=True)
    error = steps.legs[0].error
    if error is None and status < 0:
        error = failure_fields(r.Failure("terminated", "the run was ended", code=410))
    return Timeline(
        job_id=jid,
        topic=begin.workflow,
        version="",
        status=status,
        created_ms=begin.at_ms,
        updated_ms=updated_ms,
        data=fields,
        error=error,
        legs=tuple(
            TimelineLeg(
                activity=leg.activity,
                type=leg.type,
                dimension=leg.dimension,
                state=leg.state,
                began_ms=leg.began_ms,
                changed_ms=leg.changed_ms,
                duration_ms=leg.changed_ms - leg.began_ms,
                code=leg.code,
                attempt=leg.attempt,
                generations=leg.generations,
                error=leg.error,
            )
            for leg in steps.legs
        ),
        edges=tuple(
            TimelineEdge(source=e.source, target=e.target, dimension=e.dimension)
            for e in steps.edges
        ),
    )
