"""The commands that stay serve the admin: asked for, or by themselves (`hotmesh dev`)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_cli_support import QUICKSTART, Running, Terminal, eventually

TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path, cwd=QUICKSTART, HOTMESH_ADMIN_TOKEN="")
    yield terminal
    terminal.close()


def url_of(running: Running) -> str:
    running.until("ready: ")
    found = re.search(r"admin: (http\S+)", running.out)
    assert found is not None, running.out
    return found[1]


def samples(text: str, name: str) -> float:
    """The sum of a metric over its labels."""
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if re.match(rf"{name}(\{{|\s)", line)
    )


def test_dev_serves_it_by_itself_and_tells_where(terminal: Terminal) -> None:
    dev = terminal.start("dev", "model.yaml", "-A", "workers")
    url = url_of(dev)
    terminal.json("pubsub", "greeting.wanted", json.dumps({"name": "Ada"}))

    text = httpx.get(f"{url}/metrics").text

    assert httpx.get(f"{url}/readyz").status_code == 200
    assert samples(text, "hotmesh_job_ended_total") == 1, text
    assert samples(text, "messaging_process_duration_seconds_count") >= 1, text
    assert dev.stop() == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/healthz")


def test_engine_and_worker_serve_it_when_asked(terminal: Terminal) -> None:
    engine = terminal.start("engine", "--admin", "0")
    terminal.environ |= {"HOTMESH_ADMIN_BIND": "0.0.0.0:0", "HOTMESH_ADMIN_TOKEN": TOKEN}
    worker = terminal.start("worker", "-A", "workers")

    checks = [c["name"] for c in httpx.get(f"{url_of(engine)}/readyz").json()["checks"]]
    assert checks == ["server", "engine"]
    assert httpx.get(f"{url_of(worker)}/quorum").status_code == 401
    auth = {"authorization": f"Bearer {TOKEN}"}
    members = eventually(
        lambda: httpx.get(f"{url_of(worker)}/quorum", headers=auth).json()["members"], "members"
    )
    assert len(members) == 2
    assert TOKEN not in worker.out + worker.err + terminal.ok("--show-config")


def test_an_open_address_without_a_token_is_wrong_use(terminal: Terminal) -> None:
    done = terminal.run("engine", "--admin", "0.0.0.0:0")

    assert done.returncode == 2 and "give it a token" in done.stderr


def test_it_is_off_when_told_so(terminal: Terminal) -> None:
    dev = terminal.start("dev", "model.yaml", "-A", "workers", "--admin", "off")
    dev.until("ready: ")

    assert "admin:" not in dev.out
    assert dev.stop() == 0
