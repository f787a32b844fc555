"""Whatever comes in gives the right result or a clear error, and nothing half-written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotmesh import (
    DuplicateJob,
    HotMesh,
    HotMeshError,
    JobError,
    JobNotFound,
    ModelInvalid,
    PayloadInvalid,
    StreamData,
    TopicNotFound,
    Worker,
    connect,
)
from hotmesh.errors import NameInvalid, PayloadTooLarge

MODEL = """
app:
  id: {app_id}
  version: '1'
  validate: {validate}
  graphs:
    - subscribes: echo.say
      publishes: echo.said
      expire: 60
      input:
        schema: {{type: object, properties: {{n: {{type: integer}}}}}}
      activities:
        t: {{type: trigger}}
        w:
          type: worker
          topic: echo
          input: {{maps: {{value: '{{t.output.data.value}}'}}}}
          job: {{maps: {{value: '{{$self.output.data.value}}'}}}}
      transitions:
        t: [{{to: w}}]
"""

ODD_IDS = [
    "{}",
    "{a}b}",
    "*",
    "a?b[c]",
    "with space",
    "line\nbreak",
    "tab\tand\rreturn",
    "snow ☃ and 日本語",
    "emoji 🐢",
    "::",
    "a/b:c",
    "%7B",
    "'\"\\",
    "-",
    "x" * 256,
]


async def echo(message: StreamData) -> Any:
    return {"value": message.data["value"]} if "value" in message.data else {}


MeshFactory = Callable[..., Awaitable[HotMesh]]


async def _open(mesh_factory: MeshFactory, app_id: str, *, validate: bool = False) -> HotMesh:
    mesh = await mesh_factory(app_id=app_id, workers=[Worker("echo", echo)])
    await mesh.deploy(MODEL.format(app_id=app_id, validate=str(validate).lower()))
    await mesh.activate("1")
    return mesh


@pytest.mark.parametrize("job_id", ODD_IDS, ids=range(len(ODD_IDS)))
async def test_any_text_can_be_a_job_id(
    mesh_factory: MeshFactory, app_id: str, job_id: str
) -> None:
    mesh = await _open(mesh_factory, app_id)
    heard: asyncio.Queue[str] = asyncio.Queue()
    await mesh.psub("echo.said.*", lambda _, output: heard.put_nowait(output.metadata.jid))

    output = await mesh.pubsub("echo.say", {"value": 1}, job_id=job_id, timeout=20)

    assert output.metadata.jid == job_id
    assert (await mesh.get_state("echo.say", job_id)).data == {"value": 1}
    assert await asyncio.wait_for(heard.get(), 10) == job_id
    with pytest.raises(DuplicateJob):
        await mesh.pub("echo.say", {}, job_id=job_id)
    await mesh.scrub(job_id)
    with pytest.raises(JobNotFound):
        await mesh.get_status(job_id)


@pytest.mark.parametrize("job_id", ["", "x" * 257, "\ud800", "nul\0", 7, b"x"])
async def test_what_can_be_no_job_id_is_refused(
    mesh_factory: MeshFactory, app_id: str, job_id: Any
) -> None:
    mesh = await _open(mesh_factory, app_id)

    with pytest.raises(NameInvalid):
        await mesh.pub("echo.say", {}, job_id=job_id)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


async def test_any_plain_value_comes_back_as_it_was(mesh_factory: MeshFactory, app_id: str) -> None:
    mesh = await _open(mesh_factory, app_id)
    loop = asyncio.get_running_loop()

    @settings(
        max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(plain)
    def property_holds(value: Any) -> None:
        sent = asyncio.run_coroutine_threadsafe(
            mesh.pubsub("echo.say", {"value": value}, timeout=20), loop
        )
        assert sent.result(30).data == {"value": value}

    await asyncio.to_thread(property_holds)


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("payload", "error", "field"),
    [
        ({"value": _nested(65)}, PayloadInvalid, "$.value"),
        ({"value": object()}, PayloadInvalid, "$.value"),
        ({"value": {1: 2}}, PayloadInvalid, "$.value"),
        ({"value": [1, {"x": 2**70}]}, PayloadInvalid, "$.value[1].x"),
        ({"value": "\ud800"}, PayloadInvalid, "$"),
        ({"value": b"x" * 16 * 1024 * 1024}, PayloadTooLarge, "$"),
        ({"value": _nested(100_000)}, PayloadInvalid, "$.value"),
    ],
    ids=["deep", "object", "key", "integer", "surrogate", "16 MiB", "very deep"],
)
async def test_a_payload_that_can_not_be_carried_is_refused_with_its_place(
    mesh_factory: MeshFactory,
    app_id: str,
    redis_url: str,
    payload: Any,
    error: type[PayloadInvalid],
    field: str,
) -> None:
    mesh = await _open(mesh_factory, app_id)

    with pytest.raises(error) as caught:
        await mesh.pub("echo.say", payload)

    assert caught.value.field.startswith(field)
    async with await connect.open(redis_url) as connection:
        keys = await connection.transport.execute("KEYS", f"*{{{app_id}/0}}:j:*")
    assert keys == []


async def test_a_validated_graph_names_the_field(mesh_factory: MeshFactory, app_id: str) -> None:
    mesh = await _open(mesh_factory, app_id, validate=True)

    with pytest.raises(PayloadInvalid, match=r"\$\.n") as caught:
        await mesh.pub("echo.say", {"n": "secret"})

    assert caught.value.field == "$.n"
    assert "secret" not in str(caught.value)
    assert (await mesh.pubsub("echo.say", {"n": 1}, timeout=20)).metadata.js == 0


@pytest.mark.parametrize("topic", ["echo.sya", "", ".w", "*", "a b", "{other}", "x" * 5000])
async def test_an_unknown_topic_says_what_is_near(
    mesh_factory: MeshFactory, app_id: str, topic: str
) -> None:
    mesh = await _open(mesh_factory, app_id)

    with pytest.raises(TopicNotFound) as caught:
        await mesh.pub(topic, {})

    assert (caught.value.near == ("echo.say",)) == (topic == "echo.sya")


async def test_a_result_too_large_or_of_no_type_fails_its_activity(
    mesh_factory: MeshFactory, app_id: str
) -> None:
    answers = iter([{"value": "x" * 2_000_000}, object(), {"value": _nested(70)}])
    mesh = await mesh_factory(app_id=app_id, workers=[Worker("echo", lambda _: next(answers))])
    await mesh.deploy(MODEL.format(app_id=app_id, validate="false"))
    await mesh.activate("1")

    for code in (413, 422, 422):
        with pytest.raises(JobError) as caught:
            await mesh.pubsub("echo.say", {"value": 1}, timeout=20)
        assert caught.value.code == code


@settings(max_examples=150, deadline=None, database=None)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_garbage_for_a_model_is_refused_as_a_model(text: str) -> None:
    from hotmesh.compiler import compile_model

    with contextlib.suppress(ModelInvalid):
        compile_model(text + "\n")


async def test_garbage_in_the_streams_hurts_nobody(
    mesh_factory: MeshFactory, app_id: str, redis_url: str
) -> None:
    mesh = await _open(mesh_factory, app_id)
    async with await connect.open(redis_url) as connection:
        for stream in ("s", "s:echo"):
            key = f"hm:{{{app_id}/0}}:{stream}"
            for junk in (b"", b"\xc1", b"\x93\xa1x", b"\x81\xa1a\x01", b"x" * 1000):
                await connection.transport.execute("XADD", key, "*", "p", junk)
            await connection.transport.execute("XADD", key, "*", "other", "field")

    for _ in range(3):
        output = await mesh.pubsub("echo.say", {"value": 2}, timeout=20)
        assert output.data == {"value": 2}


async def test_an_error_has_no_secret_of_the_url(app_id: str) -> None:
    with pytest.raises(HotMeshError) as caught:
        await HotMesh.init(app_id, "redis://user:s3cret@127.0.0.1:1/0")

    assert "s3cret" not in str(caught.value)
