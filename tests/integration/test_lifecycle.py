"""Start and stop of services, as real processes: before the server is up, by signals, in time."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from test_cli_support import QUICKSTART, Running, Terminal, eventually

from hotmesh.connect.embedded_start import server_binary
from hotmesh.errors import ServerUnavailable, SettingsInvalid
from hotmesh.lifecycle import Host, until_available

STUBBORN = """
import asyncio, os, pathlib

async def stubborn(data: dict) -> dict:
    pathlib.Path(f"began-{os.getpid()}").touch()
    while os.path.exists("hold"):
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            pass  # what no handler should do
    return {"text": "let go"}

workers = {"greet": stubborn}
"""


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    for name in ("model.yaml", "hotmesh.toml", "workers.py"):
        (tmp_path / name).write_text((QUICKSTART / name).read_text())
    terminal = Terminal(tmp_path)
    try:
        yield terminal
    finally:
        terminal.close()


def events(running: Running) -> list[dict[str, Any]]:
    lines = running.err.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def has_said(running: Running, event: str) -> dict[str, Any]:
    def said() -> dict[str, Any] | None:
        assert running.process.poll() is None, running.err
        return next((e for e in events(running) if e["event"] == event), None)

    found: dict[str, Any] = eventually(said, f"{event}: {running.err}")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("args", [["engine"], ["worker", "-A", "workers"], ["quorum"]])
def test_service_that_starts_before_its_server_waits_for_it(
    terminal: Terminal, args: list[str], tmp_path: Path
) -> None:
    port = free_port()
    service = terminal.start(*args, "--redis", f"redis://127.0.0.1:{port}", "--wait", "1m")
    waiting = has_said(service, "server.awaited")
    assert str(port) in waiting["error"]
    assert waiting["level"] == "warning" and waiting["gives_up_in_s"] <= 60
    assert "ready" not in service.out

    command = (str(server_binary()), "--port", str(port), "--dir", str(tmp_path), "--save", "")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            service.until("ready: ")
            assert service.stop() == 0, service.err
        finally:
            server.terminate()
            server.wait(10)


def test_service_gives_up_when_its_time_is_over(terminal: Terminal) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    done = terminal.run("engine", "--redis", url, "--wait", "0s")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: no connection to Redis at 127.0.0.1")
    wrong = terminal.run("engine", "--wait", "soon")
    assert wrong.returncode == 2 and "--wait" in wrong.stderr


def test_a_signal_ends_the_wait(terminal: Terminal) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    service = terminal.start("engine", "--redis", url, "--wait", "10m")
    has_said(service, "server.awaited")

    service.signal(signal.SIGTERM)

    assert service.wait() == 0
    assert "Traceback" not in service.err


def test_ready_means_that_its_groups_and_subscriptions_are_there(terminal: Terminal) -> None:
    worker = terminal.start("worker", "-A", "workers")
    worker.until("ready")
    with redis.Redis(unix_socket_path=str(terminal.home / "server.sock")) as client:
        (group,) = client.xinfo_groups("hm:{quickstart/0}:s:greet")
        assert group["name"] == b"worker"
        ((_, listeners),) = client.pubsub_numsub("hm:{quickstart}:fleet")
        assert listeners == 1
        assert client.hlen("hm:{quickstart}:members") == 1
    assert worker.stop() == 0


def test_sighup_takes_up_the_log_level_and_names_what_needs_a_restart(terminal: Terminal) -> None:
    engine = terminal.start("engine", "--log-format", "json")
    engine.until("ready")
    file = terminal.cwd / "hotmesh.toml"
    was = file.read_text()

    file.write_text(was + '\nlaese = "20s"\n')
    engine.signal(signal.SIGHUP)
    assert "did you mean 'lease'" in has_said(engine, "settings.refused")["error"]

    file.write_text(was + '\nlease = "20s"\n[log]\nlevel = "error"\n[worker]\ngrace = "1s"\n')
    engine.signal(signal.SIGHUP)
    engine.until("reloaded: log.level")
    # Warnings are not logged any more: what takes a restart is not said until they are.
    assert "settings.need_restart" not in [e["event"] for e in events(engine)]

    file.write_text(was + '\nlease = "20s"\n[worker]\ngrace = "1s"\n')
    engine.signal(signal.SIGHUP)
    assert has_said(engine, "settings.need_restart")["keys"] == ["lease", "worker.grace"]
    assert engine.out.count("reloaded: log.level") == 2
    engine.signal(signal.SIGHUP)
    engine.until("reloaded: nothing has changed")
    assert engine.stop() == 0


def test_hang_up_of_a_terminal_drains(terminal: Terminal) -> None:
    dev = terminal.start("dev", "model.yaml", "-A", "workers")
    dev.until("ready")

    dev.signal(signal.SIGHUP)

    assert dev.wait() == 0
    assert "process.draining" in dev.err and "reloaded" not in dev.out


def test_drain_that_takes_too_long_ends_with_3_and_its_entry_goes_to_others(
    terminal: Terminal,
) -> None:
    hold = terminal.cwd / "hold"
    hold.touch()
    engine = terminal.start("engine")
    stuck = terminal.start("worker", "-A", "stubborn", "--grace", "100ms")
    engine.until("ready")
    stuck.until("ready")
    terminal.ok("deploy", "model.yaml", "--activate")
    terminal.ok("pub", "greeting.wanted", '{"name": "x"}', "--job-id", "j")
    eventually((terminal.cwd / f"began-{stuck.process.pid}").exists, "the handler has begun")

    stuck.signal(signal.SIGTERM)
    has_said(stuck, "worker.handed_back")
    other = terminal.start("worker", "-A", "workers")
    other.until("ready")
    done = eventually(lambda: terminal.json("state", "j")["data"], "another has done it")

    assert done == {"greeting": "Hello, x!"}
    assert stuck.wait() == 3
    assert "process.overdue" in stuck.err and "Traceback" not in stuck.err


# -- the parts, in this process


async def test_waiting_is_bounded_and_other_errors_are_not_waited_for() -> None:
    calls = 0

    async def away() -> None:
        nonlocal calls
        calls += 1
        raise ServerUnavailable("away")

    with pytest.raises(ServerUnavailable):
        await until_available(away, wait_s=1.0, stop=asyncio.Event())
    assert calls > 1

    async def wrong() -> None:
        nonlocal calls
        calls += 1
        raise SettingsInvalid("wrong")

    calls = 0
    with pytest.raises(SettingsInvalid):
        await until_available(wrong, wait_s=60, stop=asyncio.Event())
    assert calls == 1


async def test_host_is_killed_within_bounds_whatever_a_component_does() -> None:
    release = asyncio.Event()

    class Stubborn:
        name = "stubborn"

        def drain(self) -> None: ...

        async def run(self, started: asyncio.Event) -> None:
            started.set()
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    pass

    host = Host([[Stubborn()]])
    await host.start()
    (task,) = [task for stage in host._running for _, task in stage]

    await asyncio.wait_for(host.kill(), 10)

    assert not task.done()
    release.set()
    await asyncio.wait([task])
