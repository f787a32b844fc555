"""What the package imports, and that its files stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import hotmesh.mapping

FOLDER = Path(hotmesh.mapping.__file__).parent
FORBIDDEN = {"redis", "asyncio", "time", "random", "opentelemetry", "structlog"}
ABSENT = "redis asyncio random opentelemetry structlog cronsim zoneinfo unicodedata difflib locale"


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_only_the_clock_imports_time_and_chance() -> None:
    found = {
        path.relative_to(FOLDER).as_posix(): imported(ast.parse(path.read_text())) & FORBIDDEN
        for path in FOLDER.rglob("*.py")
    }

    assert {name: bad for name, bad in found.items() if bad} == {"clock.py": {"time", "random"}}


def test_files_and_functions_stay_small() -> None:
    for path in FOLDER.rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) < 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 56, (path, node.name)


def test_loading_the_package_loads_nothing_heavy() -> None:
    # Its own __init__ imports the whole of hotmesh; only what this package adds is of interest.
    script = (
        "import sys, types; package = types.ModuleType('hotmesh'); "
        f"package.__path__ = [{str(FOLDER.parent)!r}]; sys.modules['hotmesh'] = package; "
        f"import hotmesh.mapping; print([m for m in {ABSENT.split()!r} if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
