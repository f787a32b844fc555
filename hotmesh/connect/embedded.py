"""The embedded server: what `redis=None` connects to. One Valkey per directory, for all its users.

A user joins with `ensure`, which starts the server if there is none (`embedded_start`), and leaves
with `release` or by dying. Being a user is a lock on a file and nothing else, so a killed process
needs no clean-up. A small keeper process (`embedded_lock`) owns the server: it ends it when the
last user has gone, and brings it back if it is killed while in use. The data stays.
"""

from __future__ import annotations

import asyncio
import os
import socket
import warnings
import weakref
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from hotmesh.connect import embedded_lock
from hotmesh.connect.embedded_lock import open_lock, read_pid, try_lock, unlock
from hotmesh.connect.embedded_start import (
    LOG,
    Starter,
    check_config,
    executable,
    run_keeper,
    server_binary,
    unusable,
)
from hotmesh.errors import ServerUnavailable

__all__ = ["EmbeddedServer", "ensure", "server_binary"]

POLL_S = 0.01
PING_S = 1.0  # a script may run that long before the server answers BUSY
STOP_S = embedded_lock.TERMINATE_S + embedded_lock.KILL_S + 5  # the keeper gives up before us


class EmbeddedServer:
    """One use of a directory's server, from `ensure`. The server runs at least until `release`.

    Attributes:
        url: For redis-py: `unix://` and the path of the socket.
        pid: The server's process when we joined. Another one takes its place if it is killed.
        home: The directory with data, log, configuration and locks, resolved.
    """

    def __init__(self, home: Path, *, url: str, pid: int, users: int, binary: str | None) -> None:
        self.home, self.url, self.pid = home, url, pid
        self._users: int | None = users  # users.lock, locked shared; None when released
        self._binary = binary
        _held.add(self)

    async def release(self) -> None:
        """Stop using the server. If nobody else does, return when it has ended, its data complete.

        Further calls, and calls in a process forked from the user, do nothing. Under cancellation
        the server still ends, only nobody waits for it.

        Raises:
            ServerUnavailable: The server is still there after `STOP_S` seconds.
        """
        users, self._users = self._users, None
        if users is None:
            return
        try:
            unlock(users)
            await _wait_until_used_or_gone(self.home, users, self._binary)
        finally:
            os.close(users)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.release()

    def __repr__(self) -> str:
        state = "released" if self._users is None else "in use"
        return f"<EmbeddedServer {self.url} pid={self.pid} {state}>"

    def __del__(self) -> None:
        users = getattr(self, "_users", None)
        if users is None:
            return
        unlock(users)
        os.close(users)
        warnings.warn(
            f"the embedded server in {self.home} was not released; await its release()",
            ResourceWarning,
            source=self,
            stacklevel=2,
        )


# A forked child gets copies of our locks. They must not make it a user: it may live for hours, and
# it hasn't asked. Closing a copy leaves the parent's lock as it is.
_held: weakref.WeakSet[EmbeddedServer] = weakref.WeakSet()


def _forget_in_child() -> None:
    for server in list(_held):
        users, server._users = server._users, None
        if users is not None:
            os.close(users)


os.register_at_fork(after_in_child=_forget_in_child)


async def ensure(
    home: Path,
    *,
    server_binary: str | None = None,
    config: Mapping[str, str] | None = None,
    start_timeout_s: float = 20,
) -> EmbeddedServer:
    """Use the server of a directory; start it if there is none.

    Args:
        home: Where its data is. Created, for us alone, if need be.
        server_binary: The program to start instead of `server_binary()`'s.
        config: More server settings, as in its configuration file. Like `server_binary` they have
            an effect only if the server isn't running yet.
        start_timeout_s: How long to wait for one that stops, starts, or loads its data.

    Returns:
        A use of the server, which answers commands. Each call gives another, also in one process.

    Raises:
        ServerUnavailable: It can't be started or doesn't answer; the message says what to do.
        SettingsInvalid: `config` has a name or a value that can't be used.
    """
    check_config(config or {})
    deadline = asyncio.get_running_loop().time() + start_timeout_s
    home, users = _open(home)
    try:
        await _become_user(home, users, deadline)
        url = await _start_or_find(Starter(home, server_binary, config or {}), deadline)
    except BaseException:
        unlock(users)
        os.close(users)
        raise
    return EmbeddedServer(home, url=url, pid=read_pid(home), users=users, binary=server_binary)


async def _become_user(home: Path, users: int, deadline: float) -> None:
    """Take our share of `users.lock`: at once, or when a keeper that ends its server has gone."""
    while not try_lock(users, shared=True):
        if asyncio.get_running_loop().time() > deadline:
            raise ServerUnavailable(
                f"the embedded server in {home} is still stopping; try again, and see {home / LOG}"
            )
        await asyncio.sleep(POLL_S)


async def _start_or_find(starter: Starter, deadline: float) -> str:
    """The URL of the server, once it answers. We are a user, so no keeper will end it meanwhile."""
    answer = b""
    while True:
        # The lock comes before the ping: the path in a directory that was copied is another's.
        path = await asyncio.to_thread(starter.attempt)
        if path:
            answer = await _ping(path)
            if answer and not answer.startswith(b"-LOADING") and read_pid(starter.home):
                return "unix://" + quote(path)
        if asyncio.get_running_loop().time() > deadline:
            raise _no_answer(starter.home, answer)
        await asyncio.sleep(POLL_S)


async def _ping(path: str) -> bytes:
    """The server's answer, or nothing. All but LOADING mean that it is up, MISCONF and BUSY too."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(PING_S):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.setblocking(False)
                await loop.sock_connect(connection, path)
                await loop.sock_sendall(connection, b"PING\r\n")
                return await loop.sock_recv(connection, 64)
    except (OSError, TimeoutError):
        return b""


async def _wait_until_used_or_gone(home: Path, users: int, binary: str | None) -> None:
    """Wait for the end of the server, or until another user shows.

    That one must show twice: two who leave together look like users to each other for a moment.
    """
    deadline = asyncio.get_running_loop().time() + STOP_S
    sightings = 0
    while sightings < 2:
        if await asyncio.to_thread(_has_ended, home, binary):
            return
        sightings = sightings + 1 if _is_used(users) else 0
        if asyncio.get_running_loop().time() > deadline:
            raise ServerUnavailable(
                f"the embedded server in {home} did not end within {STOP_S:g} s;"
                f" see {home / LOG}, then kill process {read_pid(home)}"
            )
        await asyncio.sleep(POLL_S)


def _is_used(users: int) -> bool:
    """Whether somebody else has a share of `users.lock`. Having it exclusively is the keeper's."""
    if try_lock(users):
        unlock(users)
        return False
    if try_lock(users, shared=True):
        unlock(users)
        return True
    return False


def _has_ended(home: Path, binary: str | None) -> bool:
    """Whether keeper and server have gone. A server that lost its keeper gets another one."""
    with ExitStack() as stack:
        try:
            keeper = open_lock(home / embedded_lock.KEEPER)
            stack.callback(os.close, keeper)
            server = open_lock(home / embedded_lock.SERVER)
            stack.callback(os.close, server)
            if not try_lock(keeper):
                return False
            if try_lock(server):
                return True
            run_keeper(home, executable(binary or server_binary()), keeper)
        except FileNotFoundError:
            return True  # the directory was removed; its keeper ends the server in any case
        except OSError as exc:
            raise unusable(home, exc) from exc
    return False


def _open(home: Path) -> tuple[Path, int]:
    """The directory, resolved and made if need be, and its `users.lock`."""
    try:
        home = Path(home).expanduser().resolve()
        if not home.exists():
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            (home / ".gitignore").write_text("*\n")  # it is in a project's directory, as a rule
        return home, open_lock(home / embedded_lock.USERS)
    except OSError as exc:
        raise unusable(home, exc) from exc


def _no_answer(home: Path, answer: bytes) -> ServerUnavailable:
    why = "is still loading its data" if answer else "runs or starts but does not answer"
    return ServerUnavailable(
        f"the embedded server in {home} {why}; give it more time (start_timeout_s)"
        f" or see {home / LOG} (process {read_pid(home) or 'not known'})"
    )
