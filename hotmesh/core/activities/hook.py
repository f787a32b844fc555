"""`hook`: pass straight through, or wait for a timer (`sleep`).

Waiting for a signal comes with the model language's second part; the compiler refuses such a model
until then.
"""

from __future__ import annotations

from typing import Any

from hotmesh.compiler import Node
from hotmesh.core.activities.waiting import begin
from hotmesh.core.context import build
from hotmesh.core.effects import TimerSet
from hotmesh.core.legs import OK, choose, follow
from hotmesh.core.state import OPEN, Leg
from hotmesh.core.turn import Turn, close
from hotmesh.errors import MappingError
from hotmesh.mapping import plain
from hotmesh.messages import Wake, encode_entry


def enter(turn: Turn, node: Node, dad: str) -> None:
    """Leg 1. A pass-through hook ends here; a sleeping one sets its timer."""
    leg = Leg(OPEN, 0, turn.env.now_ms, turn.env.now_ms)
    context = build(turn.job, node, dad, leg=leg)
    sleep_ms = _sleep_ms(turn, node, context)
    if sleep_ms <= 0:
        _pass(turn, node, dad, leg, context)
        return
    output, mapped = _maps(turn, node, context)
    entry = encode_entry(Wake(turn.job.jid, node.id, dad, turn.program.version, "sleep"))
    if output is not None:
        turn.set_output(node, dad, output)
    turn.merge_data(node, mapped)
    turn.effects.append(TimerSet(entry, sleep_ms))
    begin(turn, node, dad)


def _pass(turn: Turn, node: Node, dad: str, leg: Leg, context: dict[str, Any]) -> None:
    following, _ = choose(turn, node, context, OK)
    output, mapped = _maps(turn, node, context)
    if output is not None:
        turn.set_output(node, dad, output)
    turn.merge_data(node, mapped)
    leg.code = OK
    close(leg, turn.env.now_ms, reentrant=node.plan.reentrant)
    follow(turn, node, dad, dad, leg, following, open_units=-1)


def _maps(turn: Turn, node: Node, context: dict[str, Any]) -> tuple[Any, Any]:
    output = plain(node.output(context, turn.env)) if node.output is not None else None
    if output is not None:
        context["$self"]["output"]["data"] = output
    mapped = plain(node.job(context, turn.env)) if node.job is not None else None
    return output, mapped


def _sleep_ms(turn: Turn, node: Node, context: dict[str, Any]) -> int:
    """Milliseconds to sleep; 0 to pass through: no `sleep`, or one that is no positive number."""
    if node.sleep is None:
        return 0
    value = node.sleep(context, turn.env)
    if isinstance(value, str):
        from hotmesh.durations import parse

        try:
            return parse(value)
        except ValueError as exc:
            raise MappingError(f"sleep of activity {node.id!r}: {exc}") from exc
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        return round(value * 1000)
    return 0
