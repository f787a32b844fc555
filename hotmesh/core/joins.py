"""Activities with several parents: they wait for all, any or n of them.

The first arrival opens the join, which then holds one unit of the job's status; each later one
gives its unit up. When nothing else
of the job is open, no further parent can come: a join for `all` goes on with those that came (the
others were not taken), one for more than came fails with code 424.
"""

from __future__ import annotations

from hotmesh.compiler import Node
from hotmesh.core import (
    legs,
)  # each needs the other: a failed join closes a leg, a closed leg may join
from hotmesh.core.state import JOINED, JOINING, Leg, encode_value
from hotmesh.core.turn import Turn

UNMET_CODE = 424

ARRIVED_MAX = 100
"""Arrivals that the record keeps of one join: a parent in a loop may come again and again."""


def arrive(turn: Turn, node: Node, parent: Node, parent_dad: str) -> None:
    """A parent's transition leads here. Its unit of the status has been counted."""
    fork = turn.program.node(node.plan.parent)
    base = parent.address(parent_dad, fork) + ",0"
    name = node.id + base
    leg = turn.job.legs.get(name)
    if leg is None:
        now_ms = turn.env.now_ms
        leg = Leg(JOINING, 0, now_ms, now_ms)
        turn.set_leg(node, base, leg)
        turn.wait_joining(name)
    else:
        turn.job.status -= 1
    _remember(turn, name, parent.id + parent_dad)
    if leg.state != JOINING:
        return  # it has gone on without this one
    if parent.id in leg.seen:
        return  # a parent that answers several times comes once
    leg.seen = [*leg.seen, parent.id]
    turn.set_leg(node, base, leg)
    if len(leg.seen) >= node.plan.join:
        _go_on(turn, node, base, leg)


def settle(turn: Turn) -> None:
    """Nothing else is open, so nobody can arrive any more: each join goes on, or fails."""
    for name in turn.job.extras.joining:
        leg = turn.job.legs[name]
        aid, base = name.split(",", 1)
        node, base = turn.program.node(aid), f",{base}"
        if node.plan.join_all:
            _go_on(turn, node, base, leg)
            continue
        turn.end_joining(name)
        message = (
            f"activity {aid!r} waits for {node.plan.join} of its parents, and only "
            f"{len(leg.seen)} can come"
        )
        legs.fail(turn, node, base, leg, {"message": message, "code": UNMET_CODE}, UNMET_CODE)


def _go_on(turn: Turn, node: Node, base: str, leg: Leg) -> None:
    leg.state = JOINED
    turn.set_leg(node, base, leg)
    turn.end_joining(node.id + base)
    turn.led(node, base)
    turn.queue.append((node, base))


def _remember(turn: Turn, name: str, origin: str) -> None:
    """Keep which legs led to a join; its own leg forgets it once it is entered."""
    arrived = turn.job.arrived.setdefault(name, [])
    if origin not in arrived and len(arrived) < ARRIVED_MAX:
        arrived.append(origin)
        turn.set_field(f"{name}/p", encode_value(arrived))
