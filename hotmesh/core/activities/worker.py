"""`worker`: call a function that is linked to a topic, and wait for its answer."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from hotmesh.compiler import Node
from hotmesh.core import items, waits
from hotmesh.core.context import base_of, build
from hotmesh.core.effects import Append
from hotmesh.core.inputs import input_of, topic_of
from hotmesh.core.state import OPEN, Leg
from hotmesh.core.turn import Turn
from hotmesh.messages import Work, encode_entry


def enter(turn: Turn, node: Node, dad: str) -> None:
    """Leg 1: map the input, append the call to the topic's stream."""
    context = build(turn.job, node, dad)
    if node.each is not None:
        items.begin(turn, node, dad, context, send)
        return
    topic = topic_of(turn, node, context)
    _, raw = input_of(turn, node, context)
    _call(turn, node, dad, topic, raw)
    now_ms = turn.env.now_ms
    waits.begin(turn, node, dad, Leg(OPEN, 0, now_ms, now_ms))


def send(turn: Turn, node: Node, dad: str, data: Any, raw: Raw) -> None:
    """Call the function for one item of `each`."""
    _call(turn, node, dad, topic_of(turn, node, build(turn.job, node, dad)), raw)


def _call(turn: Turn, node: Node, dad: str, topic: str, raw: Raw) -> None:
    work = Work(
        turn.job.jid,
        node.id,
        dad,
        turn.program.version,
        topic,
        0,
        raw,
        turn.trace_of(node, base_of(dad)),
        node.plan.retry,
        node.timeout_ms,
    )
    turn.effects.append(Append("worker", topic, encode_entry(work)))
