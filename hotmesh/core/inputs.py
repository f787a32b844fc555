"""What activities share that send something out and wait: resolve a topic, map the input."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from hotmesh.compiler import Node
from hotmesh.core.turn import Turn
from hotmesh.durations import parse
from hotmesh.errors import MappingError
from hotmesh.ids import check_topic
from hotmesh.mapping import plain
from hotmesh.messages import EMPTY
from hotmesh.payload import encode


def topic_of(turn: Turn, node: Node, context: dict[str, Any]) -> str:
    """The topic, resolved.

    Raises:
        MappingError: The rule gave no text.
        NameInvalid: The text can't be a topic.
    """
    topic = node.topic
    if isinstance(topic, str):
        return topic
    resolved = topic(context, turn.env)
    if not isinstance(resolved, str):
        raise MappingError(f"the topic of activity {node.id!r} resolved to no text; check its rule")
    return check_topic(resolved)


def input_of(turn: Turn, node: Node, context: dict[str, Any]) -> tuple[Any, Raw]:
    """The mapped input, plain and encoded; an empty object when the model maps none."""
    if node.input is None:
        return {}, EMPTY
    return encoded_input(turn, node, plain(node.input(context, turn.env)))


def encoded_input(turn: Turn, node: Node, data: Any) -> tuple[Any, Raw]:
    """Input that is mapped already: checked against the schema of a validated activity, and
    encoded.
    """
    if node.check_input is not None:
        node.check_input(data, f"the input of activity {node.id!r}")
    what = f"the input of activity {node.id!r}"
    return data, encode(data, what=what, bytes_max=turn.limits.payload_bytes_max)


def duration_ms(value: Any, what: str) -> int:
    """What a rule gave as a time, in milliseconds; 0 for what is no positive time.

    Raises:
        MappingError: It is text that is no duration, or out of range.
    """
    try:
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
            return parse(value)
    except ValueError as exc:
        raise MappingError(f"{what}: {exc}") from exc
    return 0
