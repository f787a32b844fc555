"""Health, metrics, the fleet, jobs and dead letters over real HTTP."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema_rs
import msgspec
import pytest
from support import eventually

from hotmesh import HotMesh
from hotmesh.admin import Admin, parse_address
from hotmesh.errors import SettingsInvalid
from hotmesh.store import dead

Open = Callable[..., Awaitable[httpx.AsyncClient]]
TOKEN = "a-token-that-nobody-guesses"


async def bury(mesh: HotMesh, payload: bytes = b"\xc1") -> str:
    """Put something unreadable into the engine's stream, and wait until it is a dead letter."""
    await mesh.store.transport.execute(
        "XADD", mesh.store.keys.partitions[0].engine, "*", "p", payload
    )
    letters = await eventually(lambda: dead.find(mesh.store))
    return str(letters[0].id)


async def test_a_process_that_works_is_alive_and_ready(serve: Open, mesh: HotMesh) -> None:
    http = await serve(mesh)

    alive, ready = await http.get("/healthz"), await http.get("/readyz")

    assert alive.status_code == 200 and alive.json()["role"] == "engine"
    assert ready.status_code == 200 and ready.json()["ready"] is True
    assert {c["name"] for c in ready.json()["checks"]} == {"server", "engine", "worker:work"}


async def test_a_process_that_has_not_joined_is_alive_and_not_ready(serve: Open) -> None:
    http = await serve(None)

    assert (await http.get("/healthz")).status_code == 200
    ready = await http.get("/readyz")
    assert ready.status_code == 503
    assert "not joined" in ready.json()["checks"][0]["reason"]
    quorum = await http.get("/quorum")
    assert quorum.status_code == 503 and "ask again" in quorum.json()["error"]["message"]


async def test_a_process_that_drains_is_not_ready(serve: Open, mesh: HotMesh) -> None:
    http = await serve(mesh)

    for component in mesh.host.components:
        if component.name == "engine":
            component.drain()

    ready = await http.get("/readyz")
    assert ready.status_code == 503
    assert [c["name"] for c in ready.json()["checks"] if not c["ok"]] == ["engine"]


async def test_the_roll_call_names_this_process(serve: Open, mesh: HotMesh) -> None:
    http = await serve(mesh)

    members = (await http.get("/quorum")).json()["members"]

    assert [sorted(m["roles"]) for m in members] == [["engine", "worker:work"]]


async def test_a_job_is_shown_and_drawn(serve: Open, mesh: HotMesh) -> None:
    http = await serve(mesh)
    id = "order/1 ü"
    await mesh.pubsub("work.do", {"n": 7}, job_id=id)

    shown = await http.get(f"/jobs/{quote(id, safe='')}")
    drawn = await http.get(f"/jobs/{quote(id, safe='')}", params={"format": "svg"})

    assert shown.status_code == 200
    job = shown.json()
    assert (job["job_id"], job["state"], job["run"]["topic"]) == (id, "completed", "work.do")
    assert [leg["activity"] for leg in job["run"]["legs"]] == ["start", "work"]
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    assert drawn.text.startswith("<svg") and "work" in drawn.text
    for format, start in (("timeline", "<svg"), ("mermaid", "flowchart"), ("text", "")):
        got = await http.get(f"/jobs/{quote(id, safe='')}", params={"format": format})
        assert got.status_code == 200 and start in got.text


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/jobs/nobody", 404, "'nobody'"),
        ("GET", "/jobs/nobody?format=gif", 400, "json, svg, timeline, mermaid, text"),
        ("GET", "/job", 404, "did you mean /jobs/{id}"),
        ("GET", "/nothing-like-it", 404, "there are /healthz"),
        ("POST", "/healthz", 405, "takes GET"),
        ("GET", "/dlq?limit=0", 400, "from 1 to 1,000"),
        ("GET", "/dlq?limit=x", 400, "from 1 to 1,000"),
        ("GET", "/dlq/0:1-1", 404, "no dead letter '0:1-1'"),
        ("GET", "/dlq/9:1-1", 404, "no dead letter"),
        ("GET", "/dlq/hello", 404, "no dead letter"),
        ("POST", "/dlq/0:1-1/retry", 404, "no dead letter"),
        ("POST", "/dlq/0:1-1/drop", 404, "no dead letter"),
        ("GET", "/dlq/0:1-1/retry", 405, "takes POST"),
    ],
)
async def test_errors_are_json_that_say_what_to_do(
    serve: Open, mesh: HotMesh, method: str, path: str, status: int, said: str
) -> None:
    http = await serve(mesh)

    got = await http.request(method, path)

    assert got.status_code == status
    assert got.headers["content-type"] == "application/json"
    error = got.json()["error"]
    assert error["code"] == status and said in error["message"]


async def test_a_dead_letter_is_listed_shown_retried_and_dropped(
    serve: Open, mesh: HotMesh
) -> None:
    http = await serve(mesh)
    id = await bury(mesh)

    listed = (await http.get("/dlq")).json()["dead_letters"]
    shown = (await http.get(f"/dlq/{id}")).json()
    retried = await http.post(f"/dlq/{id}/retry")
    again = await http.post(f"/dlq/{id}/retry")

    assert [d["id"] for d in listed] == [id] and "undecodable" in listed[0]["reason"]
    assert shown["decoded"] is False and shown["content"] == "wQ=="
    assert retried.json() == {"id": id, "done": "retried"}
    assert again.status_code == 404
    second = await bury(mesh)  # either of the two: the first one came back
    assert (await http.post(f"/dlq/{second}/drop")).json()["done"] == "dropped"


async def test_a_form_of_the_page_leads_back_to_it(serve: Open, mesh: HotMesh) -> None:
    http = await serve(mesh)
    id = await bury(mesh)
    page = (await http.get("/")).text

    action = re.search(r'action="(/dlq/[^"]+/drop)"', page)
    assert action is not None
    origin = str(http.base_url).rstrip("/")
    form = {"content-type": "application/x-www-form-urlencoded", "origin": origin}
    got = await http.post(action[1], headers=form)

    assert got.status_code == 303 and got.headers["location"] == "/"
    assert id not in (await http.get("/")).text


async def test_the_page_shows_hostile_names_as_text(serve: Open, mesh: HotMesh) -> None:
    http = await serve(mesh)
    entry = msgspec.msgpack.encode(["<script>alert(1)</script>"])
    await bury(mesh, entry)

    page = await http.get("/")

    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text


async def test_metrics_are_prometheus_text(serve: Open, mesh: HotMesh) -> None:
    http = await serve(mesh)

    got = await http.get("/metrics")

    assert got.status_code == 200 and got.headers["content-type"].startswith("text/plain")
    assert "python_info" in got.text


async def test_the_document_tells_of_every_address_and_is_true(serve: Open, mesh: HotMesh) -> None:
    http = await serve(mesh)
    await mesh.pubsub("work.do", {"n": 1}, job_id="j1")
    id = await bury(mesh)
    document = (await http.get("/openapi.json")).json()
    paths = document["paths"]

    assert document["openapi"].startswith("3.1") and set(paths) == {
        "/", "/healthz", "/readyz", "/metrics", "/quorum", "/jobs/{id}", "/dlq", "/dlq/{id}",
        "/dlq/{id}/retry", "/dlq/{id}/drop",
    }  # fmt: skip
    for path, operations in paths.items():
        operation = operations.get("get")
        if operation is None:
            continue
        real = path.replace("{id}", "j1" if path.startswith("/jobs") else id)
        got = await http.get(real)
        assert got.status_code == 200, real
        media = got.headers["content-type"].partition(";")[0]
        told = operation["responses"]["200"]["content"]
        assert media in told, real
        if media == "application/json":
            jsonschema_rs.validate(_with(document, told[media]["schema"]), got.json())
    failed = paths["/jobs/{id}"]["get"]["responses"]["404"]["content"]["application/json"]
    missing = (await http.get("/jobs/none")).json()
    jsonschema_rs.validate(_with(document, failed["schema"]), missing)


def _with(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "components": document["components"]}


# -- who may ask


async def test_with_a_token_only_probes_answer_without_it(serve: Open, mesh: HotMesh) -> None:
    http = await serve(mesh, token=TOKEN)

    for path in ("/", "/metrics", "/quorum", "/jobs/x", "/dlq", "/openapi.json"):
        for auth in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic !!"}):
            got = await http.get(path, headers=auth)
            assert got.status_code == 401 and "www-authenticate" in got.headers, path
            assert TOKEN not in got.text
    assert (await http.post("/dlq/0:1-1/drop")).status_code == 401
    ready = await http.get("/readyz")
    assert ready.status_code == 200 and ready.json()["checks"] == []
    assert (await http.get("/healthz")).status_code == 200

    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert (await http.get("/quorum", headers=bearer)).status_code == 200
    assert (await http.get("/quorum", auth=httpx.BasicAuth("me", TOKEN))).status_code == 200
    assert len((await http.get("/readyz", headers=bearer)).json()["checks"]) == 3


async def test_pages_of_other_sites_are_refused(serve: Open, mesh: HotMesh) -> None:
    http = await serve(mesh)
    id = await bury(mesh)

    rebound = await http.get("/dlq", headers={"host": "evil.example"})
    posted = await http.post(f"/dlq/{id}/drop", headers={"origin": "https://evil.example"})
    opaque = await http.post(f"/dlq/{id}/drop", headers={"origin": "null"})

    assert [r.status_code for r in (rebound, posted, opaque)] == [403, 403, 403]
    assert (await http.get(f"/dlq/{id}")).status_code == 200


@pytest.mark.parametrize(
    ("text", "token", "said"),
    [
        ("0.0.0.0:8642", None, "give it a token"),
        ("somewhere:8642", None, "give it a token"),
        ("[::]:1", None, "give it a token"),
        ("99999", None, "[HOST:]PORT"),
        ("no port", None, "[HOST:]PORT"),
        ("::1:8642", None, "[HOST:]PORT"),
        ("8642", "short", "at least 16"),
    ],
)
def test_an_address_that_is_wrong_or_open_is_refused(
    text: str, token: str | None, said: str
) -> None:
    with pytest.raises(SettingsInvalid, match=re.escape(said)) as failed:
        parse_address(text, token=token)
    assert "HOTMESH_ADMIN" in str(failed.value) and (
        token is None or token not in str(failed.value)
    )


def test_addresses_are_read() -> None:
    assert parse_address("8642", token=None).url == "http://127.0.0.1:8642"
    assert parse_address("[::1]:1", token=None).url == "http://[::1]:1"
    assert parse_address("localhost:1", token=None).is_loopback
    assert parse_address("0.0.0.0:1", token=TOKEN).url == "http://127.0.0.1:1"


async def test_a_port_in_use_says_so(serve: Open, app_id: str) -> None:
    http = await serve(None)

    with pytest.raises(SettingsInvalid, match="in use"):
        Admin(app_id, "engine", parse_address(str(http.base_url.port), token=None))
