"""What the harness asks of the system: the CPU that a process has used, and a free port."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path


def cpu_us(pid: int) -> float:
    """The CPU that all threads of a process have used so far, in µs, as the scheduler counts it."""
    if not Path("/proc/self/schedstat").exists():  # a kernel without: ticks, mostly of 10 ms
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return 1e6 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1000


def free_port() -> int:
    """A port of loopback that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def memory_bytes(pid: int) -> int:
    """The memory of a process: its own, and its share of what it shares."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"the kernel does not say how much memory process {pid} has")
