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

_ROOT = files("hotmesh.store") / "lua"
_INCLUDES = re.compile(r"INCLUDES: ([^\n]*)")


class Script:
    """One script.

    `sha` and `text` depend on whether the server knows `#!lua` (it does from version 7).
    """

    __slots__ = ("name", "sha", "text")

    def __init__(self, name: str, *, shebang: bool = True) -> None:
        self.name = name
        body = assemble(name)
        # Under the shebang the server refuses a script as a whole (out of memory, read-only)
        # before its first write, and
        # checks that every key was declared. Redis 6.2 can't compile it.
        self.text = f"#!lua\n{body}" if shebang else body
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


SCRIPTS = ("apply", "due", "extend", "release", "retire", "redrive", "activate")


@cache
def load(*, shebang: bool) -> dict[str, Script]:
    """Every script, by its name."""
    return {name: Script(name, shebang=shebang) for name in SCRIPTS}


@cache
def assemble(name: str) -> str:
    """The text of a script with its includes in front of it."""
    body = (_ROOT / f"{name}.lua").read_text()
    parts: list[str] = []
    tables = False
    for include in _includes(body):
        if include.endswith("/*"):
            if not tables:
                parts.append("local GUARDS, SETTLE, CHECKS, OPS = {}, {}, {}, {}\n")
                tables = True
            folder = _ROOT / include[:-2]
            names = sorted(f.name for f in folder.iterdir() if f.name.endswith(".lua"))
            parts += [(folder / n).read_text() for n in names]
        else:
            parts.append((_ROOT / "lib" / f"{include}.lua").read_text())
    return _strip("".join([*parts, body]))


def _includes(body: str) -> Iterable[str]:
    found = _INCLUDES.search(body)
    names = found[1].strip() if found else "none"
    return [] if names == "none" else [n.strip() for n in names.split(",")]


def _strip(text: str) -> str:
    """Without comments and blank lines: line numbers in errors matter less than what every
    server keeps in memory.
    """
    lines = (re.sub(r"\s*--.*$", "", line) for line in text.splitlines())
    return "\n".join(line for line in lines if line.strip()) + "\n"
