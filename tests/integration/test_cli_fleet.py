"""Commands that operate a fleet, as processes: rollcall, throttle, pause, drain, top, doctor."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from test_cli_support import COMMAND, QUICKSTART, Running, Terminal, eventually


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """An engine, a worker and a quorum service of the quick start."""
    folder = tmp_path_factory.mktemp("fleet")
    for name in ("model.yaml", "hotmesh.toml", "workers.py"):
        (folder / name).write_text((QUICKSTART / name).read_text())
    terminal = Terminal(folder)
    try:
        for args in (["engine"], ["quorum"], ["worker", "-A", "workers"]):
            terminal.start(*args).until("ready")
        terminal.ok("deploy", "model.yaml", "--activate")
        yield terminal
    finally:
        terminal.close()


def members(terminal: Terminal) -> dict[tuple[str, ...], dict[str, Any]]:
    return {tuple(m["roles"]): m for m in terminal.json("rollcall")["members"]}


def test_rollcall_shows_members_and_their_streams(fleet: Terminal) -> None:
    terminal_ok = fleet.ok("pubsub", "greeting.wanted", '{"name": "x"}')
    assert "Hello, x" in terminal_ok

    found = members(fleet)
    assert set(found) == {("engine",), ("quorum",), ("worker:greet",)}
    (part,) = found[("worker:greet",)]["parts"]
    assert part["codes"]["200"] >= 1
    assert (part["depth"], part["lag"], part["pending"]) == (0, 0, 0)
    text = fleet.ok("rollcall")
    for member in found.values():
        assert member["guid"] in text
    assert "200:" in text


def test_pause_throttle_and_resume_are_kept_shown_and_lifted(fleet: Terminal) -> None:
    done = fleet.batch(
        ["pause", "--topic", "greet", "--reason", "the bank is down", "--json"],
        ["throttle", "250", "--json"],
        ["throttle", "-1"],
        ["rollcall"],
        ["resume"],
        ["rollcall", "--json"],
        ["throttle", "-2"],
        ["throttle", "5", "--guid", "nobody", "--json"],
    )
    paused, throttled, all_paused, shown, resumed, after, wrong, nobody = done
    rule = paused.json["throttles"]["topic:greet"]
    assert paused.json["confirmed"] is True
    assert (rule["ms"], rule["why"]) == (-1, "the bank is down")
    assert list(throttled.json["throttles"]) == ["*"]
    assert all_paused.out.startswith("paused: everybody; every member")
    assert "everybody is paused" in shown.out
    assert resumed.out.startswith("resumed: everybody")
    assert after.json["throttles"] == {}
    assert {m["state"] for m in after.json["members"]} == {"running"}
    assert wrong.code == 2 and "-1 for a pause" in wrong.err
    assert nobody.error["type"] == "MemberNotFound"


def test_top_prints_one_look_for_scripts_and_people(fleet: Terminal) -> None:
    look = fleet.json("top", "--once", "--interval", "200ms")

    assert [flow["topic"] for flow in look["flows"]] == ["(engine)", "greet"]
    assert all(flow["in_s"] is not None for flow in look["flows"])
    assert look["version"] == "1" and look["memory_bytes"] > 0
    text = fleet.ok("top", "--once", "--interval", "200ms")
    assert "app quickstart, version 1" in text and "greet" in text and "in/s" in text
    wrong = fleet.run("top", "--interval", "1ms")
    assert wrong.returncode == 2 and "--interval" in wrong.stderr


def test_top_streams_json_until_it_is_ended(fleet: Terminal) -> None:
    top = fleet.start("top", "--json", "--interval", "100ms")
    eventually(lambda: top.out.count("\n") >= 3, "three looks")
    top.signal(signal.SIGINT)
    assert top.wait() == 130
    assert all(json.loads(line)["app"] == "quickstart" for line in top.out.splitlines())


def test_top_draws_on_a_terminal_until_it_is_ended(fleet: Terminal) -> None:
    master, slave = pty.openpty()
    environ = fleet.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    command = [*COMMAND, "top", "--interval", "100ms"]
    with subprocess.Popen(
        command, cwd=fleet.cwd, env=environ, stdout=slave, stdin=slave, stderr=slave
    ) as top:
        os.close(slave)
        seen = b""
        while b"(engine)" not in seen or b"worker:greet" not in seen:
            assert select.select([master], [], [], 30)[0], seen
            seen += os.read(master, 65_536)
        top.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the other end is closed when it has ended
            while data := os.read(master, 65_536):
                seen += data
        assert top.wait(30) == 130
    os.close(master)
    assert b"app quickstart, version 1" in seen
    assert b"Traceback" not in seen


def test_doctor_says_what_a_crash_loses_and_its_exit_code_that_something_is_to_do(
    fleet: Terminal,
) -> None:
    well = fleet.run("doctor", "--json")
    facts = json.loads(well.stdout)
    bad = {c["check"] for c in facts["checks"] if c["level"] in ("warn", "fail")}
    assert bad <= {"event loops", "round trip"}, facts  # those are the machine's, when it is busy
    assert (well.returncode, facts["healthy"]) == (int(bool(bad)), not bad)
    assert "about a second" in fleet.run("doctor").stdout.splitlines()[0]

    fleet.ok("pause", "--topic", "greet")
    with redis.Redis(unix_socket_path=str(fleet.home / "server.sock")) as client:
        client.xadd("hm:{quickstart/0}:s:nobody.serves", {"p": b"x"})
        client.xadd("hm:{quickstart/7}:s", {"p": b"x"})
        client.config_set("appendonly", "no")
        try:
            sick = fleet.run("doctor", "--json")
            said = fleet.run("doctor").stdout
        finally:
            client.config_set("appendonly", "yes")
            client.delete("hm:{quickstart/7}:s", "hm:{quickstart/0}:s:nobody.serves")
    fleet.ok("resume")
    found = {c["check"]: c for c in json.loads(sick.stdout)["checks"]}
    assert sick.returncode == 1
    assert found["throttles"]["level"] == "warn"
    assert found["persistence"]["level"] == found["orphaned keys"]["level"] == "fail"
    assert "{quickstart/7}" in found["orphaned keys"]["said"]
    assert "what a crash can lose: appendonly is off" in said
    assert "CONFIG SET appendonly yes" in said


def test_drained_member_says_so_and_its_process_stays(fleet: Terminal) -> None:
    worker = fleet.start("worker", "-A", "workers")
    worker.until("ready")
    guid = next(
        m["guid"] for m in fleet.json("rollcall")["members"] if m["pid"] == worker.process.pid
    )

    done, again, quorum, nobody = fleet.batch(
        ["drain", guid, "--json"],
        ["drain", guid[:10]],
        ["drain", members(fleet)[("quorum",)]["guid"], "--json"],
        ["drain", "nobody", "--json"],
    )
    assert done.json == {"member": guid, "state": "drained", "in_flight": 0}
    assert "holds nothing" in again.out
    assert "takes no entries" in quorum.error["message"]
    assert nobody.error["code"] == 404
    assert worker.process.poll() is None
    assert stop(worker) == 0
    assert guid not in {m["guid"] for m in fleet.json("rollcall")["members"]}


def stop(running: Running) -> int:
    running.signal(signal.SIGTERM)
    return running.wait()
