"""`await`: start another graph as a child job, and wait for its data (or, with `await: false`,
only start it).
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from hotmesh.compiler import Node
from hotmesh.core import items, waits
from hotmesh.core.context import base_of, build
from hotmesh.core.inputs import input_of, topic_of
from hotmesh.core.legs import take
from hotmesh.core.start import job_id_of
from hotmesh.core.state import OPEN, Leg
from hotmesh.core.turn import Turn
from hotmesh.errors import TopicNotFound
from hotmesh.ids import derive
from hotmesh.messages import ChildStart


def enter(turn: Turn, node: Node, dad: str) -> None:
    """Leg 1: map the input and order the child's start. It runs on the version of its parent."""
    context = build(turn.job, node, dad)
    if node.each is not None:
        items.begin(turn, node, dad, context, send)
        return
    topic = topic_of(turn, node, context)
    data, raw = input_of(turn, node, context)
    answer = bool(node.option("await", context, turn.env))
    jid = _start(turn, node, dad, topic, data, raw, answer=answer)
    leg = Leg(OPEN, 0, turn.env.now_ms, turn.env.now_ms)
    if answer:
        waits.begin(turn, node, dad, leg)
        leg.key = jid
    else:
        take(turn, node, dad, leg, data={"job_id": jid})


def send(turn: Turn, node: Node, dad: str, data: Any, raw: Raw) -> None:
    """Start a child for one item of `each`."""
    topic = topic_of(turn, node, build(turn.job, node, dad))
    jid = _start(turn, node, dad, topic, data, raw, answer=True)
    turn.set_field(f"{node.id}{dad}/k", jid.encode())  # an interrupt that descends must find it


def _start(
    turn: Turn, node: Node, dad: str, topic: str, data: Any, raw: Raw, *, answer: bool
) -> str:
    """Order a child's start; its id, which is settled here so that the entry goes to the
    partition where it will live.
    """
    program, job = turn.program, turn.job
    if program.graph(topic) is None:
        raise TopicNotFound(topic=topic, app_id=program.app_id, version=program.version)
    nonce = job.meta.created_ms
    mapped = job_id_of(program, topic, data, turn.env)
    jid = mapped or derive(job.jid, str(nonce), node.id, dad)
    trace = turn.trace_of(node, base_of(dad))
    parent = (job.jid, node.id, dad)
    start = ChildStart(jid, topic, program.version, raw, *parent, trace, answer, nonce)
    turn.append_to_job(jid, start)
    return jid
