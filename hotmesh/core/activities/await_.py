"""`await`: start another graph as a child job, and wait for its data (or, with `await: false`,
only start it).
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from hotmesh.compiler import Node
from hotmesh.core import abroad, items, waits
from hotmesh.core.context import base_of, build
from hotmesh.core.identity import job_id_of
from hotmesh.core.inputs import input_of, topic_of
from hotmesh.core.legs import take
from hotmesh.core.state import OPEN, Leg
from hotmesh.core.turn import Turn
from hotmesh.errors import MappingError, TopicNotFound
from hotmesh.ids import check_app_id, derive
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
    app = _app_of(turn, node, context)
    jid = _start(turn, node, dad, app, topic, data, raw, answer=answer)
    leg = Leg(OPEN, 0, turn.env.now_ms, turn.env.now_ms)
    if app or answer:  # the other app has the last word on the child's id
        waits.begin(turn, node, dad, leg)
        leg.key = jid if answer else ""
    else:
        take(turn, node, dad, leg, data={"job_id": jid})


def send(turn: Turn, node: Node, dad: str, data: Any, raw: Raw) -> None:
    """Start a child for one item of `each`."""
    context = build(turn.job, node, dad)
    topic, app = topic_of(turn, node, context), _app_of(turn, node, context)
    jid = _start(turn, node, dad, app, topic, data, raw, answer=True)
    turn.set_field(f"{node.id}{dad}/k", jid.encode())  # an interrupt that descends must find it


def _app_of(turn: Turn, node: Node, context: dict[str, Any]) -> str:
    """The other app in which the child is to run, "" for this one.

    Raises:
        MappingError: The rule gave no text.
        NameInvalid: The text can't be an app's id.
    """
    if node.plan.options.get("app") is None:
        return ""
    app = node.option("app", context, turn.env)
    if not isinstance(app, str):
        raise MappingError(f"app of await {node.id!r} resolved to no text; check its rule")
    return "" if check_app_id(app) == turn.program.app_id else app


def _start(
    turn: Turn, node: Node, dad: str, app: str, topic: str, data: Any, raw: Raw, *, answer: bool
) -> str:
    """Order a child's start; what the record calls it.

    In this app its id is settled here, so that the entry goes to the partition where it will live.
    """
    program, job = turn.program, turn.job
    if not app and program.graph(topic) is None:
        raise TopicNotFound(topic=topic, app_id=program.app_id, version=program.version)
    nonce = job.meta.created_ms
    mapped = None if app else job_id_of(program, topic, data, turn.env)
    jid = mapped or derive(*((program.app_id,) if app else ()), job.jid, str(nonce), node.id, dad)
    trace = turn.trace_of(node, base_of(dad))
    parent = (job.jid, node.id, dad)
    start = ChildStart(jid, topic, program.version, raw, *parent, trace, answer, nonce)
    if app:
        abroad.leave(turn, app, start)
        return abroad.named(app)
    turn.append_to_job(jid, start)
    return jid
