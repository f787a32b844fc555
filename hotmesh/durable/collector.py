"""Whether the garbage collector runs on this thread.

What finalizers do then happens at no fixed point of a program: it must neither order things nor
be blamed on the code that it interrupted.
"""

from __future__ import annotations

import gc
import threading

__all__ = ["collecting", "watch_collector"]

_collecting: set[int] = set()
_installing = threading.Lock()


def _on_collection(phase: str, info: dict[str, int]) -> None:
    if phase == "start":
        _collecting.add(threading.get_ident())
    else:
        _collecting.discard(threading.get_ident())


def watch_collector() -> None:
    """Make `collecting` tell the truth from now on; once per process is enough."""
    with _installing:
        if _on_collection not in gc.callbacks:
            gc.callbacks.append(_on_collection)


def collecting() -> bool:
    """Whether a collection runs on this thread right now."""
    return threading.get_ident() in _collecting
