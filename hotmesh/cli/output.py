"""What commands print: results on stdout, errors in one line on stderr; for people, or JSON."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from hotmesh.errors import HotMeshError, ModelInvalid

if TYPE_CHECKING:
    from rich.console import Console

DEBUG_VARIABLE = "HOTMESH_DEBUG"
PIPE_COLUMNS = 200
"""The width of a table that no terminal bounds."""


class UsageError(HotMeshError):
    """The command line itself is wrong."""

    code = 400


def to_json(value: Any, *, indent: bool = False) -> str:
    """JSON of results: structs as objects, datetimes in ISO 8601, bytes in Base64."""
    try:
        data = msgspec.json.encode(value, enc_hook=str)
    except UnicodeEncodeError:
        # Half a surrogate pair, from an argument that is no UTF-8: it can only be escaped.
        data = json.dumps(msgspec.to_builtins(value, enc_hook=str)).encode()
    return (msgspec.json.format(data, indent=2) if indent else data).decode()


def one_line(text: str) -> str:
    """Text from elsewhere on one line, without what a terminal would obey."""
    joined = " ".join(part.strip() for part in text.splitlines() if part.strip())
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in joined)


class Output:
    """Prints for one run of the command.

    Attributes:
        json: Whether results and errors are JSON, one object per line.
    """

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """rich on stdout; made when it is needed."""
        if self._console is None:
            from rich.console import Console

            width = None if sys.stdout.isatty() else PIPE_COLUMNS
            self._console = Console(highlight=False, markup=False, emoji=False, width=width)
        return self._console

    # -- results

    def result(self, value: Any, text: str | None = None) -> None:
        """A result: `value` as JSON, or `text` for people."""
        self.line(to_json(value) if self.json or text is None else text)

    def line(self, text: str) -> None:
        """A line on stdout, at once: who reads a pipe waits for it."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def data(self, value: Any) -> None:
        """Data of users, for people: indented JSON."""
        text = to_json(value, indent=True)
        if sys.stdout.isatty():
            self.console.print_json(text)
        else:
            self.line(text)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table for people; a column whose name begins with `>` is of numbers."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in columns:
            justify: Any = "right" if name.startswith(">") else "left"
            table.add_column(name.lstrip(">"), justify=justify, overflow="fold")
        for row in rows:
            # Text, not str: brackets in user data are no markup.
            table.add_row(*(Text(one_line(str(cell))) for cell in row))
        self.console.print(table)

    # -- beside the results

    def note(self, text: str) -> None:
        """Something worth knowing that is no result: on stderr, for people only."""
        if not self.json:
            _to_stderr(one_line(text))

    def event(self, name: str, text: str, *, stderr: bool = False, **facts: Any) -> None:
        """One line that says where a process stands, such as `ready`."""
        line = to_json({"event": name, **facts}) if self.json else one_line(text)
        if stderr:
            _to_stderr(line)
        else:
            self.line(line)

    def error(self, exc: BaseException) -> None:
        """What went wrong: one line that says what to do.

        The faults of a model come before it, one line each.
        """
        if os.environ.get(DEBUG_VARIABLE, "") not in ("", "0"):
            _to_stderr("".join(traceback.format_exception(exc)).rstrip())
        if self.json:
            _to_stderr(to_json({"error": facts_of(exc)}))
            return
        seen = ""
        if isinstance(exc, ModelInvalid):
            seen = ", listed above"
            for finding in exc.findings:
                _to_stderr(one_line(str(finding)))
        _to_stderr(f"error: {one_line(message_of(exc))}{seen}")


def message_of(exc: BaseException) -> str:
    """The sentence of an error."""
    if isinstance(exc, ModelInvalid):
        return str(exc).partition("\n")[0].rstrip(":")
    if isinstance(exc, HotMeshError):
        return str(exc)
    text = f"unexpected {type(exc).__name__}: {exc}"
    return f"{text}; this is a fault of hotmesh, {DEBUG_VARIABLE}=1 shows where"


def facts_of(exc: BaseException) -> dict[str, Any]:
    """An error as an object: code, message, its class, and the fields that the class adds."""
    facts: dict[str, Any] = {
        "code": getattr(exc, "code", 500),
        "message": message_of(exc),
        "type": type(exc).__name__,
    }
    if isinstance(exc, ModelInvalid):
        return facts | {"findings": [finding_facts(f) for f in exc.findings]}
    own = vars(exc) if isinstance(exc, HotMeshError) else {}
    return facts | {k: v for k, v in own.items() if k not in facts and not k.startswith("_")}


def finding_facts(finding: Any) -> dict[str, Any]:
    """A finding as an object."""
    names = ("severity", "file", "line", "column", "path", "message")
    return {name: getattr(finding, name) for name in names}


def _to_stderr(line: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
