"""Commands that stay: signals, dead letters, the demo, the examples. Nothing is left behind."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from test_cli_support import QUICKSTART, ROOT, Terminal, eventually

SEED = ROOT / "examples" / "seed"
DEMO = ROOT / "hotmesh" / "cli" / "demo"

SLOW = """
import asyncio, pathlib, time
from hotmesh import Worker

def began(name):
    pathlib.Path(f"began-{name}").touch()

async def second(data: dict) -> dict:
    began("second")
    await asyncio.sleep(1)
    return {"text": "after a second"}

def minute(data: dict) -> dict:
    began("minute")
    time.sleep(60)
    return {}

workers = {"greet": second}
stuck = Worker("greet", minute)
"""


@pytest.fixture
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "slow.py").write_text(SLOW)
    for name in ("model.yaml", "hotmesh.toml", "workers.py"):
        (folder / name).write_text((QUICKSTART / name).read_text())
    terminal = Terminal(folder)
    try:
        yield terminal
    finally:
        terminal.close()


def has_begun(terminal: Terminal, name: str) -> None:
    eventually((terminal.cwd / f"began-{name}").exists, f"the handler {name} has begun")


def test_a_signal_drains_and_gives_exit_code_0(terminal: Terminal) -> None:
    engine = terminal.start("engine")
    worker = terminal.start("worker", "-A", "slow")
    engine.until("ready")
    worker.until("ready: worker of greet, app quickstart")
    terminal.ok("deploy", "model.yaml", "--activate")
    terminal.ok("pub", "greeting.wanted", '{"name": "x"}', "--job-id", "j")
    has_begun(terminal, "second")

    worker.signal(signal.SIGTERM)

    assert worker.wait() == 0
    done = eventually(lambda: terminal.json("state", "j")["data"], "the answer has been applied")
    assert done == {"greeting": "after a second"}
    logs = [json.loads(line) for line in worker.err.splitlines()]
    assert "process.draining" in [entry["event"] for entry in logs]

    engine.signal(signal.SIGINT)
    assert engine.wait() == 0


def test_a_second_signal_stops_at_once_whatever_a_handler_does(terminal: Terminal) -> None:
    dev = terminal.start("dev", "model.yaml", "-A", "slow:stuck", "--json")
    dev.until('"ready"')
    terminal.ok("pub", "greeting.wanted", '{"name": "x"}')
    has_begun(terminal, "minute")

    dev.signal(signal.SIGTERM)
    dev.until("process.draining")
    began = time.monotonic()
    dev.signal(signal.SIGTERM)

    assert dev.wait() == 130
    assert time.monotonic() - began < 10
    assert "Traceback" not in dev.err


def test_ctrl_c_ends_a_wait_without_a_traceback(terminal: Terminal) -> None:
    dev = terminal.start("dev", "model.yaml", "-A", "slow:stuck", "--grace", "0s")
    dev.until("ready")
    pubsub = terminal.start("pubsub", "greeting.wanted", '{"name": "x"}')
    has_begun(terminal, "minute")

    pubsub.signal(signal.SIGINT)

    assert (pubsub.wait(), pubsub.out, pubsub.err) == (130, "", "")
    assert dev.stop() == 0


def test_a_handler_that_outlives_the_grace_does_not_keep_the_process(terminal: Terminal) -> None:
    dev = terminal.start("dev", "model.yaml", "-A", "slow:stuck", "--grace", "100ms")
    dev.until("ready")
    terminal.ok("pub", "greeting.wanted", '{"name": "x"}')
    has_begun(terminal, "minute")

    dev.signal(signal.SIGTERM)

    assert dev.wait() == 0
    assert "worker.handed_back" in dev.err


def test_dead_letters_are_listed_shown_retried_and_dropped(terminal: Terminal) -> None:
    dev = terminal.start("dev", "model.yaml", "-A", "workers")
    dev.until("ready")
    with redis.Redis(unix_socket_path=str(terminal.home / "server.sock")) as client:
        client.xadd("hm:{quickstart/0}:s", {"p": b"\xc1garbage"})

    def letters() -> list[dict[str, str]]:
        return terminal.json("dlq", "list")["dead_letters"]

    letter = eventually(letters, "the garbage is a dead letter")[0]
    assert letter["stream"] == "hm:{quickstart/0}:s" and "undecodable" in letter["reason"]
    listed, show, retry = terminal.batch(
        ["dlq", "list"],
        ["dlq", "show", letter["id"], "--json"],
        ["dlq", "retry", letter["id"], "--json"],
    )
    assert letter["id"] in listed.out
    facts = [show.json[name] for name in ("decoded", "content", "bytes")]
    assert facts == [False, "wWdhcmJhZ2U=", 8]
    assert retry.json == {"retried": [letter["id"]]}
    again = eventually(letters, "it is a dead letter again")[0]
    assert again["id"] != letter["id"]

    drop, empty, show = terminal.batch(
        ["dlq", "drop", again["id"], letter["id"], "--json"],
        ["dlq", "list"],
        ["dlq", "show", again["id"], "--json"],
    )
    assert (drop.code, json.loads(drop.out)) == (1, {"dropped": [again["id"]]})
    assert json.loads(drop.err)["error"]["type"] == "DeadLetterNotFound"
    assert empty.out == "there are no dead letters\n"
    assert show.error["code"] == 404
    assert dev.stop() == 0


def test_the_demo_needs_nothing_and_shows_a_run(terminal: Terminal) -> None:
    began = time.monotonic()
    text = terminal.ok("dev", "--demo")

    assert time.monotonic() - began < 15
    for name in ("gateway", "servicec", "serviced", "sforcecloud"):
        assert f"{name} after " in text
        assert sum(line.startswith(f"{name} ") for line in text.splitlines()) == 1

    result = terminal.json("dev", "--demo")
    legs = result["timeline"]["legs"]
    assert [leg["activity"] for leg in legs] == ["gateway", "servicec", "serviced", "sforcecloud"]
    assert result["timeline"]["status"] == result["output"]["metadata"]["js"] == 0


def test_the_demo_stays_until_a_signal(terminal: Terminal) -> None:
    dev = terminal.start("dev", "--demo", "--stay")
    dev.until("ready: dev of sandbox.work.do.servicec")

    output = terminal.json("pubsub", "sandbox.work.do", "--app", "sandbox")
    assert output["metadata"]["vrs"] == "1"

    dev.signal(signal.SIGINT)
    assert dev.wait() == 0


def test_the_seed_example_runs_and_is_the_demo(terminal: Terminal) -> None:
    done = terminal.run(str(SEED / "run.py"), program=(sys.executable,))
    assert done.returncode == 0, done.stderr
    assert "published on sandbox.work.done: " in done.stdout and "status 0" in done.stdout

    for name in ("sandbox.yaml", "workers.py"):
        assert (SEED / name).read_text() == (DEMO / name).read_text(), name


def test_importing_hotmesh_loads_no_command_line(terminal: Terminal) -> None:
    script = """
import sys
import structlog
before = set(sys.modules)  # structlog itself loads rich where it is installed
import hotmesh
parts = {name.partition(".")[0] for name in set(sys.modules) - before}
assert not parts & {"rich", "cyclopts"}, parts
assert not [name for name in sys.modules if name.startswith("hotmesh.cli")]
"""
    done = terminal.run("-c", script, program=(sys.executable,))
    assert done.returncode == 0, done.stderr


def test_the_version_is_printed_without_a_parser(terminal: Terminal) -> None:
    script = """
import sys
sys.argv = ["hotmesh", "--version"]
from hotmesh.__main__ import main
assert main() == 0
assert not {"cyclopts", "hotmesh.cli"} & sys.modules.keys()
"""
    done = terminal.run("-c", script, program=(sys.executable,))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert terminal.ok("--version") == done.stdout


def test_every_command_is_in_the_reference_with_an_example() -> None:
    from hotmesh.cli.main import COMMANDS

    page = (ROOT / "docs/reference/cli.md").read_text()
    sections = {part.partition("\n")[0]: part for part in page.split("\n### ")[1:]}
    assert set(sections) == {c.name for c in COMMANDS}
    for command in COMMANDS:
        assert f"\nhotmesh {command.name}" in sections[command.name], command.name
    folder = Path(ROOT / "hotmesh/cli/commands")
    assert {c.path.partition(":")[0] for c in COMMANDS} == {
        f.stem for f in folder.glob("[a-z]*.py")
    }
