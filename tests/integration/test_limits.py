"""Size and depth are bounded at every entrance: a clear error, and nothing half-written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support import eventually

from hotmesh import (
    HotMesh,
    HotMeshError,
    JobError,
    PayloadInvalid,
    Settings,
    StreamData,
    StreamResult,
    Worker,
)
from hotmesh.errors import PayloadTooLarge

BYTES_MAX = 2_048
SECRET = "s3cr3t-" * 4
MODEL = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: order
      expire: 600
      activities:
        start:
          type: trigger
          stats: {key: all, granularity: infinity, measures: [{measure: index, target: '{$self.output.data.k}'}]}
        work: {type: worker, topic: work}
        wait: {type: hook}
      transitions:
        start: [{to: work}]
        work: [{to: wait, conditions: {code: 200}}]
      hooks:
        go:
          - to: wait
            conditions:
              match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]
    - subscribes: grow
      activities:
        open: {type: trigger}
        double: {type: worker, topic: echo, input: {maps: {a: '{open.output.data.a}', b: '{open.output.data.a}', c: '{open.output.data.a}'}}}
      transitions:
        open: [{to: double}]
"""  # noqa: E501

MeshFactory = Callable[..., Awaitable[HotMesh]]


def deep(levels: int) -> Any:
    value: Any = SECRET
    for _ in range(levels):
        value = [value]
    return {"v": value}


LARGE, DEEP = {"v": SECRET * BYTES_MAX}, deep(200)
BAD = [
    pytest.param(LARGE, PayloadTooLarge, id="large"),
    pytest.param(DEEP, PayloadInvalid, id="deep"),
]


class Answers:
    """What the worker gives, and the calls that it has had."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.calls: list[StreamData] = []

    async def __call__(self, message: StreamData) -> Any:
        self.calls.append(message)
        return self.answer


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
async def mesh(mesh_factory: MeshFactory, app_id: str, answers: Answers) -> HotMesh:
    async def echo(message: StreamData) -> Any:
        return message.data

    settings = Settings(payload_bytes_max=BYTES_MAX, grace="1s")
    workers = [Worker("work", answers), Worker("echo", echo)]
    mesh = await mesh_factory(workers=workers, settings=settings)
    await mesh.deploy(MODEL.replace("APP", app_id))
    await mesh.activate("1")
    return mesh


async def written(mesh: HotMesh) -> dict[str, int]:
    """Keys of the app with how much is in each; what beats is left out."""
    found: dict[str, int] = {}
    cursor, pattern = b"0", f"{mesh.store.keys.namespace}:{{{mesh.store.keys.app_id}*"
    while True:
        cursor, keys = await mesh.store.transport.execute(
            "SCAN", cursor, "MATCH", pattern, "COUNT", 1000
        )
        for key in keys:
            name = key.decode()
            if not name.endswith((":members", ":s", ":s:work", ":s:echo", ":o")):
                found[name] = len(await mesh.store.transport.execute("DUMP", name))
        if cursor == b"0":
            return found


def said(exc: BaseException) -> str:
    text = str(exc)
    assert "s3cr3t" not in text
    return text


@pytest.mark.parametrize(("bad", "error"), BAD)
@pytest.mark.parametrize("entrance", ["pub", "pubsub", "hook", "hook_all", "query", "add"])
async def test_a_call_is_refused_and_writes_nothing(
    mesh: HotMesh, answers: Answers, entrance: str, bad: Any, error: type[HotMeshError]
) -> None:
    jid = await mesh.pub("order", {"k": "x"})
    await eventually(lambda: answers.calls)
    before = await written(mesh)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "pub": lambda: mesh.pub("order", bad),
        "pubsub": lambda: mesh.pubsub("order", bad, timeout=5),
        "hook": lambda: mesh.hook("go", {"id": jid, **bad}),
        "hook_all": lambda: mesh.hook_all("go", bad, {"data": {}}),
        "query": lambda: mesh.hook_all("go", {}, {"data": bad}),
        "add": lambda: mesh.add(StreamResult(data=bad, metadata=answers.calls[0].metadata)),
    }

    with pytest.raises(error) as failed:
        await calls[entrance]()

    text = said(failed.value)
    assert "2,048" in text or "deeper than 64" in text
    assert await written(mesh) == before


@pytest.mark.parametrize(("bad", "error"), BAD)
@pytest.mark.parametrize("wrapped", ["plain", "result", "error"])
async def test_an_answer_that_is_too_large_or_deep_fails_its_activity(
    mesh: HotMesh, answers: Answers, wrapped: str, bad: Any, error: type[HotMeshError]
) -> None:
    answers.answer = {
        "plain": bad,
        "result": StreamResult(data=bad),
        "error": StreamResult(status="error", data=bad, code=503),
    }[wrapped]

    with pytest.raises(JobError) as failed:
        await mesh.pubsub("order", {"k": "x"}, timeout=20)

    assert failed.value.code == error.code
    assert "answer" in said(failed.value) or "an error" in said(failed.value)
    record = await mesh.store.transport.execute(
        "DUMP", mesh.store.keys.of(failed.value.job_id).job(failed.value.job_id)
    )
    assert len(record) < 4 * BYTES_MAX


async def test_an_input_that_maps_make_too_large_fails_the_activity(mesh: HotMesh) -> None:
    with pytest.raises(JobError) as failed:
        await mesh.pubsub("grow", {"a": SECRET * 40}, timeout=20)

    assert failed.value.code == PayloadTooLarge.code
    assert "2,048" in said(failed.value)


async def test_the_largest_that_is_allowed_passes_everywhere(
    mesh: HotMesh, answers: Answers
) -> None:
    fits = {"k": "x", "v": "x" * (BYTES_MAX - 100)}
    answers.answer = fits
    jid = await mesh.pub("order", fits)
    await eventually(lambda: answers.calls)

    await mesh.hook("go", {"id": jid, **fits})

    output = await mesh.result("order", jid, timeout=20)
    assert output.metadata.js == 0
