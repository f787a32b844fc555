"""The trigger: a job begins."""

from __future__ import annotations

from hotmesh.compiler import GraphPlan, Node, Program
from hotmesh.core import abroad, stats
from hotmesh.core.context import build
from hotmesh.core.events import Start
from hotmesh.core.identity import job_key_of
from hotmesh.core.legs import OK, choose, follow, telling
from hotmesh.core.state import OPEN, Job, Leg, Meta
from hotmesh.core.turn import Turn, close
from hotmesh.mapping import Env, plain
from hotmesh.messages import Adopt

DAD = ",0"


def create(program: Program, graph: GraphPlan, start: Start, env: Env) -> Job:
    """The job that a start describes, before its first step."""
    node = program.node(graph.trigger)
    parent = start.parent
    meta = Meta(
        program.app_id,
        program.version,
        graph.subscribes,
        graph.trigger,
        env.now_ms,
        job_key_of(node, start.data, env),
        stats.slot_of(node, env.now_ms),
        start.trace,
        start.caller,
        start.expire_ms,
        parent.parent_jid if parent else "",
        parent.parent_aid if parent else "",
        parent.parent_dad if parent else "",
        parent.answer if parent else True,
        parent.nonce if parent else 0,
        parent.origin if parent else None,
    )
    return Job(start.jid, meta)


def enter(turn: Turn, node: Node, start: Start) -> None:
    """The trigger's only leg: check and map the payload, open the first branches.

    Raises:
        PayloadInvalid: The payload does not fit the schema of a validated graph.
        MappingError: A rule of the trigger fails. Nothing is written: the caller is told.
    """
    if node.check_input is not None:
        node.check_input(start.data, f"the payload of topic {start.topic!r}")
    leg = Leg(OPEN, 0, turn.env.now_ms, turn.env.now_ms, OK)
    turn.note("job.started", node, DAD)
    context = build(turn.job, node, DAD, input=start.data, output=start.data, leg=leg)
    mapped = plain(node.job(context, turn.env)) if node.job is not None else None
    turn.set_output(node, DAD, start.data)
    turn.merge_data(node, mapped)
    parent = node.job_parent(context, turn.env) if node.job_parent is not None else None
    if isinstance(parent, str) and parent and parent != turn.job.jid:
        turn.append_to_job(parent, Adopt(parent, turn.job.jid))
    stats.count(turn, node, context)
    following, _ = choose(turn, node, context, OK)
    tells = telling(turn, node, context)
    if start.parent is not None and start.parent.origin is not None:
        abroad.say_begun(turn, start.parent)
    close(leg, turn.env.now_ms)
    follow(turn, node, DAD, DAD, leg, following, open_units=0, tells=tells)
