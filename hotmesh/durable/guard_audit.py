"""The audit hook: files, sockets, processes and whatever else the interpreter announces."""

from __future__ import annotations

import sys
from typing import Any

from hotmesh.durable.guard_blame import STDLIB, to_blame
from hotmesh.durable.violation import HERE, forbid

__all__ = ["add_hook"]

# Events by how they begin; importing, compiling and executing code are not among them.
_DENIED = (
    *("open", "builtins.input", "os.", "glob.", "shutil.", "tempfile.", "fcntl.", "mmap.", "pty."),
    *("socket.", "urllib.", "http.client.", "ftplib.", "smtplib.", "imaplib.", "poplib."),
    *("nntplib.", "telnetlib.", "webbrowser.", "sqlite3.", "dbm.", "msvcrt.", "winreg."),
    *("subprocess.", "_thread.start", "signal.", "syslog.", "ctypes.dlopen", "time.sleep"),
)
_SPELLED = {
    "_thread.start_new_thread": "starting a thread",
    "_thread.start_joinable_thread": "starting a thread",
    "builtins.input": "input()",
    "os.putenv": "setting os.environ",
    "os.unsetenv": "deleting from os.environ",
    "socket.__new__": "opening a socket",
}
_INSTEAD = {"time.sleep": "workflow.sleep_for()"}


def add_hook() -> None:
    """Add the hook to the process; it can't be taken away."""
    sys.addaudithook(_hook)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if HERE.flags is None or not event.startswith(_DENIED):
        return
    if to_blame(sys._getframe(1), STDLIB):
        forbid(_SPELLED.get(event, f"{event}()"), _INSTEAD.get(event, "an activity"))
