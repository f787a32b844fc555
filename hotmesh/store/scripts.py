"""Lua scripts: read from `lua/`, assembled with what they include, known to the server by their
digest.

A script is one file with a header (KEYS, ARGV, RETURNS, CALLER, INCLUDES) that a test compares
with its caller. `apply` includes every guard and op. Text is constant: nothing is ever formatted
into it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

_ROOT: Traversable = files("hotmesh.store") / "lua"
_INCLUDES = re.compile(r"INCLUDES: ([^\n]*)")
_SECTIONS = {"guards": ("guard", "settle"), "ops": ("check", "run")}
_FIRST = ("entry", "owner", "set", "append", "publish", "expire", "turn", "input", "history")
"""Branches that nearly every call takes, in the order in which they are looked at."""


class Script:
    """One script.

    `sha` and `text` depend on whether the server knows `#!lua` (it does from version 7).
    """

    __slots__ = ("name", "sha", "text")

    def __init__(self, name: str, *, shebang: bool = True, folder: Traversable = _ROOT) -> None:
        self.name = name
        body = assemble(name, folder)  # type: ignore[arg-type]  # a path, which is hashable
        # Under the shebang the server refuses a script as a whole (out of memory, read-only)
        # before its first write, and
        # checks that every key was declared. Redis 6.2 can't compile it.
        self.text = f"#!lua\n{body}" if shebang else body
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


SCRIPTS = (
    "apply",
    "due",
    "extend",
    "release",
    "retire",
    "redrive",
    "deploy",
    "seal",
    "activate",
    "collect",
    "rehome",
    "ask",
)


@cache
def load(*, shebang: bool) -> dict[str, Script]:
    """Every script, by its name."""
    return {name: Script(name, shebang=shebang) for name in SCRIPTS}


@cache
def assemble(name: str, folder: Traversable = _ROOT) -> str:
    """The text of a script with its includes in front of it. What is shared lies in `lua/lib`."""
    body = (folder / f"{name}.lua").read_text()
    parts: list[str] = []
    for include in _includes(body):
        if include.endswith("/*"):
            parts.append(_dispatch(include[:-2]))
        else:
            own = folder / "lib" / f"{include}.lua"
            parts.append((own if own.is_file() else _ROOT / "lib" / f"{include}.lua").read_text())
    return _strip("".join([*parts, body]))


def _dispatch(folder: str) -> str:
    """One function per kind of section, with a branch per file that has one."""
    names = sorted(
        (f.name[: -len(".lua")] for f in (_ROOT / folder).iterdir() if f.name.endswith(".lua")),
        key=lambda n: (_FIRST.index(n) if n in _FIRST else len(_FIRST), n),
    )
    sections = {n: _sections((_ROOT / folder / f"{n}.lua").read_text()) for n in names}
    functions = []
    for section in _SECTIONS[folder]:
        branches = [
            f"if name == '{n}' then\n{sections[n][section]}"
            for n in names
            if section in sections[n]
        ]
        chain = "else".join(branches)
        functions.append(
            f"local function {section}(op, skew_ms)\nlocal name = op[1]\n{chain}end\nend\n"
        )
    return "".join(functions)


def _sections(text: str) -> dict[str, str]:
    """The sections of a file, by the names in their `--@` lines."""
    found: dict[str, str] = {}
    for part in text.split("--@ ")[1:]:
        name, _, body = part.partition("\n")
        found[name.strip()] = body
    return found


def _includes(body: str) -> Iterable[str]:
    found = _INCLUDES.search(body)
    names = found[1].strip() if found else "none"
    return [] if names == "none" else [n.strip() for n in names.split(",")]


def _strip(text: str) -> str:
    """Without comments and blank lines: line numbers matter less than what every server keeps."""
    lines = (re.sub(r"\s*--.*$", "", line) for line in text.splitlines())
    return "\n".join(line for line in lines if line.strip()) + "\n"
