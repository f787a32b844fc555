"""A worker of durable functions is a member of its namespace's fleet."""

from __future__ import annotations

import secrets

from support import eventually

from hotmesh import HotMesh, durable


@durable.activity
async def double(n: int) -> int:
    return 2 * n


async def twice(n: int) -> int:
    return await double(n)


async def test_worker_is_shown_paused_by_queue_and_drained(redis_url: str) -> None:
    namespace, queue = f"d{secrets.token_hex(6)}", "q"
    worker = await durable.Worker.create(
        redis_url, task_queue=queue, workflows=[twice], activities=[double], namespace=namespace
    )
    client = durable.Client(redis=redis_url, namespace=namespace)
    async with worker, client, HotMesh.session(namespace, redis_url, engine=False) as mesh:
        (member,) = await mesh.roll_call()
        roles = {"engine", "workflows:q", "activities:q"}
        assert {part.role for part in member.parts} == roles

        assert await mesh.throttle(-1, topic=queue)
        handle = await client.workflow.start(twice, args=[4], task_queue=queue, workflow_id="w")

        async def waits() -> bool:
            (member,) = await mesh.roll_call()
            parts = {part.role: part for part in member.parts}
            return parts["workflows:q"].lag == 1 and parts["workflows:q"].state == "paused"

        await eventually(waits)
        assert await mesh.throttle(0, topic=queue)
        assert await handle.result(timeout=20) == 8
        assert (await mesh.drain(member.guid)).state == "drained"
