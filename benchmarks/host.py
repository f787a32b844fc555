"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, server_binary

PACKAGES = ("hotmesh", "redis", "hiredis", "msgspec", "uvloop", "structlog")


def facts() -> dict[str, Any]:
    """Machine, versions, commit, and how busy the machine was before."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "system": platform.platform(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "server": _server(),
        "commit": commit(),
    }


def commit() -> str:
    """The commit, with a plus when files differ from it."""
    head = _output("git", "rev-parse", "--short", "HEAD") or "unknown"
    return head + ("+" if _output("git", "status", "--porcelain", "-uno") else "")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _server() -> str:
    words = _output(server_binary(), "--version").split()
    return next((w.removeprefix("v=") for w in words if w.startswith("v=")), "unknown")


def _output(*argv: str) -> str:
    try:
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=10)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
