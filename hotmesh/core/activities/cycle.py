"""`cycle`: come back to an ancestor, in a new generation.

The unit of the status that the cycle holds is the one that the ancestor spends, so a loop of any
length stays balanced. An ancestor that still waits (after an answer that was `pending`, or because
another cycle came back before) keeps its own unit, and goes on waiting.
"""

from __future__ import annotations

from hotmesh.compiler import Node, waits
from hotmesh.core.activities import hook
from hotmesh.core.context import base_of, build, generation_of, locate
from hotmesh.core.legs import OK, take
from hotmesh.core.state import DONE, OPEN, Leg
from hotmesh.core.turn import Turn
from hotmesh.errors import MappingError
from hotmesh.mapping import plain

CYCLES_MAX = 10_000
"""Generations of one activity: a longer loop is one that never ends."""


def enter(turn: Turn, node: Node, dad: str) -> None:
    """Re-enter the ancestor: one that waits as a hook waits again, any other gets the mapped input
    as its output.

    Raises:
        MappingError: The loop has turned `CYCLES_MAX` times.
    """
    ancestor = turn.program.node(node.plan.ancestor)
    context = build(turn.job, node, dad)
    data = plain(node.input(context, turn.env)) if node.input is not None else {}
    there = locate(turn.job, node, dad, ancestor)
    base = base_of(there) if there is not None else ""
    leg = turn.job.legs.get(ancestor.id + base)
    if leg is None:
        raise MappingError(
            f"cycle {node.id!r} leads to {ancestor.id!r}, which this run has not entered"
        )
    if leg.generation >= CYCLES_MAX:
        raise MappingError(
            f"activity {ancestor.id!r} was entered {CYCLES_MAX:,} times; the loop does not end"
        )
    now_ms = turn.env.now_ms
    mine = Leg(DONE, 1, now_ms, now_ms, OK)
    turn.set_leg(node, dad, mine)
    turn.note("leg.ended", node, dad, leg=mine, code=OK)
    turn.led(ancestor, generation_of(base, leg.generation))
    was_open = leg.state == OPEN
    if ancestor.type == "hook" and waits(ancestor.plan):
        if was_open:  # it waits already: the two ways meet in one wait
            turn.job.status -= 1
        else:
            hook.enter_again(turn, ancestor, base, leg)
        return
    take(turn, ancestor, base, leg, data=data)
    if was_open:  # the unit that was spent is the cycle's; the ancestor's own answer is to come
        leg.state = OPEN
