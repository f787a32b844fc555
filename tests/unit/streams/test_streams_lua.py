"""The Lua files of streams as text: headers that are true, one caller each, no key built."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import hotmesh
from hotmesh.streams.store import LUA as FOLDER
from hotmesh.streams.store import SCRIPTS, StreamStore

HOTMESH = Path(hotmesh.__file__).parent
LUA = Path(str(FOLDER))
TOP = sorted(p.stem for p in LUA.glob("*.lua"))
ALL = sorted(LUA.rglob("*.lua"))


def header_of(name: str) -> dict[str, str]:
    text = (LUA / f"{name}.lua").read_text()
    lines = [x.removeprefix("--").strip() for x in text.splitlines() if x.startswith("--")]
    found = re.split(r"\b(KEYS|ARGV|RETURNS|CALLER|INCLUDES): ", "\n".join(lines))
    return {found[i]: found[i + 1].strip() for i in range(1, len(found), 2)}


def test_every_script_is_loaded_and_every_loaded_script_is_a_file() -> None:
    assert sorted(SCRIPTS) == TOP
    assert set(SCRIPTS) <= set(StreamStore.load_scripts(shebang=True))


@pytest.mark.parametrize("name", TOP)
def test_a_header_is_whole_and_names_its_one_caller(name: str) -> None:
    text = (LUA / f"{name}.lua").read_text()
    header = header_of(name)
    where, _, what = header["CALLER"].partition("        ")[0].partition(" ")
    calls = re.compile(rf'\.run\(\s*"{name}"')

    assert text.startswith(f"-- {name}.lua: ")
    assert set(header) == {"KEYS", "ARGV", "RETURNS", "CALLER", "INCLUDES"}
    store = HOTMESH / "store"  # has scripts of its own, some of the same name
    callers = {
        str(p.relative_to(HOTMESH))
        for p in HOTMESH.rglob("*.py")
        if calls.search(p.read_text()) and store not in p.parents
    }
    assert callers == {where}
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse((HOTMESH / where).read_text())
    assert what in {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


@pytest.mark.parametrize("name", TOP)
def test_what_a_header_includes_is_there_and_used(name: str) -> None:
    text = StreamStore.load_scripts(shebang=False)[name].text
    includes = header_of(name)["INCLUDES"].partition("\n")[0]

    for include in [] if includes == "none" else includes.split(", "):
        assert f"local function {include}(" in text
        assert len(re.findall(rf"\b{include}\(", text)) > 1


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.name)
def test_no_key_is_built_and_nothing_of_users_is_decoded(path: Path) -> None:
    code = "\n".join(re.sub(r"--.*$", "", line) for line in path.read_text().splitlines())

    assert not re.search(r"KEYS\[[^\]]*\]\s*\.\.(?! ' holds)", code)
    assert "cjson" not in code and "cmsgpack" not in code and "math.random" not in code


def test_a_script_is_the_same_on_servers_without_the_first_line() -> None:
    new, old = StreamStore.load_scripts(shebang=True), StreamStore.load_scripts(shebang=False)

    assert all(new[name].text == f"#!lua\n{old[name].text}" for name in SCRIPTS)
