"""Whether workflow code is to blame for a call: who made it, by the frames above it.

Frames are known by the root of their module's name. The standard library is let through or looked
through, as the rule says; trusted packages, such as those that log, are let through.
"""

from __future__ import annotations

import sys
from types import FrameType

from hotmesh.durable.collector import collecting

__all__ = ["NOTHING", "RANDOMNESS", "STDLIB", "to_blame", "trust"]

STDLIB: frozenset[str] = frozenset(sys.stdlib_module_names)
RANDOMNESS: frozenset[str] = frozenset({"random", "secrets"})
NOTHING: frozenset[str] = frozenset()

_IMPORTING = frozenset({"importlib", "_frozen_importlib", "_frozen_importlib_external"})
# What these read and write tells people about a program, or loads it; its results don't see it.
_PASSING = _IMPORTING | {"bdb", "linecache", "logging", "pdb", "traceback", "warnings", "zipimport"}
_TRUSTED = {
    *("hotmesh", "structlog", "loguru", "opentelemetry", "sentry_sdk"),
    *("coverage", "debugpy", "pydevd", "_pydevd_bundle"),
}
# Workflow code runs above a frame of this module, and the program below it.
_LOOP = "hotmesh.durable.loop"


def trust(*packages: str) -> None:
    """Let the code of these top-level packages use clocks, randomness and I/O during turns.

    For packages whose doings a workflow's results can't depend on, such as loggers.
    """
    _TRUSTED.update(packages)


def to_blame(frame: FrameType | None, skipped: frozenset[str]) -> bool:
    """Whether the caller is workflow code.

    Args:
        frame: The frame that made the call.
        skipped: Modules that make calls on behalf of their own callers, who are asked instead.
    """
    if collecting():
        return False
    while frame is not None:
        name = _name(frame)
        if name == _LOOP:
            return True  # a built-in function was itself the callback
        root = name.partition(".")[0]
        if root in _PASSING or root in _TRUSTED:
            return False
        if root not in skipped:
            return root not in STDLIB and not _is_imported(frame)
        frame = frame.f_back
    return False


def _is_imported(frame: FrameType | None) -> bool:
    """Whether a frame belongs to a module's first import, which happens once per process."""
    while frame is not None:
        name = _name(frame)
        if name == _LOOP:
            return False
        if name.partition(".")[0] in _IMPORTING:
            return True
        frame = frame.f_back
    return False


def _name(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
