"""Signal every job of an index.

Repeating it sends no signal twice: each has an id that follows from the order's and the job's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hotmesh.compiler import Program
from hotmesh.errors import HookNotFound
from hotmesh.ids import JOB_ID_BYTES_MAX, derive
from hotmesh.messages import SendAll
from hotmesh.payload import decode, encode
from hotmesh.store.search import drop_indexes, find_indexes, ids_of

if TYPE_CHECKING:
    from hotmesh.engine.handle import Engine

ID_BYTES_MAX = JOB_ID_BYTES_MAX + 16
"""What the job's id adds to a payload that was measured when it came in."""


async def hook_all(engine: Engine, program: Program, order: SendAll) -> tuple[list[str], list[str]]:
    """Send the order's signal, with the job's id added as `id`, to each job of the indexes that
    its query finds.

    Returns:
        The facets whose index held jobs, and the jobs.

    Raises:
        HookNotFound, QueryInvalid, MappingError
    """
    rule = program.rule(order.topic)
    if rule is None:
        raise HookNotFound(topic=order.topic, app_id=program.app_id, version=program.version)
    query, bytes_max = decode(order.query), engine.limits.payload_bytes_max
    indexes = await find_indexes(
        engine.store, program, rule.plan.graph, query, order.facets, engine.env()
    )
    data = decode(order.signal.data)
    reached: list[str] = []
    held: list[str] = []
    for index in indexes:
        jobs = await ids_of(engine.store, index)
        if jobs:
            held.append(index.facet)
        for jid in jobs:
            payload = {**data, "id": jid}
            what = f"the signal of topic {order.topic!r}"
            raw = encode(payload, what=what, bytes_max=bytes_max + ID_BYTES_MAX)
            rid = derive(order.signal.rid, jid)
            signal = msgspec.structs.replace(order.signal, data=raw, rid=rid)
            await engine.signal(program, order.topic, payload, signal)
        reached += jobs
    if query.get("scrub"):
        await drop_indexes(engine.store, indexes)
    return held, reached
