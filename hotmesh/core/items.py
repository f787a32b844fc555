"""`each`: an activity once per item of a list, so many at a time, with the results in the order of
the items.

Item i is called at the dimension whose last index is i. It belongs to lane i mod `concurrency`; an
answer to i sends item i + `concurrency`, so the bound holds without a queue. Results and inputs
that wait are fields of their own; the last answer collects them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Raw

from hotmesh.compiler import Node
from hotmesh.core import legs, waits
from hotmesh.core.context import generation_of
from hotmesh.core.effects import FieldsDrop
from hotmesh.core.inputs import encoded_input, input_of
from hotmesh.core.state import OPEN, Leg, StateMissing, decode_value
from hotmesh.core.turn import Turn
from hotmesh.errors import MappingError
from hotmesh.messages import Reply

ITEMS_MAX = 10_000

Send = Callable[[Turn, Node, str, Any, Raw], None]
"""Dispatches one item: its dimension, its input decoded and encoded."""


def begin(turn: Turn, node: Node, base: str, context: dict[str, Any], send: Send) -> None:
    """Leg 1: map every item's input, dispatch the first ones.

    In `input.maps`, `{$self.input.data.item}` and `.index` are the item; without maps the item
    itself is the input.

    Raises:
        MappingError: `each` is no list, or too long a one.
    """
    assert node.each is not None
    items = node.each(context, turn.env)
    if not isinstance(items, list):
        raise MappingError(f"each of activity {node.id!r} resolved to no list")
    if len(items) > ITEMS_MAX:
        raise MappingError(
            f"each of activity {node.id!r} has {len(items):,} items, over {ITEMS_MAX:,}; split it"
        )
    now_ms = turn.env.now_ms
    leg = Leg(OPEN, 0, now_ms, now_ms, items=len(items), left=len(items))
    if not items:
        legs.take(turn, node, base, leg, data=[])
        return
    inputs = [_input(turn, node, context, i, item) for i, item in enumerate(items)]
    for index, (data, raw) in enumerate(inputs):
        dad = generation_of(base, index)
        if index < node.plan.concurrency:
            send(turn, node, dad, data, raw)
        else:
            turn.set_field(f"{node.id}{dad}/i", bytes(raw))
    waits.begin(turn, node, base, leg)


def answer(turn: Turn, node: Node, base: str, leg: Leg, reply: Reply, send: Send) -> None:
    """Leg 2 of one item.

    Raises:
        StateMissing: It is the last one, and the results of the others were not loaded.
    """
    name = node.id + reply.dad
    if name in turn.job.results:
        turn.note("entry.repeated", node, reply.dad, leg=leg)
        return
    data = decode_value(reply.data)
    index = int(reply.dad.rpartition(",")[2])
    if reply.status == "pending":
        return  # an item has one result
    if reply.status == "error":
        error = {**legs.error_of(data, reply.code), "index": index}
        _forget(turn, node, base, leg)
        waits.end(turn, node, base, leg)
        legs.fail(turn, node, base, leg, error, reply.code, below=reply.failures)
        return
    if leg.left == 1:
        results = _collect(turn, node, base, leg, index, data)
        _forget(turn, node, base, leg)
        waits.end(turn, node, base, leg)
        leg.left = 0
        legs.take(turn, node, base, leg, data=results)
        return
    turn.job.results[name] = data
    turn.set_field(f"{name}/r", bytes(reply.data))
    leg.left -= 1
    turn.set_leg(node, base, leg)
    _next(turn, node, generation_of(base, index + node.plan.concurrency), send)


def _next(turn: Turn, node: Node, dad: str, send: Send) -> None:
    """Dispatch the item of the same lane that waits, if there is one."""
    raw = turn.job.inputs.pop(node.id + dad, None)
    if raw is not None:
        send(turn, node, dad, decode_value(raw), Raw(raw))
        turn.effects.append(FieldsDrop((f"{node.id}{dad}/i",)))


def _collect(turn: Turn, node: Node, base: str, leg: Leg, last: int, data: Any) -> list[Any]:
    results = []
    for index in range(leg.items):
        if index == last:
            results.append(data)
            continue
        name = node.id + generation_of(base, index)
        if name not in turn.job.results:
            raise StateMissing(name)
        results.append(turn.job.results[name])
    return results


def _forget(turn: Turn, node: Node, base: str, leg: Leg) -> None:
    names = []
    for index in range(leg.items):
        name = node.id + generation_of(base, index)
        turn.job.results.pop(name, None)
        turn.job.inputs.pop(name, None)
        names += [f"{name}/r", f"{name}/i"]
    turn.drop_fields(names)


def _input(
    turn: Turn, node: Node, context: dict[str, Any], index: int, item: Any
) -> tuple[Any, Raw]:
    if node.input is None:
        return encoded_input(turn, node, item)
    context["$self"]["input"] = {"data": {"item": item, "index": index}}
    return input_of(turn, node, context)
