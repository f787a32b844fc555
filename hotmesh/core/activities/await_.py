"""`await`: start another graph as a child job, and wait for its data (or, with `await: false`,
only start it).
"""

from __future__ import annotations

from hotmesh.compiler import Node
from hotmesh.core import waits
from hotmesh.core.activities.waiting import input_of, topic_of
from hotmesh.core.context import build
from hotmesh.core.legs import take
from hotmesh.core.start import job_id_of
from hotmesh.core.state import OPEN, Leg
from hotmesh.core.turn import Turn
from hotmesh.errors import TopicNotFound
from hotmesh.ids import derive
from hotmesh.messages import ChildStart


def enter(turn: Turn, node: Node, dad: str) -> None:
    """Leg 1: map the input and order the child's start.

    The child's id is settled here, so that its entry goes to the partition where it will live. It
    runs on the version of its parent.
    """
    context = build(turn.job, node, dad)
    topic = topic_of(turn, node, context)
    data, raw = input_of(turn, node, context)
    graph = turn.program.graph(topic)
    if graph is None:
        program = turn.program
        raise TopicNotFound(topic=topic, app_id=program.app_id, version=program.version)
    jid = job_id_of(turn.program, topic, data, turn.env)
    jid = jid or derive(turn.job.jid, node.id, dad)
    rule = node.plan.options.get("await")
    answer = rule is None or bool(node.option("await", context, turn.env))
    job = turn.job
    trace = turn.trace_of(node, dad)
    start = ChildStart(jid, topic, turn.program.version, raw, job.jid, node.id, dad, trace, answer)
    turn.append_to_job(jid, start)
    leg = Leg(OPEN, 0, turn.env.now_ms, turn.env.now_ms)
    if answer:
        waits.begin(turn, node, dad, leg)
        leg.key = jid
    else:
        take(turn, node, dad, leg, data={"job_id": jid})
