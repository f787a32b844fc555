"""The guards of a turn: what workflow code is refused, what passes, and where they don't reach."""

from __future__ import annotations

import _thread
import asyncio
import gc
import importlib
import json
import logging
import os
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import traceback
import types
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from loop_host import new_loop, run_on

from hotmesh.durable import guard
from hotmesh.durable.errors_guard import WorkflowForbiddenError
from hotmesh.durable.guard_blame import _TRUSTED
from hotmesh.durable.violation import HERE


def guarded(code: Callable[[], Any]) -> tuple[Any, guard.Flags]:
    """Run `code` as workflow code; its result, or what it raised, and the flags."""

    async def main() -> Any:
        try:
            return code()
        except BaseException as error:  # noqa: BLE001
            return error

    flags = guard.Flags()
    loop, host = new_loop()
    with guard.active(flags):
        result = run_on(loop, host, main())
    assert HERE.flags is None
    return result, flags


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "time.time": (lambda: time.time(), "workflow.now()"),
    "time.time_ns": (lambda: time.time_ns(), "workflow.now()"),
    "time.monotonic": (lambda: time.monotonic(), "workflow.now()"),
    "time.perf_counter": (lambda: time.perf_counter(), "workflow.now()"),
    "time.process_time": (lambda: time.process_time(), "workflow.now()"),
    "time.localtime": (lambda: time.localtime(), "workflow.now()"),
    "time.strftime": (lambda: time.strftime("%Y"), "workflow.now()"),
    "time.sleep": (lambda: time.sleep(0), "workflow.sleep_for()"),
    "random.random": (lambda: random.random(), "workflow.random()"),
    "random.shuffle": (lambda: random.shuffle([1, 2]), "workflow.random()"),
    "random.seed": (lambda: random.seed(1), "workflow.random()"),
    "random.Random unseeded": (lambda: random.Random(), "workflow.random()"),
    "random.Random.seed": (lambda: random.Random(3).seed(), "workflow.random()"),
    "random.SystemRandom": (lambda: random.SystemRandom().random(), "workflow.random()"),
    "os.urandom": (lambda: os.urandom(4), "workflow.random().randbytes()"),
    "uuid.uuid1": (lambda: uuid.uuid1(), "workflow.uuid4()"),
    "uuid.uuid4": (lambda: uuid.uuid4(), "workflow.uuid4()"),
    "secrets.token_hex": (lambda: secrets.token_hex(), "workflow.random()"),
    "secrets.choice": (lambda: secrets.choice([1, 2]), "workflow.random()"),
    "open": (lambda: open(__file__).close(), "an activity"),
    "pathlib": (lambda: Path(__file__).read_text(), "an activity"),
    "os.open": (lambda: os.open(__file__, os.O_RDONLY), "an activity"),
    "os.listdir": (lambda: os.listdir("."), "an activity"),
    "os.remove": (lambda: os.remove("no such file"), "an activity"),
    "os.environ write": (lambda: os.environ.update(HOTMESH_X="1"), "an activity"),
    "os.kill": (lambda: os.kill(os.getpid(), 0), "an activity"),
    "input": (lambda: input(), "an activity"),
    "tempfile": (lambda: tempfile.TemporaryDirectory().cleanup(), "an activity"),
    "socket": (lambda: socket.socket(), "an activity"),
    "getaddrinfo": (lambda: socket.getaddrinfo("localhost", 1), "an activity"),
    "subprocess": (lambda: subprocess.run(["true"]), "an activity"),
    "os.system": (lambda: os.system("true"), "an activity"),
    "os.fork": (lambda: os.fork(), "an activity"),
    "new loop": (lambda: asyncio.new_event_loop(), "an activity"),
    "thread": (lambda: threading.Thread(target=int).start(), "an activity"),
    "_thread": (lambda: _thread.start_new_thread(int, ()), "an activity"),
    "timer thread": (lambda: threading.Timer(9, int).start(), "an activity"),
    "wrap_future": (lambda: asyncio.wrap_future(Future()), "an activity"),
    "asyncio.run": (lambda: _refused_coroutine(asyncio.run), "await"),
    "threadsafe": (
        lambda: _refused_coroutine(lambda c: asyncio.run_coroutine_threadsafe(c, OTHER)),
        "asyncio.create_task()",
    ),
}
OTHER, _ = new_loop("other")


def _refused_coroutine(call: Callable[[Any], Any]) -> Any:
    coroutine = asyncio.sleep(0)
    try:
        return call(coroutine)
    finally:
        coroutine.close()


@pytest.mark.parametrize("name", REFUSED)
def test_workflow_code_is_refused_and_told_what_to_use(name: str) -> None:
    call, instead = REFUSED[name]

    result, flags = guarded(call)

    assert isinstance(result, WorkflowForbiddenError), result
    assert instead in result.instead
    assert result.what in str(result) and instead in str(result)
    assert flags.violated is result


def test_a_pool_thread_can_not_be_started_through_the_standard_library() -> None:
    def code() -> Any:
        return ThreadPoolExecutor(1).submit(int)

    result, flags = guarded(code)

    assert isinstance(result, WorkflowForbiddenError)
    assert flags.violated is result


def test_a_swallowed_refusal_still_marks_the_turn_and_the_first_one_stays() -> None:
    def code() -> str:
        for call in (time.time, uuid.uuid4):
            try:
                call()
            except Exception:  # noqa: BLE001, S112
                continue
        return "unaware"

    result, flags = guarded(code)

    assert result == "unaware"
    assert flags.violated is not None
    assert flags.violated.what == "time.time()"


def test_a_builtin_as_a_callback_is_refused() -> None:
    flags = guard.Flags()
    loop, _ = new_loop()
    loop.call_soon(open, __file__)
    loop.call_soon(time.time)

    with guard.active(flags):
        loop.run_until_quiescent()

    assert [type(error) for _, error in loop.uncollected_errors()] == [WorkflowForbiddenError] * 2
    assert flags.violated is not None


PASSING: dict[str, Callable[[], Any]] = {
    "seeded": lambda: random.Random(7).random() == random.Random(x=7).random(),
    "seeded later": lambda: random.Random(7).seed(8),
    "given time": lambda: time.gmtime(0).tm_year == 1970,
    "uuid of a name": lambda: uuid.uuid5(uuid.NAMESPACE_DNS, "x"),
    "json": lambda: json.loads(json.dumps({"a": 1})),
    "exec": lambda: exec(compile("x = 1", "text", "exec"), {}),  # noqa: S102
    "warn": lambda: warnings.warn("look", UserWarning, stacklevel=1),
    "log": lambda: logging.getLogger("workflow").warning("at %s", "work"),
    "read of environ": lambda: os.environ.get("PATH"),  # only the check of the source finds it
}


@pytest.mark.filterwarnings("ignore:look")
@pytest.mark.parametrize("name", PASSING)
def test_what_a_replay_repeats_passes(name: str) -> None:
    result, flags = guarded(PASSING[name])

    assert not isinstance(result, BaseException)
    assert flags.violated is None


def test_a_traceback_may_be_formatted() -> None:
    import linecache

    def code() -> str:
        linecache.clearcache()
        try:
            raise KeyError("shown")
        except KeyError:
            return traceback.format_exc()

    result, flags = guarded(code)

    assert 'raise KeyError("shown")' in result
    assert flags.violated is None


def test_a_log_handler_may_open_its_file(tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "log", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("workflow.file")
    logger.addHandler(handler)
    try:
        _, flags = guarded(lambda: logger.warning("written"))
    finally:
        handler.close()
        logger.removeHandler(handler)

    assert flags.violated is None
    assert "written" in (tmp_path / "log").read_text()


@pytest.fixture
def module_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("hm_guard"):
            del sys.modules[name]


def test_an_import_may_do_what_imports_do(module_dir: Path) -> None:
    (module_dir / "hm_guard_lazy.py").write_text(
        "import time, uuid\nSTARTED = time.time()\nNAME = uuid.uuid4()\n"
        "with open(__file__) as file: TEXT = file.read()\n"
        "def late():\n    return time.time()\n"
    )

    def code() -> Any:
        import hm_guard_lazy

        return hm_guard_lazy

    module, flags = guarded(code)
    assert isinstance(module, types.ModuleType), module
    assert flags.violated is None

    late, flags = guarded(module.late)
    assert isinstance(late, WorkflowForbiddenError)


def test_guards_hold_in_a_program_that_runs_during_an_import(module_dir: Path) -> None:
    (module_dir / "hm_guard_program.py").write_text(
        textwrap.dedent(
            """
            import time
            from test_guard import guarded

            RESULT, FLAGS = guarded(lambda: time.time())
            """
        )
    )

    program = importlib.import_module("hm_guard_program")

    assert isinstance(program.RESULT, WorkflowForbiddenError)
    assert program.FLAGS.violated is program.RESULT


def test_a_package_that_was_declared_trusted_passes(module_dir: Path) -> None:
    (module_dir / "hm_guard_logger.py").write_text(
        "import time\ndef stamp():\n    return time.time(), open(__file__).close()\n"
    )
    logger = importlib.import_module("hm_guard_logger")

    refused, _ = guarded(logger.stamp)
    guard.trust("hm_guard_logger")
    try:
        stamped, flags = guarded(logger.stamp)
    finally:
        _TRUSTED.discard("hm_guard_logger")

    assert isinstance(refused, WorkflowForbiddenError)
    assert isinstance(stamped, tuple)
    assert flags.violated is None


def test_a_finalizer_that_a_collection_runs_is_not_blamed_on_workflow_code(tmp_path: Path) -> None:
    class Closes:
        def __init__(self) -> None:
            self.me = self  # only the collector finds it

        def __del__(self) -> None:
            (tmp_path / "closed").write_text("x")

    gc.collect()
    gc.disable()
    try:
        Closes()
        _, flags = guarded(gc.collect)
    finally:
        gc.enable()

    assert (tmp_path / "closed").exists()
    assert flags.violated is None


# -- where guards don't reach


NOT_OUTSIDE = (
    *("wrap_future", "asyncio.run", "threadsafe"),  # about loops, and none runs here
    *("input", "os.fork", "os.environ write"),  # would disturb the tests
)


def test_outside_of_turns_everything_works() -> None:
    guard.install()
    for name, (call, _) in REFUSED.items():
        if name in NOT_OUTSIDE:
            continue
        try:
            result = call()
        except FileNotFoundError:
            continue
        if isinstance(result, asyncio.AbstractEventLoop | socket.socket) or hasattr(result, "read"):
            result.close()
        elif name == "os.open":
            os.close(result)
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()
            thread.join()


def test_another_thread_is_free_while_a_turn_runs() -> None:
    results: list[Any] = []

    def work() -> None:
        try:
            results.append(time.time())
            with open(__file__):
                results.append(uuid.uuid4())
        except WorkflowForbiddenError as error:
            results.append(error)

    guard.install()
    ready, go = threading.Event(), threading.Event()

    def waits() -> None:
        ready.set()
        go.wait(10)
        work()

    thread = threading.Thread(target=waits)
    thread.start()
    ready.wait(10)

    def code() -> None:
        go.set()
        thread.join(10)

    _, flags = guarded(code)

    assert [type(result) for result in results] == [float, uuid.UUID]
    assert flags.violated is None


def test_the_end_of_a_turn_lifts_the_guards_however_it_ends() -> None:
    flags = guard.Flags()
    with pytest.raises(SystemExit), guard.active(flags):
        raise SystemExit

    assert HERE.flags is None
    assert HERE.turn is None
    assert time.time() > 0


def test_nested_turns_mark_their_own_flags() -> None:
    outer, inner = guard.Flags(), guard.Flags()

    def code() -> None:
        with guard.active(inner), pytest.raises(WorkflowForbiddenError):
            time.time()

    loop, _ = new_loop()
    loop.call_soon(code)
    with guard.active(outer):
        loop.run_until_quiescent()

    assert inner.violated is not None
    assert outer.violated is None


def test_skip_guards_lets_a_few_lines_through() -> None:
    def code() -> Any:
        with guard.skip_guards():
            free = time.time()
        try:
            time.time()
        except WorkflowForbiddenError:
            return free
        return None

    result, flags = guarded(code)

    assert isinstance(result, float)
    assert flags.violated is not None


def test_guards_skipped_across_an_await_are_not_skipped_in_the_next_turn() -> None:
    loop, host = new_loop()
    seen: list[str] = []

    async def main() -> None:
        with guard.skip_guards():
            await asyncio.sleep(1)
            try:
                time.time()
            except WorkflowForbiddenError:
                seen.append("refused inside")
        try:
            time.time()
        except WorkflowForbiddenError:
            seen.append("refused after")

    loop.create_task(main())
    with guard.active(guard.Flags()):
        loop.run_until_quiescent()
    assert HERE.flags is None
    loop.fire(host.started[0])
    with guard.active(guard.Flags()):
        loop.run_until_quiescent()

    assert seen == ["refused inside", "refused after"]
    assert HERE.flags is None


def test_wrappers_keep_names_and_can_be_pickled() -> None:
    import pickle

    guard.install()
    for function in (time.time, random.random, uuid.uuid4, os.urandom, random.randint):
        assert pickle.loads(pickle.dumps(function)) is function  # noqa: S301
    assert time.time.__name__ == "time"
    assert random.randint(1, 1) == 1


def test_install_twice_wraps_once() -> None:
    guard.install()
    before = time.time
    guard.install()

    assert time.time is before


def test_importing_the_modules_wraps_nothing() -> None:
    code = (
        "import time, random, asyncio; before = time.time, random.random, asyncio.as_completed\n"
        "import hotmesh.durable.guard, hotmesh.durable.loop\n"
        "assert before == (time.time, random.random, asyncio.as_completed)\n"
        "hotmesh.durable.guard.install(); assert before[0] is not time.time\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
