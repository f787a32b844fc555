"""What rules see: the root object of references, built for one activity and only as far as its
rules reach.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from hotmesh.compiler import Node
from hotmesh.core.state import DONE, Job, Leg, split_leg
from hotmesh.mapping import UNDEFINED

_MISSING: dict[str, Any] = {}


def stamp(ms: int) -> str:
    """A server time as metadata show it: `YYYYMMDDHHmmss.SSS`, UTC."""
    return f"{_second(ms // 1000)}.{ms % 1000:03d}"


@lru_cache(maxsize=256)
def _second(s: int) -> str:
    return f"{datetime.fromtimestamp(s, UTC):%Y%m%d%H%M%S}"


def build(
    job: Job,
    node: Node,
    dad: str,
    *,
    input: Any = UNDEFINED,  # the word of the model
    output: Any = UNDEFINED,
    hook: Any = UNDEFINED,
    leg: Leg | None = None,
    also: Iterable[Node] | None = None,
) -> dict[str, Any]:
    """The context of `node` at dimension `dad`, with this leg's own data under `$self`.

    Args:
        also: Activities that a rule beside the node's own reads; it may read `$job` too.
    """
    me: dict[str, Any] = {
        "input": {"data": input},
        "output": {"data": output},
        "hook": {"data": hook},
    }
    context: dict[str, Any] = {"data": job.data, "metadata": _MISSING}
    for other in (*node.others, *also) if also is not None else node.others:
        address = locate(job, node, dad, other)
        if address is None:
            continue
        context[other.id] = _entry(job, other, address, with_metadata=node.reads_metadata)
    if node.reads_metadata:
        context["metadata"] = job_metadata(job)
        metadata = _leg_metadata(node, dad, leg)
        me["output"]["metadata"] = me["hook"]["metadata"] = me["input"]["metadata"] = metadata
    if node.mutates:
        context, me = copy.deepcopy((context, me))
    context[node.id] = context["$self"] = me
    context["$app"] = {"settings": node.program.settings}
    if node.reads_job or also is not None:
        # Not the context itself: a cycle could be freed by the garbage collector alone.
        context["$job"] = dict(context)
    return context


def locate(job: Job, node: Node, dad: str, other: Node) -> str | None:
    """Where `other` keeps the data that `node` sees at dimension `dad`.

    Behind a join that is the turn of each arm that led into it. None: it had given nothing when
    the join went on.
    """
    if other.id in node.chain or not any(other.id in join.above for join in node.joins):
        return node.address(dad, other)
    for join in node.joins:
        leg = job.legs.get(join.id + base_of(node.address(dad, join)))
        came = [split_leg(c) for c in reversed(leg.came)] if leg is not None else []
        for name, there in came:
            if name == other.id:
                return there
        for name, there in came:
            parent = node.program.node(name)
            found = locate(job, parent, there, other) if other.id in parent.above else None
            if found is not None:
                return found
    return None


def _entry(job: Job, node: Node, address: str, *, with_metadata: bool) -> dict[str, Any]:
    name = node.id + address
    output: dict[str, Any] = {"data": job.outputs.get(name, UNDEFINED)}
    hook: dict[str, Any] = {"data": job.hooks.get(name, UNDEFINED)}
    if with_metadata:
        leg = job.legs.get(name) or job.legs.get(node.id + base_of(address))
        if leg is not None:  # of what has not run there is nothing
            output["metadata"] = hook["metadata"] = _leg_metadata(node, address, leg)
    return {"output": output, "hook": hook}


def _leg_metadata(node: Node, dad: str, leg: Leg | None) -> dict[str, Any]:
    topic = node.plan.topic if isinstance(node.plan.topic, str) else None
    metadata: dict[str, Any] = {"aid": node.id, "atp": node.type, "stp": topic, "dad": dad}
    if node.type == "trigger":
        metadata["stp"] = node.graph.subscribes
    if leg is not None:
        metadata["ac"], metadata["au"] = stamp(leg.began_ms), stamp(leg.changed_ms)
        metadata["as"] = "done" if leg.state == DONE else "open"
        if leg.error is not None:
            metadata["err"] = leg.error
    return {k: v for k, v in metadata.items() if v is not None}


def job_metadata(job: Job) -> dict[str, Any]:
    """Metadata of the job, under the names that the original gives them."""
    meta = job.meta
    metadata: dict[str, Any] = {
        "jid": job.jid,
        "tpc": meta.topic,
        "app": meta.app,
        "vrs": meta.version,
        "aid": meta.aid,
        "key": meta.key or None,
        "ts": meta.slot or None,
        "jc": stamp(meta.created_ms),
        "ju": stamp(job.updated_ms),
        "js": job.status,
        "err": job.error,
        "trc": meta.trace[3:35] or None,
        "ngn": meta.caller or None,
        "pj": meta.parent_jid or None,
        "pa": meta.parent_aid or None,
        "pd": meta.parent_dad or None,
    }
    return {k: v for k, v in metadata.items() if v is not None}


def base_of(dad: str) -> str:
    """The same dimension at generation 0: where an activity's leg is kept."""
    return dad[: dad.rindex(",")] + ",0"


def generation_of(dad: str, generation: int) -> str:
    """The same dimension at another generation."""
    return f"{dad[: dad.rindex(',')]},{generation}" if generation else dad
