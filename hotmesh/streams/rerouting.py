"""`group_by` and `through`: what becomes of an event before an instance sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hotmesh.errors import HotMeshError
from hotmesh.streams.event import Event
from hotmesh.streams.keys import internal_topic, partition_of
from hotmesh.streams.record import encode_key
from hotmesh.streams.transaction import Send

if TYPE_CHECKING:
    from hotmesh.streams.part import AgentPart
    from hotmesh.streams.topic import Topic


def group_by(part: AgentPart, key: Callable[[Any], Any], name: str) -> None:
    """Events of the topics read so far go to the partition of another key first."""
    topic = part.agent.derived(internal_topic(part.agent.app.id, part.agent.name, name or "by"))
    if _has(part, topic):
        return
    partitions = part.agent.partitions

    def regroup(event: Event) -> bool:
        try:
            found = encode_key(key(event.value))
        except Exception as exc:  # noqa: BLE001 - user code
            part.failed([event], exc)
            return False
        home = partition_of(found or b"", partitions)
        if home != part.run.number:
            part.run.move(topic.name, home, event, found)
            part.done(event)
            return False
        event.entry.key = found
        event.key = topic.decode_key(found) if found is not None else None
        return True

    _chain(part, regroup)
    part.added.append(part.add(topic))


def through(part: AgentPart, topic: Topic[Any]) -> None:
    """Events of the topics read so far are sent to a topic, which is read instead."""
    if _has(part, topic):
        return

    def forward(event: Event) -> bool:
        spec = part.agent.specs[topic.name]
        key = event.entry.key
        try:
            _, fields = topic.encode(event.value, event.key, event.timestamp, event.headers)
        except HotMeshError as exc:
            part.failed([event], exc)
            return False
        at = partition_of(key, spec.partitions) if key is not None else part.run.number
        part.run.send(Send(topic.name, spec, at % spec.partitions, fields))
        part.done(event)
        return False

    _chain(part, forward)
    part.added.append(part.add(topic))
    part.agent.through(topic)


def _has(part: AgentPart, topic: Topic[Any]) -> bool:
    return any(s.topic.name == topic.name for s in part.sources.values())


def _chain(part: AgentPart, then: Callable[[Event], bool]) -> None:
    for source in part.sources.values():
        if source.topic is part.agent.routed:
            continue
        before = source.then
        source.then = then if before is None else _both(before, then)


def _both(first: Callable[[Event], bool], then: Callable[[Event], bool]) -> Callable[[Event], bool]:
    return lambda event: first(event) and then(event)
