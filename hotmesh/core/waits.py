"""What a leg waits for besides its answer (a timer, a time limit, a signal), begun and taken
back together.
"""

from __future__ import annotations

from hotmesh.compiler import Node
from hotmesh.core import signals
from hotmesh.core.context import generation_of
from hotmesh.core.effects import TimerDrop, TimerSet
from hotmesh.core.state import OPEN, Leg
from hotmesh.core.turn import Turn
from hotmesh.messages import Wake, encode_entry


def begin(turn: Turn, node: Node, base: str, leg: Leg, *, sleep_ms: int = 0, key: str = "") -> None:
    """Open a leg that waits.

    Args:
        sleep_ms: Wake it after this time; 0 for no timer.
        key: Register it for a signal under this key; "" for none.
    """
    leg.state, leg.changed_ms, leg.key = OPEN, turn.env.now_ms, key
    if turn.lineage is not None:
        leg.trace = turn.lineage.moved
    turn.set_leg(node, base, leg)
    turn.note("leg.began", node, generation_of(base, leg.generation), leg=leg)
    if sleep_ms:
        turn.effects.append(TimerSet(_timer(turn, node, base, leg, "sleep"), sleep_ms))
    if node.timeout_ms:
        turn.effects.append(TimerSet(_timer(turn, node, base, leg, "timeout"), node.timeout_ms))
    if key:
        assert node.plan.hook is not None
        signals.hear(turn, node, base, node.plan.hook.topic, key, leg.turn)


def end(turn: Turn, node: Node, base: str, leg: Leg, *, heard: bool = False) -> None:
    """Take back what the leg still waits for: it has its answer.

    `heard`: the signal took its registration along.
    """
    if node.sleep is not None:
        turn.effects.append(TimerDrop(_timer(turn, node, base, leg, "sleep")))
    if node.timeout_ms:
        turn.effects.append(TimerDrop(_timer(turn, node, base, leg, "timeout")))
    if node.plan.hook is not None and leg.key and not heard:
        signals.unhear(turn, node, base, leg.key, leg.turn)
    leg.key = ""


def _timer(turn: Turn, node: Node, base: str, leg: Leg, what: str) -> bytes:
    job, version = turn.job.jid, turn.program.version
    return encode_entry(Wake(job, node.id, base, version, what, leg.turn))  # type: ignore[arg-type]
