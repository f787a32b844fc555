"""Consumer names: unique per process incarnation, and enough to tell on the same host that their
process is dead.

A name is `<host>.<pid>.<started>.<random>`. Host stands for one kernel's one process namespace, so
that two containers with pid 1 never take each other for dead; started is the process's start time,
so that a reused pid is not taken for the old one.
"""

from __future__ import annotations

import hashlib
import os
import socket
from functools import cache
from pathlib import Path

from hotmesh.ids import guid


def consumer_name() -> str:
    """A new name for a consumer of this process."""
    pid = os.getpid()
    return f"{host()}.{pid}.{_started(pid)}.{guid()[:8]}"


def is_dead(name: str) -> bool:
    """Whether the consumer's process is known to be gone.

    False for what can't be known from here.
    """
    parts = name.split(".")
    if len(parts) != 4 or parts[0] != host() or not parts[1].isdigit():
        return False
    started = _started(int(parts[1]))
    return started == "" or started != parts[2]


@cache
def host() -> str:
    """This kernel and process namespace, in 10 characters."""
    facts = [socket.gethostname(), _read("/proc/sys/kernel/random/boot_id")]
    try:
        facts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        facts.append("")
    return hashlib.blake2b("\0".join(facts).encode(), digest_size=5).hexdigest()


def _started(pid: int) -> str:
    """When a process began, in clock ticks since boot; "" when there is no such process (a
    zombie is none).
    """
    stat = _read(f"/proc/{pid}/stat")
    if stat:
        fields = stat.rpartition(")")[2].split()
        return "" if fields[0] in ("Z", "X") else fields[19]
    if Path("/proc/self/stat").exists():
        return ""
    try:  # no /proc: only whether it is there
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "0"


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
