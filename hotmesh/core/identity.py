"""What a payload says of the job that it starts, before there is one: its id and its key."""

from __future__ import annotations

from typing import Any

from hotmesh.compiler import Node, Program
from hotmesh.errors import MappingError
from hotmesh.ids import check_job_id
from hotmesh.mapping import UNDEFINED, Env, text_of


def job_id_of(program: Program, topic: str, data: Any, env: Env) -> str | None:
    """The id that the trigger's `stats.id` gives a job with this payload; None when the model
    leaves it open.

    Raises:
        MappingError, NameInvalid: The rule fails, or gives nothing that can be an id.
    """
    graph = program.graph(topic)
    node = program.node(graph.trigger) if graph is not None else None
    if node is None or node.job_id is None:
        return None
    value = node.job_id(_payload_context(node, data), env)
    if value is UNDEFINED or value is None:
        raise MappingError(
            f"stats.id of trigger {node.id!r} resolved to nothing for this payload; send "
            "the field that it names"
        )
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = text_of(value)
    return check_job_id(value)


def job_key_of(node: Node, data: Any, env: Env) -> str:
    """The key that a trigger's `stats.key` gives a payload, "" for none."""
    if node.job_key is None:
        return ""
    value = node.job_key(_payload_context(node, data), env)
    return "" if value is UNDEFINED or value is None else text_of(value)


def _payload_context(node: Node, data: Any) -> dict[str, Any]:
    me = {"input": {"data": data}, "output": {"data": data}}
    context: dict[str, Any] = {"data": {}, "metadata": {}, node.id: me, "$self": me}
    context["$job"] = dict(context)
    return context
