"""Activities with several parents: they wait for all, any or n of them.

The first arrival opens the join, which then holds one unit of the job's status; each later one
gives its unit up. When nothing else
of the job is open, no further parent can come: a join for `all` goes on with those that came (the
others were not taken), one for more than came fails with code 424.
"""

from __future__ import annotations

from hotmesh.compiler import Node, Program
from hotmesh.core import (
    legs,
)  # each needs the other: a failed join closes a leg, a closed leg may join
from hotmesh.core.context import generation_of, locate
from hotmesh.core.state import JOINED, JOINING, Leg, encode_value, split_leg
from hotmesh.core.turn import Turn

UNMET_CODE = 424

ARRIVED_MAX = 100
"""Arrivals that the record keeps of one join: a parent in a loop may come again and again."""


def arrive(turn: Turn, node: Node, parent: Node, parent_dad: str) -> None:
    """A parent's transition leads here. Its unit of the status has been counted."""
    base = parent.address(parent_dad, node.fork) + ",0"
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
    if any(split_leg(came)[0] == parent.id for came in leg.came):
        return  # a parent that answers several times comes once
    leg.came = [*leg.came, parent.id + parent_dad]
    if turn.lineage is not None:
        leg.seen = [*leg.seen, turn.lineage.arm(parent.id)]
    turn.set_leg(node, base, leg)
    if len(leg.came) >= node.plan.join:
        _go_on(turn, node, base, leg, earlier=leg.seen[:-1])


def settle(turn: Turn) -> None:
    """Nothing else is open, so nobody can arrive any more: each join goes on, or fails.

    Those that lie behind another that waits come later: it may still lead to them.
    """
    waiting = [
        (turn.program.node(aid), base) for aid, base in map(split_leg, turn.job.extras.joining)
    ]
    free = [
        (node, base)
        for node, base in waiting
        if not any(_leads_to(turn.program, other.id, node) for other, _ in waiting)
    ]
    for node, base in free or waiting[:1]:
        leg = turn.job.legs[node.id + base]
        if node.plan.join_all:
            _go_on(turn, node, base, leg, earlier=leg.seen)
            continue
        turn.end_joining(node.id + base)
        message = (
            f"activity {node.id!r} waits for {node.plan.join} of its parents, and only "
            f"{len(leg.came)} can come"
        )
        leg.came = [*_beside(turn, node, base, leg), *leg.came]
        legs.fail(turn, node, base, leg, {"message": message, "code": UNMET_CODE}, UNMET_CODE)


def _leads_to(program: Program, origin: str, join: Node) -> bool:
    """Whether something leads on from an activity to a join, within the same fork."""
    if origin == join.id:
        return False
    seen, todo = {origin, join.plan.parent}, [origin]
    while todo:
        plan = program.node(todo.pop()).plan
        following = [e.to for e in plan.edges]
        following += [plan.ancestor] if plan.ancestor else []
        if join.id in following:
            return True
        todo += [name for name in following if name not in seen]
        seen.update(following)
    return False


def _go_on(turn: Turn, node: Node, base: str, leg: Leg, *, earlier: list[str]) -> None:
    """It sees what is there now: what comes later changes nothing. Its span hangs under the leg
    that was closed last, and is linked with the arms that came earlier.
    """
    leg.state = JOINED
    leg.came = [*_beside(turn, node, base, leg), *leg.came]
    turn.set_leg(node, base, leg)
    turn.end_joining(node.id + base)
    turn.led(node, base, earlier)
    turn.queue.append((node, base))


def _beside(turn: Turn, node: Node, base: str, leg: Leg) -> list[str]:
    """The last turns of what lies before a join, but not on the way of a parent that came."""
    others = node.above - node.fork.above - {node.fork.id}
    for parent, _ in map(split_leg, leg.came):
        others -= set(turn.program.node(parent).chain)
    found: dict[str, list[int]] = {}
    for name, other in turn.job.legs.items() if others else ():
        aid, there = split_leg(name)
        if aid in others and other.generation and there.startswith(base.removesuffix("0")):
            dad = [int(i) for i in generation_of(there, other.generation - 1).split(",")[1:]]
            found[aid] = max(found.get(aid, dad), dad)
    names = [aid for aid in found if locate(turn.job, node, base, turn.program.node(aid)) is None]
    return [aid + "".join(f",{i}" for i in found[aid]) for aid in names]


def _remember(turn: Turn, name: str, origin: str) -> None:
    """Keep which legs led to a join; its own leg forgets it once it is entered."""
    arrived = turn.job.arrived.setdefault(name, [])
    if origin not in arrived and len(arrived) < ARRIVED_MAX:
        arrived.append(origin)
        turn.set_field(f"{name}/p", encode_value(arrived))
