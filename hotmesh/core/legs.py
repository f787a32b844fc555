"""The second half of every activity: take an answer, write what it maps, choose the transitions,
close the leg.
"""

from __future__ import annotations

import contextlib
from typing import Any, Literal, TypeAlias

from hotmesh.compiler import Node
from hotmesh.core import failures, joins
from hotmesh.core.context import build, generation_of
from hotmesh.core.ending import complete, interim
from hotmesh.core.state import Leg
from hotmesh.core.turn import Turn, close
from hotmesh.errors import HotMeshError, MappingError, PayloadInvalid
from hotmesh.mapping import UNDEFINED, plain
from hotmesh.messages import Failure, Status

OK, PENDING, FAILED = 200, 202, 500

_FALSE = (False, None, 0, "", UNDEFINED)

Tells: TypeAlias = Literal["", "interim", "result"]


def take(
    turn: Turn,
    node: Node,
    base: str,
    leg: Leg,
    *,
    data: Any,
    status: Status = "success",
    code: int = OK,
    hook: bool = False,
    below: tuple[Failure, ...] = (),
) -> None:
    """Apply one answer to an open leg.

    `below` is what failed in the job that gave it.

    A rule that fails turns the answer into an error of the activity (code 500), so that
    transitions can route it; a condition that fails then too is not followed.
    """
    dad = generation_of(base, leg.generation)
    if status == "error":
        fail(turn, node, base, leg, error_of(data, code), code, below=below)
        return
    try:
        if node.check_output is not None and not hook:
            node.check_output(data, f"the output of activity {node.id!r}")
        inner = {"hook": data} if hook else {"output": data}
        if hook and leg.given is not None:
            inner["output"] = leg.given
        context = build(turn.job, node, dad, leg=leg, **inner)
        following, _ = choose(turn, node, context, code)
        if node.type == "interrupt" and node.output is not None:
            data = context["$self"]["output"]["data"] = plain(node.output(context, turn.env))
        mapped = plain(node.job(context, turn.env)) if node.job is not None else None
        tells = telling(turn, node, context)
    except (MappingError, PayloadInvalid) as exc:
        fail(turn, node, base, leg, {"message": str(exc), "code": exc.code}, exc.code)
        return
    if hook:
        turn.set_hook(node, dad, data)
        if leg.given is not None:
            turn.set_output(node, dad, leg.given)
    else:
        turn.set_output(node, dad, data)
    turn.merge_data(node, mapped)
    leg.code = code
    if status == "pending":
        leg.generation += 1
        leg.changed_ms = turn.env.now_ms
        follow(turn, node, base, dad, leg, following, open_units=0, tells=tells)
    else:
        close(leg, turn.env.now_ms)
        follow(turn, node, base, dad, leg, following, open_units=-1, tells=tells)


def fail(
    turn: Turn,
    node: Node,
    base: str,
    leg: Leg,
    error: dict[str, Any],
    code: int,
    *,
    below: tuple[Failure, ...] = (),
) -> None:
    """Close a leg as failed.

    The job carries the error unless a transition with conditions takes it.
    """
    dad = generation_of(base, leg.generation)
    leg.code, leg.error = code, error
    following: list[str] = []
    handled = False
    tells: Tells = ""
    try:
        context = build(turn.job, node, dad, output=error, hook=error, leg=leg)
        following, handled = choose(turn, node, context, code)
        tells = telling(turn, node, context)
    except MappingError as exc:
        error = {"message": f"{error.get('message', '')} (and then: {exc})", "code": code}
    turn.set_output(node, dad, error)
    failures.note(turn, node.id, dad, error, code, handled=handled, below=below)
    if not handled:
        turn.set_error(error)
    close(leg, turn.env.now_ms)
    follow(turn, node, base, dad, leg, following, open_units=-1, tells=tells)


def choose(turn: Turn, node: Node, context: dict[str, Any], code: int) -> tuple[list[str], bool]:
    """The activities to enter, in the order written, and whether a transition with conditions
    was among them.
    """
    following: list[str] = []
    handled = False
    for edge in node.edges:
        if edge.when is None:
            following.append(edge.to)
        elif edge.when(context, code, turn.env):
            following.append(edge.to)
            handled = True
    return following, handled


def follow(
    turn: Turn,
    node: Node,
    base: str,
    dad: str,
    leg: Leg,
    following: list[str],
    *,
    open_units: int,
    tells: Tells,
) -> None:
    """Count the branches that open and the one that ends, tell listeners if the model asks for it
    and the job goes on, and queue the next activities.
    """
    turn.job.status += len(following) + open_units
    turn.set_leg(node, base, leg)
    turn.note("leg.ended", node, dad, leg=leg, code=leg.code)
    if tells and turn.job.status > 0:
        (complete if tells == "result" else interim)(turn)
    for name in following:
        child = turn.program.node(name)
        if child.plan.join:
            joins.arrive(turn, child, node, dad)
        else:
            turn.led(child, dad + ",0")
            turn.queue.append((child, dad + ",0"))


def telling(turn: Turn, node: Node, context: dict[str, Any]) -> Tells:
    """What the model asks to tell listeners: nothing, the state so far, or that it is the result.

    Its rules are such as may fail, so they are asked with the others. What the model says of the
    leg's span is read here too, from the same context.
    """
    if turn.lineage is not None and node.telemetry is not None:
        with contextlib.suppress(MappingError):  # a picture's detail must not fail an activity
            turn.lineage.facts = plain(node.telemetry(context, turn.env))
    if node.persist is not None and node.persist(context, turn.env) not in _FALSE:
        return "result"
    if node.emit is not None and node.emit(context, turn.env) not in _FALSE:
        return "interim"
    return ""


def error_of(data: Any, code: int) -> dict[str, Any]:
    """The error that a failed answer stands for: always with `message` and `code`, first."""
    if not isinstance(data, dict):
        return {"message": str(data) if data is not None else "unknown", "code": code}
    error = {"message": data.get("message", "unknown"), "code": code}
    error.update((k, v) for k, v in data.items() if k not in error)
    return error


def refuse(turn: Turn, node: Node, dad: str, exc: HotMeshError, *, code: int | None = None) -> None:
    """End an activity that could not begin (a rule failed, a payload does not fit) as failed."""
    leg = Leg(1, 0, turn.env.now_ms, turn.env.now_ms)
    what = exc.code if code is None else code
    fail(turn, node, dad, leg, {"message": str(exc), "code": what}, what)
