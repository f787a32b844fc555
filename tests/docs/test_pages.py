"""Every page does what it says: its files are written, its commands run, their output compared.

The convention, for the README, `docs/quickstart.md`, `docs/how-to/` and the READMEs of `examples/`:

- A fenced block with `title="NAME"` is the file NAME. Blocks of Python and YAML must have one, so
  that none is left untried.
- A `console` block holds commands, after `$ `, and what they print. They run in order, in one
  folder per page that holds the page's files (for an example: at the root of the checkout), each
  within `TIMEOUT_S`. `...` stands for any text within a line, and alone on a line for any lines.
- A `shell` block is for the reader only, as are `text` and `toml` without a title.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30
LEAVING_S = 5  # a server's keeper ends a moment after its last user
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```$", re.M | re.S
)
TITLE = re.compile(r'\btitle="([^"]+)"')
NOT_TRIED = {"shell", "text", "toml"}
# Until the library logs through stdlib loggers that are quiet by default, structlog prints these.
LOG_LINE = re.compile(r"^(\x1b\[\d+m)*\d{4}-\d\d-\d\d \d\d:\d\d:\d\d .*\n", re.M)

BY_OTHERS = {"quickstart", "seed", "durable"}
"""Examples with tests of their own."""

PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "docs" / "quickstart.md",
        *(ROOT / "docs" / "how-to").glob("*.md"),
        *(p for p in (ROOT / "examples").glob("*/README.md") if p.parent.name not in BY_OTHERS),
    ]
)


class Block(NamedTuple):
    """One fenced block of a page."""

    line: int
    language: str
    title: str
    body: str


class Command(NamedTuple):
    """A command of a console block, and what it prints."""

    line: int
    text: str
    output: str


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in FENCE.finditer(text):
        language, _, rest = found["info"].strip().partition(" ")
        title = TITLE.search(rest)
        body = re.sub(rf"^{found['indent']}", "", found["body"], flags=re.M)
        line = text.count("\n", 0, found.start()) + 1
        yield Block(line, language, title[1] if title else "", body)


def commands_of(block: Block) -> Iterator[Command]:
    lines = block.body.splitlines(keepends=True)
    starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"the console block of line {block.line} does not begin with '$ '"
    for begin, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        text, output = lines[begin][2:].strip(), "".join(lines[begin + 1 : end])
        yield Command(block.line + 1 + begin, text, output)


def matches(printed: str, expected: str) -> bool:
    parts = re.split(r"(^\.\.\.\n|\.\.\.)", expected, flags=re.M)
    wild = {"...\n": r"(?:.*\n)*?", "...": r"[^\n]*"}
    return re.fullmatch("".join(wild.get(p) or re.escape(p) for p in parts), printed) is not None


def run(command: str, folder: Path, environ: dict[str, str]) -> str:
    """What it prints, errors too."""
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, _ = process.communicate()
        pytest.fail(f"{command!r} took longer than {TIMEOUT_S} s:\n{printed}")
    return LOG_LINE.sub("", printed)


def left_behind(folder: Path) -> list[str]:
    """Command lines of programs and servers that name the folder and do not end."""
    deadline = time.monotonic() + LEAVING_S
    while (found := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def processes_of(folder: Path) -> list[str]:
    """Command lines that name the folder: programs and servers that were left behind."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
        if str(folder) in line:
            found.append(line)
    return found


@pytest.fixture
def environ(tmp_path: Path, redis_url: str) -> dict[str, str]:
    """The environment of a reader, with an embedded server of the page's own."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("HOTMESH_")}
    return ours | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOTMESH_HOME": str(tmp_path / "home"),
        "MY_REDIS_URL": redis_url,  # what a page uses as "your Redis"
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_page_does_what_it_says(page: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    is_example = page.is_relative_to(ROOT / "examples")
    folder = tmp_path / "page"
    folder.mkdir()
    commands = 0

    for block in blocks_of(page):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if block.title:
            file = folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.body)
        elif block.language == "console":
            for command in commands_of(block):
                printed = run(command.text, ROOT if is_example else folder, environ)
                assert matches(printed, command.output), (
                    f"{page.relative_to(ROOT)}:{command.line}: $ {command.text}\n"
                    f"printed:\n{printed}\nthe page says:\n{command.output}"
                )
                commands += 1
        else:
            assert block.language in NOT_TRIED, f"{where}: a {block.language} block needs a title"

    assert commands, f"{page.relative_to(ROOT)} runs nothing"
    assert not left_behind(tmp_path)
