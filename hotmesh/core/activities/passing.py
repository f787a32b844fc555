"""What activities share that end in their first leg: choose the transitions, map, go on."""

from __future__ import annotations

from typing import Any

from hotmesh.compiler import Node
from hotmesh.core.legs import OK, choose, follow, telling
from hotmesh.core.state import Leg
from hotmesh.core.turn import Turn, close
from hotmesh.mapping import plain


def pass_on(turn: Turn, node: Node, dad: str, leg: Leg, context: dict[str, Any]) -> None:
    """End the activity at once, successfully.

    Its transitions are chosen before its maps apply, as in the original.
    """
    following, _ = choose(turn, node, context, OK)
    output, mapped = maps(turn, node, context)
    tells = telling(turn, node, context)
    if output is not None:
        turn.set_output(node, dad, output)
    turn.merge_data(node, mapped)
    leg.code = OK
    close(leg, turn.env.now_ms)
    follow(turn, node, dad, dad, leg, following, open_units=-1, tells=tells)


def maps(turn: Turn, node: Node, context: dict[str, Any]) -> tuple[Any, Any]:
    """The activity's output and what it writes into the job's data; None for what it does not
    map.
    """
    output = output_of(turn, node, context)
    mapped = plain(node.job(context, turn.env)) if node.job is not None else None
    return output, mapped


def output_of(turn: Turn, node: Node, context: dict[str, Any]) -> Any:
    """The activity's mapped output, which its job maps may refer to."""
    if node.output is None:
        return None
    output = plain(node.output(context, turn.env))
    context["$self"]["output"]["data"] = output
    return output
