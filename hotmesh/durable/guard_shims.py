"""Wrappers around what the interpreter does not announce: clocks, randomness, threads.

Outside of turns they call what they wrap. Inside, workflow code gets an error with the name of the
replacement; the standard library's own use of clocks (a log record's time) goes through.
"""

from __future__ import annotations

import _thread
import asyncio
import functools
import os
import random
import secrets
import sys
import threading
import time
import uuid
from asyncio import events, futures, runners, tasks
from collections.abc import Callable
from types import ModuleType
from typing import Any

from hotmesh.durable.guard_blame import NOTHING, RANDOMNESS, STDLIB, to_blame
from hotmesh.durable.violation import HERE, forbid

__all__ = ["wrap_all"]

NOW, RANDOM, UUID = "workflow.now()", "workflow.random()", "workflow.uuid4()"
BYTES = "workflow.random().randbytes()"

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
# Each takes the time as its last argument, and the clock's when it is left out.
_CALENDAR = {"localtime": 1, "gmtime": 1, "ctime": 1, "asctime": 1, "strftime": 2}
_UUIDS = ("uuid1", "uuid4", "uuid6", "uuid7")
_SECRETS = ("token_bytes", "token_hex", "token_urlsafe", "choice", "randbelow", "randbits")


def wrap_all() -> None:
    """Replace the functions; call it once per process."""
    for clock in _CLOCKS:
        for name in (clock, f"{clock}_ns"):
            if hasattr(time, name):
                _wrap_clock(name)
    for name, arguments in _CALENDAR.items():
        _wrap(time, name, NOW, when=functools.partial(_fewer, arguments))
    for name in random.__all__:
        if getattr(getattr(random, name), "__self__", None) is random._inst:
            _wrap(random, name, RANDOM)
    _wrap(random.Random, "seed", RANDOM, skipped=RANDOMNESS, when=_unseeded)
    for name in ("random", "getrandbits", "randbytes"):
        _wrap(random.SystemRandom, name, RANDOM, skipped=RANDOMNESS)
    for name in ("urandom", "getrandom"):
        if hasattr(os, name):
            _wrap(os, name, BYTES)
    for name in _UUIDS:
        if hasattr(uuid, name):
            _wrap(uuid, name, UUID)
    for name in _SECRETS:
        _wrap(secrets, name, RANDOM)
    _wrap(time, "sleep", "workflow.sleep_for()", skipped=STDLIB)
    _wrap(threading.Thread, "start", "asyncio.create_task() or an activity", skipped=STDLIB)
    _wrap(_thread, "start_new_thread", "asyncio.create_task() or an activity", skipped=STDLIB)
    _wrap(asyncio, "new_event_loop", "an activity", also=events)
    _wrap(asyncio, "run", "await", also=runners)
    _wrap(asyncio.Runner, "run", "await", skipped=frozenset({"asyncio"}))
    _wrap(asyncio, "run_coroutine_threadsafe", "asyncio.create_task()", also=tasks)
    # It would be resolved from another thread, which the loop refuses: it would hang.
    _wrap(asyncio, "wrap_future", "an activity", also=futures)


def _wrap_clock(name: str) -> None:
    original = getattr(time, name)
    what = f"time.{name}()"

    # Of its own, without arguments: the event loop of the program reads a clock all the time.
    @functools.wraps(original)
    def shim() -> Any:
        if HERE.flags is not None and to_blame(sys._getframe(1), NOTHING):
            forbid(what, NOW)
        return original()

    setattr(time, name, shim)


def _wrap(
    owner: Any,
    name: str,
    instead: str,
    *,
    skipped: frozenset[str] = NOTHING,
    when: Callable[[tuple[Any, ...], dict[str, Any]], bool] | None = None,
    also: Any = None,
) -> None:
    """Replace `owner.name`, and `also.name`, which is the same thing under its first name."""
    original = getattr(owner, name)
    what = f"{owner.__name__}.{name}()"

    @functools.wraps(original)
    def shim(*args: Any, **kwargs: Any) -> Any:
        if (
            HERE.flags is not None
            and (when is None or when(args, kwargs))
            and to_blame(sys._getframe(1), skipped)
        ):
            forbid(what, instead)
        return original(*args, **kwargs)

    if isinstance(owner, ModuleType):  # the methods of `random` would be pickled by their class
        shim.__module__, shim.__qualname__ = owner.__name__, name
    for place in (owner, also):
        if place is not None:
            setattr(place, name, shim)


def _fewer(count: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return len(args) < count or args[-1] is None


def _unseeded(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """For a method: `args` begin with self."""
    return (args[1] if len(args) > 1 else kwargs.get("a")) is None
