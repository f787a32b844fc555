"""What arguments hold: JSON given as text, `@file` or `-` for stdin; models; ids of versions."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from hotmesh.cli.output import UsageError
from hotmesh.durations import parse
from hotmesh.errors import DurationInvalid

STDIN = "@-"
"""How `-` arrives: the parser takes a lone dash for an option, so `main` rewrites it."""


def read_text(argument: str, what: str) -> str:
    """An argument, or the file or stdin that it stands for.

    Raises:
        UsageError: The file can't be read.
    """
    if not argument.startswith("@"):
        return argument
    try:
        if argument == STDIN:
            return sys.stdin.read()
        return Path(argument[1:]).read_text("utf-8")
    except (OSError, ValueError) as exc:
        raise UsageError(f"{what} can't be read from {_named(argument)}: {_why(exc)}") from exc


def read_json(argument: str, what: str) -> Any:
    """The JSON of an argument.

    Raises:
        UsageError: It is none.
    """
    text = read_text(argument, what)
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as exc:
        where = f" in {_named(argument)}" if argument.startswith("@") else ""
        raise UsageError(
            f"{what}{where} is not JSON: {exc}; write for example '{{\"a\": 1}}', "
            "@file.json, or - for stdin"
        ) from exc


def model_source(file: str) -> Path | str:
    """A model: the path of a file that is there, or the text on stdin.

    Raises:
        UsageError: There is no such file.
    """
    if file == STDIN:
        # A line break tells text from a path, see `hotmesh.model.load`.
        return read_text(file, "the model") + "\n"
    path = Path(file.removeprefix("@"))
    if not path.is_file():
        why = "is a directory" if path.is_dir() else "does not exist"
        raise UsageError(f"{path} {why}; give the YAML file of a model, or - for stdin")
    return path


def check_duration(text: str | None, flag: str) -> str | None:
    """A duration as it was given.

    Raises:
        UsageError: It is none.
    """
    if text is not None:
        try:
            parse(text)
        except DurationInvalid as exc:
            raise UsageError(f"{flag}: {exc}") from exc
    return text


def read_time(text: str, flag: str) -> datetime:
    """A point in time in ISO 8601.

    Raises:
        UsageError: It is none.
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError as exc:
        example = "2026-01-31T12:00:00Z"
        raise UsageError(f"{flag}: {text!r} is no time; write for example {example}") from exc


def _named(argument: str) -> str:
    return "stdin" if argument == STDIN else argument[1:]


def _why(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or str(exc)
