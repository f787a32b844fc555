"""Guards: what a replay could not repeat is refused while workflow code runs, and the replacement
is named.

Three of them. An audit hook and wrappers work during turns, on the thread that runs one, and cost
nearly nothing elsewhere; `check_source` reads the code when it is registered. A watchdog tells of
turns that don't end. There is no sandbox: imports, classes and libraries are those of the program.

    flags = guard.Flags()
    with guard.active(flags):
        loop.run_until_quiescent()
    if flags.violated is not None:
        ...  # the task fails, even when workflow code swallowed the error
"""

from __future__ import annotations

import threading
from types import TracebackType

from hotmesh.durable.collector import watch_collector
from hotmesh.durable.guard_audit import add_hook
from hotmesh.durable.guard_blame import trust
from hotmesh.durable.guard_shims import wrap_all
from hotmesh.durable.guard_source import check_source
from hotmesh.durable.violation import HERE, Flags, Guarded
from hotmesh.durable.watchdog import run_watched, running, watch

__all__ = [
    "Flags",
    "Guarded",
    "active",
    "check_source",
    "install",
    "run_watched",
    "running",
    "skip_guards",
    "trust",
    "watch",
]

_installed = False
_installing = threading.Lock()


def install() -> None:
    """Put the hook and the wrappers in place, for the life of the process. A worker does so when
    it is made; more calls do nothing.

    Names that a module bound before (`from time import time`) escape; `check_source` finds them.
    """
    global _installed
    with _installing:
        if not _installed:
            watch_collector()
            wrap_all()
            add_hook()
            _installed = True


class active:
    """Guard a turn: `with active(flags):` around it, on the thread that runs it.

    The first guard that fires sets `flags.violated`. May be nested; the innermost flags count.
    """

    __slots__ = ("_flags", "_flags_before", "_turn_before")

    def __init__(self, flags: Guarded) -> None:
        if not _installed:
            install()
        self._flags = flags

    def __enter__(self) -> None:
        here = HERE
        self._flags_before, self._turn_before = here.flags, here.turn
        here.flags, here.turn = self._flags, self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        HERE.flags, HERE.turn = self._flags_before, self._turn_before


class skip_guards:
    """Let a few lines of workflow code do what the guards refuse: `with skip_guards():`.

    For what has no influence on the course of the workflow, as nothing of it is recorded. Don't
    await inside: other tasks would run unguarded until the end of the turn.
    """

    __slots__ = ("_flags", "_turn")

    def __enter__(self) -> None:
        self._flags, self._turn = HERE.flags, HERE.turn
        HERE.flags = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if HERE.turn is self._turn:  # else it was left in another turn, which has its own flags
            HERE.flags = self._flags
