"""The reading of workflow code at registration. Each case is a module of its own; a comment
`# !` marks the lines that must be reported, and no other line may be.
"""

from __future__ import annotations

import importlib.util
import linecache
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hotmesh.durable.guard import check_source
from hotmesh.errors import Finding

CASES: dict[str, str] = {
    "names bound before the wrappers": """
        from time import time, sleep as nap
        from random import choice
        from uuid import uuid4 as new_id
        from os import urandom, environ

        async def wf():
            a = time()  # !
            nap(1)  # !
            choice([1])  # !
            new_id()  # !
            urandom(3)  # !
            return environ["X"]  # !
    """,
    "clocks of datetime": """
        import datetime as dt
        from datetime import date, datetime

        async def wf():
            dt.datetime.now()  # !
            datetime.now(tz=None)  # !
            datetime.utcnow()  # !
            date.today()  # !
            datetime.fromtimestamp(0)
            return datetime(2020, 1, 1)
    """,
    "a clock passed on": """
        import time
        from dataclasses import field

        async def wf():
            return field(default_factory=time.time)  # !
    """,
    "environment, files, terminal": """
        import os

        async def wf():
            os.environ.get("A")  # !
            os.getenv("A")  # !
            open("x")  # !
            input()  # !
            return os.path.join("a", "b")
    """,
    "hash and address": """
        async def wf(x):
            return hash(x), id(x)  # !
    """,
    "threads and networks": """
        import threading, requests, urllib.request, urllib.parse
        from concurrent.futures import ThreadPoolExecutor

        async def wf(e: threading.Event) -> requests.Response:
            threading.Thread(target=wf)  # !
            threading.Lock()  # !
            requests.get("x")  # !
            urllib.request.urlopen("x")  # !
            ThreadPoolExecutor()  # !
            try:
                urllib.parse.quote("x")
            except requests.RequestException:
                return
    """,
    "asyncio": """
        import asyncio
        from asyncio import as_completed

        async def wf():
            await asyncio.to_thread(print)  # !
            await asyncio.open_connection("x", 1)  # !
            asyncio.Future()  # !
            as_completed([])  # !
            asyncio.as_completed([])
            task: asyncio.Task = asyncio.create_task(asyncio.sleep(1))
            return isinstance(task, asyncio.Future)
    """,
    "randomness": """
        import random, secrets

        async def wf():
            random.random()  # !
            random.Random()  # !
            secrets.token_hex()  # !
            return random.Random(3).random()
    """,
    "order of sets": """
        async def wf(names: set[str], numbers: set[int], more: "list[str]"):
            for name in names:  # !
                pass
            for number in numbers:
                pass
            for x in {"a", "b"}:  # !
                pass
            for x in {1, 2}:
                pass
            for x in set(more):  # !
                pass
            for x in sorted(set(more)):
                pass
            [x for x in names | {"c"}]  # !
            list(frozenset(more))  # !
            found = {x for x in more}
            ",".join(found)  # !
            found.pop()  # !
            {x.upper() for x in found}
            sum(len(x) for x in found)
            first, second = found  # !
            print(*found)  # !
            for key in {}.keys() & more:  # !
                pass
            if "a" in names and len(names) > 3:
                return max(names)
            found2 = sorted(found)
            for x in found2:
                pass
            both = set(more)
            both = sorted(both)
            for x in both:
                pass
    """,
    "names that are something else": """
        import time, random

        def open(x): ...

        async def wf(time, hash):
            random = object()
            time.time()
            open("x")
            hash("x")
            random.random()
            return [input for input in time], [input(1) for input in time]
    """,
    "helpers that it calls": """
        import time
        from functools import wraps

        def activity(f):
            @wraps(f)
            def g(*a): ...
            return g

        def helper():
            return deeper()

        def deeper():
            return time.time()  # !

        @activity
        def charge():
            return time.time()

        def passed_on():
            return time.time()

        def unused():
            return time.time()

        async def wf(execute):
            helper()
            await charge()
            await execute(passed_on)
            while True:
                return await wf(execute)
    """,
    "inner functions, lambdas and their own names": """
        import time

        async def wf(at=time.time()):
            def inner(time):
                return time.time()

            def clock():
                return time.time()  # !

            local = lambda: time.time()  # !
            return inner, clock, local, lambda time: time.time()
    """,
    "imports inside": """
        async def wf():
            import httpx
            from time import time
            httpx.get("x")  # !
            return time()  # !
    """,
    "silenced": """
        import time

        async def wf():
            time.time()  # durable: ok
            time.time(  # durable: ok
            )
            time.time()  # !
            return time.sleep(
                1
            )  # durable: ok
    """,
}


def load(tmp_path: Path, source: str) -> ModuleType:
    path = tmp_path / "workflows.py"
    path.write_text(textwrap.dedent(source))
    spec = importlib.util.spec_from_file_location("workflows_under_check", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    return module


def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, name: str) -> Any:
    """The findings, and the lines that are marked."""
    module = load(tmp_path, source)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    linecache.clearcache()
    for absent in ("requests", "httpx"):  # only their names matter
        if absent not in sys.modules and importlib.util.find_spec(absent) is None:
            fake = ModuleType(absent)
            fake.Response = fake.RequestException = Exception  # type: ignore[attr-defined]
            monkeypatch.setitem(sys.modules, absent, fake)
    assert module.__spec__ is not None and module.__spec__.loader is not None
    module.__spec__.loader.exec_module(module)
    subject: Any = module
    for part in name.split("."):
        subject = getattr(subject, part)
    lines = textwrap.dedent(source).splitlines()
    return check_source(subject), {i for i, line in enumerate(lines, 1) if line.endswith("# !")}


@pytest.mark.parametrize("case", CASES)
def test_exactly_the_marked_lines_are_found(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings, marked = check(tmp_path, monkeypatch, CASES[case], "wf")

    assert {finding.line for finding in findings} == marked, "\n".join(map(str, findings))


def test_a_finding_names_file_line_and_replacement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "from datetime import datetime\n\nasync def wf():\n    return datetime.now()\n"

    [finding], _ = check(tmp_path, monkeypatch, source, "wf")

    assert isinstance(finding, Finding)
    assert (finding.path, finding.line, finding.column) == ("wf", 4, 12)
    assert str(finding).startswith(f"{tmp_path / 'workflows.py'}:4:12: wf: datetime.datetime.now()")
    assert "workflow.now()" in finding.message


def test_a_class_is_read_by_its_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
        import time, threading

        class Flow:
            lock = threading.Lock()

            async def run(self):
                return self.step(), time.time()  # !

            def step(self):
                return [time for time in {"a", "b"}]  # !

        class Other:
            def run(self):
                return time.time()
    """

    findings, marked = check(tmp_path, monkeypatch, source, "Flow")
    assert {finding.line for finding in findings} == marked

    method, _ = check(tmp_path, monkeypatch, source, "Flow.run")
    assert [finding.line for finding in method] == [8]


def test_of_two_functions_of_one_name_the_registered_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        import time

        if not time:
            async def wf():
                return 1
        else:
            async def wf():
                return time.time()  # !

        async def first():
            return time.time()

        old = first

        async def first():
            return 2
    """

    findings, marked = check(tmp_path, monkeypatch, source, "wf")
    assert {finding.line for finding in findings} == marked

    findings, _ = check(tmp_path, monkeypatch, source, "old")
    assert [finding.line for finding in findings] == [12]


def test_a_decorated_workflow_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
        import functools, time

        def defn(name):
            def decorate(f):
                @functools.wraps(f)
                def call(*a):
                    return f(*a)
                return call
            return decorate

        @defn(
            name="x"
        )
        async def wf():
            return time.time()  # !
    """

    findings, marked = check(tmp_path, monkeypatch, source, "wf")

    assert {finding.line for finding in findings} == marked


def test_what_has_no_source_has_no_findings() -> None:
    namespace: dict[str, Any] = {}
    exec("async def wf(): return __import__('time').time()", namespace)  # noqa: S102

    assert check_source(namespace["wf"]) == []
    assert check_source(len) == []
    assert check_source(lambda: None) == []
