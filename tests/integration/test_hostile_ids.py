"""Names that are made to hurt work in every call that takes a job, at any number of partitions,
and leave nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support import eventually

from hotmesh import HotMesh, StreamData, Worker

MeshFactory = Callable[..., Awaitable[HotMesh]]

IDS = [
    "{}", "}{", "{x}{y}", "a}:s", "*", "?[a-z]", "with space", "two\nlines\r\n", "\ttab",
    "☃ 日本語 🐢", "é" * 128, "x" * 256, "a/b/../c", "%2F%00", "'\"`$(x)\\", "::,,", "-", "~",
]  # fmt: skip

MODEL = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: order
      publishes: order.done
      expire: 600
      activities:
        start:
          type: trigger
          stats:
            key: '{$self.output.data.key}'
            granularity: infinity
            measures: [{measure: index, target: '{$self.output.data.key}'}]
        work: {type: worker, topic: work, input: {maps: {key: '{start.output.data.key}'}}}
        wait: {type: hook}
      transitions:
        start: [{to: work}]
        work: [{to: wait}]
      hooks:
        go:
          - to: wait
            conditions:
              match: [{expected: '{start.output.data.key}', actual: '{$self.hook.data.key}'}]
"""


async def work(message: StreamData) -> Any:
    return message.data


@pytest.mark.parametrize("partitions", [1, 4])
async def test_a_job_of_any_id_and_key_runs_and_is_found(
    mesh_factory: MeshFactory, app_id: str, partitions: int
) -> None:
    mesh = await mesh_factory(workers=[Worker("work", work)], partitions=partitions)
    await mesh.deploy(MODEL.replace("APP", app_id))
    await mesh.activate("1")
    heard: list[str] = []
    sub = await mesh.psub("order.done.*", lambda topic, job: heard.append(job.metadata.jid))

    async def run(id: str) -> None:
        assert await mesh.pub("order", {"key": id}, job_id=id) == id
        await mesh.hook("go", {"key": id}, idempotency_key=id)
        output = await mesh.result("order", id, timeout=30)
        assert output.metadata.jid == id
        assert (await mesh.export(id)).status == await mesh.get_status(id) == 0

    await asyncio.gather(*(run(id) for id in IDS))

    await eventually(lambda: sorted(heard) == sorted(IDS))
    await sub.unsubscribe()
    await asyncio.gather(*(mesh.scrub(id) for id in IDS))
    pattern = f"hm:{{{app_id}/*}}:[jh]:*"
    assert await _keys(mesh, pattern) == []


async def _keys(mesh: HotMesh, pattern: str) -> list[bytes]:
    found: list[bytes] = []
    cursor = b"0"
    while True:
        cursor, some = await mesh.store.transport.execute("SCAN", cursor, "MATCH", pattern)
        found += some
        if cursor == b"0":
            return found
