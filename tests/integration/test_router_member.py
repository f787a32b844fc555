"""The router of a service is a member of the fleet like engines and workers."""

from __future__ import annotations

from typing import Any

from support import eventually

import hotmesh


async def test_router_is_shown_paused_and_drained(
    mesh_factory: Any, app_id: str, redis_url: str
) -> None:
    client = await mesh_factory(engine=False)
    seen: list[Any] = []
    router = hotmesh.Router(redis_url, group=f"g-{app_id}"[:40], app=app_id)

    @router.subscribe(stream=f"x:{app_id}")
    async def handle(value: dict) -> None:
        seen.append(value)

    async with router:

        async def here() -> Any:
            return [p for m in await client.roll_call() for p in m.parts]

        (part,) = await eventually(here)
        assert part.role == f"router:x:{app_id}" or part.streams
        (member,) = await client.roll_call()
        assert await client.throttle(-1, guid=member.guid)
        await router.append(f"x:{app_id}", {"a": "1"})
        (part,) = await here()
        assert (part.state, part.lag, seen) == ("paused", 1, [])
        await client.throttle(0)
        await eventually(lambda: seen)
        assert (await client.drain(member.guid)).state == "drained"
    assert await client.roll_call() == []
