"""The admin as a component: uvicorn in the loop of the process, without its signals and logs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hotmesh.admin.address import Address
from hotmesh.errors import SettingsInvalid
from hotmesh.log import get_logger
from hotmesh.settings import called

if TYPE_CHECKING:
    import uvicorn

    from hotmesh.mesh import HotMesh

log = get_logger("hotmesh.admin")

BACKLOG, CONNECTIONS_MAX = 128, 100
CLOSE_S = 2
"""How long an answer under way may take once the process stops."""


class Admin:
    """Serves the addresses from before the process joins the mesh until after it has left.

    Attributes:
        address: Where; its port is known once the component has started.
    """

    name = "admin"

    def __init__(
        self, app_id: str, role: str, address: Address, *, token: str | None = None
    ) -> None:
        """Bind the address.

        Raises:
            SettingsInvalid: The extra is not installed, or the address can't be bound.
        """
        try:
            from hotmesh.admin.app import build
            from hotmesh.admin.views import State
        except ImportError as exc:
            raise SettingsInvalid(
                f"the admin needs {exc.name}; run pip install 'hotmesh[admin]', or leave "
                "--admin out"
            ) from exc
        self._state = State(app_id, role, token)
        self._app = build(self._state)
        self._socket = _bound(address)
        self.address = Address(address.host, self._socket.getsockname()[1])
        self._server: uvicorn.Server | None = None
        self._draining = False

    @property
    def app(self) -> Any:
        """The ASGI app."""
        return self._app

    def attach(self, mesh: HotMesh) -> None:
        """The process has joined: from now on it may be ready."""
        self._state.mesh = mesh

    def drain(self) -> None:
        """Stop answering. Idempotent."""
        self._draining = True
        if self._server is not None:
            self._server.should_exit = True

    async def run(self, started: asyncio.Event) -> None:
        """Serve until drained."""
        self._server = server = _server(self._app, started)
        server.should_exit = self._draining
        try:
            await server.serve(sockets=[self._socket])
        finally:
            self._socket.close()


def _bound(address: Address) -> socket.socket:
    try:
        info = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(info[0], info[1], info[2])
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(info[4])
            bound.listen(BACKLOG)
        except OSError:
            bound.close()
            raise
    except OSError as exc:
        raise SettingsInvalid(
            f"the admin can't listen on {address.host}:{address.port}: {exc.strerror or exc}; "
            f"take another address or port 0, {called('admin.bind')}"
        ) from exc
    bound.setblocking(False)
    return bound


def _server(app: Any, started: asyncio.Event) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        """Signals are the program's own; who waits for the start is told of it."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    return Server(
        uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=CLOSE_S,
            ws="none",
        )
    )
