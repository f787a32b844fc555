"""`interrupt`: end a job before its time: this one at once, or another, and wait to hear that it
has ended. With `after`, the job may go on for a while, and this activity does not wait for its end.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hotmesh.compiler import Node
from hotmesh.core import ending, waits
from hotmesh.core.activities.passing import maps, pass_on
from hotmesh.core.context import build
from hotmesh.core.inputs import duration_ms
from hotmesh.core.legs import OK
from hotmesh.core.state import DONE, OPEN, Leg
from hotmesh.core.turn import Turn
from hotmesh.durations import parse
from hotmesh.errors import MappingError
from hotmesh.ids import check_job_id, derive
from hotmesh.mapping import UNDEFINED
from hotmesh.messages import Interrupt


def enter(turn: Turn, node: Node, dad: str) -> None:
    """End this job, or order the end of another.

    Its answer says whether the other was still running.
    """
    leg = Leg(OPEN, 0, turn.env.now_ms, turn.env.now_ms)
    context = build(turn.job, node, dad, leg=leg)
    target = node.option("target", context, turn.env)
    if target is UNDEFINED:
        raise MappingError(f"target of interrupt {node.id!r} resolved to nothing")
    job_id = turn.job.jid if target is None else check_job_id(target)
    order = _order(turn, node, dad, context, job_id)
    if job_id != turn.job.jid:
        sender = (turn.job.jid, node.id, dad, turn.program.version)
        turn.append_to_job(job_id, msgspec.structs.replace(order, sender=sender))
        waits.begin(turn, node, dad, leg)
        return
    if order.after_ms:
        ending.interrupt_later(turn, order)
        pass_on(turn, node, dad, leg, context)
        return
    output, mapped = maps(turn, node, context)
    if output is not None:
        turn.set_output(node, dad, output)
    turn.merge_data(node, mapped)
    leg.state, leg.generation, leg.code = DONE, 1, OK
    turn.set_leg(node, dad, leg)
    turn.job.status -= 1
    turn.note("leg.ended", node, dad, leg=leg, code=OK)
    ending.interrupt(turn, order)


def _order(turn: Turn, node: Node, dad: str, context: dict[str, Any], job_id: str) -> Interrupt:
    def option(name: str) -> Any:
        value = node.option(name, context, turn.env)
        return None if value is UNDEFINED else value

    code, expire, reason = option("code"), option("expire"), option("reason")
    after_ms = duration_ms(option("after"), f"after of interrupt {node.id!r}")
    return Interrupt(
        job_id,
        "" if job_id != turn.job.jid else turn.program.version,
        "" if reason is None else str(reason),
        option("throw") is not False,
        code if type(code) is int else 410,
        1000 if expire is None else parse(expire),
        option("descend") is True,
        after_ms=after_ms,
        rid=derive(turn.job.jid, str(turn.job.meta.created_ms), node.id, dad) if after_ms else "",
    )
