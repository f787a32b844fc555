"""`signal`: wake hooks of other jobs. It is sent by the same script that records that it was."""

from __future__ import annotations

from typing import Any

from hotmesh.compiler import Node
from hotmesh.core import signals
from hotmesh.core.activities.passing import pass_on
from hotmesh.core.context import build
from hotmesh.core.effects import Append
from hotmesh.core.inputs import topic_of
from hotmesh.core.state import OPEN, Leg
from hotmesh.core.turn import Turn
from hotmesh.errors import HookNotFound, MappingError
from hotmesh.ids import derive
from hotmesh.mapping import plain, text_of
from hotmesh.messages import SendAll, Signal, encode_entry
from hotmesh.payload import encode


def enter(turn: Turn, node: Node, dad: str) -> None:
    """Send to one hook (`subtype: one`) or to all jobs of an index (`all`), and pass on."""
    leg = Leg(OPEN, 0, turn.env.now_ms, turn.env.now_ms)
    context = build(turn.job, node, dad, leg=leg)
    topic = topic_of(turn, node, context)
    data = _payload(turn, node, context)
    if turn.program.rule(topic) is None:
        program = turn.program
        raise HookNotFound(topic=topic, app_id=program.app_id, version=program.version)
    what = f"the signal of activity {node.id!r}"
    raw = encode(data, what=what, bytes_max=turn.limits.payload_bytes_max)
    rid = derive(turn.job.jid, str(turn.job.meta.created_ms), node.id, dad)
    trace = turn.trace_of(node, dad)
    if node.plan.options.get("subtype") == "all":
        query, facets = _index(turn, node, context)
        signal = Signal("success", 200, raw, rid, trace)
        version = turn.program.version
        order = SendAll(turn.job.jid, version, topic, signal, query, facets)
        turn.effects.append(Append("engine", "", encode_entry(order)))
    else:
        status, code = _status(turn, node, context)
        key, pending_ms = signals.address(turn.program, topic, data, turn.env)
        signals.tell(turn, topic, key, Signal(status, code, raw, rid, trace), pending_ms)
    pass_on(turn, node, dad, leg, context)


def _payload(turn: Turn, node: Node, context: dict[str, Any]) -> Any:
    maps = node.option_maps("signal", context, turn.env)
    return {} if maps is None else plain(maps)


def _status(turn: Turn, node: Node, context: dict[str, Any]) -> tuple[Any, int]:
    status = node.option("status", context, turn.env)
    code = node.option("code", context, turn.env)
    if status not in ("success", "pending", "error"):
        raise MappingError(f"status of signal {node.id!r} must be success, pending or error")
    if not isinstance(code, (int, float)) or isinstance(code, bool):
        raise MappingError(f"code of signal {node.id!r} must be a number")
    return status, int(code)


def _index(turn: Turn, node: Node, context: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    query = node.option_maps("resolver", context, turn.env)
    query = {} if query is None else plain(query)
    if node.option("scrub", context, turn.env) is True:
        query = {**query, "scrub": True}
    name = node.option("key_name", context, turn.env)
    value = node.option("key_value", context, turn.env)
    facets = () if name is None else (f"{name}:{text_of(value)}",)
    return encode(query, what=f"the query of signal {node.id!r}"), facets
