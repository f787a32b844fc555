"""`hook`: wait for a signal or a timer, whichever comes first; with neither, pass straight
through.
"""

from __future__ import annotations

from typing import Any

from hotmesh.compiler import Node
from hotmesh.core import signals, waits
from hotmesh.core.activities.passing import output_of, pass_on
from hotmesh.core.context import build, generation_of
from hotmesh.core.inputs import duration_ms
from hotmesh.core.state import OPEN, Leg
from hotmesh.core.turn import Turn


def enter(turn: Turn, node: Node, dad: str) -> None:
    """Leg 1. Its job maps apply when it wakes, not when it begins to wait."""
    leg = Leg(OPEN, 0, turn.env.now_ms, turn.env.now_ms)
    context = build(turn.job, node, dad, leg=leg)
    sleep_ms = _sleep_ms(turn, node, context)
    if node.listens is None and sleep_ms <= 0:
        pass_on(turn, node, dad, leg, context)
    else:
        _wait(turn, node, dad, leg, context, sleep_ms)


def enter_again(turn: Turn, node: Node, base: str, leg: Leg) -> None:
    """A cycle has come back to a hook that waits: it waits again, in a new generation."""
    leg.turn += 1
    context = build(turn.job, node, generation_of(base, leg.generation), leg=leg)
    _wait(turn, node, base, leg, context, _sleep_ms(turn, node, context))


def _wait(
    turn: Turn, node: Node, base: str, leg: Leg, context: dict[str, Any], sleep_ms: int
) -> None:
    key = ""
    if node.listens is not None:
        key = signals.key_of(
            node.listens, context, turn.env, f"'expected' of the hook rule of activity {node.id!r}"
        )
    leg.given = output_of(turn, node, context)
    waits.begin(turn, node, base, leg, sleep_ms=max(0, sleep_ms), key=key)


def _sleep_ms(turn: Turn, node: Node, context: dict[str, Any]) -> int:
    """Milliseconds to sleep; 0 for no `sleep`, or one that is no positive number."""
    if node.sleep is None:
        return 0
    return duration_ms(node.sleep(context, turn.env), f"sleep of activity {node.id!r}")
