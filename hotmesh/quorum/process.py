"""What a process can say about itself, cheaply: memory, processor time, and its host's clock."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STATM = Path("/proc/self/statm")


def memory_bytes() -> int:
    """What is in memory; 0 where there is no /proc."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def cpu_s() -> float:
    """Processor time so far."""
    return round(time.process_time(), 3)


def offset_ms(server_ms: int) -> int:
    """This host's clock minus the server's."""
    return int(time.time() * 1000) - server_ms
